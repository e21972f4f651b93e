import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SmallDisk, smallDisksMustSkip } from "../../../../test/harness/small-disk.ts";
import { integer, openDatabase } from "./database.ts";
import { hasReserve, makeReserve, spendReserve } from "./reserve.ts";

const migrations = [
  { owner: "test", version: 1, sql: "CREATE TABLE things (id INTEGER PRIMARY KEY, text TEXT)" },
];

describe.skipIf(smallDisksMustSkip())("databases on a full disk", () => {
  let mounted: SmallDisk;
  let disk: string;
  beforeEach(() => {
    mounted = new SmallDisk("12m");
    disk = mounted.path;
  });
  afterEach(() => mounted[Symbol.dispose]());

  const path = (): string => join(disk, "test.db");
  const fill = (): void => {
    for (let number = 0; number < 2; number++)
      expect(() => writeFileSync(join(disk, `ballast-${number}`), Buffer.alloc(16 * 2 ** 20))).toThrow(
        /ENOSPC/,
      );
  };
  const make = (): void => {
    const database = openDatabase(path(), migrations);
    const insert = database.command("INSERT INTO things (text) VALUES (?)");
    for (let id = 0; id < 100; id++) insert.run("x".repeat(500));
    database.close();
  };
  const count = (database: ReturnType<typeof openDatabase>): number | undefined =>
    database.query("SELECT count(*) AS n FROM things", (row) => integer(row, "n")).get();

  it("are opened without a log when there is no reserve: read, and rows deleted", () => {
    make();
    fill();
    const database = openDatabase(path(), migrations);
    expect(count(database)).toBe(100);
    expect(database.command("DELETE FROM things WHERE id <= 50").run()).toBe(50);
    expect(readdirSync(disk)).not.toContain("test.db-wal");
    // Others get at it beside this one: the index is read in by a thread of its own.
    const other = openDatabase(path(), migrations);
    expect(count(other)).toBe(50);
    other.close();
    database.close();
    for (const number of [0, 1]) rmSync(join(disk, `ballast-${number}`));
    const again = openDatabase(path(), migrations);
    expect(again.raw.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    expect(count(again)).toBe(50);
    again.close();
  });

  it("get the room of the reserve, at the opening and later", () => {
    make();
    makeReserve(disk);
    fill();
    const database = openDatabase(path(), migrations);
    expect(hasReserve(disk)).toBe(false);
    expect(database.raw.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    // No second reserve where there is no room for one.
    makeReserve(disk);
    expect(hasReserve(disk)).toBe(false);
    for (const number of [0, 1]) rmSync(join(disk, `ballast-${number}`));
    makeReserve(disk);
    expect(hasReserve(disk)).toBe(true);
    fill();
    const insert = database.command("INSERT INTO things (text) VALUES (?)");
    for (let id = 0; id < 100; id++) insert.run("y".repeat(500));
    expect(hasReserve(disk)).toBe(false);
    expect(count(database)).toBe(200);
    database.close();
  });

  it("cannot be begun there, and say what to do", () => {
    fill();
    expect(() => openDatabase(path(), migrations)).toThrow(/cannot be opened: .*disk is not full/);
    expect(spendReserve(disk)).toBe(false);
    expect(existsSync(join(disk, "reserve"))).toBe(false);
  });
});
