import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { Accounts } from "./accounts.ts";
import { ApiKeys, keyMigrations } from "./api-keys.ts";
import { Passwords } from "./passwords.ts";
import { Users, userMigrations } from "./users.ts";

let clock: FakeClock;
let database: Database;
let keys: ApiKeys;
let accounts: Accounts;
let users: Users;
let logged: string;
const passwords = new Passwords({ n: 16, r: 1, p: 1 });
const password = "correct horse battery";

beforeEach(() => {
  clock = new FakeClock();
  database = openDatabase(":memory:", [...keyMigrations, ...userMigrations]);
  keys = new ApiKeys({ database, clock });
  users = new Users({ database, clock });
  logged = "";
  const log = pino(
    { level: "trace" },
    {
      write: (line: string) => {
        logged += line;
      },
    },
  );
  accounts = new Accounts({ keys, users, passwords, clock, log });
});

describe("API keys", () => {
  it("keeps the limit to cameras over a restart, and in the key that replaces it", () => {
    const cameras = new Set(["camera0", "camera7"]);
    const { key, record } = accounts.createKey({ name: "gate", role: "operator", cameras }, "me");
    const again = new ApiKeys({ database, clock });
    expect(again.verify(key)).toMatchObject({ keyId: record.keyId, role: "operator", cameras });
    const replaced = new Accounts({
      keys: again,
      users,
      passwords,
      clock,
      log: pino({ level: "silent" }),
    }).rotateKey(record.keyId, "me");
    expect(again.verify(key)).toBe(undefined);
    expect(again.verify(replaced.key)).toMatchObject({ name: "gate (rotated)", cameras });
    expect(again.rotate(replaced.record.keyId).record.name).toBe("gate (rotated)");
  });

  it("takes over those of a hub that knew no limits", () => {
    const old = openDatabase(
      join(mkdtempSync(join(tmpdir(), "ocelli-keys-")), "old.db"),
      keyMigrations.slice(0, 1),
    );
    const hash = createHash("sha256").update("k".repeat(40)).digest("hex");
    old.exec(`INSERT INTO api_keys VALUES ('id1', 'old', 'operator', '${hash}', 'made', 1, NULL, NULL, 1)`);
    old.close();
    const again = openDatabase(old.path, [...keyMigrations, ...userMigrations]);
    const key = new ApiKeys({ database: again, clock }).verify("k".repeat(40));
    expect(key).toMatchObject({ keyId: "id1", role: "operator", cameras: undefined, userId: undefined });
    again.close();
    rmSync(dirname(old.path), { recursive: true });
  });

  it("refuses a damaged limit rather than taking it for none", () => {
    const { record } = accounts.createKey({ name: "x", role: "viewer", cameras: new Set(["camera0"]) }, "me");
    database.command("UPDATE api_keys SET cameras = ? WHERE key_id = ?").run("{}", record.keyId);
    expect(() => new ApiKeys({ database, clock })).toThrow(/cameras/);
  });

  it("tells those who hold on to a key that it was revoked", () => {
    const { record } = accounts.createKey({ name: "x", role: "viewer" }, "me");
    const standing = keys.standingOf(record.keyId);
    expect(standing.revoked).toBe(false);
    accounts.revokeKey(record.keyId, "me");
    expect(standing.revoked).toBe(true);
    expect(keys.standingOf("unknown").revoked).toBe(true);
  });

  it("does not lock the last administrator out", () => {
    const first = accounts.createKey({ name: "a", role: "admin" }, "me").record;
    accounts.createKey({ name: "limited", role: "admin", cameras: new Set(["camera0"]) }, "me");
    expect(() => accounts.revokeKey(first.keyId, "me")).toThrow(/last admin key/);
    const second = accounts.createKey({ name: "b", role: "admin" }, "me").record;
    accounts.revokeKey(first.keyId, "me");
    expect(() => accounts.revokeKey(first.keyId, "me")).toThrow(/no active API key/);
    expect(() => accounts.revokeKey(second.keyId, "me")).toThrow(/last admin key/);
  });

  it("forgets those that expired long ago", () => {
    const { record } = accounts.createKey(
      { name: "x", role: "viewer", expiresAtUs: clock.wallUs() + 1_000_000 },
      "me",
    );
    const standing = keys.standingOf(record.keyId);
    clock.advance(1000);
    expect(keys.removeExpired(5_000_000)).toBe(0);
    clock.advance(5000);
    expect(keys.removeExpired(5_000_000)).toBe(1);
    expect(standing.revoked).toBe(true);
    expect(new ApiKeys({ database, clock }).list()).toEqual([]);
  });

  it("refuses an end that is past", () => {
    const expiresAtUs = clock.wallUs();
    expect(() => accounts.createKey({ name: "x", role: "viewer", expiresAtUs }, "me")).toThrow(/expired/);
  });

  it("logs every change, and no key", () => {
    const made = accounts.createKey({ name: "x", role: "viewer" }, "api_key_1");
    const next = accounts.rotateKey(made.record.keyId, "api_key_1");
    accounts.revokeKey(next.record.keyId, "api_key_2");
    for (const text of ["was created", "was replaced", "was revoked", made.record.keyId, "api_key_2"])
      expect(logged).toContain(text);
    for (const { key } of [made, next]) expect(logged).not.toContain(key.slice(0, 40));
  });
});

describe("users", () => {
  it("are kept over a restart, without their password", async () => {
    const cameras = new Set(["camera0"]);
    const made = await accounts.createUser(
      { username: " Alice ", password, role: "operator", cameras },
      "me",
    );
    expect(made.name).toBe("Alice");
    const again = new Users({ database, clock });
    expect(again.find("ALICE")).toEqual(made);
    expect(again.find(made.userId)).toEqual(made);
    expect(JSON.stringify(again.list())).not.toContain("scrypt");
    const stored = database.query("SELECT password FROM users", (row) => String(row.password)).get() ?? "";
    expect(stored).toMatch(/^scrypt\$16\$1\$1\$/);
    expect(stored).not.toContain(password);
  });

  it.each([
    ["alice", "alice"],
    ["alice", "ALICE"],
    // A full-width letter, and a letter with its accent apart.
    ["alice", "\uff41lice"],
    ["Zo\u00eb", "Zoe\u0308"],
  ])("%s and %s are one name", async (first, second) => {
    await accounts.createUser({ username: first, password, role: "viewer" }, "me");
    const again = accounts.createUser({ username: second, password, role: "admin" }, "me");
    await expect(again).rejects.toMatchObject({ code: "invalid_params" });
    expect(users.find(second)?.role).toBe("viewer");
  });

  it.each(["", "  ", "a\u0000b", "a\nb", "a\u202eb", "x".repeat(101), "\ud800", "user_0123456789abcdef"])(
    "refuses the name %j",
    async (username) => {
      const made = accounts.createUser({ username, password, role: "viewer" }, "me");
      await expect(made).rejects.toMatchObject({ code: "invalid_params", details: { param: "username" } });
    },
  );

  it.each(["short", "x".repeat(257), "administrator"])("refuses the password %s", async (bad) => {
    const made = accounts.createUser({ username: "Administrator", password: bad, role: "viewer" }, "me");
    await expect(made).rejects.toMatchObject({ code: "invalid_params", details: { param: "password" } });
    await accounts.createUser({ username: "Administrator", password, role: "viewer" }, "me");
    const changed = accounts.setPassword("administrator", bad, "me");
    await expect(changed).rejects.toMatchObject({ details: { param: "password" } });
  });

  it("may log in although the disk takes nothing more", async () => {
    const { userId } = await accounts.createUser({ username: "alice", password, role: "viewer" }, "me");
    database.exec("PRAGMA query_only = 1");
    users.noteLogin(userId, "scrypt$16$1$1$AA$AA");
    expect(users.get(userId)?.lastLoginUs).toBe(clock.wallUs());
    expect(users.passwordOf(userId)).not.toContain("$AA$");
  });

  it("end what was issued to them with every change that is one", async () => {
    const { userId } = await accounts.createUser({ username: "alice", password, role: "operator" }, "me");
    const changes = [
      () => accounts.updateUser("alice", { role: "viewer" }, "me"),
      () => accounts.updateUser(userId, { cameras: { to: new Set(["camera0"]) } }, "me"),
      () => accounts.updateUser("alice", { cameras: { to: undefined } }, "me"),
      () => accounts.setPassword("alice", password, "me"),
      () => accounts.updateUser("alice", { enabled: false }, "me"),
    ];
    for (const change of changes) {
      const standing = users.standingOf(userId);
      const version = users.get(userId)?.version ?? 0;
      await change();
      expect(standing.revoked).toBe(true);
      expect(users.get(userId)?.version).toBe(version + 1);
    }
    expect(users.standingOf(userId).revoked).toBe(true);
    accounts.updateUser("alice", { enabled: true }, "me");
    const standing = users.standingOf(userId);
    accounts.updateUser("alice", { enabled: true, role: "viewer" }, "me");
    expect(standing.revoked).toBe(false);
    accounts.deleteUser("alice", "me");
    expect(standing.revoked).toBe(true);
  });

  it("take their keys with them", async () => {
    const { userId } = await accounts.createUser({ username: "alice", password, role: "operator" }, "me");
    const { key, record } = accounts.createKey({ name: "hers", role: "admin", userId }, "me");
    const standing = keys.standingOf(record.keyId);
    accounts.deleteUser("alice", "me");
    expect(keys.verify(key)).toBe(undefined);
    expect(standing.revoked).toBe(true);
    const orphan = () => accounts.createKey({ name: "x", role: "viewer", userId }, "me");
    expect(orphan).toThrow(/no user/);
  });

  it("leave somebody who can administrate", async () => {
    await accounts.createUser({ username: "alice", password, role: "admin" }, "me");
    const removals = [
      () => accounts.deleteUser("alice", "me"),
      () => accounts.updateUser("alice", { role: "operator" }, "me"),
      () => accounts.updateUser("alice", { enabled: false }, "me"),
      () => accounts.updateUser("alice", { cameras: { to: new Set(["camera0"]) } }, "me"),
    ];
    for (const remove of removals) expect(remove).toThrow(/last administrator/);
    await accounts.createUser({ username: "bob", password, role: "admin", cameras: new Set(["c"]) }, "me");
    for (const remove of removals) expect(remove).toThrow(/last administrator/);
    const { record } = accounts.createKey({ name: "key", role: "admin" }, "me");
    accounts.updateUser("alice", { enabled: false }, "me");
    expect(() => accounts.revokeKey(record.keyId, "me")).toThrow(/last admin key/);
    accounts.updateUser("alice", { enabled: true }, "me");
    accounts.revokeKey(record.keyId, "me");
    for (const remove of removals) expect(remove).toThrow(/last administrator/);
  });

  it("are logged with each change, without secrets", async () => {
    await accounts.createUser({ username: "alice", password, role: "viewer" }, "me");
    await accounts.setPassword("alice", `${password}!`, "me");
    accounts.updateUser("alice", { role: "operator" }, "me");
    accounts.deleteUser("alice", "me");
    for (const text of ["was created", "was set", "was changed", "was deleted"])
      expect(logged).toContain(text);
    expect(logged).not.toMatch(/horse|scrypt/);
  });
});

describe("passwords", () => {
  it("match themselves, however typed, and nothing else", async () => {
    const stored = await passwords.hash("Zo\u00eb the dog");
    expect(await passwords.matches("Zoe\u0308 the dog", stored)).toBe(true);
    for (const wrong of ["zo\u00eb the dog", "Zo\u00eb the dog ", "", "x".repeat(2000)]) {
      expect(await passwords.matches(wrong, stored)).toBe(false);
    }
    expect(await passwords.hash("Zo\u00eb the dog")).not.toBe(stored);
  });

  it("of nobody match nothing, not even what is hashed for nobody", async () => {
    expect(await passwords.matches("", undefined)).toBe(false);
  });

  it("are checked at the cost they were stored with, and told to be outdated", async () => {
    const stored = await new Passwords({ n: 32, r: 1, p: 1 }).hash(password);
    expect(await passwords.matches(password, stored)).toBe(true);
    expect(passwords.isOutdated(stored)).toBe(true);
    expect(passwords.isOutdated(await passwords.hash(password))).toBe(false);
  });

  it("are checked a few at a time, and not without end", async () => {
    const all = await Promise.allSettled(
      Array.from({ length: 60 }, () => passwords.matches(password, undefined)),
    );
    const refused = all.filter(({ status }) => status === "rejected");
    expect(refused.length).toBe(8);
    expect(refused[0]).toMatchObject({ reason: { code: "rate_limited" } });
    expect(await passwords.matches(password, undefined)).toBe(false);
  });
});
