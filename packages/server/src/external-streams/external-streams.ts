/**
 * Streams that are added and removed while the hub runs. Owns which there are and keeps them over restarts; that each
 * is a camera with a lasting number is the registry's, how it is opened the network provider's.
 *
 * Invariants: a stream has been opened before its camera is called connected, when it is added as after a restart of
 * the hub; one that does not answer is tried again by itself. What the configuration names is not touched. The
 * credentials of a URL are in the database and in ffmpeg's arguments, never in a view, an event, an error or the log.
 */
import { isDeepStrictEqual } from "node:util";
import { codeOf, messageOf, OcelliError } from "@ocelli/protocol";
import type { Camera, CameraSettings, Cameras } from "../cameras/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { Device } from "../devices/device.ts";
import { networkDevice } from "../devices/network/network-device.ts";
import type { NetworkProvider } from "../devices/network/provider.ts";
import { shownUrl } from "../devices/network/url.ts";
import type { EventBus } from "../events/bus.ts";
import { type CameraView, type ExternalStreamView, notLookedAt } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { Recordings } from "../recording/contract.ts";
import { Limiter } from "../store/limiter.ts";
import type { ExternalStreamStore, StoredStream, StreamType } from "./store.ts";
import type { StreamFacts } from "./stream-probe.ts";

export interface ExternalStreamsOptions {
  readonly store: ExternalStreamStore;
  readonly provider: Pick<NetworkProvider, "isConfigured" | "put" | "report" | "remove">;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  /** See `probeStream`. */
  readonly probe: (device: Device, signal: AbortSignal) => Promise<StreamFacts>;
  /** Streams there may be. Default 200. */
  readonly maxStreams?: number;
  /** Streams looked at in one moment; further ones wait. Default 4. */
  readonly maxProbes?: number;
  /** Between attempts at a stream that does not answer, doubled with each up to a minute. Default 5000. */
  readonly retryMs?: number;
}

/** What is needed once cameras and recordings run. */
export interface ExternalStreamUsers {
  readonly cameras: Cameras & {
    configure(id: string, change: { [K in keyof CameraSettings]?: CameraSettings[K] | undefined }): Camera;
  };
  readonly recordings: Pick<Recordings, "activeOf" | "stop">;
}

export interface AddStreamRequest {
  readonly url: string;
  /** Default: the host. */
  readonly name?: string;
  /** Default `generic_rtsp`. */
  readonly type?: StreamType;
  /** RTSP only. Default `tcp`. */
  readonly transport?: "tcp" | "udp";
  /** Take its sound along. Default true. */
  readonly audio?: boolean;
  readonly signal?: AbortSignal;
}

export interface AddedStream {
  readonly stream: ExternalStreamView;
  /** It was there before, under the camera it now has. */
  readonly wasKnown: boolean;
}

/** Requests that may wait for their turn to be looked at. */
const maxWaiting = 32;
const longestRetryMs = 60_000;
const schemes: ReadonlySet<string> = new Set(["rtsp:", "rtsps:", "http:", "https:"]);

export class ExternalStreams {
  readonly #options: ExternalStreamsOptions;
  readonly #streams = new Map<string, StoredStream>();
  readonly #facts = new Map<string, StreamFacts>();
  readonly #cancelRetry = new Map<string, () => void>();
  readonly #limiter: Limiter;
  readonly #ending = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #users: ExternalStreamUsers | undefined;
  #waiting = 0;

  /** Puts the kept streams into the provider, none of them connected yet: before the cameras start. */
  constructor(options: ExternalStreamsOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.maxProbes ?? 4);
    for (const stream of options.store.all()) {
      if (options.provider.isConfigured(stream.shownUrl)) {
        options.log.info({ url: stream.shownUrl }, "an added stream is in the configuration now");
        options.store.remove(stream.shownUrl);
        continue;
      }
      this.#streams.set(stream.shownUrl, stream);
      options.provider.put({
        ...this.#deviceOf(stream),
        problem: { code: notLookedAt, message: "The stream has not answered since the hub was started." },
      });
    }
  }

  /** Begins to look whether the kept streams are there. Called once, when cameras and recordings run. */
  start(users: ExternalStreamUsers): void {
    this.#users = users;
    for (const shown of this.#streams.keys()) this.#track(this.#look(shown, 0));
  }

  /** Oldest first. */
  list(): ExternalStreamView[] {
    const cameras = this.#cameras();
    return [...this.#streams.values()].map((stream) => viewOf(stream, this.#facts, cameras));
  }

  /** Whether the stream is a camera already, added or configured. @param url with or without credentials */
  isKnown(url: string): boolean {
    const shown = shownUrl(parse(url));
    return this.#streams.has(shown) || this.#options.provider.isConfigured(shown);
  }

  /**
   * Opens the stream, and makes it a camera when it gives pictures. The same URL again changes name and options of the
   * camera it has, and its credentials: with other ones it is opened first.
   * @throws OcelliError `invalid_params`; `capture_failed` and `unsupported` as `probeStream`; `rate_limited`;
   *   `storage_failed` when it cannot be kept; the abort reason
   */
  async add(request: AddStreamRequest): Promise<AddedStream> {
    const { provider, store, clock, bus, log, maxStreams = 200 } = this.#options;
    const url = parse(request.url);
    const shown = shownUrl(url);
    if (provider.isConfigured(shown)) return { stream: this.#configured(shown), wasKnown: true };
    const before = this.#streams.get(shown);
    const wanted: StoredStream = {
      shownUrl: shown,
      url: url.href,
      name: request.name ?? before?.name ?? url.host,
      type: request.type ?? before?.type ?? "generic_rtsp",
      transport: request.transport ?? before?.transport ?? "tcp",
      audio: request.audio ?? before?.audio ?? true,
      addedAtUs: before?.addedAtUs ?? clock.wallUs(),
    };
    if (before === undefined) this.#refuseTooMany(maxStreams);
    const device = this.#deviceOf(wanted);
    const facts = this.#isOpenedAlike(before, wanted) ? undefined : await this.#probe(device, request.signal);
    const wasKnown = this.#streams.has(shown);
    if (!wasKnown) this.#refuseTooMany(maxStreams);
    if (!isDeepStrictEqual(wanted, this.#streams.get(shown))) {
      this.#keep(() => store.put(wanted));
      this.#streams.set(shown, wanted);
      provider.put(facts === undefined || facts.width === 0 ? device : { ...device, seen: facts });
    }
    if (facts !== undefined) {
      this.#facts.set(shown, facts);
      this.#cancelRetry.get(shown)?.();
      this.#cancelRetry.delete(shown);
      provider.report(shown, undefined);
    }
    const stream = this.#view(wanted);
    if (!wasKnown) {
      log.info({ url: shown, camera: stream.cameraId, ...facts }, "stream added");
      bus.emit("stream.added", { stream });
    }
    return { stream, wasKnown };
  }

  /**
   * Takes the stream and its camera away; what it recorded stays. Its number comes back with the same URL.
   * @param options.force ends what is recorded of it first, and its continuous recording
   * @throws OcelliError `file_not_found`; `unsupported` for a camera of the configuration; `already_recording`
   */
  async remove(url: string, options: { readonly force?: boolean } = {}): Promise<ExternalStreamView> {
    const { provider, store, bus, log } = this.#options;
    const shown = shownUrl(parse(url));
    const stream = this.#streams.get(shown);
    if (stream === undefined) throw this.#notRemovable(shown);
    if (options.force === true) await this.#endRecording(shown);
    this.#refuseWhileRecording(shown);
    const view = this.#view(stream);
    this.#keep(() => store.remove(shown));
    this.#streams.delete(shown);
    this.#facts.delete(shown);
    this.#cancelRetry.get(shown)?.();
    this.#cancelRetry.delete(shown);
    provider.remove(shown);
    log.info({ url: shown, camera: view.cameraId }, "stream removed");
    bus.emit("stream.removed", { stream: view });
    return view;
  }

  /** Ends what is being looked at. Idempotent. */
  async close(): Promise<void> {
    this.#ending.abort();
    for (const cancel of this.#cancelRetry.values()) cancel();
    this.#cancelRetry.clear();
    await Promise.allSettled(this.#running);
  }

  #deviceOf({ url, name, transport, audio }: StoredStream): Device {
    return networkDevice({ url, name, transport, audio }, { clock: this.#options.clock });
  }

  /** Many cameras let only one or two in: one that works is not opened a second time to hear the same. */
  #isOpenedAlike(before: StoredStream | undefined, wanted: StoredStream): boolean {
    return (
      before !== undefined &&
      isDeepStrictEqual({ ...before, name: "" }, { ...wanted, name: "" }) &&
      this.#cameraOf(wanted.shownUrl)?.status === "CONNECTED"
    );
  }

  /** @throws OcelliError `rate_limited`, and as `probeStream` */
  async #probe(device: Device, signal?: AbortSignal): Promise<StreamFacts> {
    if (this.#waiting >= maxWaiting) {
      throw new OcelliError(
        "rate_limited",
        `${maxWaiting} streams are being looked at already. Try again in a moment.`,
        { details: { retryAfterMs: 5000 } },
      );
    }
    this.#waiting++;
    const both = signal === undefined ? this.#ending.signal : AbortSignal.any([this.#ending.signal, signal]);
    try {
      return await this.#limiter.run(() => {
        both.throwIfAborted();
        return this.#track(this.#options.probe(device, both));
      });
    } finally {
      this.#waiting--;
    }
  }

  /** Looks whether a kept stream is there, until it is. Never rejects. */
  async #look(shown: string, failures: number): Promise<void> {
    const stream = this.#streams.get(shown);
    if (stream === undefined) return;
    const { clock, log, probe, provider, retryMs = 5000 } = this.#options;
    try {
      const facts = await this.#limiter.run(() => {
        this.#ending.signal.throwIfAborted();
        return probe(this.#deviceOf(stream), this.#ending.signal);
      });
      // It may have been removed, or added anew with another password, meanwhile.
      if (this.#streams.get(shown) !== stream) return;
      this.#facts.set(shown, facts);
      provider.report(shown, undefined);
    } catch (error) {
      if (this.#ending.signal.aborted || this.#streams.get(shown) !== stream) return;
      if (failures === 0)
        log.warn({ url: shown, reason: messageOf(error) }, "an added stream does not answer");
      provider.report(shown, { code: codeOf(error), message: messageOf(error) });
      const delayMs = Math.min(longestRetryMs, retryMs * 2 ** failures);
      this.#cancelRetry.set(
        shown,
        clock.after(delayMs, () => {
          this.#cancelRetry.delete(shown);
          this.#track(this.#look(shown, failures + 1));
        }),
      );
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
    return work;
  }

  #refuseTooMany(most: number): void {
    if (this.#streams.size < most) return;
    throw new OcelliError(
      "invalid_params",
      `There are ${most} added streams already. Remove one first, or name cameras in the configuration.`,
      { details: { param: "stream_url", max: most } },
    );
  }

  async #endRecording(shown: string): Promise<void> {
    const camera = this.#cameraOf(shown);
    const users = this.#users;
    if (camera === undefined || users === undefined) return;
    if (users.cameras.find(camera.id).settings.continuousRecording === true) {
      users.cameras.configure(camera.id, { continuousRecording: undefined });
    }
    const active = users.recordings.activeOf(camera.id);
    if (active === undefined) return;
    try {
      await users.recordings.stop({ recordingId: active.id });
    } catch (error) {
      // It ended by itself meanwhile.
      if (codeOf(error) !== "not_recording") throw error;
    }
  }

  /** A camera in use by a recording is not taken away under it, nor one that would be recorded again at once. */
  #refuseWhileRecording(shown: string): void {
    const camera = this.#cameraOf(shown);
    const active = camera === undefined ? undefined : this.#users?.recordings.activeOf(camera.id);
    if (camera === undefined || active === undefined) return;
    throw new OcelliError(
      "already_recording",
      `${camera.id} is being recorded to ${active.filename}. Stop the recording first, or remove the stream with force, which ends it.`,
      { details: { cameraId: camera.id, recordingId: active.id, filename: active.filename } },
    );
  }

  #notRemovable(shown: string): OcelliError {
    if (!this.#options.provider.isConfigured(shown)) {
      return new OcelliError("file_not_found", `There is no added stream ${shown}.`, {
        details: { resource: "stream", url: shown },
      });
    }
    return new OcelliError(
      "unsupported",
      `${shown} is in the list "cameras" of the configuration. Take it out there and restart the hub.`,
      { details: { url: shown } },
    );
  }

  #keep(work: () => void): void {
    try {
      work();
    } catch (cause) {
      throw new OcelliError(
        "storage_failed",
        `The list of added streams cannot be written: ${messageOf(cause)}. Nothing was changed.`,
        { cause },
      );
    }
  }

  /** Network cameras by URL. */
  #cameras(): Map<string, CameraView> {
    const views = this.#users?.cameras.list().map((camera) => camera.view()) ?? [];
    const remote = views.filter(({ kind }) => kind === "rtsp" || kind === "http");
    return new Map(remote.toReversed().map((view) => [view.busPath, view]));
  }

  #cameraOf(shown: string): CameraView | undefined {
    return this.#cameras().get(shown);
  }

  #configured(shown: string): ExternalStreamView {
    const camera = this.#cameraOf(shown);
    return {
      ...{ url: shown, name: camera?.name ?? shown, type: "generic_rtsp", source: "configuration" },
      ...{ cameraId: camera?.id, status: camera?.status ?? "ERROR", reason: camera?.reason },
      ...{ addedAtUs: undefined, lastSeenUs: camera?.lastSeenUs, facts: undefined },
    };
  }

  #view(stream: StoredStream): ExternalStreamView {
    return viewOf(stream, this.#facts, this.#cameras());
  }
}

function viewOf(
  stream: StoredStream,
  facts: ReadonlyMap<string, StreamFacts>,
  cameras: ReadonlyMap<string, CameraView>,
): ExternalStreamView {
  const camera = cameras.get(stream.shownUrl);
  return {
    ...{ url: stream.shownUrl, name: stream.name, type: stream.type, source: "added" },
    ...{ cameraId: camera?.id, status: camera?.status ?? "ERROR", reason: camera?.reason },
    ...{ addedAtUs: stream.addedAtUs, lastSeenUs: camera?.lastSeenUs },
    facts: facts.get(stream.shownUrl),
  };
}

/** @throws OcelliError `invalid_params`, without the URL in it */
function parse(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && schemes.has(url.protocol) && url.host !== "") return url;
  throw new OcelliError(
    "invalid_params",
    "stream_url must begin with rtsp://, rtsps://, http:// or https:// and a host; special characters of a user name or password are written in percent form, such as %23 for #. Files can be named in the configuration only.",
    { details: { param: "stream_url" } },
  );
}
