// When the pictures of an RTSP camera were taken, as the hub says and as is drawn in them.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { firstDrawnMs } from "../harness/drawn-cameras.ts";
import { type RunningHub, startHub } from "../harness/hub.ts";
import { type RtspCameras, startRtspCameras } from "../harness/rtsp-cameras.ts";
import { first, over, readRecording, type SessionObject } from "../harness/sync.ts";

// So slow that what a frame is late by, where the machine has other work, is little beside an interval.
const camera = { width: 320, height: 240, fps: 5 };
const intervalMs = 1000 / camera.fps;
let folder: string;
let cameras: RtspCameras;
let hub: RunningHub;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-rtsp-"));
  cameras = await startRtspCameras(1, camera);
  const config = join(folder, "hub.yaml");
  writeFileSync(
    config,
    JSON.stringify({ virtualCamera: "never", cameras: [{ url: cameras.urls[0], number: 100 }] }),
  );
  hub = await startHub({ env: { OCELLI_CONFIG: config } });
});

afterAll(async () => {
  await hub?.stop();
  await cameras?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

it("begins with the picture that an RTSP camera took at the instant, not one it took before", async () => {
  await using rpc = await hub.rpc();
  await rpc.call("create_sync_group", { name: "lab", members: ["camera100"] });
  const { session_id, start_at_us } = await rpc.call<SessionObject>("start_sync_recording", {
    group: "lab",
    delay: 6,
    duration: 2,
  });
  const { members } = await over(rpc, session_id);
  const file = hub.file("recordings", first(first(members).files));
  const drawnMs = await firstDrawnMs(file, "mp4", camera, start_at_us / 1000);
  const toldMs = (first((await readRecording(file)).times) - start_at_us) / 1000;
  // ffmpeg keeps back two frames of such a stream: were they not counted, pictures would be dated 400 ms late.
  expect(toldMs - drawnMs).toBeGreaterThan(-1);
  expect(toldMs - drawnMs).toBeLessThan(intervalMs);
  expect(drawnMs).toBeGreaterThan(-intervalMs);
  expect(drawnMs).toBeLessThan(1.5 * intervalMs);
});
