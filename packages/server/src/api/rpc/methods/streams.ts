/** Live pictures: where they are, and keeping a camera running for those to come. */
import { isoOf } from "@ocelli/protocol/camera-service";
import type { Camera } from "../../../cameras/contract.ts";
import { cameraLane } from "../lanes.ts";
import type { RpcServices } from "../services.ts";
import type { Call, MethodImplementation, MethodTable } from "./method.ts";

/** Long enough to open the link, too short to be worth passing on. */
const linkLifetimeS = 300;

function traffic(camera: Camera) {
  if (camera.view().status !== "CONNECTED") return undefined;
  try {
    return camera.native().stats();
  } catch {
    return undefined;
  }
}

function urlOf(camera: Camera, { session }: Call, { links }: RpcServices): string {
  return `${session.origin ?? ""}${links.sign(`/live/${camera.id}/mjpeg`, linkLifetimeS)}`;
}

const getStreams: MethodImplementation<"get_streams"> = {
  run: (_params, _call, { cameras, views }) =>
    cameras.list().map((camera) => {
      const stats = traffic(camera);
      return {
        name: camera.id,
        source: camera.view().node ?? camera.id,
        ready: stats?.state === "live",
        readers: views.viewersOf(camera.id),
        bytes_sent: views.totalsOf(camera.id).bytesSent,
      };
    }),
};

const startStreaming: MethodImplementation<"start_streaming"> = {
  lane: ({ device }, { cameras }) => cameraLane(cameras.find(device).id),
  async run({ device }, call, services) {
    const camera = services.cameras.find(device);
    const startedAtUs = await services.heldStreams.start(camera.id, call.signal);
    return {
      device,
      stream_name: camera.id,
      stream_url: urlOf(camera, call, services),
      status: "STARTED",
      start_time: isoOf(startedAtUs),
      auto_close_after: `${services.heldStreams.holdMs / 1000}s`,
      // The hub's own business; it may hold the password of a network camera.
      ffmpeg_command: "",
    };
  },
};

const stopStreaming: MethodImplementation<"stop_streaming"> = {
  lane: ({ device }, { cameras }) => cameraLane(cameras.find(device).id),
  run({ device }, _call, { cameras, clock, heldStreams }) {
    const camera = cameras.find(device);
    const startedAtUs = heldStreams.stop(camera.id);
    const nowUs = clock.wallUs();
    const continues = (traffic(camera)?.leases.length ?? 0) > 0;
    return {
      device,
      stream_name: camera.id,
      status: "STOPPED",
      start_time: startedAtUs === undefined ? null : isoOf(startedAtUs),
      end_time: isoOf(nowUs),
      duration: startedAtUs === undefined ? 0 : Math.max(0, nowUs - startedAtUs) / 1e6,
      stream_continues: continues,
      message:
        startedAtUs === undefined
          ? "The stream was not running"
          : continues
            ? "Stream stopped; others still use the camera"
            : "Stream stopped",
    };
  },
};

const getStreamUrl: MethodImplementation<"get_stream_url"> = {
  run({ device }, call, services) {
    const camera = services.cameras.find(device);
    const { status } = camera.view();
    return {
      device,
      stream_name: camera.id,
      stream_url: urlOf(camera, call, services),
      // Whoever opens the address starts the camera.
      available: status === "CONNECTED",
      active_consumers: services.views.viewersOf(camera.id),
      stream_status: status === "CONNECTED" ? "READY" : status === "ERROR" ? "ERROR" : "NOT_READY",
    };
  },
};

const getStreamStatus: MethodImplementation<"get_stream_status"> = {
  run({ device }, _call, { cameras, heldStreams, views }) {
    const camera = cameras.find(device);
    const stats = traffic(camera);
    const ready = stats?.state === "live";
    const startedAtUs = heldStreams.startedAtUs(camera.id);
    const { status } = camera.view();
    const isWanted = (stats?.leases.length ?? 0) > 0;
    const readers = views.viewersOf(camera.id);
    const sent = views.totalsOf(camera.id);
    return {
      device,
      stream_name: camera.id,
      status: status === "ERROR" ? "ERROR" : ready ? "ACTIVE" : isWanted ? "STARTING" : "INACTIVE",
      ready,
      ffmpeg_process: {
        running: stats?.pid !== undefined,
        pid: stats?.pid ?? null,
        uptime: Math.floor(stats?.runningS ?? 0),
      },
      mediamtx_path: { exists: status === "CONNECTED", ready, readers },
      metrics: {
        bytes_sent: sent.bytesSent,
        frames_sent: sent.framesSent,
        bitrate: stats?.bitsPerSecond ?? 0,
        fps: stats?.fps ?? 0,
      },
      start_time: startedAtUs === undefined ? null : isoOf(startedAtUs),
    };
  },
};

export const streamImplementations = {
  get_streams: getStreams,
  start_streaming: startStreaming,
  stop_streaming: stopStreaming,
  get_stream_url: getStreamUrl,
  get_stream_status: getStreamStatus,
} satisfies Partial<MethodTable>;
