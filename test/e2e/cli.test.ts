import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ffprobe, videoOf } from "../harness/ffprobe.ts";
import { adminKey, type RunningHub, root, startHub, until, virtualCameras } from "../harness/hub.ts";

// The built `ocelli` command as a user runs it: a process of its own, its output, its exit code, and what it left behind.

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

let hub: RunningHub;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-cli-"));
  hub = await startHub({
    env: virtualCameras({ count: 2, size: "320x240", fps: 25 }),
  });
});
afterAll(async () => {
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function ocelli(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    execFile(
      join(root, "node_modules/.bin/node"),
      [join(root, "packages/cli/dist/main.js"), ...args],
      {
        cwd: folder,
        timeout: 25_000,
        env: { PATH: process.env.PATH, HOME: folder, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey, ...env },
      },
      (error, out, err) => {
        if (error !== null && typeof error.code !== "number") reject(error);
        else resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err });
      },
    );
  });
}

/** Runs a command that must do what it was asked to. */
async function done(...args: string[]): Promise<string> {
  const { code, out, err } = await ocelli(args);
  expect([code, err], args.join(" ")).toEqual([0, ""]);
  return out;
}

const sha = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The file names in the first column of a table. */
function firstColumn(text: string): string[] {
  return text
    .trimEnd()
    .split("\n")
    .slice(1)
    .map((line) => line.split(/ {2,}/)[0] ?? "");
}

describe("ocelli", () => {
  it("lists the cameras in columns that stand under their headings", async () => {
    const lines = (await done("cameras")).trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    const [heading = "", ...rows] = lines;
    for (const [column, wanted] of [
      ["STATUS", "CONNECTED"],
      ["SIZE", "320x240"],
      ["FPS", "25"],
      ["NAME", "Virtual camera"],
    ] as const) {
      for (const row of rows) {
        expect(row.startsWith(wanted, heading.indexOf(column)), `${column}:\n${lines.join("\n")}`).toBe(true);
      }
    }
    const list = JSON.parse(await done("cameras", "--json"));
    expect(list).toMatchObject({ total: 2, connected: 2, cameras: [{ device: "camera100" }, {}] });
  });

  it("takes a snapshot, and saves it here too when asked", async () => {
    expect(await done("snapshot", "camera100")).toMatch(
      /^camera100_snapshot_[\d_-]+\.jpg {2}320x240 {2}[\d.]+ kB\n$/,
    );
    const here = join(folder, "here.png");
    const out = await done("snapshot", "camera101", "--filename", "still", "--format", "png", "-o", here);
    expect(out).toMatch(new RegExp(`^still\\.png .* saved as ${escaped(here)}\n$`));
    expect(sha(here)).toBe(sha(hub.file("snapshots", "still.png")));
    expect(videoOf(await ffprobe(here))).toMatchObject({ codec_name: "png", width: 320, height: 240 });
    expect(firstColumn(await done("files", "list", "snapshots"))[0]).toBe("still.png");
  });

  it("deletes no recording that runs", async () => {
    await done("record", "start", "camera101", "--filename", "runs");
    expect((await ocelli(["files", "delete", "recordings", "runs"])).code).toBe(1);
    await done("record", "stop", "camera101");
    await done("files", "delete", "recordings", "runs");
  });

  it("records for a duration, then lists, downloads, exports and deletes the file", async () => {
    expect(await done("record", "start", "camera100", "--duration", "2s", "--filename", "take one")).toBe(
      "camera100: recording take one.mp4\n",
    );
    await until("the end of the recording", async () =>
      firstColumn(await done("files", "list")).includes("take one.mp4"),
    );
    const original = hub.file("recordings", "take one.mp4");
    expect(videoOf(await ffprobe(original)).nb_read_frames).toBe(50);
    expect(await done("files", "list", "--camera", "camera100", "--limit", "1")).toMatch(
      /^FILE +SIZE +LENGTH +PICTURE +CODEC +BEGUN\ntake one\.mp4 +[\d.]+ [kM]B +0:02\.0 +320x240 +h264 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n$/,
    );

    // The name in this folder, and without its extension; and once more to a chosen place.
    expect(await done("files", "download", "recordings", "take one")).toMatch(/take one\.mp4\n$/);
    expect(sha(join(folder, "take one.mp4"))).toBe(sha(original));
    const copy = join(folder, "copy.mp4");
    expect(
      JSON.parse(await done("--json", "files", "download", "recordings", "take one.mp4", "-o", copy)),
    ).toEqual([{ filename: "take one.mp4", path: copy }]);
    expect(sha(copy)).toBe(sha(original));
    const into = join(folder, "all of it");
    const several = await ocelli([
      ...["files", "download", "recordings", "take one", "none", "nor this", "take one.mp4", "-o", into],
    ]);
    const there = join(into, "take one.mp4");
    expect(several).toMatchObject({ code: 5, out: `${there}\n${there}\n` });
    expect(several.err).toMatch(/nor this[\s\S]*\nocelli: .*none/);
    expect(sha(there)).toBe(sha(original));
    rmSync(there);
    expect(await done("files", "download", "recordings", "take one", "-o", into)).toBe(`${there}\n`);
    rmSync(into, { recursive: true });
    const videos = readdirSync(folder).filter((name) => name !== "here.png");
    expect(videos.toSorted()).toEqual(["copy.mp4", "take one.mp4"]);

    expect(await done("files", "export", "take one.mp4", "--format", "mkv")).toMatch(
      /^take one\.mkv {2}[\d.]+ [kM]B\n$/,
    );
    const mkv = await ffprobe(hub.file("recordings", "take one.mkv"));
    expect([mkv.format.format_name, videoOf(mkv).nb_read_frames]).toEqual(["matroska,webm", 50]);

    expect(await done("files", "delete", "recordings", "take one.mkv", "take one.mp4")).toBe(
      "take one.mkv deleted\ntake one.mp4 deleted\n",
    );
    expect(existsSync(original) || existsSync(`${original}.json`)).toBe(false);
    expect((await ocelli(["files", "download", "recordings", "take one"])).code).toBe(5);
  });

  it("starts two cameras for one instant and stops them together", async () => {
    const started = await done("record", "start", "camera100", "camera101", "--at", "+3");
    const names = started.match(/camera10[01]_[\d_-]+\.mp4/g) ?? [];
    expect(names.toSorted().map((name) => name.slice(0, 9))).toEqual(["camera100", "camera101"]);
    await until("both recordings to grow", async () => {
      const { cameras } = JSON.parse(await done("cameras", "--json"));
      return cameras.every((camera: { elapsed_time: number }) => camera.elapsed_time > 0.5);
    });
    expect(await done("cameras")).toMatch(/camera100 .* 0:0\d\.\d /);
    const stopped = await done("record", "stop");
    const [scheduled, ...others] = names.map((name) => {
      expect(stopped).toMatch(
        new RegExp(`^camera10[01]: ${escaped(name)} {2}0:0\\d\\.\\d {2}[\\d.]+ kB$`, "m"),
      );
      const sidecar = JSON.parse(readFileSync(`${hub.file("recordings", name)}.json`, "utf8"));
      const lateUs = sidecar.firstFrameAtUs - sidecar.scheduledStart.atUs;
      expect(lateUs).toBeGreaterThanOrEqual(0);
      expect(lateUs).toBeLessThan(2 * 40_000);
      return sidecar.scheduledStart.atUs;
    });
    expect(others).toEqual([scheduled]);
    expect(await ocelli(["record", "stop"])).toEqual({ code: 0, out: "", err: "No recording is running.\n" });
  });

  it.each([
    ["a wrong key", ["cameras"], { OCELLI_API_KEY: "not the key" }, 4, /API key/],
    ["no key", ["cameras"], { OCELLI_API_KEY: "", OCELLI_DATA_DIR: "/nowhere" }, 4, /OCELLI_API_KEY/],
    ["no hub", ["cameras"], { OCELLI_URL: "http://127.0.0.1:1" }, 3, /ocelli serve/],
    ["an unknown camera", ["snapshot", "camera7"], {}, 5, /camera7.*camera100[\s\S]*ocelli cameras/],
    ["an unknown file", ["files", "delete", "recordings", "none"], {}, 5, /none[\s\S]*ocelli files list/],
    [
      "a stop without a start",
      ["record", "stop", "camera100"],
      {},
      1,
      /Nothing is being recorded for camera100/,
    ],
    ["a name with folders", ["snapshot", "camera100", "--filename", "../x"], {}, 2, /\.\.\/x/],
    ["a value out of range", ["snapshot", "camera100", "--quality", "101"], {}, 2, /quality/],
    ["an unknown command", ["fly"], {}, 2, /fly/],
    ["a missing argument", ["snapshot"], {}, 2, /camera/],
  ] as const)("says what is wrong and what to do: %s", async (_what, args, env, exitCode, words) => {
    const { code, out, err } = await ocelli(args, env);
    expect([code, out]).toEqual([exitCode, ""]);
    expect(err).toMatch(words);
    expect(err.trimEnd().split("\n").length).toBeLessThan(4);
    expect(err).not.toMatch(/^ {4}at |node:|undefined/m);
  });

  it("tells scripts the failure as JSON, and nothing on the standard output", async () => {
    const { code, out, err } = await ocelli(["--json", "snapshot", "camera7"]);
    expect([code, out]).toEqual([5, ""]);
    expect(JSON.parse(err)).toMatchObject({ error: { code: "camera_not_found" } });
  });

  it("ends with Ctrl-C, which is no error, and quietly when nobody reads on", async () => {
    const env = { PATH: process.env.PATH, HOME: folder, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey };
    const command = [join(root, "node_modules/.bin/node"), join(root, "packages/cli/dist/main.js")] as const;
    const following = spawn(command[0], [command[1], "events", "--since", "0"], { env, stdio: "pipe" });
    let err = "";
    following.stderr.on("data", (chunk) => {
      err += chunk;
    });
    await once(following.stdout, "data");
    following.kill("SIGINT");
    expect([await once(following, "close"), err]).toEqual([[130, null], ""]);

    const line = `"${command.join('" "')}" events --since 0 | head -n 1; echo "\${PIPESTATUS[0]}"`;
    let over = false;
    const piped = promisify(execFile)("bash", ["-c", line], { env }).finally(() => {
      over = true;
    });
    // It notices with what it writes next.
    await until("the end of the pipe", async () => {
      if (!over) await done("snapshot", "camera100");
      return over;
    });
    const { stdout, stderr } = await piped;
    expect([stdout.split("\n").length, stdout.endsWith("\n0\n"), stderr]).toEqual([3, true, ""]);
  });

  it("finds the key that a hub on this machine wrote at its first start", async () => {
    const data = join(folder, "data");
    const other = await startHub({
      env: { OCELLI_ADMIN_KEY: undefined, OCELLI_DEVICES_V4L2: "false", OCELLI_VIRTUAL_CAMERA: "never" },
    });
    try {
      const env = { OCELLI_URL: other.url, OCELLI_API_KEY: "", OCELLI_DATA_DIR: other.dataDir };
      expect(await ocelli(["cameras"], env)).toEqual({
        code: 0,
        out: "No cameras. Plug one in: it appears by itself.\n",
        err: "",
      });
      writeFileSync(data, "");
      expect((await ocelli(["cameras"], { ...env, OCELLI_DATA_DIR: data })).code).toBe(4);
    } finally {
      await other.stop();
    }
  });
});
