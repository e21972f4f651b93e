import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "../../server/src/api/rpc/testing/server.ts";
import { run } from "./program.ts";
import { targetOf } from "./target.ts";
import { keptIo } from "./testing/io.ts";
import { aboutText, bytesText, durationText, harmless, readDurationS, table, widthOf } from "./words.ts";

let server: TestServer;
let folder: string;

beforeEach(async () => {
  server = await startTestServer();
  folder = mkdtempSync(join(tmpdir(), "ocelli-cli-"));
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function ocelli(line: string, env: Record<string, string> = {}) {
  const io = keptIo({
    env: {
      HOME: folder,
      OCELLI_URL: `http://127.0.0.1:${server.port}`,
      OCELLI_API_KEY: server.key.operator,
      ...env,
    },
  });
  const code = await run(line.split(" "), io);
  return { code, ...io.text };
}

describe("the command", () => {
  it("lists cameras", async () => {
    const { code, out } = await ocelli("cameras");
    expect(code).toBe(0);
    expect(out.split("\n")[0]).toBe("CAMERA     STATUS     SIZE      FPS  RECORDING  NAME");
    expect(out).toContain("camera0    CONNECTED  1280x720  29   -          Camera 0\n");
  });

  it.each(["cameras", "--json cameras", "cameras --json"])(
    "prints JSON wherever the flag is: %s",
    async (line) => {
      const { out } = await ocelli(line);
      if (line.includes("--json")) expect(JSON.parse(out)).toMatchObject({ total: 3 });
      else expect(() => JSON.parse(out)).toThrow();
    },
  );

  it("takes a snapshot", async () => {
    const { code, out } = await ocelli("snapshot camera0 --format png --quality 80");
    expect([code, out]).toEqual([0, "camera0_snapshot.png  1280x720  204.8 kB\n"]);
    expect(server.snapshots.lastRequest).toMatchObject({ cameraId: "camera0", format: "png", quality: 80 });
  });

  it("starts several cameras for one instant of the hub's clock, and stops all that run", async () => {
    const { code, out } = await ocelli("record start camera0 camera1 --duration 1.5m --at +2 --pre-roll 1");
    expect(code).toBe(0);
    expect(out).toContain("camera1: recording camera1_2025-01-15_14-30-00.mp4\n");
    expect(server.recordings.lastRequest).toMatchObject({
      durationS: 90,
      preRollS: 1,
      startAtUs: server.clock.wallUs() + 2_000_000,
    });
    const stopped = await ocelli("record stop");
    expect(stopped.code).toBe(0);
    expect(stopped.out).toContain("camera0: camera0_2025-01-15_14-30-00.mp4  0:02.5  5.0 kB\n");
    expect(await ocelli("record stop")).toMatchObject({
      code: 0,
      out: "",
      err: "No recording is running.\n",
    });
  });

  it("stops what it can and tells of the rest", async () => {
    await ocelli("record start camera0");
    const { code, out, err } = await ocelli("record stop camera0 camera1");
    expect(code).toBe(1);
    expect(out).toMatch(/^camera0: /);
    expect(err).toMatch(/^ocelli: /);
  });

  it("lists, exports and deletes files", async () => {
    const list = await ocelli("files list --limit 1");
    expect(list.out).toMatch(/^FILE +SIZE +LENGTH +PICTURE +CODEC +BEGUN\na b\.mp4 +204\.8 kB +0:02\.5/);
    expect(list.out).toContain("1 more: --offset 1\n");
    expect((await ocelli("files list snapshots")).out).toContain("x.jpg");
    expect((await ocelli("files export old --format mkv")).out).toBe("old_export.mkv  777 B\n");
    expect((await ocelli("files delete recordings old")).out).toBe("old.mkv deleted\n");
    expect((await ocelli("files delete snapshots x.jpg")).out).toBe("x.jpg deleted\n");
    expect((await ocelli("files list snapshots")).out).toBe("No snapshots yet.\n");
  });

  it.each([
    ["cameras", { OCELLI_API_KEY: "", OCELLI_DATA_DIR: "/nowhere" }, 4, "auth_required"],
    ["--key wrong cameras", {}, 4, "auth_failed"],
    ["snapshot camera7", {}, 5, "camera_not_found"],
    ["snapshot camera0 --quality 200", {}, 2, "invalid_params"],
    ["record start camera0 --duration soon", {}, 2, "invalid_params"],
    ["record start camera0 camera1 --filename a", {}, 2, "invalid_params"],
    ["files delete recordings none", {}, 5, "file_not_found"],
    ["--url nonsense cameras", {}, 2, "invalid_params"],
    ["--port 1 cameras", {}, 3, "connect_failed"],
  ])("fails as documented: %s", async (line, env, exitCode, code) => {
    const { code: given, err, out } = await ocelli(`--json ${line}`, env);
    expect([given, out]).toEqual([exitCode, ""]);
    expect(JSON.parse(err).error).toMatchObject({ code, message: expect.stringMatching(/\.$/) });
    const plain = await ocelli(line, env);
    expect(plain.err).toMatch(/^ocelli: /);
    expect(plain.err).not.toContain("    at ");
  });

  it("refuses a wrong command line with 2, and helps with 0", async () => {
    for (const line of [
      "fly",
      "snapshot",
      "snapshot camera0 --format gif",
      "cameras --fast",
      "files list videos",
    ]) {
      expect((await ocelli(line)).code, line).toBe(2);
    }
    const help = await ocelli("--help");
    expect(help.code).toBe(0);
    for (const word of ["serve", "cameras", "snapshot", "record", "files", "Exit codes"])
      expect(help.out).toContain(word);
    expect(await ocelli("--version")).toMatchObject({ code: 0, out: "0.1.0\n" });
  });
});

describe("the hub meant", () => {
  it("is named by flags, then the environment, then this machine", () => {
    const env = { HOME: folder, OCELLI_URL: "http://hub:1" };
    expect(targetOf({ url: "ws://a:2/ws" }, env).baseUrl).toBe("http://a:2");
    expect(targetOf({ host: "b" }, env).baseUrl).toBe("http://b:8002");
    expect(targetOf({}, env).baseUrl).toBe("http://hub:1");
    expect(targetOf({}, { HOME: folder }).baseUrl).toBe("http://127.0.0.1:8002");
  });

  it("gets its own key file only when it is on this machine", () => {
    writeFileSync(join(folder, "admin-key"), "the key\n");
    const env = { HOME: folder, OCELLI_DATA_DIR: folder };
    expect(targetOf({}, env).key).toBe("the key");
    expect(targetOf({ host: "localhost", dataDir: folder }, { HOME: folder }).key).toBe("the key");
    expect(targetOf({ host: "example.org" }, env).key).toBeUndefined();
    expect(targetOf({ host: "example.org" }, { ...env, OCELLI_ADMIN_KEY: "k" }).key).toBeUndefined();
    expect(targetOf({}, { HOME: folder, OCELLI_DATA_DIR: "/nowhere", OCELLI_ADMIN_KEY: "k" }).key).toBe("k");
    expect(targetOf({ key: "mine" }, env).key).toBe("mine");
  });
});

describe("words", () => {
  it("name a thing once", () => {
    expect(
      ["is gone.", "Door is gone.", "Door: Door is gone.", "Door: gone."].map((one) =>
        aboutText("Door", one),
      ),
    ).toEqual(["Door: is gone.", "Door is gone.", "Door is gone.", "Door: gone."]);
  });

  it("keep control characters of devices from the terminal, and measure what is seen", () => {
    expect(harmless("a\u001b]0;x\u0007b\nc\u001b[31md\u001b[0m\u001b[2J")).toBe(
      "a]0;xb c\u001b[31md\u001b[0m[2J",
    );
    expect(["Door", "\u001b[32mDoor\u001b[0m", "門", "e\u0301"].map(widthOf)).toEqual([4, 4, 2, 1]);
  });

  it("are short and right at the edges", () => {
    expect([0, 999, 1000, 1_500_000, 2e12].map(bytesText)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "1.5 MB",
      "2.0 TB",
    ]);
    expect([0, 59.96, 61.04, 3599.99, 3661].map(durationText)).toEqual([
      "0:00.0",
      "1:00.0",
      "1:01.0",
      "1:00:00",
      "1:01:01",
    ]);
    expect(["90", "90s", "1.5m", "2h", "1d", "x", "-1", "1y"].map(readDurationS)).toEqual([
      90,
      90,
      90,
      7200,
      86_400,
      undefined,
      undefined,
      undefined,
    ]);
    expect(
      table(
        ["A", "B"],
        [
          ["long", "x"],
          ["", ""],
        ],
      ),
    ).toBe("A     B\nlong  x\n\n");
  });
});
