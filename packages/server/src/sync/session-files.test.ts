import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import type { SyncSession } from "./contract.ts";
import { SessionFiles, type SessionFilesOptions } from "./session-files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-session-files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("what a hub that was killed had begun is removed at the next start, what came in whole stays", async () => {
  for (const path of [
    "align-one/a.mp4",
    "fetch-two/.b.mp4.part",
    "fetch-oak/c.zip",
    "fetch-oak/.d.zip.part",
  ]) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), "x");
  }
  // What keeps the name of a transfer under way.
  for (const path of ["fetch-two/b.mp4", "fetch-oak/d.zip"]) writeFileSync(join(folder, path), "");
  const files = new SessionFiles({ folder } as SessionFilesOptions);
  expect(readdirSync(folder)).toEqual(["fetch-oak"]);
  expect(readdirSync(join(folder, "fetch-oak"))).toEqual(["c.zip"]);
  await files.close();
  await new SessionFiles({ folder: join(folder, "none") } as SessionFilesOptions).close();
});

describe("a session", () => {
  const session = (more: Partial<SyncSession> = {}): SyncSession => ({
    ...{ id: "s", groupId: "g", name: "lab", startAtUs: 0, state: "completed", createdAtUs: 0 },
    clock: { synchronised: true, source: "kernel", offsetUs: 0 },
    members: [
      {
        ...{ key: "camera0", name: "camera0", state: "completed", files: ["a.mp4", "gone.mp4"] },
        member: { kind: "camera", cameraId: "camera0" },
      },
    ],
    ...more,
  });

  function filesOf(
    known: SyncSession,
    alignFiles?: SessionFilesOptions["alignFiles"],
  ): { files: SessionFiles; forgotten: string[]; deleted: string[] } {
    const forgotten: string[] = [];
    const deleted: string[] = [];
    const missing = (name: string) => new OcelliError("file_not_found", `${name} is gone`);
    const library = {
      get: (_kind: string, name: string) => {
        throw missing(name);
      },
      delete: async (_kind: string, name: string) => {
        if (name.startsWith("gone")) throw missing(name);
        if (name.startsWith("busy")) throw new OcelliError("file_in_use", `${name} is in use`);
        deleted.push(name);
      },
    };
    const sessions: SessionFilesOptions["sessions"] = {
      session: (id) => ({ ...known, id }),
      forget: (id) => {
        forgotten.push(id);
        return known;
      },
      noteAligned: () => undefined,
    };
    const parts = { folder, library, sessions, clock: new FakeClock(), alignFiles };
    const options = parts as unknown as SessionFilesOptions;
    return { files: new SessionFiles(options), forgotten, deleted };
  }

  it("is aligned once at a time, and not deleted meanwhile", async () => {
    const { files, forgotten } = filesOf(session());
    const aligning = files.align("s", {});
    await expect(files.align("s", {})).rejects.toMatchObject({ code: "file_in_use" });
    await expect(files.remove("s", true)).rejects.toMatchObject({ code: "file_in_use" });
    expect(forgotten).toEqual([]);
    // Its files are gone: there is nothing to align, and it may be asked again.
    await expect(aligning).rejects.toMatchObject({ code: "unsupported" });
    await expect(files.align("s", {})).rejects.toMatchObject({ code: "unsupported" });
    expect(existsSync(join(folder, "align-s"))).toBe(false);
  });

  it("waits for its turn to be aligned, and can be given up while it waits", async () => {
    const begun: string[] = [];
    const ends = new Map<string, () => void>();
    const { files } = filesOf(session(), async ({ session: { id } }) => {
      begun.push(id);
      await new Promise<void>((resolve) => ends.set(id, resolve));
      return { fromUs: 0, toUs: 0, members: [], skipped: [], preview: undefined };
    });
    const giveUp = new AbortController();
    const all = ["a", "b", "c", "d"].map((id) =>
      files.align(id, id === "c" ? { signal: giveUp.signal } : {}),
    );
    const givenUp = expect(all[2]).rejects.toThrow("enough");
    await expect.poll(() => begun).toEqual(["a", "b"]);
    giveUp.abort(new Error("enough"));
    ends.get("b")?.();
    await givenUp;
    await expect.poll(() => begun).toEqual(["a", "b", "d"]);
    for (const end of ends.values()) end();
    await Promise.allSettled(all);
  });

  it("goes with its files when that is wanted, whatever retention has deleted of them before", async () => {
    const { files, forgotten, deleted } = filesOf(session({ aligned: ["a_aligned.mp4"] }));
    expect((await files.remove("s", true)).deleted).toEqual(["a.mp4", "a_aligned.mp4"]);
    expect(deleted).toEqual(["a.mp4", "a_aligned.mp4"]);
    expect((await files.remove("s", false)).deleted).toEqual([]);
    expect(forgotten).toEqual(["s", "s"]);
  });

  it("is neither aligned nor deleted again while it is being deleted", async () => {
    const { files, forgotten } = filesOf(session());
    const removing = files.remove("s", true);
    const refused = [files.align("s", {}), files.remove("s", true)].map((one) =>
      expect(one).rejects.toMatchObject({ code: "file_in_use" }),
    );
    await Promise.all([removing, ...refused]);
    expect(forgotten).toEqual(["s"]);
  });

  it("is kept while it records, or when one of its files cannot be deleted", async () => {
    const open = filesOf(session({ state: "recording" }));
    await expect(open.files.remove("s", true)).rejects.toMatchObject({ code: "file_in_use" });
    const busy = filesOf(session({ aligned: ["busy.mp4"] }));
    await expect(busy.files.remove("s", true)).rejects.toMatchObject({ code: "file_in_use" });
    expect([...open.forgotten, ...busy.forgotten]).toEqual([]);
  });
});
