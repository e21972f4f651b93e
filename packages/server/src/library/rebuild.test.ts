import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MediaIndex } from "./media-index.ts";
import { corruptIndex, type RebuildRequest, runRebuild } from "./rebuild.ts";

describe.each([
  { amount: "few", files: 20, threads: 0 },
  { amount: "many", files: 200, threads: 1 },
])("a rebuild with $amount files", ({ files, threads }) => {
  let folder: string;
  let request: RebuildRequest;
  let stop: AbortController;
  let started: number;
  const count = (): void => {
    started++;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ocelli-rebuild-"));
    const folders = { recording: join(folder, "recordings"), snapshot: join(folder, "snapshots") };
    for (const path of Object.values(folders)) mkdirSync(path);
    for (let number = 0; number < files; number++) {
      writeFileSync(join(folders.recording, `camera0_${number}.mp4`), "no sidecar");
    }
    stop = new AbortController();
    request = { databasePath: join(folder, "library.db"), folders, full: false, signal: stop.signal };
    started = 0;
    process.on("worker", count);
  });
  afterEach(() => {
    process.off("worker", count);
    rmSync(folder, { recursive: true });
  });

  it("finds what has no sidecar, in a thread only when that is worth its memory", async () => {
    new MediaIndex(request.databasePath).close();
    const { added, removed, orphans } = await runRebuild(request);
    expect({ added, removed, orphans: orphans.length }).toEqual({ added: 0, removed: 0, orphans: files });
    expect(started).toBe(threads);
  });

  it("says that the index is damaged", async () => {
    writeFileSync(request.databasePath, "this is no database, whatever it is called".repeat(100));
    await expect(runRebuild(request)).rejects.toMatchObject({
      code: "storage_failed",
      details: corruptIndex,
    });
    expect(started).toBe(threads);
  });

  it("ends with the reason it was stopped for", async () => {
    new MediaIndex(request.databasePath).close();
    stop.abort(new Error("closing"));
    await expect(runRebuild(request)).rejects.toThrow("closing");
  });
});
