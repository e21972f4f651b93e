/** A recording service on temporary folders, with the parts around it that a test needs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { Clock } from "../../clock/clock.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import { EventBus } from "../../events/bus.ts";
import type { EventCatalogue, EventName, RecordingView } from "../../events/catalogue.ts";
import type { StorageGuard, StorageLevel } from "../../library/contract.ts";
import { MediaLibrary } from "../../library/library.ts";
import type { Fragment } from "../../media/fragment.ts";
import type { StartRecordingRequest } from "../contract.ts";
import { RecordingJournal } from "../journal.ts";
import { RecordingService, type RecordingServiceOptions } from "../recordings.ts";
import { epochUs } from "./clips.ts";
import type { FakeCameras, FakeSource } from "./fake-camera.ts";

export class FakeStorage implements StorageGuard {
  level: StorageLevel = "ok";
  get state() {
    return { level: this.level, freeBytes: 1e9, totalBytes: 1e10 };
  }
  async check() {
    return this.state;
  }
  async assertMayRecord() {}
}

export interface TestHub {
  readonly folder: string;
  readonly recordings: string;
  readonly clock: FakeClock;
  readonly events: EventBus;
  readonly library: MediaLibrary;
  readonly storage: FakeStorage;
  readonly journal: RecordingJournal;
  readonly service: RecordingService;
  readonly seen: { readonly event: EventName; readonly payload: unknown }[];
  payloads<E extends EventName>(event: E): EventCatalogue[E][];
  close(): Promise<void>;
}

export interface TestHubOptions extends Partial<Omit<RecordingServiceOptions, "cameras">> {
  readonly cameras: FakeCameras;
  /** An existing folder, as a hub that starts again finds it. */
  readonly folder?: string;
  readonly recordings?: string;
  readonly keepFolder?: boolean;
  /** Where media time and the monotonic clock are at the start. Default 5 s, as the clips begin. */
  readonly monoUs?: number;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits for what the event loop brings, in real time. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition(); await turn()) {
    if (performance.now() - start > 20_000) throw new Error(`waited in vain until ${what}`);
  }
}

/** Hands out fragments as they would arrive: the clock goes along, and readers keep up with it. */
export async function play(hub: TestHub, source: FakeSource, fragments: readonly Fragment[]): Promise<void> {
  for (const fragment of fragments) {
    const aheadUs = fragment.receivedAtMonoUs - hub.clock.monoUs();
    if (aheadUs > 0) hub.clock.advance(aheadUs / 1000);
    source.feed(fragment);
    await until("the readers have caught up", () => source.lag === 0);
  }
  // The last fragment may still be on its way to the disk.
  for (let i = 0; i < 10; i++) await turn();
}

/** Starts a recording and plays fragments once it has joined the camera. */
export async function begin(
  hub: TestHub,
  source: FakeSource,
  request: Partial<StartRecordingRequest>,
  fragments: readonly Fragment[],
): Promise<RecordingView> {
  const started = hub.service.start({ cameraId: "camera0", ...request });
  // The test awaits it in the end; until then a failure must not count as unhandled.
  started.catch(() => undefined);
  await Promise.race([until("the recording has joined", () => source.leases.size > 0), started]);
  await play(hub, source, fragments);
  return started;
}

const watched: readonly EventName[] = [
  "recording.started",
  "recording.progress",
  "recording.stopped",
  "recording.failed",
  "recording.recovered",
];

export async function openHub(options: TestHubOptions): Promise<TestHub> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "ocelli-recording-"));
  const recordings = options.recordings ?? join(folder, "recordings");
  const monoUs = options.monoUs ?? 5_000_000;
  const clock = new FakeClock({ monoUs, wallUs: epochUs + monoUs });
  const log = pino({ level: process.env.TEST_LOG ?? "silent" });
  const events = new EventBus(log);
  const library = await MediaLibrary.open({
    recordingsFolder: recordings,
    snapshotsFolder: join(folder, "snapshots"),
    indexPath: join(folder, "index.db"),
    clock: clock as Clock,
    log,
  });
  const storage = new FakeStorage();
  const journal = new RecordingJournal(join(folder, "journal"), log);
  const seen: TestHub["seen"] = [];
  for (const event of watched) events.on(event, (payload) => seen.push({ event, payload }));
  const service = new RecordingService({
    ...{ library, storage, journal, clock, events, log },
    limits: { segmentSeconds: 0, segmentBytes: 0 },
    ...options,
  });
  return {
    ...{ folder, recordings, clock, events, library, storage, journal, service, seen },
    payloads: <E extends EventName>(event: E) =>
      seen.filter((one) => one.event === event).map((one) => one.payload as EventCatalogue[E]),
    async close() {
      await service.close();
      await library.close();
      clock.close();
      if (options.keepFolder !== true) rmSync(folder, { recursive: true, force: true });
    },
  };
}
