// When the pictures of network cameras were taken, as the hub says and as is drawn in them.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { firstDrawnMs } from "../harness/drawn-cameras.ts";
import { type HttpCamera, type HttpCameras, startHttpCameras } from "../harness/http-cameras.ts";
import { type RunningHub, startHub } from "../harness/hub.ts";
import { type RtspCamera, type RtspCameras, startDifferentRtspCameras } from "../harness/rtsp-cameras.ts";
import { first, over, readRecording, type SessionObject } from "../harness/sync.ts";

// So slow that what a frame is late by, where the machine has other work, is little beside an interval.
const camera = { width: 320, height: 240, fps: 5 };
const intervalMs = 1000 / camera.fps;

interface Kind<T> {
  readonly what: string;
  readonly camera: T;
  readonly transport?: "udp";
  /** Frame intervals that its times are late by. Default 0. */
  readonly late?: number;
}

const rtsp: readonly Kind<RtspCamera>[] = [
  { what: "RTSP", camera },
  { what: "RTSP over UDP", camera, transport: "udp" },
  { what: "RTSP with AUDs", camera: { ...camera, encoding: "h264 with AUDs" } },
  { what: "RTSP with B-frames", camera: { ...camera, encoding: "h264 with B-frames" } },
  { what: "RTSP of HEVC", camera: { ...camera, encoding: "hevc" } },
  { what: "RTSP of MJPEG", camera: { ...camera, encoding: "mjpeg" } },
  // Sound may push a frame out of the muxer, so that one is not counted.
  { what: "RTSP with sound", camera: { ...camera, audio: true }, late: 1 },
  // Whether packets tell where they end is not known of it.
  { what: "RTSP of MPEG-TS", camera: { ...camera, mpegTs: true }, late: 1 },
];

const contentType = "video/mp2t";
const http: readonly Kind<HttpCamera>[] = [
  { what: "MPEG-TS", camera: { ...camera, encoding: "h264", format: ["-f", "mpegts"], contentType } },
  { what: "MPEG-TS of HEVC", camera: { ...camera, encoding: "hevc", format: ["-f", "mpegts"], contentType } },
  {
    what: "MPEG-TS that tells lengths",
    camera: {
      ...{ ...camera, encoding: "h264", contentType },
      format: ["-omit_video_pes_length", "0", "-f", "mpegts"],
    },
  },
  {
    what: "FLV",
    camera: { ...camera, encoding: "h264", format: ["-f", "flv"], contentType: "video/x-flv" },
  },
  {
    what: "MJPEG",
    camera: {
      ...{ ...camera, encoding: "mjpeg", format: ["-f", "mpjpeg"] },
      contentType: "multipart/x-mixed-replace; boundary=ffmpeg",
    },
  },
];
const kinds = [...rtsp, ...http];

let folder: string;
let rtspCameras: RtspCameras;
let httpCameras: HttpCameras;
let hub: RunningHub;
const found = new Map<string, { readonly drawnMs: number; readonly toldMs: number }>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-times-"));
  rtspCameras = await startDifferentRtspCameras(rtsp.map((kind) => kind.camera));
  httpCameras = await startHttpCameras(http.map((kind) => kind.camera));
  const urls = [...rtspCameras.urls, ...httpCameras.urls];
  const cameras = kinds.map(({ transport = "tcp" }, index) => ({
    ...{ url: urls[index], number: 100 + index, transport },
  }));
  const config = join(folder, "hub.yaml");
  writeFileSync(config, JSON.stringify({ virtualCamera: "never", cameras }));
  hub = await startHub({ env: { OCELLI_CONFIG: config } });
  await using rpc = await hub.rpc();
  await rpc.call("create_sync_group", {
    name: "lab",
    members: cameras.map(({ number }) => `camera${number}`),
  });
  const { session_id, start_at_us } = await rpc.call<SessionObject>("start_sync_recording", {
    ...{ group: "lab", delay: 14, duration: 2 },
  });
  const { members } = await over(rpc, session_id);
  for (const [index, { what }] of kinds.entries()) {
    const file = hub.file("recordings", first(members[index]?.files));
    const drawnMs = await firstDrawnMs(file, "mp4", camera, start_at_us / 1000);
    found.set(what, { drawnMs, toldMs: (first((await readRecording(file)).times) - start_at_us) / 1000 });
  }
}, 120_000);

afterAll(async () => {
  await hub?.stop();
  await rtspCameras?.[Symbol.asyncDispose]();
  await httpCameras?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

// ffmpeg keeps back frames of most: were they not counted, pictures would be dated an interval or two late.
it.each(kinds)("begins with the picture that was taken at the instant: $what", ({ what, late = 0 }) => {
  const { drawnMs = Number.NaN, toldMs = Number.NaN } = found.get(what) ?? {};
  expect(toldMs - drawnMs).toBeGreaterThan(-1);
  expect(toldMs - drawnMs).toBeLessThan((late + 0.75) * intervalMs);
  expect(drawnMs).toBeGreaterThan(-(late + 0.75) * intervalMs);
  expect(drawnMs).toBeLessThan(1.5 * intervalMs);
});
