import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { first, readRecording } from "../../test/harness/sync.ts";
import { missingTools } from "../../test/v4l2/setup.mjs";
import { type GuestStarts, guestFps } from "../guest-sync.ts";
import { FirstFrames, tellStarts } from "../lib/common-start.ts";
import { runBenchInGuest } from "../lib/in-guest.ts";
import type { Section } from "../section.ts";

const exec = promisify(execFile);

/** The same as `sync` with a real driver, which stamps each picture. The guest's processor is emulated in software. */
export const syncGuest: Section = {
  name: "sync-guest",
  about:
    "first frames of 2, 4 cameras of the V4L2 guest after a common instant, against ffmpegs begun at it in a shell",
  async run({ report, quick, folder }) {
    const missing = missingTools();
    if (missing.length > 0) return report.skip(missing.join("; "));
    const { result, shareDir } = await runBenchInGuest<GuestStarts[]>(
      "guest-sync.ts",
      quick ? 2 : 4,
      folder,
      600_000,
    );
    for (const { count, hub, shell } of result) {
      const framesOf = (starts: GuestStarts["hub"], firstMs: (path: string) => Promise<number>) =>
        Promise.all(
          starts.map(async ({ files, instantMs }) => {
            const times = await Promise.all(files.map((name) => firstMs(join(shareDir, name))));
            return new FirstFrames(times.map((ms) => ms - instantMs));
          }),
        );
      const what = `${count} V4L2 cameras, emulated processor`;
      const own = await framesOf(hub, async (path) => first((await readRecording(path)).times) / 1000);
      tellStarts(report, what, 1000 / guestFps, own, await framesOf(shell, firstPacketMs));
    }
  },
};

async function firstPacketMs(path: string): Promise<number> {
  const wanted = ["-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
  const { stdout } = await exec("ffprobe", ["-v", "error", ...wanted, "-read_intervals", "%+#1", path]);
  return Number.parseFloat(stdout) * 1000;
}
