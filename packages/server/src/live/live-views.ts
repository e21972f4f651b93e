/**
 * All live viewers: starts their sessions, counts them, ends them together. Adapters hand in a sink and wait.
 */
import { OcelliError } from "@ocelli/protocol";
import type { Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { VideoCodec } from "../media/fragment.ts";
import { type JpegPicture, mjpegPictures } from "./mjpeg-pictures.ts";
import type { MseSink } from "./mse-messages.ts";
import { MseSession } from "./mse-session.ts";
import { addTo, type LiveTotals, noTotals, ViewerCount, type ViewerStats, type ViewKind } from "./viewers.ts";

export interface LiveViewsOptions {
  readonly cameras: Cameras;
  readonly clock: Clock;
  /** Viewers of all cameras together; default 2000. */
  readonly maxViewers?: number;
  /** Bytes on their way to one MSE viewer beyond the socket's own buffer; default 1 MiB. */
  readonly maxInFlightBytes?: number;
  /** A viewer that takes nothing for so long is disconnected; default 20000 ms. */
  readonly stallTimeoutMs?: number;
}

export interface ViewRequest {
  /** Any name the registry finds. */
  readonly camera: string;
  /** The peer's address. */
  readonly viewer: string;
  /** Aborted when the viewer has left. */
  readonly signal: AbortSignal;
}

/** The reason sessions end with when the hub stops. */
export class LiveClosed extends Error {
  constructor() {
    super("the hub is shutting down");
    this.name = "LiveClosed";
  }
}

export class LiveViews {
  readonly stallTimeoutMs: number;
  readonly #options: LiveViewsOptions;
  readonly #closing = new AbortController();
  readonly #viewers = new Map<ViewerCount, Promise<void>>();
  /** Of viewers that have left, by camera. */
  readonly #past = new Map<string, LiveTotals>();
  #nextId = 1;
  #closed: Promise<void> | undefined;

  constructor(options: LiveViewsOptions) {
    this.#options = options;
    this.stallTimeoutMs = options.stallTimeoutMs ?? 20_000;
  }

  /**
   * Serves one MSE viewer; settles when it is over.
   * @throws OcelliError `camera_not_found`, `rate_limited` and as `MseSession.run`; `LiveClosed`
   */
  async mse(request: ViewRequest & { accepts: ReadonlySet<VideoCodec>; sink: MseSink }): Promise<void> {
    const { clock, maxInFlightBytes = 1024 * 1024 } = this.#options;
    const camera = this.#options.cameras.find(request.camera);
    const { viewer, accepts, sink } = request;
    const view = this.#enter("mse", camera.id, request);
    try {
      await new MseSession({
        camera,
        accepts,
        viewer,
        sink,
        count: view.count,
        clock,
        signal: view.signal,
        maxInFlightBytes,
        stallTimeoutMs: this.stallTimeoutMs,
      }).run();
      this.#closing.signal.throwIfAborted();
    } finally {
      view.leave();
    }
  }

  /**
   * Serves one MJPEG viewer with the newest picture each time `show` has settled; settles when it is over.
   * `show` must reject when its signal is aborted.
   * @throws OcelliError `camera_not_found`, `rate_limited` and as `FragmentSource.open`; `LiveClosed`; errors of `show`
   */
  async mjpeg(
    request: ViewRequest & { show: (picture: JpegPicture, signal: AbortSignal) => Promise<void> },
  ): Promise<void> {
    const camera = this.#options.cameras.find(request.camera);
    const { viewer, show } = request;
    const view = this.#enter("mjpeg", camera.id, request);
    try {
      const { count, signal } = view;
      for await (const picture of mjpegPictures({ camera, viewer, count, signal }))
        await show(picture, signal);
      this.#closing.signal.throwIfAborted();
    } finally {
      view.leave();
    }
  }

  /** One entry per viewer. */
  stats(): readonly ViewerStats[] {
    return [...this.#viewers.keys()].map((count) => count.stats());
  }

  /** How many watch this camera now. */
  viewersOf(cameraId: string): number {
    let viewers = 0;
    for (const count of this.#viewers.keys()) if (count.cameraId === cameraId) viewers++;
    return viewers;
  }

  /** What all viewers of this camera were sent since the start, also those that have left. */
  totalsOf(cameraId: string): LiveTotals {
    let totals = this.#past.get(cameraId) ?? noTotals;
    for (const count of this.#viewers.keys()) {
      if (count.cameraId === cameraId) totals = addTo(totals, count.stats());
    }
    return totals;
  }

  /** Ends all sessions; resolves when their captures are released. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closing.abort(new LiveClosed());
      this.#closed = Promise.all(this.#viewers.values()).then(() => undefined);
    }
    return this.#closed;
  }

  #enter(
    kind: ViewKind,
    cameraId: string,
    request: ViewRequest,
  ): { count: ViewerCount; signal: AbortSignal; leave: () => void } {
    const { clock, maxViewers = 2000 } = this.#options;
    this.#closing.signal.throwIfAborted();
    if (this.#viewers.size >= maxViewers) {
      throw new OcelliError(
        "rate_limited",
        `${maxViewers} viewers are watching already, which is the limit of this hub; close some or try later`,
        { details: { maxViewers } },
      );
    }
    const { viewer } = request;
    const count = new ViewerCount({
      id: this.#nextId++,
      cameraId,
      kind,
      viewer,
      startedAtUs: clock.wallUs(),
    });
    const gone = Promise.withResolvers<void>();
    this.#viewers.set(count, gone.promise);
    const leave = (): void => {
      this.#viewers.delete(count);
      this.#past.set(cameraId, addTo(this.#past.get(cameraId) ?? noTotals, count.stats()));
      gone.resolve();
    };
    return { count, signal: AbortSignal.any([request.signal, this.#closing.signal]), leave };
  }
}
