import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Sidecar } from "./contract.ts";
import { MediaIndex } from "./media-index.ts";
import { reconcile, stampOf } from "./reconcile.ts";
import { sidecarPath, writeSidecarText } from "./sidecar.ts";
import { makeSidecar } from "./testing/make-sidecar.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ocelli-reconcile-"));
  mkdirSync(join(root, "snapshots"));
});
afterEach(() => rmSync(root, { recursive: true }));

/** What the hub does on `put`: the file first, by rename, then the row. */
function putLikeTheHub(index: MediaIndex, sidecar: Sidecar): void {
  const path = join(root, sidecar.filename);
  writeFileSync(`${path}.new`, writeSidecarText(sidecar));
  renameSync(`${path}.new`, sidecarPath(path));
  const { stamp } = stampOf(statSync(sidecarPath(path), { bigint: true }));
  index.put(sidecar, { bytes: 5, modifiedAtUs: 1, sidecarStamp: stamp });
}

it("never undoes what the hub did between its reading and its writing", () => {
  const hub = new MediaIndex(join(root, "library.db"));
  const worker = new MediaIndex(join(root, "library.db"));
  const names = Array.from({ length: 30 }, (_, number) => `clip${number}.mp4`);
  for (const name of names) {
    writeFileSync(join(root, name), "media");
    writeFileSync(sidecarPath(join(root, name)), writeSidecarText(makeSidecar("recording", name)));
  }
  const orphans = Array.from({ length: 8 }, (_, number) => `orphan${number}.mp4`);
  for (const name of orphans) writeFileSync(join(root, name), "media");

  let met = 0;
  const steps = reconcile({
    index: worker,
    folders: { recording: root, snapshot: join(root, "snapshots") },
    full: true,
    batchSize: 1000,
    onOrphan: () => {
      met++;
      // Late in the batch: most sidecars have been read, no row has been written.
      if (met < orphans.length) return;
      for (const name of names) {
        if (name.endsWith("5.mp4")) {
          unlinkSync(join(root, name));
          unlinkSync(sidecarPath(join(root, name)));
          hub.remove("recording", name);
        } else {
          putLikeTheHub(hub, makeSidecar("recording", name, { endReason: "newer" }));
        }
      }
    },
  });
  while (steps.next().done !== true);

  expect(met).toBe(orphans.length);
  for (const name of names) {
    const row = hub.byName("recording", name);
    if (name.endsWith("5.mp4")) expect(row).toBeUndefined();
    else expect(row?.sidecar).toContain('"newer"');
  }
  expect(hub.usage("recording").files).toBe(27);
  hub.close();
  worker.close();
});
