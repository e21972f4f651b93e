/**
 * The hub's way from a node to its event on this machine, which has no cameras: provider and registry as they are, over
 * a folder that plays `/dev`. A real worker thread opens each node and asks its first question, which a plain file
 * cannot answer; the answer of a camera is then taken in its place. What follows, one message to a client, is not in it.
 */
import { mkdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import pino from "pino";
import { CameraRegistry } from "../../packages/server/src/cameras/registry.ts";
import { cameraMigrations } from "../../packages/server/src/cameras/store.ts";
import { DeviceCapture } from "../../packages/server/src/capture/device-capture.ts";
import { Transcode } from "../../packages/server/src/capture/transcode.ts";
import { SystemClock } from "../../packages/server/src/clock/system-clock.ts";
import type { NodeAnswer } from "../../packages/server/src/devices/v4l2/ask-node.ts";
import { V4l2Provider } from "../../packages/server/src/devices/v4l2/provider.ts";
import { NodeQueries } from "../../packages/server/src/devices/v4l2/query.ts";
import { EventBus } from "../../packages/server/src/events/bus.ts";
import { openDatabase } from "../../packages/server/src/store/database.ts";
import { until } from "../../test/harness/hub.ts";

const answer: NodeAnswer = {
  kind: "camera",
  multiplanar: false,
  capabilities: {
    driver: "uvcvideo",
    card: "Camera",
    busInfo: "usb-0000:00:14.0-1",
    formats: [
      {
        fourcc: "MJPG",
        description: "Motion-JPEG",
        compressed: true,
        sizes: [{ width: 1280, height: 720, intervals: [{ numerator: 1, denominator: 30 }] }],
      },
    ],
  },
};

export interface HereTimes {
  /** From just before the node is made to the event that says the camera is connected, milliseconds. */
  readonly told: number[];
  /** To the event of a bare `fs.watch`. */
  readonly watched: number[];
}

export async function hotplugHere(folder: string, rounds: number): Promise<HereTimes> {
  const devDir = join(folder, "dev");
  mkdirSync(devDir);
  const clock = new SystemClock();
  const log = pino({ level: "silent" });
  const bus = new EventBus(log);
  const queries = new NodeQueries({ clock });
  const provider = new V4l2Provider({
    clock,
    log,
    devDir,
    sysDir: join(folder, "sys"),
    udevDir: join(folder, "udev"),
    query: async (node) => {
      await queries.ask(node);
      return answer;
    },
  });
  const common = (id: string) => ({ id, clock, log, ffmpeg: "ffmpeg" });
  const database = openDatabase(":memory:", cameraMigrations);
  const cameras = new CameraRegistry({
    providers: [provider],
    database,
    bus,
    clock,
    log,
    capture: {
      makeNative: ({ id, input }) => new DeviceCapture({ ...common(id), input }),
      makeTranscode: ({ id, source, codec }) =>
        new Transcode({ ...common(id), input: source, settings: { codec } }),
    },
  });
  await cameras.start();
  let watchedAt: number | undefined;
  const watcher = watch(devDir, () => {
    watchedAt ??= performance.now();
  });
  const node = join(devDir, "video10");
  const told: number[] = [];
  const watched: number[] = [];
  for (let round = -3; round < rounds; round++) {
    watchedAt = undefined;
    const heard = next(bus);
    const before = performance.now();
    writeFileSync(node, "");
    await heard;
    const took = performance.now() - before;
    const at = await until("the event", () => watchedAt);
    const left = next(bus);
    rmSync(node);
    await left;
    if (round < 0) continue;
    told.push(took);
    watched.push(at - before);
  }
  watcher.close();
  await cameras.close();
  await queries.close();
  database.close();
  clock.close();
  rmSync(devDir, { recursive: true });
  return { told, watched };
}

/** The next change of a camera. */
function next(bus: EventBus): Promise<void> {
  return new Promise((resolve) => {
    const stop = bus.on("camera.status", () => {
      stop();
      resolve();
    });
  });
}
