import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ffprobe, packetTimes, videoOf } from "../harness/ffprobe.ts";
import { type RunningHub, startHub } from "../harness/hub.ts";
import { type NetworkCameras, startNetworkCameras } from "../harness/network-cameras.ts";
import type { Rpc } from "../harness/rpc.ts";

// RTSP (GStreamer's server), MJPEG over HTTP and looped files, captured, photographed and recorded.

const cases = [
  {
    number: 100,
    name: "h264 over tcp",
    codec: "h264",
    url: (n: NetworkCameras) => `${n.rtsp}/h264`,
    transport: "tcp",
  },
  {
    number: 101,
    name: "h264 over udp",
    codec: "h264",
    url: (n: NetworkCameras) => `${n.rtsp}/h264`,
    transport: "udp",
  },
  {
    number: 102,
    name: "h264 with B-frames",
    codec: "h264",
    url: (n: NetworkCameras) => `${n.rtsp}/h264-b`,
    transport: "tcp",
  },
  {
    number: 103,
    name: "h264 with audio",
    codec: "h264",
    url: (n: NetworkCameras) => `${n.rtsp}/h264-audio`,
    transport: "tcp",
    audio: true,
  },
  {
    number: 104,
    name: "hevc",
    codec: "hevc",
    url: (n: NetworkCameras) => `${n.rtsp}/hevc`,
    transport: "tcp",
  },
  {
    number: 108,
    name: "hevc over udp",
    codec: "hevc",
    url: (n: NetworkCameras) => `${n.rtsp}/hevc`,
    transport: "udp",
  },
  {
    number: 105,
    name: "h264 behind a password",
    codec: "h264",
    url: (n: NetworkCameras) => `rtsp://admin:s3cret@${n.lockedHost}/h264`,
    transport: "tcp",
  },
  {
    number: 106,
    name: "mjpeg over http",
    codec: "mjpeg",
    url: (n: NetworkCameras) => `${n.http}/mjpeg`,
    transport: "tcp",
  },
  {
    number: 107,
    name: "a looped file",
    codec: "h264",
    url: (_: NetworkCameras, folder: string) => `file://${folder}/loop.mp4`,
    transport: "tcp",
  },
] as const;

let network: NetworkCameras;
let hub: RunningHub;
let rpc: Rpc;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-network-"));
  execFileSync("ffmpeg", [
    "-v",
    "error",
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x240:rate=15",
    "-t",
    "1",
    "-c:v",
    "libx264",
    "-bf",
    "2",
    "-g",
    "15",
    join(folder, "loop.mp4"),
  ]);
  network = await startNetworkCameras();
  const cameras = cases.map(({ number, name, url, transport }) => ({
    number,
    name,
    transport,
    url: url(network, folder),
  }));
  const config = join(folder, "ocelli.yaml");
  writeFileSync(config, JSON.stringify({ cameras, devices: { v4l2: false }, virtualCamera: "never" }));
  hub = await startHub({ args: ["--config", config], env: { OCELLI_CAPTURE_LINGER_SECONDS: "0" } });
  rpc = await hub.rpc();
});
afterAll(async () => {
  await rpc?.close();
  await hub?.stop();
  await network?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe.each(cases)("$name", ({ number, codec, ...rest }) => {
  const device = `camera${number}`;

  it("is recorded by stream copy, without a lost frame, with capture times of its own clock", async () => {
    const started = await rpc.call<{ filename: string; recording_id: string }>("start_recording", {
      device,
      duration: 3,
    });
    await rpc.waitFor(
      "recording_status_update",
      (p) => p.recording_id === started.recording_id && p.status !== "STARTED",
      40_000,
    );
    const path = hub.file("recordings", started.filename);
    const probed = await ffprobe(path);
    const sidecar = JSON.parse(readFileSync(`${path}.json`, "utf8"));
    expect(sidecar).toMatchObject({
      state: "complete",
      codec,
      timeSource: "arrival",
      ...(codec === "mjpeg" ? {} : { gaps: [], droppedFrames: 0, fps: 15 }),
    });
    const video = videoOf(probed);
    expect(video).toMatchObject({ codec_name: codec, width: 320, height: 240 });
    expect(video.nb_read_frames).toBe(sidecar.frames);
    expect(probed.format.duration).toBeGreaterThan(2.7);
    expect(probed.format.duration).toBeLessThan(3.4);
    const times = (await packetTimes(path)).sort((a, b) => a - b);
    // MJPEG over HTTP carries no times: only the arrival is known, which a busy machine makes uneven.
    const allowed = codec === "mjpeg" ? Number.POSITIVE_INFINITY : 0.5 / 15;
    for (const [index, time] of times.entries()) {
      if (index > 0) expect(time).toBeGreaterThan(times[index - 1] ?? 0);
      if (index > 0) expect(Math.abs(time - (times[index - 1] ?? 0) - 1 / 15)).toBeLessThan(allowed);
    }
    expect(probed.streams.some((stream) => stream.codec_type === "audio")).toBe("audio" in rest);
  });

  it("gives a snapshot of its own size", async () => {
    const taken = await rpc.call<{ filename: string }>("take_snapshot", { device });
    expect(videoOf(await ffprobe(hub.file("snapshots", taken.filename)))).toMatchObject({
      width: 320,
      height: 240,
    });
  });
});

it("prints no credentials anywhere", async () => {
  const list = JSON.stringify(await rpc.call("get_camera_list"));
  expect(hub.output.join("\n") + list).not.toContain("s3cret");
  const state = spawnSync("grep", ["-rlaF", "s3cret", hub.dataDir], { encoding: "utf8" }).stdout.trim();
  expect(state).toBe("");
});

it("says why a camera that is not there cannot be used", async () => {
  await using broken = await startHub({
    env: {
      OCELLI_DEVICES_V4L2: "false",
      OCELLI_VIRTUAL_CAMERA: "never",
      OCELLI_CAMERAS: JSON.stringify([{ url: "rtsp://admin:s3cret@127.0.0.1:1/none" }]),
      OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "3",
    },
  });
  await using client = await broken.rpc();
  await expect(client.call("take_snapshot", { device: "camera100" })).rejects.toThrow(/refused|start|frame/i);
  const status = await client.call("get_camera_status", { device: "camera100" });
  expect(status.status).toBe("ERROR");
  expect(JSON.stringify(status)).not.toContain("s3cret");
});

it("shows a camera that accepts and never answers as ERROR, with what to check", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const address = silent.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  await using hub = await startHub({
    env: {
      OCELLI_DEVICES_V4L2: "false",
      OCELLI_VIRTUAL_CAMERA: "never",
      OCELLI_CAMERAS: JSON.stringify([{ url: `rtsp://127.0.0.1:${port}/silent` }]),
      OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "2",
    },
  });
  await using client = await hub.rpc();
  await expect(client.call("take_snapshot", { device: "camera100" })).rejects.toThrow(/no frame within 2 s/);
  const status = await client.call("get_camera_status", { device: "camera100" });
  expect(status).toMatchObject({
    status: "ERROR",
    error_message: expect.stringMatching(/address, port, path/),
  });
  silent.close();
});
