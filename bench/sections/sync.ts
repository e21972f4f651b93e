import { join } from "node:path";
import { drawnCamera, firstDrawnMs } from "../../test/harness/drawn-cameras.ts";
import type { RunningHub } from "../../test/harness/hub.ts";
import { startRtspCameras } from "../../test/harness/rtsp-cameras.ts";
import { byHub, byShell, FirstFrames, tellStarts } from "../lib/common-start.ts";
import { startUrlHub, startVirtualHub } from "../lib/hubs.ts";
import type { Context, Section } from "../section.ts";

const fps = 30;
const camera = { width: 320, height: 240, fps } as const;
/** In turns with a shell, the hub leaves the cameras alone. */
const alone = { OCELLI_CAPTURE_LINGER_SECONDS: "0" };

/**
 * Several cameras from one instant: by the hub's sync groups, and as one does it in a shell, with an ffmpeg for each
 * camera, all begun at that instant, which opens the camera. When a first frame was made is read from its picture.
 */
export const sync: Section = {
  name: "sync",
  about: "first frames of 2, 4, 8 cameras after a common instant, against ffmpegs begun at it in a shell",
  async run(context) {
    for (const count of [2, 4, 8]) await openedCameras(count, context);
    for (const count of [2, 4, 8]) await runningCameras(count, context);
  },
};

interface Recorded {
  readonly what: string;
  readonly count: number;
  readonly hub: RunningHub;
  /** What a shell gives ffmpeg to record the camera of that index. */
  readonly recorder: (index: number) => readonly string[];
  /** Before each start of either. */
  readonly anew?: () => Promise<void>;
}

/** Cameras that begin to take pictures when they are opened: a shell's run has the very ffmpeg that a hub's has. */
async function openedCameras(count: number, context: Context): Promise<void> {
  await using hub = await startVirtualHub("mjpeg", {
    ...alone,
    OCELLI_VIRTUAL_COUNT: String(count),
    OCELLI_VIRTUAL_SIZE: `${camera.width}x${camera.height}`,
    OCELLI_VIRTUAL_FPS: String(fps),
  });
  const { input, encode } = await drawnCamera({ ...camera, codec: "mjpeg" });
  const recorder = () => [...input, ...encode];
  await compare({ what: `${count} cameras opened`, count, hub, recorder }, context);
}

/**
 * Cameras that run all the time, at phases of their own: an ffmpeg that opens one waits for its answers and then for a
 * keyframe, of which there is one a second.
 */
async function runningCameras(count: number, context: Context): Promise<void> {
  await using cameras = await startRtspCameras(count, camera);
  await using hub = await startUrlHub(context.folder, cameras.urls, { env: alone });
  const recorder = (index: number) => [
    ...["-rtsp_transport", "tcp", "-i", cameras.urls[index] ?? ""],
    ...["-c", "copy"],
  ];
  const anew = () => cameras.restart();
  await compare({ what: `${count} RTSP cameras`, count, hub, recorder, anew }, context);
}

async function compare({ what, count, hub, recorder, anew }: Recorded, context: Context): Promise<void> {
  const { report, quick, folder } = context;
  await using rpc = await hub.rpc();
  const members = Array.from({ length: count }, (_, index) => `camera${100 + index}`);
  await rpc.call("create_sync_group", { name: "bench", members });
  const firstFrames = async (files: readonly string[], instantMs: number): Promise<FirstFrames> =>
    new FirstFrames(await Promise.all(files.map((file) => firstDrawnMs(file, "mp4", camera, instantMs))));
  const own: FirstFrames[] = [];
  const shell: FirstFrames[] = [];
  const off: number[] = [];
  // In turn, so that whatever else the machine does meets both.
  for (let round = 0; round < (quick ? 3 : 6); round++) {
    await anew?.();
    const started = await byHub(hub, rpc, "bench", { delayS: 4, durationS: 1 });
    const shown = await firstFrames(started.files, started.instantMs);
    own.push(shown);
    off.push(...started.toldMs.map((ms, index) => Math.abs(ms - (shown.afterMs[index] ?? Number.NaN))));
    await anew?.();
    const files = members.map((member) => join(folder, `shell-${member}.mp4`));
    const recorders = files.map((file, index) => [
      ...recorder(index),
      ...["-frames:v", String(fps), "-f", "mp4", "-y", file],
    ]);
    const instantMs = await byShell(recorders, 1500);
    shell.push(await firstFrames(files, instantMs));
  }
  tellStarts(report, what, 1000 / fps, own, shell);
  report.figure({ what: `${what}: the report's time of a first frame is off by`, unit: "ms", values: off });
}
