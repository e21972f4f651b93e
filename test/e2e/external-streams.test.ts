import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ffprobe, videoOf } from "../harness/ffprobe.ts";
import { type RunningHub, startHub, until } from "../harness/hub.ts";
import { type NetworkCameras, startNetworkCameras } from "../harness/network-cameras.ts";
import type { Rpc } from "../harness/rpc.ts";

// Streams added to a running hub: RTSP by GStreamer, MJPEG over HTTP. One hub, restarted on the same data folder.

interface Listed {
  readonly external_streams: {
    url: string;
    name: string;
    status: string;
    camera_id: string;
    capabilities: Record<string, unknown>;
  }[];
  readonly total_count: number;
}

let network: NetworkCameras;
let folder: string;
let hub: RunningHub;
let rpc: Rpc;
const outputs: string[][] = [];

async function start(): Promise<void> {
  const config = join(folder, "ocelli.yaml");
  writeFileSync(
    config,
    JSON.stringify({
      cameras: [{ url: `${network.rtsp}/hevc`, name: "configured", number: 100 }],
      devices: { v4l2: false },
      virtualCamera: "never",
    }),
  );
  hub = await startHub({
    dataDir: join(folder, "data"),
    args: ["--config", config],
    env: { OCELLI_CAPTURE_LINGER_SECONDS: "0", OCELLI_LOG_LEVEL: "debug" },
  });
  outputs.push(hub.output);
  rpc = await hub.rpc();
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-external-"));
  spawnSync("mkdir", [join(folder, "data")]);
  network = await startNetworkCameras();
  await start();
});
afterAll(async () => {
  await rpc?.close();
  await hub?.stop();
  await network?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const locked = () => `rtsp://admin:s3cret@${network.lockedHost}/h264`;
const shown = () => `rtsp://${network.lockedHost}/h264`;
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a stream that is added", () => {
  it("is looked at first, and refused with the reason when it gives nothing", async () => {
    await expect(rpc.call("add_external_stream", { stream_url: `${network.rtsp}/none` })).rejects.toThrow(
      /no such stream/,
    );
    await expect(rpc.call("add_external_stream", { stream_url: shown() })).rejects.toThrow(/login/);
    await expect(rpc.call("add_external_stream", { stream_url: "rtsp://127.0.0.1:1/x" })).rejects.toThrow(
      /refuses the connection/,
    );
    expect(await rpc.call("get_external_streams")).toMatchObject({ external_streams: [], total_count: 0 });
  });

  it.each(["file:///etc/passwd", "concat:a|b", "/etc/passwd", "udp://239.0.0.1:1", "rtsp://", "data:,x"])(
    "is not %s",
    async (stream_url) => {
      await expect(rpc.call("add_external_stream", { stream_url })).rejects.toMatchObject({ code: -32602 });
    },
  );

  it("becomes a camera, and is the same one when it is added again", async () => {
    await rpc.call("subscribe_events", {
      topics: ["stream.added", "camera.added", "camera_status_update", "recording_status_update"],
    });
    const added = await rpc.call("add_external_stream", { stream_url: locked(), stream_name: "Door" });
    expect(added).toMatchObject({
      stream_url: shown(),
      stream_name: "Door",
      stream_type: "generic_rtsp",
      status: "ADDED",
      camera_id: "camera101",
      already_added: false,
      camera_status: "CONNECTED",
      capabilities: { codec: "h264", resolution: "320x240", fps: 15 },
    });
    await rpc.waitFor("stream.added", (params) => params.camera_id === "camera101");
    await rpc.waitFor("camera.added", (params) => params.camera_id === "camera101");
    const { cameras } = await rpc.call<{ cameras: { camera_id: string }[] }>("get_camera_list");
    expect(cameras.find(({ camera_id }) => camera_id === "camera101")).toMatchObject({
      ...{ status: "CONNECTED", resolution: "320x240", fps: 15, formats: ["H264"] },
    });
    const again = await rpc.call("add_external_stream", { stream_url: locked() });
    expect(again).toMatchObject({ stream_name: "Door", camera_id: "camera101", already_added: true });
    const configured = await rpc.call("add_external_stream", { stream_url: `${network.rtsp}/hevc` });
    expect(configured).toMatchObject({ camera_id: "camera100", already_added: true });
    const list = await rpc.call<Listed>("get_external_streams");
    expect(list.external_streams).toMatchObject([{ url: shown(), name: "Door", status: "DISCOVERED" }]);
  });

  it("over HTTP is one as well", async () => {
    const added = await rpc.call("add_external_stream", [`${network.http}/mjpeg`, "Yard"]);
    expect(added).toMatchObject({ camera_id: "camera102", capabilities: { codec: "mjpeg" } });
  });

  it("of H.264 in MPEG-TS, as drones send it, is one too", async () => {
    const stream_url = `${network.rtsp}/subject`;
    const added = await rpc.call("add_external_stream", { stream_url, stream_type: "skydio_stanag4609" });
    expect(added).toMatchObject({ camera_id: "camera103", capabilities: { codec: "h264" } });
    const { skydio_streams } = await rpc.call<{ skydio_streams: { url: string }[] }>("get_external_streams");
    expect(skydio_streams.map(({ url }) => url)).toEqual([stream_url]);
    const taken = await rpc.call<{ filename: string }>("take_snapshot", { device: "camera103" });
    expect(videoOf(await ffprobe(hub.file("snapshots", taken.filename)))).toMatchObject({ width: 320 });
    await rpc.call("remove_external_stream", { stream_url });
  });

  it("is photographed and recorded, and not taken away meanwhile", async () => {
    const taken = await rpc.call<{ filename: string }>("take_snapshot", { device: "camera101" });
    expect(videoOf(await ffprobe(hub.file("snapshots", taken.filename)))).toMatchObject({ width: 320 });
    const started = await rpc.call<{ filename: string }>("start_recording", { device: "camera101" });
    const refused = await refusal(rpc.call("remove_external_stream", { stream_url: shown() }));
    expect(refused).toMatchObject({ code: -32020, data: { code: "already_recording" } });
    await rpc.call("stop_recording", { device: "camera101" });
    expect(videoOf(await ffprobe(hub.file("recordings", started.filename)))).toMatchObject({
      codec_name: "h264",
    });
  });

  it("is there after a restart, once it has answered, under its number, and recorded if it is to be", async () => {
    await rpc.call("set_camera_settings", { device: "camera101", continuous_recording: true });
    await rpc.close();
    await hub.stop();
    await start();
    await until("connected", async () => {
      const { external_streams } = await rpc.call<Listed>("get_external_streams");
      return external_streams.length === 2 && external_streams.every(({ status }) => status === "DISCOVERED");
    });
    const { external_streams } = await rpc.call<Listed>("get_external_streams");
    expect(external_streams.map(({ name, camera_id }) => [name, camera_id])).toEqual([
      ["Door", "camera101"],
      ["Yard", "camera102"],
    ]);
    await until("the recording goes on", async () =>
      rpc.call<object | null>("get_recording_status", { device: "camera101" }).then((r) => r !== null),
    );
    const taken = await rpc.call<{ filename: string }>("take_snapshot", { device: "camera101" });
    expect(videoOf(await ffprobe(hub.file("snapshots", taken.filename)))).toMatchObject({ width: 320 });
  });

  it("is removed, with force while it is recorded, and gets its number back", async () => {
    const running = await rpc.call<{ filename: string }>("get_recording_status", { device: "camera101" });
    await until("there is a picture in it", () => {
      const { size } = statSync(hub.file("recordings", running.filename), { throwIfNoEntry: false }) ?? {
        size: 0,
      };
      return size > 5000;
    });
    await expect(rpc.call("remove_external_stream", { stream_url: shown() })).rejects.toThrow(/force/);
    await rpc.call("subscribe_events", { topics: ["stream.removed"] });
    const removed = await rpc.call("remove_external_stream", { stream_url: locked(), force: true });
    expect(removed).toMatchObject({ stream_url: shown(), status: "REMOVED", camera_id: "camera101" });
    await rpc.waitFor("stream.removed", (params) => params.camera_id === "camera101");
    expect(videoOf(await ffprobe(hub.file("recordings", running.filename)))).toMatchObject({
      codec_name: "h264",
    });
    const cameras = await rpc.call<{ cameras: { camera_id: string }[] }>("get_camera_list");
    expect(cameras.cameras.map((camera) => camera.camera_id)).toEqual(["camera100", "camera102"]);
    await expect(rpc.call("remove_external_stream", { stream_url: shown() })).rejects.toMatchObject({
      code: -32010,
      data: { resource: "stream" },
    });
    await expect(rpc.call("remove_external_stream", { stream_url: `${network.rtsp}/hevc` })).rejects.toThrow(
      /configuration/,
    );
    const again = await rpc.call("add_external_stream", { stream_url: locked() });
    expect(again).toMatchObject({ camera_id: "camera101", already_added: false });
    await until("no ffmpeg is left", () => hub.ffmpegs().length === 0);
  });
});

it("searches nothing as long as the configuration does not say so", async () => {
  for (const [method, params] of [
    ["discover_external_streams", {}],
    ["set_discovery_interval", { scan_interval: 60 }],
  ] as const) {
    await expect(rpc.call(method, params)).rejects.toMatchObject({
      code: -32030,
      data: { reason: "feature_disabled" },
    });
  }
});

it("never shows a password", async () => {
  const answers = await Promise.all(
    ["get_camera_list", "get_external_streams", "get_event_history", "get_streams"].map((m) => rpc.call(m)),
  );
  const bad = await refusal(rpc.call("add_external_stream", { stream_url: `rtsp://a:s3cret@127.0.0.1:1/x` }));
  const text = JSON.stringify([answers, rpc.notifications, outputs, String(bad), bad]);
  expect(text).toContain("camera101");
  expect(text).not.toContain("s3cret");
});
