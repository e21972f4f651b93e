import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LogFile, type LogFileOptions } from "./log-file.ts";

let folder: string;
let trouble: string[];
let recovered: number[];
/** What waits to be tried again. */
let retries: (() => void)[];
const open: LogFile[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-log-"));
  [trouble, recovered, retries] = [[], [], []];
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((file) => file.close()));
  rmSync(folder, { recursive: true, force: true });
});

function make(more: Partial<LogFileOptions> = {}): LogFile {
  const file = new LogFile({
    ...{ folder: join(folder, "made", "log"), maxBytes: 1000, days: 0, keepFiles: 2 },
    onTrouble: ({ message }) => trouble.push(message),
    onRecovered: (missing) => recovered.push(missing),
    after: (_delayMs, retry) => {
      retries.push(retry);
      return () => {
        retries = retries.filter((one) => one !== retry);
      };
    },
    ...more,
  });
  open.push(file);
  return file;
}
const lines = (name: string, from = join(folder, "made", "log")): string[] =>
  readFileSync(join(from, name), "utf8").trimEnd().split("\n");

describe("the log in a folder", () => {
  it("makes the folder, and holds what was written, for the owner and the group", async () => {
    const file = make();
    file.write("one\n");
    file.write("two\n");
    await file.close();
    expect(lines("ocelli.log")).toEqual(["one", "two"]);
    expect(statSync(join(folder, "made", "log", "ocelli.log")).mode & 0o777).toBe(0o640);
    const again = make();
    again.write("three\n");
    await again.close();
    expect(lines("ocelli.log")).toEqual(["one", "two", "three"]);
  });

  it("turns over by size and keeps so many old files", async () => {
    const file = make();
    const all = Array.from({ length: 60 }, (_, index) => `line ${index} ${"x".repeat(90)}`);
    for (const line of all) file.write(`${line}\n`);
    await file.close();
    expect(readdirSync(join(folder, "made", "log")).sort()).toEqual([
      "ocelli.1.log",
      "ocelli.2.log",
      "ocelli.log",
    ]);
    const kept = ["ocelli.2.log", "ocelli.1.log", "ocelli.log"]
      .flatMap((name) => lines(name))
      .filter(Boolean);
    // The newest, in order, without a hole.
    expect(kept.length).toBeGreaterThan(15);
    expect(kept).toEqual(all.slice(-kept.length));
    for (const name of ["ocelli.1.log", "ocelli.2.log"])
      expect(statSync(join(folder, "made", "log", name)).size).toBeLessThan(1200);
  });

  it("does the same when it also turns over by days", async () => {
    const file = make({ days: 7 });
    for (let i = 0; i < 20; i++) file.write(`line ${i} ${"x".repeat(90)}\n`);
    await file.close();
    expect(lines("ocelli.1.log")[0]).toMatch(/^line \d+ x+$/);
    expect(trouble).toEqual([]);
  });

  it("tells once of a folder that cannot be, tries again, and says how much is missing", async () => {
    const place = join(folder, "made");
    writeFileSync(place, "a file where the folder should be");
    const file = make();
    file.write("lost\n");
    file.write("lost\n");
    expect(trouble).toHaveLength(1);
    expect(trouble[0]).toMatch(/ENOTDIR|EEXIST/);
    for (let i = 0; i < 3; i++) retries.shift()?.();
    expect([trouble.length, retries.length, recovered]).toEqual([1, 1, []]);
    rmSync(place);
    retries.shift()?.();
    await vi.waitFor(() => expect(recovered).toEqual([2]), { timeout: 20_000 });
    file.write("found\n");
    await file.close();
    expect(lines("ocelli.log")).toEqual(['{"msg":"this log goes on"}', "found"]);
  });

  it("goes on without a disk that is full, and when there is room again", async () => {
    // Every write to it fails for want of space.
    await make().close();
    const path = join(folder, "made", "log", "ocelli.log");
    rmSync(path);
    symlinkSync("/dev/full", path);
    const file = make();
    file.write("lost\n");
    await vi.waitFor(() => expect(trouble).toHaveLength(1), { timeout: 20_000 });
    expect(retries).toHaveLength(1);
    rmSync(path);
    retries.shift()?.();
    await vi.waitFor(() => expect(recovered).toHaveLength(1), { timeout: 20_000 });
    file.write("found\n");
    await file.close();
    expect(lines("ocelli.log").at(-1)).toBe("found");
  });
});
