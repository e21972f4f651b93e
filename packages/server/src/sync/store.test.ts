import { describe, expect, it } from "vitest";
import { openDatabase } from "../store/database.ts";
import type { SyncSession } from "./contract.ts";
import { syncMigrations, syncStore } from "./store.ts";

describe("sessions in the database", () => {
  it("are read by the page, newest first, and counted", () => {
    const database = openDatabase(":memory:", syncMigrations);
    const store = syncStore(database);
    const session = (i: number): SyncSession => ({
      id: `s${i}`,
      groupId: "g",
      groupName: "lab",
      name: "lab",
      startAtUs: i * 1e6,
      state: i === 4 ? "recording" : "completed",
      createdAtUs: 0,
      clock: { source: "kernel", synchronised: true, offsetUs: 0, uncertaintyUs: 1 },
      members: [],
    });
    for (const i of [2, 0, 4, 1, 3]) store.putSession(session(i));
    const ids = (limit: number, offset: number) => store.sessions({ limit, offset }).map(({ id }) => id);
    expect(ids(2, 0)).toEqual(["s4", "s3"]);
    expect(ids(2, 2)).toEqual(["s2", "s1"]);
    expect(ids(2, 4)).toEqual(["s0"]);
    expect(ids(2, 6)).toEqual([]);
    expect(store.sessionCount()).toBe(5);
    expect(store.openSessions().map(({ id }) => id)).toEqual(["s4"]);
    store.removeSession("s2");
    expect(store.sessionCount()).toBe(4);
    database.close();
  });
});
