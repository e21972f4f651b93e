import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { alive, type RunningHub, root, startHub, until } from "../harness/hub.ts";

// The first and the second start, refusals, and ends, as somebody meets them on a terminal.

const run = promisify(execFile);
const virtual = {
  OCELLI_DEVICES_V4L2: "false",
  OCELLI_VIRTUAL_CAMERA: "auto",
  OCELLI_VIRTUAL_SIZE: "320x240",
};

const folders: string[] = [];
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-first-"));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function refused(env: Record<string, string>, args: string[] = []) {
  const main = join(root, "packages/server/dist/main.js");
  const child = spawn(join(root, "node_modules/.bin/node"), [main, ...args], {
    env: {
      PATH: process.env.PATH,
      OCELLI_LISTEN: "127.0.0.1:0",
      OCELLI_DATA_DIR: temporary(),
      ...virtual,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  child.stderr.on("data", (chunk) => (output += chunk));
  const code = await new Promise((resolve) => child.on("close", resolve));
  return { code, output };
}

describe("the first start", () => {
  it("writes the admin key to a 0600 file when there is no terminal, once, and stores only its hash", async () => {
    const dataDir = temporary();
    const first = await startHub({ dataDir, env: { ...virtual, OCELLI_ADMIN_KEY: undefined } });
    const file = join(dataDir, "admin-key");
    const key = readFileSync(file, "utf8").trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(key).toMatch(/^camera_service_sk_[A-Za-z0-9]{64}$/);
    expect(first.output.join("\n")).toContain(file);
    expect(first.output.join("\n")).not.toContain(key);
    const rpc = await first.rpc(key);
    expect(await rpc.call("ping")).toBe("pong");
    await rpc.close();
    await first.end();
    const { stdout } = await run("grep", ["-rlF", key, dataDir]).catch((error: { stdout: string }) => error);
    expect(stdout.trim().split("\n")).toEqual([file]);

    const second = await startHub({ dataDir, env: { ...virtual, OCELLI_ADMIN_KEY: undefined } });
    expect(second.output.join("\n")).not.toContain("Admin key");
    await (await second.rpc(key)).close();
    await second.stop();
  });

  it("makes no key that it cannot hand over", async () => {
    const dataDir = temporary();
    mkdirSync(join(dataDir, "admin-key"));
    const { code, output } = await refused({ OCELLI_DATA_DIR: dataDir });
    expect(code).toBe(1);
    expect(output).toContain("admin-key");
    rmSync(join(dataDir, "admin-key"), { recursive: true });
    const hub = await startHub({ dataDir, env: { ...virtual, OCELLI_ADMIN_KEY: undefined } });
    await (await hub.rpc(readFileSync(join(dataDir, "admin-key"), "utf8").trim())).close();
    await hub.stop();
  });

  it("offers a virtual camera numbered from 100 when there is no other", async () => {
    await using hub = await startHub({ env: virtual });
    await using rpc = await hub.rpc();
    const { cameras, total, connected } = await rpc.call<{
      cameras: { camera_id: string; status: string; resolution: string }[];
      total: number;
      connected: number;
    }>("get_camera_list");
    expect([total, connected]).toEqual([1, 1]);
    expect(cameras[0]).toMatchObject({ camera_id: "camera100", status: "CONNECTED", resolution: "320x240" });
    expect(hub.output.join("\n")).toContain("camera100");
  });

  it("does not when told never", async () => {
    await using hub = await startHub({ env: { ...virtual, OCELLI_VIRTUAL_CAMERA: "never" } });
    await using rpc = await hub.rpc();
    expect(await rpc.call("get_camera_list")).toMatchObject({ cameras: [], total: 0 });
    expect((await fetch(`${hub.url}/health/ready`)).status).toBe(200);
  });
});

describe("a start that cannot be", () => {
  it("refuses wrong settings with exit code 2 and says which", async () => {
    const { code, output } = await refused({ OCELLI_RECORDING_SYNC: "sometimes" });
    expect(code).toBe(2);
    expect(output).toMatch(/OCELLI_RECORDING_SYNC.*sometimes.*fragment \| segment \| none/);
  });

  it("refuses a second hub on the same data folder and names the first", async () => {
    await using hub = await startHub({ env: virtual });
    const { code, output } = await refused({ OCELLI_DATA_DIR: hub.dataDir });
    expect(code).toBe(1);
    expect(output).toContain(String(hub.pid));
    expect(output).toContain("OCELLI_DATA_DIR");
    expect((await fetch(`${hub.url}/health/ready`)).status).toBe(200);
  });

  it("refuses a named port that is taken and says by whom", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const address = other.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const { code, output } = await refused({ OCELLI_LISTEN: `127.0.0.1:${port}` });
    other.close();
    expect(code).toBe(1);
    expect(output).toContain(String(port));
    expect(output).toContain(String(process.pid));
  });

  it("refuses a data folder that cannot be made", async () => {
    const file = join(temporary(), "file");
    writeFileSync(file, "");
    const { code, output } = await refused({ OCELLI_DATA_DIR: join(file, "data") });
    expect(code).toBe(1);
    expect(output).toContain(file);
  });
});

describe("the end", () => {
  const endings: readonly (readonly [string, (hub: RunningHub) => Promise<void>])[] = [
    ["idle", async () => {}],
    [
      "recording",
      async (hub) => {
        const rpc = await hub.rpc();
        await rpc.call("start_recording", { device: "camera100" });
      },
    ],
    [
      "starting a recording",
      async (hub) => {
        const rpc = await hub.rpc();
        rpc.call("start_recording", { device: "camera100" }).catch(() => undefined);
        await until("ffmpeg", () => hub.ffmpegs().length > 0);
      },
    ],
    [
      "watched",
      async (hub) => {
        const response = await hub.fetch("/live/camera100/mjpeg");
        const reader = response.body?.getReader();
        await reader?.read();
      },
    ],
  ];

  it.each(endings)(
    "with SIGINT while %s leaves no ffmpeg, whole files and exit code 0",
    async (_name, prepare) => {
      const dataDir = temporary();
      const hub = await startHub({ dataDir, env: virtual });
      await prepare(hub);
      const children = hub.ffmpegs();
      expect(await hub.end("SIGINT")).toEqual({ code: 0, signal: null });
      expect(children.filter(alive)).toEqual([]);
      for (const name of await unfinished(dataDir)) throw new Error(`${name} was not finished`);
    },
  );
});

/** Sidecars that still say `recording`. */
async function unfinished(dataDir: string): Promise<string[]> {
  const { readdir } = await import("node:fs/promises");
  const folder = join(dataDir, "recordings");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  return names.filter((name) => JSON.parse(readFileSync(join(folder, name), "utf8")).state === "recording");
}
