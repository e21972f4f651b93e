/**
 * A rendition in a wanted codec of a camera whose codec is not known before its first frame (network cameras). The
 * first lease starts the native capture, looks what it gives, and from then on everything goes to the native source
 * or to a transcode of it.
 */
import { OcelliError } from "@ocelli/protocol";
import type {
  CaptureState,
  FragmentSource,
  Lease,
  OpenOptions,
  SourceEvents,
  SourceStats,
  TimeSource,
} from "../capture/source.ts";
import type { Fragment, InitSegment, VideoCodec } from "../media/fragment.ts";

export interface RenditionOptions {
  readonly id: string;
  readonly native: FragmentSource;
  readonly codec: "h264" | "mjpeg";
  readonly makeTranscode: () => FragmentSource;
}

type Unsubscribe = () => void;

export class Rendition implements FragmentSource {
  readonly id: string;
  readonly #native: FragmentSource;
  readonly #wanted: "h264" | "mjpeg";
  readonly #makeTranscode: () => FragmentSource;
  readonly #subscriptions = new Set<{
    attach: (source: FragmentSource) => Unsubscribe;
    detach: Unsubscribe;
  }>();
  #target: FragmentSource | undefined;
  #transcode: FragmentSource | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: RenditionOptions) {
    this.id = options.id;
    this.#native = options.native;
    this.#wanted = options.codec;
    this.#makeTranscode = options.makeTranscode;
  }

  get state(): CaptureState {
    if (this.#closed !== undefined) return "closed";
    return this.#target?.state ?? (this.#native.state === "starting" ? "starting" : "idle");
  }

  get timeSource(): TimeSource {
    return this.#native.timeSource;
  }

  get codec(): VideoCodec | undefined {
    return this.#target?.codec;
  }

  get init(): InitSegment | undefined {
    return this.#target?.init;
  }

  get frameIntervalUs(): number | undefined {
    return this.#native.frameIntervalUs;
  }

  async open(options: OpenOptions): Promise<Lease> {
    if (this.#closed !== undefined) {
      throw new OcelliError("camera_disconnected", `${this.id} is closed: the hub is shutting down.`);
    }
    if (this.#native.state === "live" && this.#native.codec !== undefined) this.#aim(this.#native.codec);
    if (this.#target !== undefined) return this.#target.open(options);
    const { signal, mode } = options;
    const looking = await this.#native.open({
      holder: options.holder,
      from: "keyframe",
      overflow: "skip",
      ...(signal !== undefined && { signal }),
      ...(mode !== undefined && { mode }),
    });
    try {
      const target = this.#aim(this.#native.codec);
      return await target.open(options);
    } finally {
      looking.close();
    }
  }

  refresh(): void {
    this.#target?.refresh?.();
  }

  newestGop(): readonly Fragment[] {
    return this.#target?.newestGop() ?? [];
  }

  on<E extends keyof SourceEvents>(event: E, listener: SourceEvents[E]): Unsubscribe {
    const attach = (source: FragmentSource): Unsubscribe => source.on(event, listener);
    const subscription = { attach, detach: this.#target === undefined ? () => {} : attach(this.#target) };
    this.#subscriptions.add(subscription);
    return () => {
      subscription.detach();
      this.#subscriptions.delete(subscription);
    };
  }

  stats(): SourceStats {
    return (this.#target ?? this.#native).stats();
  }

  /** Ends the transcode, if there is one. The native source belongs to the camera. */
  close(): Promise<void> {
    this.#closed ??= this.#transcode?.close() ?? Promise.resolve();
    return this.#closed;
  }

  #aim(codec: VideoCodec | undefined): FragmentSource {
    let target = this.#native;
    if (codec !== this.#wanted) {
      this.#transcode ??= this.#makeTranscode();
      target = this.#transcode;
    }
    if (target !== this.#target) {
      this.#target = target;
      for (const subscription of this.#subscriptions) {
        subscription.detach();
        subscription.detach = subscription.attach(target);
      }
    }
    return target;
  }
}
