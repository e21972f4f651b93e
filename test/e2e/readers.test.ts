import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { ffprobe, videoOf } from "../harness/ffprobe.ts";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";
import type { Rpc } from "../harness/rpc.ts";

// One MJPEG camera, many readers at once: a recorder, fast viewers, viewers that stop reading, and a client that
// asks and never listens. Nobody may cost another a frame, or the hub its memory.

const fps = 25;
const intervalUs = 1_000_000 / fps;
const fastViewers = 20;
const ringSeconds = 2;
/** What buffers of both kernels and the hub's own window may swallow before a viewer that does not read lags at all. */
const stalledBytes = 7 * 2 ** 20;
const requests = 20_000;
const headers = { "x-api-key": adminKey };

interface Notice {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A viewer on the wire, with a box reader of the tests' own. */
class Viewer {
  readonly socket: WebSocket;
  readonly notices: Notice[] = [];
  /** Media times of the frames received, microseconds. */
  readonly times: number[] = [];
  readonly keyframesAfter: boolean[] = [];
  bytes = 0;
  closeCode: number | undefined;
  #timescale = 0;
  #fresh = false;

  constructor(hub: RunningHub) {
    this.socket = new WebSocket(`ws://127.0.0.1:${hub.port}/live/camera100/mse`, { headers });
    this.socket.on("message", (data, isBinary) => this.#take(data as Buffer, isBinary));
    this.socket.on("close", (code) => {
      this.closeCode = code;
    });
    this.socket.on("error", () => undefined);
  }

  noticesOf(type: string): Notice[] {
    return this.notices.filter((notice) => notice.type === type);
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (!isBinary) {
      const notice = JSON.parse(data.toString("utf8")) as Notice;
      this.notices.push(notice);
      if (notice.type === "lost" || notice.type === "gap") this.#fresh = true;
      return;
    }
    this.bytes += data.length;
    // By its place: pictures hold any four letters sooner or later.
    if (data.toString("latin1", 4, 8) !== "moof") {
      const mdhd = data.indexOf("mdhd");
      this.#timescale = data.readUInt32BE(mdhd + (data[mdhd + 4] === 1 ? 24 : 16));
      this.#fresh = true;
      return;
    }
    const tfdt = data.indexOf("tfdt");
    const ticks = data[tfdt + 4] === 1 ? Number(data.readBigUInt64BE(tfdt + 8)) : data.readUInt32BE(tfdt + 8);
    this.times.push(Math.round((ticks / this.#timescale) * 1e6));
    if (this.#fresh) this.keyframesAfter.push(hasKeyframe(data));
    this.#fresh = false;
  }
}

/** Whether the only sample of this fragment is an IDR picture, by its NAL units. */
function hasKeyframe(fragment: Buffer): boolean {
  const mdat = fragment.indexOf("mdat");
  const end = mdat - 4 + fragment.readUInt32BE(mdat - 4);
  for (let at = mdat + 4; at + 5 <= end; at += 4 + fragment.readUInt32BE(at)) {
    if (((fragment[at + 4] ?? 0) & 0x1f) === 5) return true;
  }
  return false;
}

/** Frames that ought to lie between neighbours and do not. */
function holes(times: readonly number[]): number[] {
  return times.flatMap((time, index) => {
    const step = time - (times[index - 1] ?? time - intervalUs);
    return Math.abs(step - intervalUs) <= intervalUs / 2 ? [] : [step];
  });
}

function residentMegabytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) / 1024;
}

function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

describe("many readers of one MJPEG camera", () => {
  let hub: RunningHub;
  let rpc: Rpc;
  let recording: string;
  let peakMegabytes = 0;
  let measuring: NodeJS.Timeout;
  let baseMegabytes = 0;
  let baseSockets = 0;
  const fast: Viewer[] = [];
  const late: Viewer[] = [];
  const deaf: Viewer[] = [];
  const deafPictures: IncomingMessage[] = [];
  let deafClient: WebSocket;

  beforeAll(async () => {
    hub = await startHub({
      env: {
        ...virtualCameras({ codec: "mjpeg", size: "640x480", fps }),
        OCELLI_CAPTURE_RING_SECONDS: String(ringSeconds),
      },
    });
    rpc = await hub.rpc();
    const started = await rpc.call<{ filename: string }>("start_recording", { device: "camera100" });
    recording = started.filename;
    for (let count = 0; count < fastViewers; count++) fast.push(new Viewer(hub));
    await until("pictures at every fast viewer", () => fast.every((viewer) => viewer.times.length > fps));
    baseMegabytes = residentMegabytes(hub.pid);
    baseSockets = socketsOf(hub.pid);
    measuring = setInterval(() => {
      peakMegabytes = Math.max(peakMegabytes, residentMegabytes(hub.pid));
    }, 200);
  });
  afterAll(async () => {
    clearInterval(measuring);
    for (const { socket } of [...fast, ...late, ...deaf]) socket.terminate();
    for (const response of deafPictures) response.destroy();
    deafClient?.terminate();
    await rpc?.close();
    await hub?.stop();
  });

  const bytesOfFast = (): number => Math.min(...fast.map((viewer) => viewer.bytes));

  it("goes on when others stop reading, and tells those who read again what they lost", async () => {
    for (const group of [late, deaf]) {
      const viewers = [new Viewer(hub), new Viewer(hub)];
      group.push(...viewers);
      await Promise.all(viewers.map(({ socket }) => once(socket, "open")));
      for (const { socket } of viewers) socket.pause();
    }
    for (let count = 0; count < 3; count++) {
      const [response] = (await once(get(`${hub.url}/live/camera100/mjpeg`, { headers }), "response")) as [
        IncomingMessage,
      ];
      response.on("error", () => undefined);
      deafPictures.push(response.pause());
    }
    deafClient = new WebSocket(`ws://127.0.0.1:${hub.port}/ws`, { headers });
    await once(deafClient, "open");
    deafClient.pause();
    for (let id = 1; id <= requests; id++)
      deafClient.send(JSON.stringify({ jsonrpc: "2.0", id, method: "get_camera_list" }));

    const from = bytesOfFast();
    await until("enough for the late ones to fall off", () => bytesOfFast() - from > stalledBytes, 60_000);
    for (const { socket } of late) socket.resume();
    await until("the news of the loss", () => late.every((viewer) => viewer.noticesOf("lost").length > 0));
    const seen = late.map((viewer) => viewer.times.length);
    await until("pictures after it", () =>
      late.every((viewer, index) => viewer.times.length > (seen[index] ?? 0) + fps),
    );
    for (const viewer of late) {
      const lost = viewer.noticesOf("lost").reduce((sum, { frames }) => sum + Number(frames), 0);
      const missing = holes(viewer.times).reduce((sum, step) => sum + Math.round(step / intervalUs) - 1, 0);
      expect(viewer.keyframesAfter.every(Boolean), "a keyframe after each loss").toBe(true);
      expect(lost).toBe(missing);
      expect(viewer.closeCode).toBeUndefined();
    }
  }, 90_000);

  it("answers every request of the client that did not listen, once it does", async () => {
    const ids: number[] = [];
    deafClient.on("message", (data) => {
      const { id } = JSON.parse(String(data));
      if (id !== undefined) ids.push(id);
    });
    deafClient.resume();
    await until("all answers", () => ids.length === requests);
    expect(new Set(ids).size).toBe(requests);
    deafClient.close();
  });

  it("lets go of those who never read", async () => {
    expect(socketsOf(hub.pid)).toBeGreaterThan(baseSockets + late.length);
    const isGone = () => socketsOf(hub.pid) <= baseSockets + late.length;
    await until("the end of their connections", isGone, 60_000);
    for (const { socket } of deaf) socket.resume();
    await until("their end", () => deaf.every((viewer) => viewer.closeCode !== undefined));
    for (const viewer of deaf) {
      expect([1006, 1013]).toContain(viewer.closeCode);
      expect(viewer.bytes).toBeLessThan(stalledBytes);
    }
  });

  it("lost nothing for the fast ones, nothing in the recording, and kept its memory", async () => {
    await rpc.call("stop_recording", { device: "camera100" });
    for (const { socket } of fast) socket.close();
    clearInterval(measuring);
    expect(peakMegabytes).toBeLessThan(baseMegabytes + 96);

    const sidecar = JSON.parse(readFileSync(`${hub.file("recordings", recording)}.json`, "utf8"));
    expect(sidecar).toMatchObject({ state: "complete", droppedFrames: 0, gaps: [] });
    const probed = videoOf(await ffprobe(hub.file("recordings", recording)));
    expect(probed).toMatchObject({ codec_name: "mjpeg", nb_read_frames: sidecar.frames });

    for (const viewer of fast) {
      expect(viewer.noticesOf("lost").concat(viewer.noticesOf("gap"))).toEqual([]);
      expect(holes(viewer.times)).toEqual([]);
      expect(viewer.times.length).toBeGreaterThan(sidecar.frames * 0.8);
    }
  });
});
