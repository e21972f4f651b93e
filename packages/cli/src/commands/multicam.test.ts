import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
  }, 60_000);

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
  }, 30_000);

  it("has a device upload a file", async () => {
    const url = "https://bucket.example.org/x?sig=1";
    expect(await ocelli("upload", at(0), "Pixel_1.mp4", url)).toMatchObject({
      code: 0,
      out: expect.stringContaining(": upload_queued\n"),
    });
    // What a device was asked it tells by a pipe, which may be later than its answer.
    const command = () => devices[0]?.lines.findLast(({ seen }) => seen !== undefined)?.seen;
    await expect
      .poll(command, { timeout: 10_000 })
      .toMatchObject({ command: "UPLOAD_TO_CLOUD", fileName: "Pixel_1.mp4", uploadUrl: url });
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
  }, 30_000);
});
