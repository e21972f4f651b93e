import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makePhoneVideo, PythonDevice } from "../../../../test/harness/multicam.ts";
import { type Outcome, start } from "../testing/run.ts";
import { addressOf } from "./multicam-devices.ts";

// `ocelli multicam` against devices of other make.

let folder: string;
let video: string;
const devices: PythonDevice[] = [];
const at = (index: number): string => `127.0.0.1:${devices[index]?.port ?? 0}`;
const ocelli = (...args: string[]): Promise<Outcome> => start(["multicam", ...args], { HOME: folder }).done;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-multicam-"));
  video = join(folder, "phone.mp4");
  makePhoneVideo(video);
  devices.push(await PythonDevice.start(video, { id: "Pixel" }));
  devices.push(await PythonDevice.start(video, { id: "Quest", dialect: "v1" }));
});
afterAll(async () => {
  await Promise.all(devices.map((device) => device[Symbol.asyncDispose]()));
  rmSync(folder, { recursive: true, force: true });
});

describe("ocelli multicam", () => {
  it("starts devices at one instant, stops them, lists and fetches their files", async () => {
    const list = join(folder, "devices.txt");
    writeFileSync(list, `# the lab\n${at(0)} Left phone\n\n${at(1)}  # on the desk\n`);
    const begun = await ocelli("start", "--list", list, "--delay", "0.2s");
    expect(begun).toMatchObject({ code: 0, err: "" });
    expect(begun.out).toMatch(
      /^Left phone \(127\.0\.0\.1:\d+\): armed for \d{4}-.*\n127\.0\.0\.1:\d+: armed for /,
    );
    await expect
      .poll(async () => (await ocelli("status", at(0), at(1))).out.match(/: recording/g)?.length, {
        timeout: 30_000,
      })
      .toBe(2);
    const stopped = await ocelli("stop", at(0), at(1));
    expect(stopped.code).toBe(0);
    expect(stopped.out).toMatch(/Pixel_\d+\.mp4 {2}[\d.]+ kB/);
    expect((await ocelli("files", at(0))).out).toMatch(
      /1 file\n\nDEVICE +FILE +SIZE +MADE\n127.*Pixel_\d+\.mp4/,
    );
    const into = join(folder, "fetched");
    const fetched = await ocelli("download", at(0), at(1), "-o", into);
    expect(fetched).toMatchObject({ code: 0, err: "" });
    const names = readdirSync(into);
    expect(names).toHaveLength(2);
    for (const name of names) expect(readFileSync(join(into, name)).equals(readFileSync(video))).toBe(true);
  });

  it("tells of each device what it did, and fails when one failed", async () => {
    const { code, out, err } = await start(["--json", "multicam", "status", at(0), "127.0.0.1:1"], {
      HOME: folder,
    }).done;
    expect(code).toBe(3);
    expect(JSON.parse(out)).toMatchObject([
      { ok: true, device_id: "Pixel", status: "ready", is_recording: false, battery_level: 87.5 },
      { ok: false, port: 1, error: { code: "unreachable" } },
    ]);
    expect(JSON.parse(err)).toMatchObject({ error: { code: "device_unreachable" } });
  });

  it("tells why a device is in an error", async () => {
    const other = createServer((socket) => socket.end("Device not ready\r\n")).listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" ? address?.port : 0;
    const { out } = await ocelli("status", `127.0.0.1:${port}`);
    other.close();
    expect(out).toBe(`127.0.0.1:${port}: error  Device not ready\n`);
  });

  it("keeps what a device says from controlling the terminal, also in the error", async () => {
    const rude = createServer((socket) => {
      const message = "no \u001b]0;title\u0007\u001b[2J\rocelli: all is well";
      socket.end(JSON.stringify({ status: "error", message }));
    }).listen(0, "127.0.0.1");
    await once(rude, "listening");
    const bound = rude.address();
    const port = typeof bound === "object" && bound !== null ? bound.port : 0;
    const { code, err } = await ocelli("start", `127.0.0.1:${port}`);
    expect(code).toBe(1);
    expect(err).toContain("refused: no ");
    expect(err.trimEnd()).not.toMatch(/\p{Cc}/u);
    rude.close();
  });

  it("tells of each device that failed by its name, in the order of the list", async () => {
    const list = join(folder, "half.txt");
    const silent = await PythonDevice.start(video, { id: "Silent", habits: ["garbage"] });
    devices.push(silent);
    writeFileSync(
      list,
      [`127.0.0.1:1 Left`, `${at(0)} Middle`, `127.0.0.1:${silent.port} Loud`, `127.0.0.1:2 Right`].join(
        "\n",
      ),
    );
    const { code, out, err } = await ocelli("status", "--list", list);
    expect(code).toBe(3);
    expect(out).toMatch(
      /^Middle \(127\.0\.0\.1:\d+\): ready {2}Android:Phone {2}battery 88 % {2}clock -?\d+ ms off.*\n$/,
    );
    expect(err.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^ocelli: Left: The device at 127\.0\.0\.1:1 cannot be reached .*\.$/),
      expect.stringMatching(/^ocelli: Loud: 127\.0\.0\.1:\d+ answered with something else: .*\.$/),
      expect.stringMatching(/^ocelli: Right: The device at 127\.0\.0\.1:2 cannot be reached .*\.$/),
    ]);
  });

  it("tells what a start made, and a stop of a device that does not record", async () => {
    expect(await ocelli("start", at(0), "--at", "2001-01-01T00:00:00Z")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/: recording\n$/),
    });
    expect((await ocelli("stop", at(0))).code).toBe(0);
    expect(await ocelli("stop", at(0))).toMatchObject({
      code: 1,
      err: `ocelli: ${at(0)} is not recording.\n`,
    });
  });

  // What a device was asked it tells by a pipe, which may be later than its answer.
  const uploaded = () =>
    expect.poll(() => devices[0]?.lines.findLast(({ seen }) => seen !== undefined)?.seen, {
      timeout: 10_000,
    });

  it("has a device upload a file to a presigned address", async () => {
    const url = "https://bucket.example.org/x?sig=1";
    expect(await ocelli("upload", at(0), "Pixel_1.mp4", url)).toMatchObject({
      code: 0,
      out: expect.stringContaining(": upload_queued\n"),
    });
    await uploaded().toMatchObject({
      command: "UPLOAD_TO_CLOUD",
      fileName: "Pixel_1.mp4",
      uploadUrl: url,
    });
  });

  it("has a device upload a file to S3 with credentials of the environment, and says none of them", async () => {
    const env = {
      HOME: folder,
      AWS_ACCESS_KEY_ID: "ASIAEXAMPLE",
      AWS_SECRET_ACCESS_KEY: "the-secret",
      AWS_SESSION_TOKEN: "the-session",
      AWS_REGION: "eu-central-1",
    };
    const upload = [
      "--json",
      "multicam",
      "upload",
      at(0),
      "Pixel_1.mp4",
      "s3://lab/2026-11-21/a b/Pixel_1.mp4",
    ];
    const { code, out, err } = await start(upload, env).done;
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(JSON.parse(out)).toMatchObject([{ ok: true, status: "upload_queued" }]);
    expect(out).not.toMatch(/secret|session|ASIA/);
    await uploaded().toMatchObject({
      ...{ command: "UPLOAD_TO_CLOUD", fileName: "Pixel_1.mp4" },
      ...{ s3Bucket: "lab", s3Key: "2026-11-21/a b/Pixel_1.mp4", awsRegion: "eu-central-1" },
      ...{ awsAccessKeyId: "ASIAEXAMPLE", awsSecretAccessKey: "the-secret", awsSessionToken: "the-session" },
    });
    const { AWS_SESSION_TOKEN: _, ...lacking } = env;
    expect(await start(upload.slice(1), lacking).done).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^ocelli: AWS_SESSION_TOKEN is not set/),
    });
    for (const nowhere of ["ftp://x/y", "nonsense", "s3://lab", "https://"])
      expect((await ocelli("upload", at(0), "Pixel_1.mp4", nowhere)).code, nowhere).toBe(2);
  });

  it("tells how uploads go, and shows no address, which is a credential", async () => {
    const item = {
      fileName: "a.mp4",
      fileSize: 2000,
      uploadUrl: "https://x.example/?sig=secret",
      error: null,
    };
    const running = { ...item, bytesUploaded: 500, uploadProgress: 25, uploadSpeed: 9, status: "uploading" };
    const failed = { ...item, fileName: "b.mp4", status: "failed", error: "403 Forbidden" };
    const status = { deviceId: "Oak", status: "ready", timestamp: Date.now() / 1000 };
    const server = createServer((socket) => {
      socket.on("data", () =>
        socket.write(JSON.stringify({ ...status, uploadQueue: [running], failedUploadQueue: [failed] })),
      );
      socket.on("error", () => undefined);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const where = `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    try {
      expect(await ocelli("uploads", where, at(0))).toEqual({
        code: 0,
        out: `${where}: a.mp4 uploading, 25 % of 2.0 kB; b.mp4 failed: 403 Forbidden\n${at(0)}: nothing to upload\n`,
        err: "",
      });
      const { out } = await start(["--json", "multicam", "uploads", where], { HOME: folder }).done;
      expect(JSON.parse(out)).toMatchObject([
        {
          running: [{ file_name: "a.mp4", bytes_uploaded: 500, error: null }],
          failed: [{ error: "403 Forbidden" }],
        },
      ]);
      expect(out).not.toContain("secret");
    } finally {
      server.close();
    }
  });

  it("does not look for devices on an interface that is not here", async () => {
    expect(await ocelli("discover", "--for", "1", "--interface", "203.0.113.7")).toMatchObject({
      code: 3,
      out: "",
      err: expect.stringMatching(
        /^ocelli: There is no interface 203\.0\.113\.7 .* Known: .*lo \(127\.0\.0\.1\)/,
      ),
    });
    expect((await ocelli("discover", "--for", "soon")).code).toBe(2);
  });

  it("refuses what cannot be meant", async () => {
    expect((await ocelli("status")).code).toBe(2);
    expect((await ocelli("start", at(0), "--at", "+1", "--delay", "1")).code).toBe(2);
    expect((await ocelli("status", "--list", join(folder, "none"))).code).toBe(2);
    expect((await ocelli("download", at(0), "--file", "none")).code).toBe(5);
    expect(addressOf("[fe80::1]:81")).toEqual({ host: "fe80::1", port: 81 });
    expect(addressOf("fe80::1")).toEqual({ host: "fe80::1" });
    expect(addressOf("phone.local")).toEqual({ host: "phone.local" });
    for (const text of ["", "a b", "a:99999", "a:0", "a:x"])
      expect(() => addressOf(text)).toThrow(/no address/);
  });
});
