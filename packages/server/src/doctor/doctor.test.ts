import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SmallDisk, smallDisksMustSkip } from "../../../../test/harness/small-disk.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import { configSchema } from "../config/schema.ts";
import type { NodeAnswer } from "../devices/v4l2/ask-node.ts";
import { createDataDir, lockDataDir } from "../store/data-dir.ts";
import { checkCameras } from "./cameras.ts";
import { checkClock, readKernelClock } from "./clock-sync.ts";
import { checkDataFolder, lockHolder } from "./data-folder.ts";
import { runDoctor } from "./doctor.ts";
import type { Finding } from "./finding.ts";
import { checkFfmpeg, checkNode } from "./programs.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-doctor-"));
  mkdirSync(join(folder, "dev"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const signal = new AbortController().signal;

async function examine(env: Record<string, string> = {}) {
  const report = await runDoctor({
    env: {
      OCELLI_LISTEN: "127.0.0.1:0",
      OCELLI_DATA_DIR: join(folder, "data"),
      OCELLI_STORAGE_LOW_MEGABYTES: "0",
      OCELLI_STORAGE_CRITICAL_MEGABYTES: "0",
      ...env,
    },
    cameraFolders: { dev: join(folder, "dev") },
  });
  const of = (check: string): Finding | undefined => report.findings.find((one) => one.check === check);
  return { report, of };
}

async function listening(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { server, port: address.port };
}

describe("the doctor", () => {
  it("finds nothing wrong with this machine, says how to mend whatever is not perfect, and leaves no trace", async () => {
    createDataDir(join(folder, "data"));
    const before = readdirSync(join(folder, "data")).sort();
    const { report, of } = await examine();
    expect(report.findings.filter((one) => one.status === "problem")).toEqual([]);
    expect(report.ok).toBe(true);
    expect(of("ffmpeg")).toMatchObject({ status: "ok", details: { version: expect.stringMatching(/^\d/) } });
    expect(of("port 0")?.status).toBe("ok");
    expect(of("data folder")?.message).toContain("not in use");
    expect(of("disk speed")?.details).toMatchObject({ megabytesPerSecond: expect.any(Number) });
    for (const one of report.findings) expect(one.fix === undefined).toBe(one.status === "ok");
    expect(readdirSync(join(folder, "data")).sort()).toEqual(before);
    expect(() => JSON.stringify(report)).not.toThrow();
  });

  it("goes on with the defaults when the settings are wrong", async () => {
    const { report, of } = await examine({ OCELLI_LISTEN: "nowhere", OCELLI_LISTNE: "x" });
    expect(report.ok).toBe(false);
    expect(of("settings")?.message).toMatch(/OCELLI_LISTNE[\s\S]*host:port/);
    expect(of("ffmpeg")?.status).toBe("ok");
  });

  it("names who holds a port the user wants, and asks for another one of the defaults only", async () => {
    const { server, port } = await listening();
    try {
      const { report, of } = await examine({ OCELLI_LISTEN: `127.0.0.1:${port},127.0.0.1:0` });
      expect(report.ok).toBe(false);
      expect(of(`port ${port}`)).toMatchObject({
        status: "problem",
        fix: expect.stringContaining("OCELLI_LISTEN"),
      });
      expect(of(`port ${port}`)?.message).toContain(`process ${process.pid} (`);
    } finally {
      server.close();
    }
  });

  it("knows the running hub by its lock, and its ports as its own", async () => {
    createDataDir(join(folder, "data"));
    const lock = lockDataDir(join(folder, "data"));
    const { server, port } = await listening();
    try {
      expect(await lockHolder(join(folder, "data"))).toBe(process.pid);
      const { report, of } = await examine({ OCELLI_LISTEN: `127.0.0.1:${port}` });
      expect(report.ok).toBe(true);
      expect(of("data folder")?.message).toContain(`running hub (process ${process.pid})`);
      expect(of(`port ${port}`)?.message).toContain("is served by the running hub");
      const other = await examine();
      expect(other.of("port 0")).toMatchObject({ status: "warning" });
    } finally {
      server.close();
      lock.close();
    }
    expect(await lockHolder(join(folder, "data"))).toBeUndefined();
  });

  it("stops when it is told to", async () => {
    await expect(
      runDoctor({ env: { OCELLI_DATA_DIR: folder }, signal: AbortSignal.abort(new Error("enough")) }),
    ).rejects.toThrow();
  });
});

describe("programs", () => {
  const clock = new FakeClock();

  /** Plays another ffmpeg in front of the real one. */
  function fakeFfmpeg(script: string): { ffmpeg: string } {
    const path = join(folder, "ffmpeg");
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return { ffmpeg: path };
  }

  it.each([
    ["20.19.2", "problem"],
    ["22.12.0", "problem"],
    ["22.13.0", "ok"],
    ["24.0.1", "ok"],
  ])("Node %s: %s", (version, status) => expect(checkNode(version).status).toBe(status));

  it("misses ffmpeg", async () => {
    expect(await checkFfmpeg({ clock, signal }, { ffmpeg: "no-such-ffmpeg" })).toMatchObject([
      { status: "problem", fix: expect.stringContaining("apt-get install ffmpeg") },
    ]);
  });

  it("refuses an ffmpeg that is too old", async () => {
    const old = fakeFfmpeg("echo 'ffmpeg version 4.4.2'");
    expect(await checkFfmpeg({ clock, signal }, old)).toMatchObject([
      { status: "problem", message: expect.stringContaining("4.4.2") },
    ]);
  });

  it.each([
    ["libx264", "problem"],
    ["matroska", "warning"],
  ])("says what cannot be done by an ffmpeg without %s: %s", async (name, status) => {
    const poor = fakeFfmpeg(`/usr/bin/ffmpeg "$@" | grep -v ' ${name} '`);
    expect(await checkFfmpeg({ clock, signal }, poor)).toMatchObject([
      { status, message: expect.stringContaining(`${name} (for `), details: { missing: [name] } },
    ]);
  });
});

describe("the clock", () => {
  function processes(...names: string[]): string {
    const proc = join(folder, "proc");
    names.forEach((name, index) => {
      mkdirSync(join(proc, String(index + 10)), { recursive: true });
      writeFileSync(join(proc, String(index + 10), "comm"), `${name}\n`);
    });
    mkdirSync(join(proc, "999"), { recursive: true });
    return proc;
  }

  it("is read as another language reads it", () => {
    const script = `
import ctypes, struct
buffer = ctypes.create_string_buffer(208)
state = ctypes.CDLL(None).adjtimex(buffer)
status, = struct.unpack_from("i", buffer, 40)
print("yes" if state != 5 and not status & 0x40 else "no")`;
    const answer = execFileSync("/usr/bin/python3", ["-c", script], { encoding: "utf8" }).trim();
    expect(readKernelClock()?.synchronised).toBe(answer === "yes");
    expect(readKernelClock()?.maxErrorUs).toBeGreaterThan(0);
  });

  it.each([
    [true, ["bash", "chronyd"], "ok", /synchronised by chrony, at most 1\.5 ms off/],
    [true, [], "ok", /at most 1\.5 ms off/],
    [false, ["systemd-timesyn"], "warning", /not synchronised yet, though systemd-timesyncd runs/],
    [false, ["bash"], "warning", /nobody keeps it right/],
  ])("synchronised %s, running %s: %s", (synchronised, names, status, message) => {
    const finding = checkClock({ synchronised, maxErrorUs: 1500 }, processes(...names));
    expect(finding.status).toBe(status);
    expect(finding.message).toMatch(message);
  });
});

describe("the data folder", () => {
  const context = (dataDir: string, more: object = {}) => ({
    config: configSchema.parse({ dataDir, ...more }),
    clock: new FakeClock(),
    signal,
    hubPid: undefined,
  });

  it("may be made by the hub", async () => {
    const [finding] = await checkDataFolder(context(join(folder, "a", "b")));
    expect(finding).toMatchObject({ status: "ok", message: expect.stringContaining("does not exist yet") });
    expect(readdirSync(folder)).toEqual(["dev"]);
  });

  it("must be no file", async () => {
    writeFileSync(join(folder, "file"), "");
    for (const path of ["file", "file/below"]) {
      expect(await checkDataFolder(context(join(folder, path)))).toMatchObject([{ status: "problem" }]);
    }
  });

  it.skipIf(smallDisksMustSkip())("must have room", async () => {
    using mounted = new SmallDisk("20m");
    const disk = mounted.path;
    expect((await checkDataFolder(context(disk)))[1]).toMatchObject({ check: "disk space", status: "ok" });
    writeFileSync(join(disk, "ballast"), Buffer.alloc(17_000_000));
    expect((await checkDataFolder(context(disk)))[1]?.status).toBe("warning");
    writeFileSync(join(disk, "more"), Buffer.alloc(3_000_000));
    const findings = await checkDataFolder(context(disk));
    expect(findings[1]).toMatchObject({
      status: "problem",
      message: expect.stringMatching(/^\d MB of 21 MB free: no recording starts below 2 MB\.$/),
    });
    expect(findings).toHaveLength(2);
  });
});

describe("cameras", () => {
  const config = configSchema.parse({});
  const formats = [{ fourcc: "MJPG", description: "", compressed: true, sizes: [] }];
  const camera: NodeAnswer = {
    kind: "camera",
    multiplanar: false,
    capabilities: { driver: "uvcvideo", card: "Webcam", busInfo: "usb", formats },
  };

  const check = (answers: Record<string, NodeAnswer>, hubPid?: number) => {
    for (const name of Object.keys(answers)) writeFileSync(join(folder, "dev", name), "");
    return checkCameras(
      { config, clock: new FakeClock(), hubPid },
      {
        dev: join(folder, "dev"),
        sys: join(folder, "sys"),
        udev: join(folder, "udev"),
        ask: async (node) => answers[node.split("/").at(-1) ?? ""] ?? { kind: "other", driver: "" },
      },
    );
  };

  /** A camera on a port of a bus, as the kernel lays it out. */
  function plug(node: string, bus: string, port: string, speed: number, version = " 2.00"): void {
    const device = join(folder, "sys/devices/pci0000:00/0000:00:14.0", bus, port);
    mkdirSync(join(device, `${port}:1.0`), { recursive: true });
    writeFileSync(join(device, "speed"), `${speed}\n`);
    writeFileSync(join(device, "version"), `${version}\n`);
    writeFileSync(join(device, "idVendor"), "046d\n");
    writeFileSync(join(device, "idProduct"), "0825\n");
    const entry = join(folder, "sys/class/video4linux", node);
    mkdirSync(entry, { recursive: true });
    writeFileSync(join(entry, "name"), `Webcam ${node}\n`);
    execFileSync("ln", ["-s", join(device, `${port}:1.0`), join(entry, "device")]);
  }

  it("are well when they answer; other nodes are none", async () => {
    const findings = await check({
      video10: camera,
      video2: camera,
      video3: { kind: "other", driver: "meta" },
    });
    expect(findings.map((one) => [one.check.split("/").at(-1), one.status])).toEqual([
      ["video2", "ok"],
      ["video10", "ok"],
    ]);
  });

  it("tells which group to join", async () => {
    const [finding] = await check({ video0: { kind: "failed", errno: 13, operation: "open" } });
    expect(finding).toMatchObject({ status: "problem", details: { code: "permission_denied" } });
    expect(finding?.message).toMatch(/may not open .*video0/);
  });

  it("names the program that has one open, unless it is the hub", async () => {
    writeFileSync(join(folder, "dev", "video0"), "");
    // The doctor does not count itself, so that another process has to hold it.
    const fd = openSync(join(folder, "dev", "video0"), "r");
    try {
      const sleeper = execFileSync("sh", ["-c", "sleep 30 <&3 >/dev/null 2>&1 & echo $!"], {
        stdio: ["ignore", "pipe", "ignore", fd],
        encoding: "utf8",
      });
      const pid = Number(sleeper);
      try {
        const [finding] = await check({ video0: camera });
        expect(finding).toMatchObject({ status: "warning" });
        expect(finding?.message).toContain(`process ${pid} (sleep)`);
        expect(await check({ video0: camera }, pid)).toMatchObject([{ status: "ok" }]);
      } finally {
        process.kill(pid);
      }
    } finally {
      closeSync(fd);
    }
  });

  it("warns of three on one USB 2 bus, not of those on others", async () => {
    plug("video0", "usb1", "1-1", 480);
    plug("video2", "usb1", "1-2", 480);
    plug("video4", "usb3", "3-1", 480);
    const answers = { video0: camera, video2: camera, video4: camera };
    expect((await check(answers)).at(-1)).toMatchObject({ check: "USB bandwidth", status: "ok" });
    plug("video6", "usb1", "1-3.4", 480);
    expect((await check({ ...answers, video6: camera })).at(-1)).toMatchObject({
      check: "USB bandwidth",
      status: "warning",
      details: { bus: "usb1", cameras: ["video0", "video2", "video6"] },
    });
  });

  it.each([
    [12, " 1.10", "warning", /12 Mbit\/s/],
    [480, " 2.10", "warning", /could do USB 3/],
    [480, " 2.01", "ok", /1 on usb1/],
    [5000, " 3.00", "ok", /1 on usb1/],
  ])("connected at %s Mbit/s, USB%s: %s", async (speed, version, status, message) => {
    plug("video0", "usb1", "1-1", speed, version);
    const finding = (await check({ video0: camera })).at(-1);
    expect(finding?.status).toBe(status);
    expect(finding?.message).toMatch(message);
  });

  it("are not looked for when they are switched off", async () => {
    const off = configSchema.parse({ devices: { v4l2: false } });
    expect(await checkCameras({ config: off, clock: new FakeClock(), hubPid: undefined })).toMatchObject([
      { status: "ok", message: expect.stringContaining("switched off") },
    ]);
  });
});
