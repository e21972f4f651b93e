/**
 * Searches for streams in the network, on demand and at an interval. Owns when is searched and what was found, also
 * earlier; how each kind is found is a finder's. A kind the configuration does not name has no finder: nothing is ever
 * sent without. Nothing found becomes a camera by itself.
 */
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { EventBus } from "../events/bus.ts";
import type { DiscoveredStream } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { ExternalStreamStore } from "./store.ts";

export const finderKinds = ["onvif", "skydio", "generic"] as const;
export type FinderKind = (typeof finderKinds)[number];

export type FoundStream = Omit<DiscoveredStream, "discoveredAtUs" | "lastSeenUs">;

export interface StreamFinder {
  readonly kind: FinderKind;
  /** Bounded in time, answers and bytes; rejects only with the abort reason or when nothing could be asked. */
  find(signal: AbortSignal): Promise<readonly FoundStream[]>;
}

export interface StreamSearchOptions {
  readonly finders: readonly StreamFinder[];
  readonly store: Pick<ExternalStreamStore, "intervalS" | "setIntervalS">;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SearchRequest {
  readonly kinds: readonly FinderKind[];
  /** Search even if the same was searched a moment ago. Default false. */
  readonly force?: boolean;
  /** Also what was found earlier and not now. Default false. */
  readonly includeOffline?: boolean;
}

export interface SearchResult {
  readonly streams: readonly DiscoveredStream[];
  readonly kinds: readonly FinderKind[];
  readonly atUs: number;
  readonly durationS: number;
  readonly errors: readonly string[];
}

/** As long as a search counts for the next one of the same kinds. */
const freshMs = 10_000;
/** Remembered; the ones not seen for longest go first. */
const maxRemembered = 1000;

interface Done extends SearchResult {
  readonly endedMonoUs: number;
}

export class StreamSearch {
  readonly #options: StreamSearchOptions;
  readonly #known = new Map<string, DiscoveredStream>();
  readonly #last = new Map<string, Done>();
  readonly #running = new Map<string, Promise<Done>>();
  readonly #ending = new AbortController();
  #cancelInterval: (() => void) | undefined;

  constructor(options: StreamSearchOptions) {
    this.#options = options;
  }

  get enabled(): boolean {
    return this.#options.finders.length > 0;
  }

  /** The kinds the configuration names. */
  get kinds(): readonly FinderKind[] {
    return this.#options.finders.map(({ kind }) => kind);
  }

  /** Seconds between searches; 0: on demand only. */
  get intervalS(): number {
    return this.#options.store.intervalS() ?? 0;
  }

  /** Found by any search since the hub was started, by URL. */
  get known(): readonly DiscoveredStream[] {
    return [...this.#known.values()];
  }

  /** Begins to search at the interval that was set. */
  start(): void {
    this.#arm();
  }

  /** Kept over restarts. @throws OcelliError `unsupported` where no search is configured */
  changeInterval(seconds: number): void {
    this.#refuseDisabled();
    this.#options.store.setIntervalS(seconds);
    this.#arm();
  }

  /** Joins a search of the same kinds that runs. @throws OcelliError `unsupported` where none is configured */
  async search({ kinds, force = false, includeOffline = false }: SearchRequest): Promise<SearchResult> {
    this.#refuseDisabled();
    const finders = this.#options.finders.filter(({ kind }) => kinds.includes(kind));
    const key = finders.map(({ kind }) => kind).join();
    const last = this.#last.get(key);
    const isFresh =
      last !== undefined && this.#options.clock.monoUs() - last.endedMonoUs < freshMs * 1000 && !force;
    const result = isFresh ? last : await this.#join(key, finders);
    if (!includeOffline) return result;
    const now = new Set(result.streams.map(({ url }) => url));
    const gone = this.known.filter(({ url }) => !now.has(url)).map(offline);
    return { ...result, streams: [...result.streams, ...gone] };
  }

  /** Ends a search that runs. Idempotent. */
  async close(): Promise<void> {
    this.#ending.abort(new OcelliError("capture_failed", "The hub is shutting down."));
    this.#cancelInterval?.();
    await Promise.allSettled(this.#running.values());
  }

  #arm(): void {
    this.#cancelInterval?.();
    this.#cancelInterval = undefined;
    const { clock, log } = this.#options;
    const seconds = this.intervalS;
    if (seconds === 0 || !this.enabled || this.#ending.signal.aborted) return;
    this.#cancelInterval = clock.every(seconds * 1000, () => {
      this.search({ kinds: finderKinds, force: true }).catch((error: unknown) => {
        if (!this.#ending.signal.aborted) log.warn({ err: error }, "the search for streams failed");
      });
    });
  }

  #join(key: string, finders: readonly StreamFinder[]): Promise<Done> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const search = this.#search(finders).finally(() => this.#running.delete(key));
    this.#running.set(key, search);
    return search.then((done) => {
      this.#last.set(key, done);
      return done;
    });
  }

  async #search(finders: readonly StreamFinder[]): Promise<Done> {
    const { clock, bus, log } = this.#options;
    const startedMonoUs = clock.monoUs();
    const errors: string[] = [];
    const found = await Promise.all(
      finders.map(async (finder) => {
        try {
          return await finder.find(this.#ending.signal);
        } catch (error) {
          this.#ending.signal.throwIfAborted();
          errors.push(`${finder.kind}: ${messageOf(error)}`);
          return [];
        }
      }),
    );
    this.#ending.signal.throwIfAborted();
    const atUs = clock.wallUs();
    const fresh: DiscoveredStream[] = [];
    const streams = new Map<string, DiscoveredStream>();
    for (const stream of found.flat()) {
      if (streams.has(stream.url)) continue;
      const before = this.#known.get(stream.url);
      const seen = { ...stream, discoveredAtUs: before?.discoveredAtUs ?? atUs, lastSeenUs: atUs };
      if (before === undefined) fresh.push(seen);
      streams.set(stream.url, seen);
      // Last in the order of the map: seen last.
      this.#known.delete(stream.url);
      this.#known.set(stream.url, seen);
    }
    for (const url of this.#known.keys()) {
      if (this.#known.size <= maxRemembered) break;
      this.#known.delete(url);
    }
    const kinds = finders.map(({ kind }) => kind);
    log.info({ kinds, found: streams.size, new: fresh.length, errors }, "searched for streams");
    if (fresh.length > 0) bus.emit("stream.discovered", { streams: fresh });
    const endedMonoUs = clock.monoUs();
    const durationS = (endedMonoUs - startedMonoUs) / 1e6;
    return { streams: [...streams.values()], kinds, atUs, durationS, errors, endedMonoUs };
  }

  #refuseDisabled(): void {
    if (this.enabled) return;
    throw new OcelliError(
      "unsupported",
      "Searching the network for cameras is switched off. Set discovery.onvif.enabled in the configuration of the hub, or name networks in discovery.skydio.networks or discovery.generic.networks.",
      { details: { feature: "external_discovery", reason: "feature_disabled" } },
    );
  }
}

function offline(stream: DiscoveredStream): DiscoveredStream {
  return { ...stream, status: "ERROR", reason: "It was not there in this search." };
}
