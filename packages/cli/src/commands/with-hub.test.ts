import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../../../../test/harness/hub.ts";
import { type Outcome, type Running, start } from "../testing/run.ts";

// The commands against a running hub.

let hub: RunningHub;
let folder: string;
const settings = virtualCameras({ count: 2, size: "640x480", fps: 25 });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-commands-"));
  hub = await startHub({ env: settings });
  await ocelli("cameras", "set", "camera100", "--name", "Door");
});
afterAll(async () => {
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const env = () => ({ HOME: folder, OCELLI_URL: hub.url, OCELLI_API_KEY: adminKey });
const ocelli = (...args: string[]): Promise<Outcome> => start(args, env()).done;
const begin = (args: string[], given: Parameters<typeof start>[2] = {}): Running => start(args, env(), given);

async function json(...args: string[]) {
  const { code, out, err } = await ocelli("--json", ...args);
  expect([code, err], args.join(" ")).toEqual([0, ""]);
  return JSON.parse(out);
}

const linesOf = (text: string): string[] => text.trimEnd().split("\n");
const sha = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

describe("ocelli status", () => {
  it("shows a hub on one screen", async () => {
    const { code, out } = await ocelli("status");
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^Hub +${hub.url} +Ocelli \\S+ on \\S+\nState +healthy\nUp +\\d+ `));
    expect(out).toContain(
      "\nCameras    2 of 2 connected\n           camera100  CONNECTED  640x480 at 25 fps  Door\n",
    );
    expect(out).toMatch(/\nRecording {2}nothing\nDisk +[\d.]+ [GT]B free of .*\n.*\nProblems +none\n$/);
    expect(linesOf(out).every((line) => line.length <= 100)).toBe(true);
  });

  it("tells a viewer what a viewer may know", async () => {
    const { api_key } = await json("keys", "create", "v");
    const { code, out } = await start(["--json", "status"], { ...env(), OCELLI_API_KEY: api_key }).done;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ storage: null, status: null, cameras: [{ name: "Door" }, {}] });
  });
});

describe("names of cameras", () => {
  it("stand wherever ids do, in capitals or not", async () => {
    expect((await ocelli("cameras", "set", "dOOR")).out).toMatch(/^name {8}Door\n/);
    expect((await ocelli("snapshot", "door", "--filename", "by-name")).out).toMatch(
      /^by-name\.jpg {2}640x480/,
    );
    expect(
      await json("events", "history", "snapshot.taken", "--camera", "Door", "--limit", "1"),
    ).toMatchObject({
      events: [{ data: { device: "camera100", filename: "by-name.jpg" } }],
    });
  });

  it("must mean one camera", async () => {
    await ocelli("cameras", "set", "camera101", "--name", "DOOR");
    try {
      const { code, out, err } = await ocelli("snapshot", "door");
      expect([code, out]).toEqual([2, ""]);
      expect(err).toContain('2 cameras are called "Door": camera100, camera101.');
    } finally {
      await ocelli("cameras", "set", "camera101", "--name", "auto");
    }
    expect(await ocelli("snapshot", "window")).toMatchObject({
      code: 5,
      err: expect.stringContaining("window"),
    });
  });
});

describe("ocelli streams", () => {
  it("starts one, says where it is to be seen, and stops it", async () => {
    const { out, err } = await ocelli("streams", "start", "door");
    expect(err).toContain(
      "camera100 runs until `ocelli streams stop camera100`, or for 5 min without a viewer.",
    );
    const picture = await fetch(out.trim());
    expect(picture.status).toBe(200);
    await picture.body?.cancel();
    expect((await ocelli("streams")).out).toMatch(/^STREAM .*\ncamera100 +ACTIVE .* Door\ncamera101 +idle /);
    expect((await ocelli("streams", "stop", "door")).out).toMatch(
      /^camera100: Stream stopped.* after 0:\d\d\.\d\n$/,
    );
    expect((await ocelli("streams", "url", "camera101")).out).toContain("/live/camera101/");
  });
});

describe("ocelli check", () => {
  it("passes a hub in every point", async () => {
    const { code, out, err } = await ocelli("check");
    expect([code, err]).toEqual([0, ""]);
    expect(out).not.toMatch(/^(WARN|FAIL|SKIP)/m);
    expect(out).toMatch(/^PASS {2}unknown method +error -32601 Method not found: invalid_method$/m);
    expect(out).toMatch(/^PASS {2}malformed JSON +error -32700 Parse error$/m);
    expect(out).toMatch(/^PASS {2}notifications +camera_status_update for 2 cameras$/m);
    expect(out).toMatch(/\n15 passed, 0 failed\n$/);
    const report = await json("check", "--simple");
    expect(report).toMatchObject({ ok: true, results: [{ check: "connection" }, { check: "ping" }] });
  });

  it("fails a server that does otherwise, point by point", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(server, "listening");
    server.on("connection", (socket) =>
      socket.on("message", () => socket.send('{"jsonrpc":"2.0","id":1,"result":"pang"}')),
    );
    try {
      const address = server.address();
      const port = typeof address === "object" ? address?.port : undefined;
      const { code, out, err } = await start(["check", "--simple"], {
        ...env(),
        OCELLI_URL: `http://127.0.0.1:${port}`,
      }).done;
      expect(code).toBe(1);
      expect(out).toMatch(
        /^PASS {2}connection .*\nFAIL {2}ping {8}answered "pang", not "pong"\n1 passed, 1 failed\n$/,
      );
      expect(err).toBe(`ocelli: http://127.0.0.1:${port} does not pass: ping.\n`);
    } finally {
      server.close();
      for (const client of server.clients) client.terminate();
    }
    expect((await ocelli("check", "--simple", "--max-ping", "0.000001")).code).toBe(1);
    expect((await ocelli("check", "--max-ping", "soon")).code).toBe(2);
    expect((await ocelli("check", "--simple", "--url", "http://127.0.0.1:1")).code).toBe(3);
  });

  it("tells what cameras do meanwhile", async () => {
    const monitor = begin(["--json", "check", "--monitor", "--duration", "10m"]);
    await until("the monitor to listen", () => monitor.io.text.err.includes("Now: camera100 CONNECTED"));
    await ocelli("cameras", "set", "camera101", "--name", "Seen");
    await until("the change", () => monitor.io.text.out !== "");
    monitor.interrupt();
    const { code, out, err } = await monitor.done;
    expect(JSON.parse(linesOf(out)[0] ?? "")).toMatchObject({ device: "camera101", name: "Seen" });
    expect([code, err]).toEqual([130, expect.stringMatching(/\d notifications? in all\.\n$/)]);
  });
});

describe("ocelli cameras --watch", () => {
  it("tells each change in a line where nobody draws", async () => {
    const watching = begin(["cameras", "--watch"]);
    await until("the first lines", () => linesOf(watching.io.text.out).length === 2);
    await ocelli("cameras", "set", "camera101", "--name", "Window");
    await until("the change", () => watching.io.text.out.includes("Window"));
    watching.interrupt();
    const { code, out } = await watching.done;
    expect(code).toBe(130);
    expect(linesOf(out)).toHaveLength(3);
    expect(linesOf(out)[2]).toMatch(/^\d{4}-\S+ \S+ {2}camera101 {2}CONNECTED .* Window$/);
  });

  it("draws the list anew on a terminal, within its width", async () => {
    const watching = begin(["cameras", "--watch"], { outIsTerminal: true, columns: () => 40 });
    await until("the first drawing", () => watching.io.text.out.includes("camera101"));
    await ocelli("cameras", "set", "camera101", "--name", "Gate");
    await until("the second", () => watching.io.text.out.split("\u001b[2J").length > 2);
    watching.interrupt();
    const { out } = await watching.done;
    for (const line of stripVTControlCharacters(out).split("\n")) {
      expect(line.length, line).toBeLessThanOrEqual(40);
    }
  });
});

describe("ocelli files download", () => {
  it("keeps what has come when it is interrupted, says so, and goes on from there", async () => {
    await ocelli("record", "start", "door", "--filename", "long", "--duration", "4");
    await until("the recording", async () => {
      const { files } = await json("files", "list");
      return files.some(({ filename }: { filename: string }) => filename === "long.mp4");
    });
    const to = join(folder, "long.mp4");
    const part = join(folder, ".long.mp4.part");
    const args = ["files", "download", "recordings", "long", "-o", to];
    const first: Running = begin(args, {
      isTerminal: true,
      err: (text) => {
        first.io.text.err += text;
        if (text.includes("%")) first.interrupt();
      },
    });
    const { code, err } = await first.done;
    expect(code).toBe(130);
    expect(err).toMatch(/\rlong\.mp4 {2}█*░+ +\d+ % {2}[\d.]+ kB of [\d.]+ [kM]B/);
    expect(err).toContain(`of long.mp4 are kept in ${part}: the same command goes on from there.\n`);
    expect([existsSync(to), existsSync(part)]).toEqual([false, true]);
    expect(await ocelli(...args)).toEqual({ code: 0, out: `${to}\n`, err: "" });
    expect(sha(to)).toBe(sha(hub.file("recordings", "long.mp4")));
    expect(existsSync(part)).toBe(false);
  });
});

describe("ocelli external", () => {
  it("makes a stream a camera, says what is wrong when it breaks, and takes it away", async () => {
    const server = createServer((_request, response) => {
      createReadStream(join(folder, "long.mp4")).pipe(response);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/gate.mp4`;
    try {
      const added = await start(["external", "add", "-", "--name", "Mill"], env(), {
        input: { readAll: async () => `${url}\n` },
      }).done;
      expect(added).toEqual({ code: 0, out: expect.stringMatching(/^camera\d+ {2}Mill {2}http:/), err: "" });
      expect((await ocelli("external")).out).toMatch(
        /^CAMERA .*\ncamera\d+ +ACTIVE +h264 640x480 .* Mill +http:\S+\n1 stream\n$/,
      );
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect((await ocelli("snapshot", "mill")).code).toBe(1);
    const screen = await until("the problem to be told", async () => {
      const { out } = await ocelli("status");
      return out.includes("PROBLEM") ? out : undefined;
    });
    expect(screen).toMatch(
      /\nProblems +PROBLEM {2}camera\d+ {2}Mill:? .*\n +-> `ocelli doctor` looks for the cause;/,
    );
    expect((await ocelli("external", "remove", "mill")).out).toMatch(/^camera\d+ removed: http:/);
    expect((await ocelli("external", "remove", "door")).code).toBe(5);
    expect((await ocelli("cameras")).out).not.toContain("Mill");
  });
});

describe("JSON of commands with several results", () => {
  it("is one list", async () => {
    expect(await json("record", "start", "door", "camera101")).toMatchObject([
      { device: expect.any(String) },
      { device: expect.any(String) },
    ]);
    expect(await json("record", "stop")).toHaveLength(2);
    const { code, out, err } = await ocelli("--json", "record", "stop");
    expect([code, JSON.parse(out), err]).toEqual([0, [], "No recording is running.\n"]);
  });
});

describe("ocelli events", () => {
  it("tells what fits a filter, and ends after so many", async () => {
    await ocelli("snapshot", "camera101", "--filename", "filtered");
    const { code, out } = await ocelli(
      "events",
      "snapshot.taken",
      "--since",
      "1h",
      "--count",
      "1",
      "--camera",
      "camera101",
    );
    expect(code).toBe(0);
    expect(out).toMatch(
      /^\S+ \S+ {2}#\d+ +snapshot\.taken +camera101 {2}\S+\.jpg {2}640x480 {2}[\d.]+ kB\n$/,
    );
    expect((await ocelli("events", "--filter", "reason")).code).toBe(2);
    expect((await ocelli("events", "no.topic")).code).toBe(2);
  });

  it("leaves nothing out and tells nothing twice when the hub is restarted", async () => {
    const since = (await json("events", "history", "--limit", "1")).latest_seq;
    const following = begin(["--json", "events", "--since", String(since)]);
    await ocelli("snapshot", "door");
    await until("an event", () => following.io.text.out.includes("snapshot.taken"));
    const { dataDir, port } = hub;
    await hub.end();
    await until("the loss", () => following.io.text.err.includes("Connection lost"));
    hub = await startHub({ dataDir, env: { ...settings, OCELLI_LISTEN: `127.0.0.1:${port}` } });
    await until("the new start", () => following.io.text.out.includes("system.startup"));
    await ocelli("snapshot", "door");
    await until("events of now", () => following.io.text.out.split("snapshot.taken").length > 2);
    following.interrupt();
    const told = linesOf((await following.done).out).map((line) => JSON.parse(line));
    const last = told.at(-1).seq;
    const { events } = await json("events", "history", "--since", String(since), "--limit", "1000");
    const kept = events.filter(
      ({ seq, topic }: { seq: number; topic: string }) => seq <= last && !topic.startsWith("clock."),
    );
    expect(told.filter(({ topic }) => !topic.startsWith("clock.")).map(({ seq }) => seq)).toEqual(
      kept.map(({ seq }: { seq: number }) => seq),
    );
  });
});
