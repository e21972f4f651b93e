/** A camera whose frames a test hands out one by one: a real ring and real cursors, no process. */
import { OcelliError } from "@ocelli/protocol";
import type { Camera, CameraSettings, Cameras } from "../../cameras/contract.ts";
import { RingCursor } from "../../capture/cursor.ts";
import { Ring, type RingOptions } from "../../capture/ring.ts";
import type {
  CaptureGap,
  CaptureMode,
  CaptureState,
  FragmentSource,
  Lease,
  OpenOptions,
  SourceEvents,
  SourceStats,
  TimeSource,
} from "../../capture/source.ts";
import type { CameraView } from "../../events/catalogue.ts";
import type { Fragment, InitSegment, VideoCodec } from "../../media/fragment.ts";

export class FakeSource implements FragmentSource {
  readonly id: string;
  readonly timeSource: TimeSource = "kernel";
  readonly ring: Ring;
  state: CaptureState = "live";
  codec: VideoCodec | undefined;
  init: InitSegment | undefined;
  frameIntervalUs: number | undefined;
  /** Thrown by `open` while set. */
  refusal: OcelliError | undefined;
  readonly mode: CaptureMode;
  readonly leases = new Set<string>();
  readonly #cursors = new Set<RingCursor>();
  readonly #gapListeners = new Set<SourceEvents["gap"]>();

  constructor(id: string, fps: number, ring: RingOptions = {}) {
    this.id = id;
    this.ring = new Ring(ring);
    this.frameIntervalUs = 1e6 / fps;
    this.mode = { format: "MJPG", width: 320, height: 240, fps };
  }

  feed(...fragments: readonly Fragment[]): void {
    for (const fragment of fragments) {
      this.init = fragment.init;
      if (fragment.track.kind === "video") this.codec = fragment.track.codec;
      this.ring.push(fragment);
    }
  }

  /** Fragments that some reader has not taken yet. */
  get lag(): number {
    return Math.max(0, ...[...this.#cursors].map((cursor) => cursor.lag().fragments));
  }

  gap(gap: CaptureGap): void {
    for (const listener of this.#gapListeners) listener(gap);
  }

  async open(options: OpenOptions): Promise<Lease> {
    if (this.refusal !== undefined) throw this.refusal;
    options.signal?.throwIfAborted();
    const cursor = new RingCursor(this.ring, options);
    const { holder } = options;
    this.leases.add(holder);
    this.#cursors.add(cursor);
    const close = (): void => {
      cursor.close();
      this.#cursors.delete(cursor);
      this.leases.delete(holder);
    };
    return { cursor, mode: this.mode, close, [Symbol.asyncDispose]: async () => close() };
  }

  newestGop(): readonly Fragment[] {
    return this.ring.newestGop();
  }

  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): () => void {
    if (event !== "gap") return () => {};
    const gapListener = listener as SourceEvents["gap"];
    this.#gapListeners.add(gapListener);
    return () => this.#gapListeners.delete(gapListener);
  }

  stats(): SourceStats {
    throw new Error("not asked for in these tests");
  }

  async close(): Promise<void> {
    this.ring.close();
  }
}

export class FakeCamera implements Camera {
  readonly id: string;
  readonly capabilities = undefined;
  settings: CameraSettings = { recordCodec: "copy" };
  source: FakeSource;
  h264Source: FakeSource;

  constructor(id: string, fps: number, ring: RingOptions = {}) {
    this.id = id;
    this.source = new FakeSource(id, fps, ring);
    this.h264Source = new FakeSource(`${id}/h264`, fps, ring);
  }

  view(): CameraView {
    return {
      id: this.id,
      number: 0,
      kind: "v4l2",
      name: "Test camera",
      node: "/dev/video0",
      status: "CONNECTED",
      reason: undefined,
      reasonCode: undefined,
      mode: this.source.mode,
      formats: ["MJPG"],
      resolutions: ["320x240"],
      fpsOptions: [30],
      driver: "test",
      busPath: "test:0",
      serial: "S1",
      captureState: this.source.state,
      connectedAtUs: undefined,
      disconnectedAtUs: undefined,
      lastSeenUs: undefined,
    };
  }

  native(): FakeSource {
    return this.source;
  }

  h264(): FakeSource {
    return this.h264Source;
  }

  mjpeg(): FakeSource {
    return this.source;
  }
}

export class FakeCameras implements Cameras {
  readonly #cameras: readonly FakeCamera[];

  constructor(...cameras: readonly FakeCamera[]) {
    this.#cameras = cameras;
  }

  list(): readonly FakeCamera[] {
    return this.#cameras;
  }

  find(name: string): FakeCamera {
    const camera = this.#cameras.find((one) => one.id === name);
    if (camera !== undefined) return camera;
    throw new OcelliError("camera_not_found", `There is no camera ${name}.`);
  }
}
