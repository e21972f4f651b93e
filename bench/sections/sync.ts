import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { decodePattern, patternTimeMs } from "../../packages/server/src/devices/virtual/pattern.ts";
import { adminKey, type RunningHub } from "../../test/harness/hub.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import { first, over, reportOf, type SessionObject } from "../../test/harness/sync.ts";
import { lumaOf } from "../lib/ffmpeg.ts";
import { startVirtualHub } from "../lib/hubs.ts";
import type { Section } from "../section.ts";

const fps = 30;
const width = 320;

/**
 * Several cameras from one instant: by the hub's sync groups, and as one does it in a shell, with an ffmpeg for each
 * camera, all begun at that instant. Both record the same cameras, which run all the time; when a first frame was made is
 * read from its picture.
 */
export const sync: Section = {
  name: "sync",
  about: "first frames of 2, 4, 8 cameras after a common instant, against ffmpegs begun at it in a shell",
  async run({ report, quick, folder }) {
    const rounds = quick ? 3 : 8;
    for (const count of [2, 4, 8]) {
      await using hub = await startVirtualHub("mjpeg", {
        OCELLI_VIRTUAL_COUNT: String(count),
        OCELLI_VIRTUAL_SIZE: `${width}x240`,
        OCELLI_VIRTUAL_FPS: String(fps),
        OCELLI_CAPTURE_LINGER_SECONDS: "60",
      });
      await using rpc = await hub.rpc();
      const cameras = Array.from({ length: count }, (_, index) => `camera${100 + index}`);
      await rpc.call("create_sync_group", { name: "bench", members: cameras });
      const skews: number[] = [];
      const far: number[] = [];
      const shellSkews: number[] = [];
      const shellFar: number[] = [];
      const told: number[] = [];
      // In turn, so that whatever else the machine does meets both.
      for (let round = 0; round < rounds; round++) {
        const own = await byHub(hub, rpc);
        skews.push(own.skewMs);
        far.push(own.farthestMs);
        told.push(own.toldMs);
        const shell = await byShell(hub, cameras, join(folder, `shell-${count}-${round}`));
        shellSkews.push(shell.skewMs);
        shellFar.push(shell.farthestMs);
      }
      report.figure({
        what: `${count} cameras: first frames apart`,
        unit: "ms",
        values: skews,
        against: { what: "shell", values: shellSkews },
        goalRatio: 0.1,
      });
      report.figure({
        what: `${count} cameras: first frames apart, one frame interval`,
        unit: "ms",
        values: skews,
        goal: Number((1000 / fps).toFixed(1)),
      });
      report.figure({
        what: `${count} cameras: the first frame farthest from the instant`,
        unit: "ms",
        values: far,
        against: { what: "shell", values: shellFar },
        goalRatio: 0.1,
      });
      const off = told.map((ms, index) => Math.abs(ms - (skews[index] ?? 0)));
      report.figure({ what: `${count} cameras: the report's figure is off by`, unit: "ms", values: off });
    }
  },
};

interface Outcome {
  readonly skewMs: number;
  readonly farthestMs: number;
}

async function byHub(hub: RunningHub, rpc: Rpc): Promise<Outcome & { readonly toldMs: number }> {
  const { session_id, start_at_us } = await rpc.call<SessionObject>("start_sync_recording", {
    group: "bench",
    delay: 4,
    duration: 1,
  });
  await over(rpc, session_id);
  const { members, skew_ms } = await reportOf(rpc, session_id);
  const files = members.map((member) => hub.file("recordings", first(member.files)));
  return { ...(await outcomeOf(files, "mp4", start_at_us / 1000)), toldMs: skew_ms };
}

async function byShell(hub: RunningHub, cameras: readonly string[], stem: string): Promise<Outcome> {
  const t0Ms = Math.ceil(Date.now()) + 1500;
  const files = cameras.map((camera) => `${stem}-${camera}.mkv`);
  const recorders = cameras.map(
    (camera, index) =>
      `ffmpeg -nostdin -v error -headers 'X-API-Key: ${adminKey}' -f mpjpeg -i '${hub.url}/live/${camera}/mjpeg' -t 1 -c copy '${files[index]}' &`,
  );
  const script = [
    `left=$((${t0Ms}000000 - $(date +%s%N)))`,
    `sleep $((left / 1000000000)).$(printf %09d $((left % 1000000000)))`,
    ...recorders,
    "wait",
  ].join("\n");
  const shell = spawn("sh", ["-c", script], { stdio: ["ignore", "ignore", "inherit"] });
  await once(shell, "close");
  return outcomeOf(files, "matroska", t0Ms);
}

/**
 * When the first picture of each file was made, as is drawn in it. Drawing itself is late at times where the machine is busy,
 * never early: the cameras make frames at a fixed rate, so all of a file's pictures are looked at, and the least late counts.
 */
async function outcomeOf(files: readonly string[], format: string, t0Ms: number): Promise<Outcome> {
  const made = await Promise.all(
    files.map(async (file) => {
      const pictures = await lumaOf(file, format, width, 48);
      const patterns = pictures
        .map((pixels) => decodePattern(pixels, width))
        .filter((one) => one !== undefined);
      const begun = first(patterns).frame;
      return Math.min(
        ...patterns.map((one) => patternTimeMs(one, t0Ms) - ((one.frame - begun) * 1000) / fps - t0Ms),
      );
    }),
  );
  return {
    skewMs: Math.max(...made) - Math.min(...made),
    farthestMs: Math.max(...made.map((ms) => Math.abs(ms))),
  };
}
