import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../../../../test/harness/hub.ts";
import { type Outcome, start } from "../testing/run.ts";

// `ocelli sync` and `ocelli clock` against a running hub.

let hub: RunningHub;
let folder: string;
const env = () => ({ HOME: folder, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey });
const ocelli = (...args: string[]): Promise<Outcome> => start(args, env()).done;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-sync-"));
  hub = await startHub({
    env: virtualCameras({ count: 2, size: "320x240", fps: 10, codec: "mjpeg" }),
  });
  await ocelli("cameras", "set", "camera100", "--name", "Door");
});
afterAll(async () => {
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe("ocelli sync", () => {
  it("makes a group, follows a session to its end on a terminal, and prints what came of it", async () => {
    expect((await ocelli("sync", "create", "lab", "door", "camera101", "--tolerance", "200")).out).toBe(
      "lab: camera100, camera101\n",
    );
    expect((await ocelli("sync", "list")).out).toMatch(/\nlab +camera100, camera101 +200\.0 ms +\d{4}-/);
    const { code, out, err } = await start(
      ["sync", "start", "lab", "--delay", "3s", "--duration", "1", "--wait"],
      env(),
      {
        isTerminal: true,
      },
    ).done;
    expect(code).toBe(0);
    expect(err).toMatch(/\rlab {2}begins in 0:0\d/);
    expect(err).toMatch(/\rlab {2}█*░* +\d+ %/);
    expect(out).toMatch(/^Session {2}lab {2}[\w-]{36}\nVerdict {2}in sync\n/);
    expect(out).toMatch(/\ncamera100 +\d\d:\d\d:\d\d\.\d{6} +[\d.]+ ms +10 of 10 +0 +[\d.]+ of 10 /);
    const page = join(folder, "report.html");
    expect((await ocelli("sync", "report", "--html", page)).out).toContain(`Page: ${page}\n`);
    expect(readFileSync(page, "utf8")).toContain("<title>lab: sync report</title>");
    const aligned = await ocelli("sync", "align", "--no-preview");
    expect(aligned.out).toMatch(/\ncamera101 +\d+ +copy +lab_\S+_camera101_aligned\.mp4\n$/);
  });

  it("tells a script that a member failed, after the report", async () => {
    // Nothing listens there.
    await ocelli("sync", "create", "most", "camera100", "127.0.0.1:1");
    const { code, out, err } = await ocelli(
      ...["sync", "start", "most", "--allow-partial", "--duration", "1", "--wait"],
    );
    expect(out).toMatch(/\nVerdict {2}a member failed\n/);
    expect(err).toMatch(/\nocelli: Not everybody recorded: 127\.0\.0\.1:1 failed\.\n$/);
    expect(code).toBe(1);
    await ocelli("sync", "forget", /[\w-]{36}/.exec(out)?.[0] ?? "", "--files");
    await ocelli("sync", "delete", "most");
  });

  it("goes on with the session when the wait for it is interrupted, and stops it by name", async () => {
    const waiting = start(["sync", "start", "lab", "--delay", "1", "--wait"], env());
    await until("the recording", () => waiting.io.text.err.includes("lab: recording"));
    waiting.interrupt();
    const { code, err } = await waiting.done;
    expect(code).toBe(130);
    expect(err).toMatch(/Interrupted\. lab goes on: `ocelli sync stop [\w-]{36}` ends it\.\n$/);
    expect((await ocelli("sync", "delete", "lab")).code).toBe(1);
    const stopped = await ocelli("sync", "stop", "lab");
    expect(stopped.out).toMatch(/^lab: completed {2}[\w-]{36}\ncamera100: lab_\S+_camera100\S*\.mp4\n/);
    expect((await ocelli("sync", "sessions")).out.split("completed")).toHaveLength(3);
    expect(await ocelli("sync", "stop")).toMatchObject({
      code: 1,
      err: "ocelli: No sync session is running.\n",
    });
    expect((await ocelli("sync", "stop", "none")).code).toBe(5);
    const [, id = ""] = /([\w-]{36})/.exec(stopped.out) ?? [];
    const gone = await ocelli("sync", "forget", id, "--files");
    expect(gone.out).toMatch(
      /^lab_\S+_camera100\S*\.mp4 deleted\nlab_\S+_camera101\S*\.mp4 deleted\nlab [\w-]{36} forgotten\n$/,
    );
    expect((await ocelli("sync", "sessions")).out.split("completed")).toHaveLength(2);
    expect((await ocelli("sync", "forget", id)).code).toBe(5);
    expect((await ocelli("sync", "delete", "lab")).out).toBe("lab deleted\n");
    expect((await ocelli("sync", "start", "lab")).code).toBe(5);
    expect((await ocelli("sync", "start", "x", "--at", "+1", "--delay", "1")).code).toBe(2);
    expect(await ocelli("sync", "start", "x", "--at", "2026-01-31")).toMatchObject({
      code: 2,
      err: expect.stringContaining('"2026-01-31" is no time. Write 2026-01-31T14:30:00'),
    });
  });

  it("says what to do when the hub is lost while it waits", async () => {
    await using other = await startHub({ env: virtualCameras({ count: 1, size: "320x240", fps: 10 }) });
    const at = { ...env(), OCELLI_URL: other.url };
    await start(["sync", "create", "lab", "camera100"], at).done;
    const waiting = start(["sync", "start", "lab", "--delay", "1", "--wait"], at);
    await until("the recording", () => waiting.io.text.err.includes("lab: recording"));
    await other.end("SIGKILL");
    expect(await waiting.done).toMatchObject({
      code: 3,
      err: expect.stringMatching(/lost\. lab goes on without it.*`ocelli sync report [\w-]{36}` shows/),
    });
  });

  it("says that a device is named by its IP address", async () => {
    expect(await ocelli("sync", "create", "x", "phone.local:8080")).toMatchObject({
      code: 5,
      err: expect.stringMatching(/no camera "phone\.local:8080"[\s\S]*named by its IP address/),
    });
  });

  it("says that a device is in no allowed network", async () => {
    expect(await ocelli("sync", "create", "x", "10.9.9.9:8080")).toMatchObject({
      code: 4,
      err: expect.stringContaining("multicam.networks"),
    });
  });
});

describe("ocelli clock", () => {
  it("says how right the hub's clock is", async () => {
    expect((await ocelli("clock")).out).toMatch(/^Clock +(not )?synchronised/);
    expect(JSON.parse((await ocelli("--json", "clock")).out)).toMatchObject({ source: expect.any(String) });
  });
});
