import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sidecarPath } from "../../packages/server/src/library/sidecar.ts";
import { makeSidecar } from "../../packages/server/src/library/testing/make-sidecar.ts";
import { startHub } from "../../test/harness/hub.ts";
import { loadedHubEnv } from "../load/loaded-hub.ts";
import type { Section } from "../section.ts";

const files = 100_000;
const cameras = 4;
const limit = 50;

/** Lists of a hub that has a hundred thousand recordings, as a client gets them. */
export const library: Section = {
  name: "library",
  about: "list_recordings of 100,000 files, over the socket",
  async run({ report, quick, folder }) {
    const dataDir = mkdtempSync(join(folder, "library-"));
    fill(join(dataDir, "recordings"));
    const startedAt = performance.now();
    await using hub = await startHub({ dataDir, env: loadedHubEnv });
    report.figure({
      what: `start of the hub with an index still to be made of ${files} files`,
      unit: "s",
      values: [(performance.now() - startedAt) / 1000],
    });
    await using rpc = await hub.rpc();
    const runs = quick ? 40 : 300;
    const last = files / cameras - limit;
    const pages: [string, () => object][] = [
      ["first page", () => ({ limit, offset: 0 })],
      ["any page", () => ({ limit, offset: Math.floor(Math.random() * (files - limit)) })],
      ["last page", () => ({ limit, offset: files - limit })],
      ["last page of one camera", () => ({ limit, offset: last, device: "camera100" })],
    ];
    const took = new Map<string, number[]>(pages.map(([what]) => [what, []]));
    for (let run = -5; run < runs; run++) {
      for (const [what, params] of pages) {
        const sentAt = performance.now();
        const page = await rpc.call<{ files: unknown[]; total: number }>("list_recordings", params());
        const ms = performance.now() - sentAt;
        if (page.files.length !== limit) throw new Error(`${what} has ${page.files.length} files`);
        if (run >= 0) took.get(what)?.push(ms);
      }
    }
    for (const [what, values] of took) {
      report.figure({ what: `${what} of ${limit} out of ${files}`, unit: "ms", values, goal: 5 });
    }
    // A hundred thousand files in the way of the sections to come.
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
  },
};

/** Small files, each with its sidecar; a quarter of them is the virtual camera's. */
function fill(recordings: string): void {
  mkdirSync(recordings, { recursive: true });
  const startUs = 1_736_951_400_000_000;
  for (let number = 0; number < files; number++) {
    const filename = `clip-${number}.mp4`;
    const path = join(recordings, filename);
    writeFileSync(path, "media");
    const sidecar = makeSidecar("recording", filename, {
      cameraId: `camera${100 + (number % cameras)}`,
      recordingId: `rec-${number}`,
      createdAtUs: startUs + number * 1_000_000,
    });
    writeFileSync(sidecarPath(path), JSON.stringify(sidecar));
  }
}
