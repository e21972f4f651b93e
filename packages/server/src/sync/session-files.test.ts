import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { SessionFiles, type SessionFilesOptions } from "./session-files.ts";

it("what a hub that was killed had begun to cut is removed at the next start, files of devices stay", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-session-files-"));
  try {
    for (const name of ["align-one", "two"]) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "some.mp4"), "x");
    }
    const files = new SessionFiles({ folder } as SessionFilesOptions);
    expect(readdirSync(folder)).toEqual(["two"]);
    await files.close();
    await new SessionFiles({ folder: join(folder, "none") } as SessionFilesOptions).close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
