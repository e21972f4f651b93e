import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Digests } from "./digests.ts";

let folder: string;
let digests: Digests;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-digests-"));
  digests = new Digests({ log: pino({ level: "silent" }), atOnceBytes: 1000 });
});
afterEach(async () => {
  await digests.close();
  rmSync(folder, { recursive: true, force: true });
});

function make(name: string, bytes: number, fill = 7): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.alloc(bytes, fill));
  return path;
}

/** By another program. */
function sha256(path: string): string {
  const hex = execFileSync("sha256sum", [path], { encoding: "utf8" }).slice(0, 64);
  return Buffer.from(hex, "hex").toString("base64");
}

it("tells that of a small file at once", async () => {
  const path = make("small", 1000);
  expect(await digests.of(path)).toBe(sha256(path));
});

it("tells that of large files when they have been read, each for itself", async () => {
  const paths = [make("large-a", 5_000_000), make("large-b", 3_000_000, 9)];
  for (const path of paths) expect(await digests.of(path)).toBeUndefined();
  for (const path of paths)
    await vi.waitFor(async () => expect(await digests.of(path)).toBe(sha256(path)), { timeout: 20_000 });
});

it("does not tell that of what a file was before", async () => {
  const path = make("changed", 500);
  const first = await digests.of(path);
  make("changed", 500, 8);
  utimesSync(path, 1, 1);
  expect(await digests.of(path)).toBe(sha256(path));
  expect(await digests.of(path)).not.toBe(first);
});

it("goes on after a file that went away", async () => {
  const gone = make("gone", 5000);
  const asked = digests.of(gone);
  rmSync(gone);
  await asked.catch(() => undefined);
  await expect(digests.of(gone)).rejects.toThrow(/ENOENT/);
  const path = make("there", 5000);
  await vi.waitFor(async () => expect(await digests.of(path)).toBe(sha256(path)), { timeout: 20_000 });
});
