/**
 * One viewer of a camera by Media Source Extensions: chooses the rendition, sends the init segment and then
 * every fragment as it comes, the same Buffer to every viewer. Knows nothing of sockets (`MseSink`).
 *
 * Invariants: a fragment is preceded by its init segment, and the first after an init segment or a loss is a
 * keyframe; what is in flight is bounded (`SendWindow`), the rest waits in the source's ring, from which a slow
 * viewer falls and is told how many frames it lost.
 */
import type { Camera } from "../cameras/contract.ts";
import type { FragmentSource, Lease } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";
import type { Fragment, InitSegment, VideoCodec, VideoTrack } from "../media/fragment.ts";
import type { MseMessage, MseSink } from "./mse-messages.ts";
import { SendWindow } from "./send-window.ts";
import type { ViewerCount } from "./viewers.ts";

export interface MseSessionOptions {
  readonly camera: Camera;
  /** Codec families the viewer can play. */
  readonly accepts: ReadonlySet<VideoCodec>;
  /** Who watches, in words, for the lease. */
  readonly viewer: string;
  readonly sink: MseSink;
  readonly count: ViewerCount;
  readonly clock: Clock;
  /** Ends the session; its reason is what `run` rejects with. */
  readonly signal: AbortSignal;
  readonly maxInFlightBytes: number;
  readonly stallTimeoutMs: number;
}

const timeMessageEveryUs = 1_000_000;

export class MseSession {
  readonly #options: MseSessionOptions;
  readonly #window: SendWindow;
  #init: InitSegment | undefined;
  #awaitKeyframe = true;
  #lastCapturedAtUs: number | undefined;
  #lastTimeMonoUs = 0;

  constructor(options: MseSessionOptions) {
    this.#options = options;
    this.#window = new SendWindow({
      limitBytes: options.maxInFlightBytes,
      stallTimeoutMs: options.stallTimeoutMs,
      clock: options.clock,
    });
  }

  /**
   * Serves the viewer until the source is closed.
   * @throws OcelliError as `FragmentSource.open`, `reader_too_slow`; the abort reason; errors of the sink
   */
  async run(): Promise<void> {
    const { source, lease, rendition } = await this.#openRendition();
    const unsubscribe = source.on("state", ({ to, reason }) =>
      this.#trySay({ type: "state", state: to, reason }),
    );
    try {
      for (;;) {
        const item = await lease.cursor.next(this.#options.signal);
        if (item === undefined) return;
        if (item.kind === "lost") await this.#tellLost(item.frames);
        else await this.#forward(item.fragment, source, rendition);
      }
    } finally {
      unsubscribe();
      lease.close();
    }
  }

  /** The camera's own stream when the viewer can play it, else H.264 made from it. */
  async #openRendition(): Promise<{
    source: FragmentSource;
    lease: Lease;
    rendition: "native" | "transcode";
  }> {
    const { camera, accepts } = this.#options;
    const native = camera.native();
    const known = native.codec;
    if (known === undefined || accepts.has(known)) {
      const lease = await this.#open(native);
      const codec = known ?? native.codec;
      if (codec !== undefined && accepts.has(codec)) return { source: native, lease, rendition: "native" };
      // What a network camera sends is known only now. Its capture stays warm while the transcode joins it.
      try {
        return await this.#openTranscode(native);
      } finally {
        lease.close();
      }
    }
    return await this.#openTranscode(native);
  }

  async #openTranscode(native: FragmentSource): Promise<{
    source: FragmentSource;
    lease: Lease;
    rendition: "native" | "transcode";
  }> {
    const source = this.#options.camera.h264();
    const lease = await this.#open(source);
    return { source, lease, rendition: source === native ? "native" : "transcode" };
  }

  #open(source: FragmentSource): Promise<Lease> {
    const { viewer, signal } = this.#options;
    return source.open({ holder: `live view for ${viewer}`, from: "keyframe", overflow: "skip", signal });
  }

  async #forward(
    fragment: Fragment,
    source: FragmentSource,
    rendition: "native" | "transcode",
  ): Promise<void> {
    const isVideo = fragment.track.kind === "video";
    const isNewInit = this.#init === undefined || !this.#init.bytes.equals(fragment.init.bytes);
    if (isNewInit) this.#awaitKeyframe = true;
    if (this.#awaitKeyframe && !(isVideo && fragment.keyframe)) return;
    if (isVideo && fragment.discontinuity && this.#lastCapturedAtUs !== undefined) {
      await this.#say({ type: "gap", fromUs: this.#lastCapturedAtUs, toUs: fragment.capturedAtUs });
    }
    if (isNewInit) await this.#sendInit(fragment, source, rendition);
    else if (isVideo) await this.#sendTime(fragment);
    this.#awaitKeyframe = false;
    if (isVideo) this.#lastCapturedAtUs = fragment.capturedAtUs;
    await this.#send(fragment.bytes);
    if (isVideo) this.#options.count.sent(fragment.bytes.length);
  }

  async #sendInit(
    fragment: Fragment,
    source: FragmentSource,
    rendition: "native" | "transcode",
  ): Promise<void> {
    const { clock } = this.#options;
    const video = fragment.init.tracks.find((track): track is VideoTrack => track.kind === "video");
    if (video === undefined) return;
    this.#init = fragment.init;
    await this.#say({
      type: "init",
      codec: video.codec,
      mime: `video/mp4; codecs="${fragment.init.tracks.map((track) => track.codecString).join(", ")}"`,
      width: video.width,
      height: video.height,
      rendition,
      timeSource: source.timeSource,
      mediaTimeUs: fragment.mediaTimeUs,
      capturedAtUs: fragment.capturedAtUs,
      nowUs: clock.wallUs(),
    });
    this.#lastTimeMonoUs = clock.monoUs();
    await this.#send(fragment.init.bytes);
  }

  async #sendTime(fragment: Fragment): Promise<void> {
    const { clock } = this.#options;
    if (clock.monoUs() - this.#lastTimeMonoUs < timeMessageEveryUs) return;
    this.#lastTimeMonoUs = clock.monoUs();
    const { mediaTimeUs, capturedAtUs } = fragment;
    await this.#say({ type: "time", mediaTimeUs, capturedAtUs, nowUs: clock.wallUs() });
  }

  async #tellLost(frames: number): Promise<void> {
    this.#awaitKeyframe = true;
    this.#options.count.lost(frames);
    await this.#say({ type: "lost", frames });
  }

  async #send(bytes: Buffer): Promise<void> {
    await this.#window.room(bytes.length, this.#options.signal);
    this.#window.add(bytes.length, this.#options.sink.binary(bytes));
  }

  async #say(message: MseMessage): Promise<void> {
    await this.#window.room(textBytes, this.#options.signal);
    this.#window.add(textBytes, this.#options.sink.text(message));
  }

  /** For news that may be dropped rather than waited for. */
  #trySay(message: MseMessage): void {
    if (this.#window.hasRoom(textBytes)) this.#window.add(textBytes, this.#options.sink.text(message));
  }
}

/** What a text message is reckoned as in the window. */
const textBytes = 512;
