/**
 * A camera for tests: real fragments made by ffmpeg, handed out by the test one by one or at their own pace.
 * Its ring is a queue per reader that overflows as the contract says.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { OcelliError } from "@ocelli/protocol";
import type { Camera, Cameras } from "../../cameras/contract.ts";
import type {
  CaptureState,
  CursorItem,
  FragmentSource,
  Lease,
  OpenOptions,
  SourceEvents,
  SourceStats,
} from "../../capture/source.ts";
import type { CameraView } from "../../events/catalogue.ts";
import type { Fragment, InitSegment, VideoCodec } from "../../media/fragment.ts";
import { FragmentParser, makeFragment, type RawFrame } from "../../media/fragment-parser.ts";

const run = promisify(execFile);

export interface Clip {
  readonly frames: readonly RawFrame[];
  readonly lengthUs: number;
  readonly frameUs: number;
  readonly codec: VideoCodec;
}

/** Two seconds of a test pattern, a keyframe every half second, written the way the capture writes it. */
export async function makeClip(
  codec: "h264" | "mjpeg" | "hevc",
  options: { readonly size?: string; readonly fps?: number; readonly seconds?: number } = {},
): Promise<Clip> {
  const { size = "320x240", fps = 30, seconds = 2 } = options;
  const gop = ["-g", String(fps / 2)];
  const encoders = {
    h264: ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", ...gop],
    hevc: [
      "-c:v",
      "libx265",
      "-preset",
      "ultrafast",
      "-pix_fmt",
      "yuv420p",
      "-x265-params",
      "log-level=none",
      ...gop,
    ],
    mjpeg: ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "5"],
  };
  const { stdout } = await run(
    "ffmpeg",
    [
      ...["-v", "error", "-f", "lavfi", "-i", `testsrc=size=${size}:rate=${fps}:duration=${seconds}`],
      ...encoders[codec],
      ...["-f", "mp4", "-video_track_timescale", "1000000", "-write_prft", "pts"],
      ...["-movflags", "+frag_every_frame+empty_moov+default_base_moof+skip_trailer", "pipe:1"],
    ],
    { encoding: "buffer", maxBuffer: 64 * 1024 * 1024 },
  );
  const frames = new FragmentParser().push(stdout);
  return { frames, lengthUs: seconds * 1e6, frameUs: 1e6 / fps, codec };
}

interface Reader {
  readonly queue: CursorItem[];
  wake: (() => void) | undefined;
  closed: boolean;
  failure: Error | undefined;
}

export class FakeSource implements FragmentSource {
  readonly id: string;
  readonly timeSource = "kernel" as const;
  readonly codec: VideoCodec;
  state: CaptureState = "live";
  readonly holders: string[] = [];
  readonly #clip: Clip;
  readonly #ringFragments: number;
  readonly #readers = new Set<Reader>();
  readonly #stateListeners = new Set<SourceEvents["state"]>();
  #gop: Fragment[] = [];
  #sequence = 0;
  #baseUs = 5_000_000_000;
  #nextGap = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(id: string, clip: Clip, ringFragments = 60) {
    this.id = id;
    this.codec = clip.codec;
    this.#clip = clip;
    this.#ringFragments = ringFragments;
  }

  get init(): InitSegment | undefined {
    return this.#clip.frames[0]?.init;
  }

  get frameIntervalUs(): number {
    return this.#clip.frameUs;
  }

  /** Gives the next frame to all readers. Times go on from turn to turn of the clip. */
  push(): Fragment {
    const { frames, lengthUs } = this.#clip;
    const raw = frames[this.#sequence % frames.length];
    if (raw === undefined) throw new Error("the clip is empty");
    const offsetUs = this.#baseUs + Math.floor(this.#sequence / frames.length) * lengthUs;
    const bytes = Buffer.from(raw.bytes);
    const sampleAt = raw.sample.byteOffset - raw.bytes.byteOffset;
    const sample = bytes.subarray(sampleAt, sampleAt + raw.sample.length);
    const fragment = makeFragment(
      { ...raw, bytes, sample },
      {
        offsetUs,
        sequence: this.#sequence,
        capturedAtUs: Date.now() * 1000,
        receivedAtMonoUs: Number(process.hrtime.bigint() / 1000n),
        discontinuity: this.#nextGap,
      },
    );
    this.#nextGap = false;
    this.#sequence += 1;
    if (fragment.keyframe) this.#gop = [];
    this.#gop.push(fragment);
    for (const reader of this.#readers) this.#give(reader, fragment);
    return fragment;
  }

  /** As after a restart: the clip begins anew, `us` later. */
  gap(us: number): void {
    const { frames } = this.#clip;
    this.#baseUs += us;
    this.#sequence = Math.ceil(this.#sequence / frames.length) * frames.length;
    this.#nextGap = true;
  }

  /** Pushes frames at their own pace until closed. */
  play(): void {
    const startedAt = performance.now();
    let pushed = 0;
    this.#timer ??= setInterval(() => {
      while (pushed * this.#clip.frameUs < (performance.now() - startedAt) * 1000) {
        this.push();
        pushed += 1;
      }
    }, 5);
  }

  setState(to: CaptureState, reason?: string): void {
    const from = this.state;
    this.state = to;
    for (const listener of this.#stateListeners) {
      listener({ from, to, ...(reason === undefined ? {} : { reason }) });
    }
  }

  open(options: OpenOptions): Promise<Lease> {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason as Error);
    const reader: Reader = { queue: [], wake: undefined, closed: false, failure: undefined };
    if (options.from !== "next")
      for (const fragment of this.#gop) reader.queue.push({ kind: "fragment", fragment });
    this.#readers.add(reader);
    this.holders.push(options.holder);
    const close = (): void => {
      reader.closed = true;
      reader.wake?.();
      if (this.#readers.delete(reader)) this.holders.splice(this.holders.indexOf(options.holder), 1);
    };
    return Promise.resolve({
      mode: { format: "TEST", width: 320, height: 240, fps: 30 },
      cursor: {
        next: (signal) => nextOf(reader, signal),
        lag: () => ({ fragments: reader.queue.length, bytes: 0 }),
        close,
      },
      close,
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    });
  }

  newestGop(): readonly Fragment[] {
    return this.#gop;
  }

  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): () => void {
    if (event !== "state") return () => {};
    const stateListener = listener as SourceEvents["state"];
    this.#stateListeners.add(stateListener);
    return () => this.#stateListeners.delete(stateListener);
  }

  stats(): SourceStats {
    return {
      state: this.state,
      mode: undefined,
      leases: this.holders,
      pid: undefined,
      framesTotal: this.#sequence,
      bytesTotal: 0,
      restarts: 0,
      fps: 30,
      ring: { fragments: this.#gop.length, bytes: 0, seconds: 0 },
      lastError: undefined,
    };
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    for (const reader of this.#readers) {
      reader.closed = true;
      reader.wake?.();
    }
    return Promise.resolve();
  }

  #give(reader: Reader, fragment: Fragment): void {
    reader.queue.push({ kind: "fragment", fragment });
    if (reader.queue.length > this.#ringFragments) {
      let frames = 0;
      for (const item of reader.queue) frames += item.kind === "lost" ? item.frames : 1;
      reader.queue.length = 0;
      reader.queue.push({ kind: "lost", frames: frames - this.#gop.length });
      for (const kept of this.#gop) reader.queue.push({ kind: "fragment", fragment: kept });
    }
    reader.wake?.();
  }
}

async function nextOf(reader: Reader, signal: AbortSignal | undefined): Promise<CursorItem | undefined> {
  for (;;) {
    signal?.throwIfAborted();
    const item = reader.queue.shift();
    if (item !== undefined) return item;
    if (reader.closed) return undefined;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      reader.wake = wake;
      signal?.addEventListener("abort", wake, { once: true });
    });
  }
}

export interface FakeCameraSources {
  readonly native: FakeSource;
  readonly h264?: FakeSource;
  readonly mjpeg?: FakeSource;
}

export class FakeCamera implements Camera {
  readonly id: string;
  readonly settings = { recordCodec: "copy" } as const;
  readonly capabilities = undefined;
  readonly #sources: FakeCameraSources;
  readonly #name: string;

  constructor(id: string, sources: FakeCameraSources, name = "Test camera") {
    this.id = id;
    this.#sources = sources;
    this.#name = name;
  }

  native(): FakeSource {
    return this.#sources.native;
  }

  h264(): FakeSource {
    return this.#sources.h264 ?? this.#sources.native;
  }

  mjpeg(): FakeSource {
    return this.#sources.mjpeg ?? this.#sources.native;
  }

  view(): CameraView {
    return {
      id: this.id,
      number: Number(this.id.slice("camera".length)),
      kind: "virtual",
      name: this.#name,
      node: undefined,
      status: "CONNECTED",
      reason: undefined,
      reasonCode: undefined,
      mode: { format: "H264", width: 320, height: 240, fps: 30 },
      formats: ["H264"],
      resolutions: ["320x240"],
      fpsOptions: [30],
      driver: undefined,
      busPath: "virtual:0",
      serial: undefined,
      captureState: "live",
      connectedAtUs: 0,
      disconnectedAtUs: undefined,
      lastSeenUs: 0,
    };
  }
}

export class FakeCameras implements Cameras {
  readonly #cameras: readonly FakeCamera[];

  constructor(cameras: readonly FakeCamera[]) {
    this.#cameras = cameras;
  }

  list(): readonly FakeCamera[] {
    return this.#cameras;
  }

  find(name: string): FakeCamera {
    const id = name.replace(/^(?:\/dev\/)?video(\d+)$/, "camera$1");
    const found = this.#cameras.find((camera) => camera.id === id);
    if (found === undefined) {
      throw new OcelliError(
        "camera_not_found",
        `There is no camera ${name}; get_camera_list names those there are`,
      );
    }
    return found;
  }
}
