import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PythonStorage } from "../../../../../test/harness/multicam.ts";
import { SystemClock } from "../../clock/system-clock.ts";
import type { MediaEntry } from "../../library/contract.ts";
import { type Database, openDatabase } from "../../store/database.ts";
import type { RecordingDevice } from "../contract.ts";
import { UploadQueue } from "./upload-queue.ts";
import { uploadMigrations, waitsForUpload } from "./upload-store.ts";

// Files in parts, against a storage of other make that checks signatures and checksums (test/clients/upload_receiver.py).

const partBytes = 100_000;
const aws = {
  id: "AKIAEXAMPLE",
  secret: "s3cr3t/key+with=signs",
  token: "session/token==",
  region: "eu-central-1",
};
const signed = [
  ...["--key-id", aws.id, "--secret", aws.secret, "--session-token", aws.token],
  ...["--region", aws.region],
];
const device = { deviceId: "Ocelli-00000000" } as RecordingDevice;
const fileName = "Ocelli-00000000_1729000000123.mp4";
const s3Key = `2026-11-21/a session/${fileName}`;
const stored = `/bucket/${s3Key}`;

let folder: string;
let path: string;
let sha256: string;
let clock: SystemClock;
let database: Database;
let queue: UploadQueue;
let storage: PythonStorage;
let lines: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-parts-"));
  path = join(folder, fileName);
  clock = new SystemClock();
  lines = [];
  write(3.5 * partBytes);
  database = openDatabase(join(folder, "hub.db"), uploadMigrations);
});
afterEach(async () => {
  await queue.close();
  await storage[Symbol.asyncDispose]();
  database.close();
  clock.close();
  rmSync(folder, { recursive: true, force: true });
});

function write(bytes: number): void {
  const content = randomBytes(bytes);
  sha256 = createHash("sha256").update(content).digest("hex");
  writeFileSync(path, content);
}
async function open(...how: readonly string[]): Promise<void> {
  storage = await PythonStorage.start(...signed, ...how);
  queue = makeQueue();
}
function makeQueue(): UploadQueue {
  return new UploadQueue({
    ...{ database, clock, partBytes, hosts: ["*.amazonaws.com"], retryDelaysMs: [1, 1] },
    s3Endpoint: `http://127.0.0.1:${storage.port}`,
    deleteAfterUpload: true,
    library: {
      get: (_kind: string, name: string) => ({ path: join(folder, name) }) as MediaEntry,
      delete: async (_kind: string, name: string) => rmSync(join(folder, name)),
    } as unknown as ConstructorParameters<typeof UploadQueue>[0]["library"],
    log: pino({ level: "trace" }, { write: (line: string) => void lines.push(line) }),
  });
}
/** A hub that was killed, and comes back. */
async function restart(): Promise<void> {
  await queue.close();
  database.close();
  database = openDatabase(join(folder, "hub.db"), uploadMigrations);
  queue = makeQueue();
  queue.start();
}
function ask(fileSize = 3.5 * partBytes): void {
  const file = { fileName, fileSize, creationDate: 1, modificationDate: 1, path };
  queue.queue(device, file, {
    kind: "s3",
    target: {
      ...{ s3Bucket: "bucket", s3Key, awsRegion: aws.region },
      ...{ awsAccessKeyId: aws.id, awsSecretAccessKey: aws.secret, awsSessionToken: aws.token },
    },
  });
}
/** Until nothing waits and nothing runs. */
async function settled(): Promise<void> {
  await expect
    .poll(
      () => {
        const { current, waiting } = queue.of(device.deviceId);
        return current === undefined && waiting.length === 0;
      },
      { timeout: 20_000 },
    )
    .toBe(true);
}
/** What the storage has told of one thing, in order. */
function told(what: string): unknown[] {
  return storage.lines.flatMap((facts) => (what in facts ? [facts[what]] : []));
}
const failures = (): (string | undefined)[] => queue.of(device.deviceId).failed.map(({ error }) => error);

describe("a large file with S3 credentials", () => {
  it("goes in parts, and is deleted when what was put together has its checksum", async () => {
    await open();
    ask();
    expect(waitsForUpload(database)(fileName)).toBe(true);
    expect(await storage.line("all of it", (facts) => "completed" in facts)).toEqual({
      ...{ completed: stored, parts: 4, bytes: 350_000, sha256 },
    });
    await settled();
    expect(storage.lines.flatMap((facts) => ("part" in facts ? [facts.bytes] : []))).toEqual([
      ...[100_000, 100_000, 100_000, 50_000],
    ]);
    expect(told("head")).toEqual([]);
    await expect.poll(() => existsSync(path)).toBe(false);
    expect([failures(), waitsForUpload(database)(fileName)]).toEqual([[], false]);
    expect(database.query("SELECT file_name FROM multicam_multiparts", Object).all()).toEqual([]);
    expect(lines.join("")).not.toContain(aws.secret);
  });

  it("goes in one piece as long as that is not worth it", async () => {
    await open();
    write(2 * partBytes);
    ask(2 * partBytes);
    expect(await storage.line("the file", (facts) => "put" in facts)).toMatchObject({ put: stored, sha256 });
  });

  it("sends a part that broke once more, and no other", async () => {
    await open("--break", "2");
    ask();
    expect(await storage.line("all of it", (facts) => "completed" in facts)).toMatchObject({ sha256 });
    await settled();
    expect(told("part")).toEqual([1, 2, 3, 4]);
    expect(told("begun")).toHaveLength(1);
  });

  it("is not given up as long as parts arrive", async () => {
    // Each part breaks twice before it arrives: three in a row would be the end.
    await open("--break-each", "2");
    ask();
    expect(await storage.line("all of it", (facts) => "completed" in facts)).toMatchObject({ sha256 });
    await expect.poll(() => told("broken")).toHaveLength(8);
  });

  it("goes on with what has arrived when it is asked for again after a restart", async () => {
    await open("--stall-part", "3");
    ask();
    await storage.line("half of the third part", (facts) => "stalled" in facts);
    await restart();
    expect(failures()[0]).toContain("Send UPLOAD_TO_CLOUD again");
    storage.send({ go: true });
    const before = storage.lines.length;
    ask();
    const done = await storage.line("all of it", (facts) => "completed" in facts);
    expect(done).toMatchObject({ parts: 4, sha256 });
    await settled();
    expect(storage.lines.slice(before).flatMap((facts) => ("part" in facts ? [facts.part] : []))).toEqual([
      3, 4,
    ]);
    expect(told("begun")).toHaveLength(1);
    await expect.poll(() => existsSync(path)).toBe(false);
  });

  it("begins anew when another file has its name by then, and frees what was there of the old one", async () => {
    await open("--stall-part", "3");
    ask();
    await storage.line("half of the third part", (facts) => "stalled" in facts);
    await restart();
    storage.send({ go: true });
    rmSync(path);
    write(3.5 * partBytes);
    ask();
    expect(await storage.line("all of it", (facts) => "completed" in facts)).toMatchObject({ sha256 });
    expect(told("aborted")).toEqual([stored]);
    expect(told("begun")).toHaveLength(2);
  });

  it("begins anew when S3 has forgotten what was there", async () => {
    await open("--stall-part", "3");
    ask();
    await storage.line("half of the third part", (facts) => "stalled" in facts);
    storage.send({ forget: true });
    await storage.line("forgotten", (facts) => "forgotten" in facts);
    storage.send({ go: true });
    expect(await storage.line("all of it", (facts) => "completed" in facts)).toMatchObject({ sha256 });
    expect(told("begun")).toHaveLength(2);
  });

  it("is there when only the last answer got lost", async () => {
    await open("--lose-completed");
    ask();
    await settled();
    expect([failures(), told("completed"), told("begun")]).toEqual([[], [stored], [stored]]);
    await expect.poll(() => existsSync(path)).toBe(false);
  });

  it("is not there when S3 says 200 and then that it failed", async () => {
    await open("--late-error", "1");
    ask();
    await settled();
    expect([told("late"), told("completed"), failures()]).toEqual([[stored], [stored], []]);
    expect(told("part")).toEqual([1, 2, 3, 4]);
  });

  it("that S3 states another checksum for is given up, freed there, and kept here", async () => {
    await open("--etag", "wrong");
    ask();
    await settled();
    expect(failures()[0]).toContain("another checksum for part 1");
    expect([told("aborted"), told("completed")]).toEqual([[stored], []]);
    expect(existsSync(path)).toBe(true);
  });

  it.each([3.5, 1])("of %d parts whose content is kept under a key is proved by its size", async (parts) => {
    await open("--etag", "key");
    write(parts * partBytes);
    ask(parts * partBytes);
    await settled();
    expect([failures(), told("head")]).toEqual([[], [stored]]);
    await expect.poll(() => existsSync(path)).toBe(false);
  });
});

it("a file of more than 5 GiB is refused for a presigned address of S3, at once and with what to do", async () => {
  await open();
  const file = { fileName, fileSize: 6 * 2 ** 30, creationDate: 1, modificationDate: 1, path };
  const uploadUrl = "https://bucket.s3.eu-central-1.amazonaws.com/a?X-Amz-Signature=x";
  expect(() => queue.queue(device, file, { kind: "presigned", uploadUrl })).toThrow(
    expect.objectContaining({ code: "unsupported", message: expect.stringContaining("S3 credentials") }),
  );
});
