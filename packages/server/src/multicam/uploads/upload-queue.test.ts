import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SystemClock } from "../../clock/system-clock.ts";
import type { MediaEntry } from "../../library/contract.ts";
import { type Database, openDatabase } from "../../store/database.ts";
import type { OpenableFile, RecordingDevice } from "../contract.ts";
import { UploadQueue } from "./upload-queue.ts";
import { uploadMigrations } from "./upload-store.ts";

// A disk that takes nothing more; all else is tested with a running hub (test/e2e/multicam-uploads.test.ts).

let folder: string;
let server: Server;
let received: string[];
let isFull: boolean;
let queue: UploadQueue;
let clock: SystemClock;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-uploads-"));
  received = [];
  isFull = false;
  server = createServer((request, response) => {
    request.resume().on("end", () => {
      received.push(request.url ?? "");
      response.statusCode = request.url === "/bad.mp4" ? 403 : 200;
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const real = openDatabase(":memory:", uploadMigrations);
  const database = {
    query: real.query.bind(real),
    command: (sql: string) => {
      const command = real.command(sql);
      return {
        run: (...values: Parameters<typeof command.run>) => {
          if (isFull) throw new Error("database or disk is full");
          return command.run(...values);
        },
      };
    },
  } as unknown as Database;
  clock = new SystemClock();
  queue = new UploadQueue({
    ...{ database, clock, hosts: ["127.0.0.1"], retryDelaysMs: [] },
    library: {
      get: (_kind: string, name: string) => ({ path: join(folder, name) }) as MediaEntry,
      delete: async () => undefined,
    } as unknown as ConstructorParameters<typeof UploadQueue>[0]["library"],
    log: pino({ level: "silent" }),
  });
});
afterEach(async () => {
  await queue.close();
  server.close();
  clock.close();
  rmSync(folder, { recursive: true, force: true });
});

const device = { deviceId: "Ocelli-00000000" } as RecordingDevice;

function ask(fileName: string): void {
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder, fileName), "picture");
  const file: OpenableFile = {
    ...{ fileName, fileSize: 7, creationDate: 1, modificationDate: 1 },
    path: join(folder, fileName),
  };
  queue.queue(device, file, { kind: "presigned", uploadUrl: `http://127.0.0.1:${port}/${fileName}` });
}
async function settled(): Promise<void> {
  while (queue.of(device.deviceId).waiting.length > 0 || queue.of(device.deviceId).current !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it("takes no upload that cannot be written down, and keeps what it has", async () => {
  ask("bad.mp4");
  await settled();
  isFull = true;
  for (const fileName of ["one.mp4", "bad.mp4"]) {
    expect(() => ask(fileName)).toThrow(
      expect.objectContaining({ code: "storage_failed", message: expect.stringContaining("Make room") }),
    );
  }
  expect(queue.of(device.deviceId)).toMatchObject({ waiting: [], failed: [{ fileName: "bad.mp4" }] });
  isFull = false;
  ask("one.mp4");
  await settled();
  expect(received).toEqual(["/bad.mp4", "/one.mp4"]);
});

it("goes on although nothing can be written down", async () => {
  for (const fileName of ["one.mp4", "bad.mp4", "two.mp4"]) ask(fileName);
  isFull = true;
  await settled();
  expect(received).toEqual(["/one.mp4", "/bad.mp4", "/two.mp4"]);
  expect(queue.of(device.deviceId).failed.map(({ fileName }) => fileName)).toEqual(["bad.mp4"]);
});
