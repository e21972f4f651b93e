import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { Accounts } from "./accounts.ts";
import { ApiKeys, keyMigrations } from "./keys.ts";

let clock: FakeClock;
let database: Database;
let keys: ApiKeys;
let accounts: Accounts;
let logged: string;

beforeEach(() => {
  clock = new FakeClock();
  database = openDatabase(":memory:", keyMigrations);
  keys = new ApiKeys({ database, clock });
  logged = "";
  const log = pino(
    { level: "trace" },
    {
      write: (line: string) => {
        logged += line;
      },
    },
  );
  accounts = new Accounts({ keys, clock, log });
});

describe("API keys", () => {
  it("keeps the limit to cameras over a restart, and in the key that replaces it", () => {
    const cameras = new Set(["camera0", "camera7"]);
    const { key, record } = accounts.createKey({ name: "gate", role: "operator", cameras }, "me");
    const again = new ApiKeys({ database, clock });
    expect(again.verify(key)).toMatchObject({ keyId: record.keyId, role: "operator", cameras });
    const replaced = new Accounts({ keys: again, clock, log: pino({ level: "silent" }) }).rotateKey(
      record.keyId,
      "me",
    );
    expect(again.verify(key)).toBe(undefined);
    expect(again.verify(replaced.key)).toMatchObject({ name: "gate (rotated)", cameras });
    expect(again.rotate(replaced.record.keyId).record.name).toBe("gate (rotated)");
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
