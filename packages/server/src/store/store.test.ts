import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeFileAtomic } from "./atomic-file.ts";
import { createDataDir, lockDataDir } from "./data-dir.ts";
import { integer, type Migration, openDatabase, text } from "./database.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "ocelli-store-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("openDatabase", () => {
  const first: Migration = { owner: "a", version: 1, sql: "CREATE TABLE a (n INTEGER, t TEXT)" };
  const second: Migration = { owner: "a", version: 2, sql: "ALTER TABLE a ADD COLUMN more TEXT" };
  const other: Migration = { owner: "b", version: 1, sql: "CREATE TABLE b (n INTEGER)" };

  it("runs each owner's migrations once, and only the new ones later", () => {
    const path = join(dir, "db");
    const one = openDatabase(path, [first, other]);
    one.command("INSERT INTO a (n, t) VALUES (?, ?)").run(1, "x");
    one.close();
    one.close();
    const two = openDatabase(path, [other, second, first]);
    expect(
      two.query("SELECT * FROM a", (row) => [integer(row, "n"), text(row, "t"), row.more]).all(),
    ).toEqual([[1, "x", null]]);
    expect(two.query("PRAGMA journal_mode", (row) => text(row, "journal_mode")).get()).toBe("wal");
    two.close();
  });

  it("is for its user alone, also one that was open to others, and its log", () => {
    const path = join(dir, "db");
    for (const _ of ["made", "opened"]) {
      const database = openDatabase(path, [first]);
      database.command("INSERT INTO a (n, t) VALUES (?, ?)").run(1, "x");
      const modes = readdirSync(dir).map((name) => statSync(join(dir, name)).mode & 0o777);
      expect(modes.length).toBeGreaterThan(1);
      expect(new Set(modes)).toEqual(new Set([0o600]));
      database.close();
      chmodSync(path, 0o644);
    }
  });

  it("refuses a database of a newer hub and one that is damaged", () => {
    const path = join(dir, "db");
    openDatabase(path, [first, second]).close();
    expect(() => openDatabase(path, [first])).toThrow(/newer version/);
    writeFileSync(join(dir, "bad"), "this is no database, whatever its name may say".repeat(100));
    expect(() => openDatabase(join(dir, "bad"), [first])).toThrow(
      expect.objectContaining({ code: "storage_failed" }),
    );
  });

  it("leaves nothing of a migration that fails", () => {
    const path = join(dir, "db");
    const broken: Migration = { owner: "a", version: 2, sql: "CREATE TABLE c (n); CREATE TABLE c (n)" };
    expect(() => openDatabase(path, [first, broken])).toThrow(/already exists/);
    const database = openDatabase(path, []);
    expect(
      database.query("SELECT name FROM sqlite_schema WHERE type = 'table'", (row) => row.name).all(),
    ).toEqual(["schema_versions"]);
    database.close();
  });

  it("rolls a failed transaction back, nested ones with it", () => {
    const database = openDatabase(":memory:", [first]);
    const insert = database.command("INSERT INTO a (n) VALUES (?)");
    const count = database.query("SELECT count(*) AS n FROM a", (row) => integer(row, "n"));
    expect(() =>
      database.transaction(() => {
        insert.run(1);
        database.transaction(() => insert.run(2));
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(count.get()).toBe(0);
    expect(database.transaction(() => insert.run(3))).toBe(1);
    expect(count.get()).toBe(1);
    database.close();
  });
});

describe("writeFileAtomic", () => {
  it("replaces the content, sets the mode, and leaves no temporary file", async () => {
    const path = join(dir, "file.json");
    await writeFileAtomic(path, "old", { mode: 0o600 });
    await writeFileAtomic(path, "new");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o644);
    expect(readdirSync(dir)).toEqual(["file.json"]);
  });

  it("keeps the old content and cleans up when it cannot finish", async () => {
    const path = join(dir, "folder");
    createDataDir(path);
    await expect(writeFileAtomic(path, "x")).rejects.toThrow();
    expect(readdirSync(dir)).toEqual(["folder"]);
  });

  it("takes names as long as the file system allows, and many writers at once", async () => {
    const path = join(dir, "n".repeat(255));
    const contents = Array.from({ length: 20 }, (_, i) => String(i).repeat(5000));
    await Promise.all(contents.map((content) => writeFileAtomic(path, content, { sync: false })));
    expect(contents).toContain(readFileSync(path, "utf8"));
    expect(readdirSync(dir)).toHaveLength(1);
  });
});

describe("the data directory", () => {
  it("is private, with media folders that need no more than the root to be opened", () => {
    const layout = createDataDir(join(dir, "data"));
    const mode = (path: string): number => statSync(path).mode & 0o777;
    expect([layout.root, layout.recordings, layout.state].map(mode)).toEqual([0o700, 0o755, 0o700]);
    expect(createDataDir(layout.root)).toEqual(layout);
  });

  it("says what to do when it cannot be created", () => {
    writeFileSync(join(dir, "file"), "");
    expect(() => createDataDir(join(dir, "file", "data"))).toThrow(/OCELLI_DATA_DIR/);
  });

  it("is locked against a second hub, and free again after close", () => {
    const lock = lockDataDir(dir);
    expect(() => lockDataDir(dir)).toThrow(
      expect.objectContaining({
        code: "data_dir_locked",
        message: expect.stringContaining(`process ${process.pid}`),
      }),
    );
    lock.close();
    lock.close();
    lockDataDir(dir).close();
  });

  it("is free again when the process that held it was killed, though its child lives on", async () => {
    const module = JSON.stringify(new URL("./data-dir.ts", import.meta.url).href);
    const script = `
      const { spawn } = await import("node:child_process");
      const { lockDataDir } = await import(${module});
      lockDataDir(${JSON.stringify(dir)});
      const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
      console.log(child.pid);
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", script], {
      cwd: import.meta.dirname,
    });
    const [output] = await once(holder.stdout, "data");
    const grandchild = Number(String(output));
    try {
      expect(() => lockDataDir(dir)).toThrow(new RegExp(`process ${holder.pid}`));
      holder.kill("SIGKILL");
      await once(holder, "exit");
      lockDataDir(dir).close();
    } finally {
      process.kill(grandchild, "SIGKILL");
    }
  });
});
