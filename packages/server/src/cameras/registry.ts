/**
 * All cameras the hub knows: takes what discovery reports, gives each device its lasting number, remembers cameras
 * in the database, and emits `camera.added` and `camera.status`. How a camera is opened and what its status is,
 * is `camera.ts`; which known camera a device is, `identity.ts`.
 *
 * Numbers: a V4L2 camera takes its node's number at first sight if that is free, else the lowest free one; network
 * and virtual cameras the number the configuration gives, else the lowest free one from 100. Never given away again.
 *
 * Cameras listed: V4L2 cameras once seen, also while absent; network and virtual ones only while configured.
 *
 * Virtual cameras with mode `auto` are offered when the first scan has found no other camera, and then until the hub
 * is restarted, so that a viewer of one is not cut off by somebody plugging in a camera.
 */
import { realpathSync } from "node:fs";
import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Device, DeviceEvent, DeviceKind, DeviceProvider } from "../devices/device.ts";
import type { EventBus } from "../events/bus.ts";
import type { CameraStatus, CameraView, EventCatalogue } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { Database } from "../store/database.ts";
import { CameraImpl, type CameraOptions, type LearnedMode } from "./camera.ts";
import type { CaptureFactory } from "./capture-factory.ts";
import type { Camera, CameraSettings, Cameras } from "./contract.ts";
import { type Identified, matchIdentity } from "./identity.ts";
import { cameraNotFound } from "./not-found.ts";
import { type CameraRecord, type CameraStore, cameraStore, type StoredSettings } from "./store.ts";

export interface CameraRegistryOptions {
  readonly providers: readonly DeviceProvider[];
  readonly virtual?: { readonly provider: DeviceProvider; readonly mode: "auto" | "always" | "never" };
  /** Opened with `cameraMigrations` among its migrations. */
  readonly database: Database;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly capture: CaptureFactory;
  /** For cameras without a setting of their own. Default `copy`. */
  readonly recordCodec?: "copy" | "h264";
  /** Wished of V4L2 cameras without a mode of their own, where they have it. */
  readonly usbMode?: NonNullable<CameraSettings["mode"]>;
  /** See `CameraOptions`. */
  readonly recoveryGraceMs?: number;
  /** See `CameraOptions`. */
  readonly holdersOf?: NonNullable<CameraOptions["holdersOf"]>;
}

interface Entry {
  record: CameraRecord;
  readonly camera: CameraImpl;
  /** Last reported, so that nothing is reported twice. */
  reported: { readonly status: CameraStatus; readonly reason: string | undefined } | undefined;
}

type Change = EventCatalogue["camera.status"]["change"];

const firstForeignNumber = 100;

export class CameraRegistry implements Cameras {
  readonly #options: CameraRegistryOptions;
  readonly #store: CameraStore;
  readonly #entries = new Map<number, Entry>();
  readonly #byDevice = new Map<string, Entry>();
  /** Events of the first scan, kept until all of it is there; `undefined` afterwards. */
  #firstScan: DeviceEvent[] | undefined = [];
  #started: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: CameraRegistryOptions) {
    this.#options = options;
    this.#store = cameraStore(options.database);
    for (const record of this.#store.all()) this.#addEntry(record);
  }

  /** Resolves when the first scan of every provider is done and its cameras are listed. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  list(): readonly Camera[] {
    return this.#listed().map((entry) => entry.camera);
  }

  views(): CameraView[] {
    return this.#listed().map((entry) => entry.camera.view());
  }

  find(name: string): Camera {
    const entry = this.#findEntry(name);
    if (entry !== undefined && isListed(entry)) return entry.camera;
    throw cameraNotFound(
      name,
      this.#listed().map((one) => one.camera.id),
    );
  }

  /**
   * Changes settings of a camera for good; `undefined` members go back to their defaults. A new mode holds from the
   * next start of the capture. @throws OcelliError `camera_not_found`
   */
  configure(id: string, change: { [K in keyof CameraSettings]?: CameraSettings[K] | undefined }): Camera {
    const camera = this.find(id);
    const entry = this.#listed().find((one) => one.camera === camera);
    if (entry === undefined) throw new OcelliError("camera_not_found", `There is no camera "${id}".`);
    const settings: StoredSettings = Object.fromEntries(
      Object.entries({ ...entry.record.settings, ...change }).filter(([, value]) => value !== undefined),
    );
    if (isDeepStrictEqual(settings, entry.record.settings)) return entry.camera;
    this.#save(entry, { settings });
    entry.camera.settings = this.#settingsOf(entry.record.kind, settings);
    this.#emitStatus(entry, "capability_change", entry.reported?.status);
    return entry.camera;
  }

  async rescan(): Promise<void> {
    await Promise.all(this.#options.providers.map((provider) => provider.rescan()));
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { providers, virtual } = this.#options;
    const all = virtual === undefined ? providers : [...providers, virtual.provider];
    await Promise.allSettled(all.map((provider) => provider.close()));
    await Promise.allSettled([...this.#entries.values()].map((entry) => entry.camera.close()));
  }

  async #start(): Promise<void> {
    const { providers, virtual } = this.#options;
    await Promise.all(providers.map((provider) => this.#startProvider(provider)));
    const found = this.#firstScan?.some((event) => event.type !== "lost") ?? false;
    if (virtual?.mode === "always" || (virtual?.mode === "auto" && !found)) {
      await this.#startProvider(virtual.provider);
    }
    this.#takeFirstScan();
  }

  async #startProvider(provider: DeviceProvider): Promise<void> {
    try {
      await provider.start((event) => {
        if (this.#closed !== undefined) return;
        if (this.#firstScan === undefined) this.#take(event);
        else this.#firstScan.push(event);
      });
    } catch (error) {
      this.#options.log.error({ err: error, provider: provider.name }, "looking for cameras failed");
    }
  }

  /** All devices at once, so that a device's own camera is not taken by a twin that was reported earlier. */
  #takeFirstScan(): void {
    const events = this.#firstScan ?? [];
    const present = new Map<string, Device>();
    for (const { type, device } of events) {
      if (type === "lost") present.delete(deviceKey(device));
      else present.set(deviceKey(device), device);
    }
    const devices = [...present.values()].sort(
      (a, b) => claim(a) - claim(b) || nodeNumber(a.node) - nodeNumber(b.node),
    );
    for (const device of devices) {
      const entry = this.#entryFor(
        device,
        devices.filter((other) => other !== device),
      );
      this.#attach(entry, device);
    }
    this.#firstScan = undefined;
    for (const entry of this.#listed()) {
      if (entry.camera.device === undefined) this.#remember(entry);
      else this.#emitStatus(entry, "initial", undefined);
    }
  }

  #take(event: DeviceEvent): void {
    const key = deviceKey(event.device);
    const attached = this.#byDevice.get(key);
    switch (event.type) {
      case "found":
      case "changed": {
        const entry = attached ?? this.#entryFor(event.device, []);
        const before = JSON.stringify(entry.camera.capabilities);
        this.#attach(entry, event.device);
        const changed = before !== JSON.stringify(entry.camera.capabilities);
        this.#reportStatus(entry, attached !== undefined && changed);
        break;
      }
      case "lost":
        if (attached === undefined) return;
        this.#byDevice.delete(key);
        attached.camera.detach();
        this.#save(attached, { lastSeenUs: this.#options.clock.wallUs() });
        this.#reportStatus(attached, false);
        break;
    }
  }

  #attach(entry: Entry, device: Device): void {
    this.#byDevice.set(deviceKey(device), entry);
    entry.camera.attach(device);
    this.#save(entry, {
      identity: device.identity,
      name: device.name,
      node: device.node ?? entry.record.node,
      learned: entry.camera.learned,
      lastSeenUs: this.#options.clock.wallUs(),
    });
  }

  /** The camera this device is, known or new. */
  #entryFor(device: Device, others: readonly Identified[]): Entry {
    const absent = [...this.#entries.values()].filter((entry) => entry.camera.device === undefined);
    const record = matchIdentity(
      device,
      absent.map((entry) => entry.record),
      others,
    );
    const known = record === undefined ? undefined : this.#entries.get(record.number);
    const wanted = device.wantedNumber;
    if (known !== undefined && (wanted === undefined || known.record.number === wanted)) return known;
    // A number given by the configuration stays with its line there, even when the URL in it changes.
    const atWanted = wanted === undefined ? undefined : this.#entries.get(wanted);
    if (
      atWanted !== undefined &&
      atWanted.camera.device === undefined &&
      atWanted.record.kind === device.kind
    ) {
      return atWanted;
    }
    if (wanted !== undefined && atWanted !== undefined) {
      this.#options.log.warn(
        { wanted, name: device.name },
        "the number given to a camera belongs to another one; it gets a free one instead",
      );
      if (known !== undefined) return known;
    }
    const entry = this.#addEntry({
      number: this.#freeNumber(device),
      kind: device.kind,
      identity: device.identity,
      name: device.name,
      node: device.node,
      settings: {},
      learned: undefined,
      lastSeenUs: this.#options.clock.wallUs(),
    });
    entry.camera.attach(device);
    this.#options.log.info({ camera: entry.camera.id, name: device.name, node: device.node }, "new camera");
    this.#options.bus.emit("camera.added", { camera: entry.camera.view() });
    return entry;
  }

  #freeNumber(device: Device): number {
    const wanted = device.wantedNumber ?? (device.node === undefined ? undefined : nodeNumber(device.node));
    if (wanted !== undefined && !this.#entries.has(wanted)) return wanted;
    let number = device.kind === "v4l2" ? 0 : firstForeignNumber;
    while (this.#entries.has(number)) number++;
    return number;
  }

  #addEntry(record: CameraRecord): Entry {
    const { bus, capture, clock, log, recoveryGraceMs, holdersOf } = this.#options;
    const cameraId = `camera${record.number}`;
    const camera = new CameraImpl({
      memory: { ...record, busPath: record.identity.busPath, serial: record.identity.serial },
      settings: this.#settingsOf(record.kind, record.settings),
      capture,
      clock,
      log: log.child({ camera: cameraId }),
      onChange: () => this.#reportStatus(entry, false),
      onCaptureState: (change) => bus.emit("capture.state", { cameraId, ...change }),
      onGap: (gap) => bus.emit("capture.gap", { cameraId, ...gap }),
      onLearned: (learned) => this.#takeLearned(entry, learned),
      ...(recoveryGraceMs !== undefined && { recoveryGraceMs }),
      ...(holdersOf !== undefined && { holdersOf }),
    });
    const entry: Entry = { record, camera, reported: undefined };
    this.#entries.set(record.number, entry);
    return entry;
  }

  #takeLearned(entry: Entry, learned: LearnedMode): void {
    this.#save(entry, { learned });
    this.#emitStatus(entry, "capability_change", entry.reported?.status);
  }

  #save(entry: Entry, change: Partial<CameraRecord>): void {
    entry.record = { ...entry.record, ...change };
    try {
      this.#store.put(entry.record);
    } catch (error) {
      // Cameras work without; they may come back under another number after a restart.
      this.#options.log.error({ err: error, camera: entry.camera.id }, "the camera cannot be remembered");
    }
  }

  #settingsOf(kind: DeviceKind, settings: StoredSettings): CameraSettings {
    const { recordCodec = "copy", usbMode } = this.#options;
    return { recordCodec, ...(kind === "v4l2" && usbMode !== undefined && { mode: usbMode }), ...settings };
  }

  /** Reports a changed status, or changed capabilities under an unchanged one. */
  #reportStatus(entry: Entry, capabilitiesChanged: boolean): void {
    if (this.#firstScan !== undefined || this.#closed !== undefined) return;
    const { status, reason } = entry.camera.view();
    const before = entry.reported;
    if (before?.status === status && before.reason === reason) {
      if (capabilitiesChanged) this.#emitStatus(entry, "capability_change", status);
      return;
    }
    const change: Change =
      status === "CONNECTED" ? "connected" : status === "ERROR" ? "error" : "disconnected";
    this.#emitStatus(entry, change, before?.status);
  }

  #emitStatus(entry: Entry, change: Change, previous: CameraStatus | undefined): void {
    if (this.#firstScan !== undefined || this.#closed !== undefined) return;
    const view = this.#remember(entry);
    this.#options.log.info(
      { camera: view.id, node: view.node, status: view.status, reason: view.reason, change },
      "camera status",
    );
    this.#options.bus.emit("camera.status", { camera: view, change, previous });
  }

  #remember(entry: Entry): CameraView {
    const view = entry.camera.view();
    entry.reported = { status: view.status, reason: view.reason };
    return view;
  }

  #listed(): Entry[] {
    return [...this.#entries.values()].filter(isListed).sort((a, b) => a.record.number - b.record.number);
  }

  #findEntry(name: string): Entry | undefined {
    const id = /^camera(0|[1-9]\d{0,8})$/.exec(name);
    if (id !== null) return this.#entries.get(Number(id[1]));
    const node = nodeName(name);
    if (node === undefined) return undefined;
    const onNode = [...this.#entries.values()].filter(
      (entry) => entry.camera.node !== undefined && basename(entry.camera.node) === node,
    );
    return (
      onNode.find((entry) => entry.camera.device !== undefined) ??
      onNode.sort((a, b) => (b.record.lastSeenUs ?? 0) - (a.record.lastSeenUs ?? 0))[0]
    );
  }
}

function isListed(entry: Entry): boolean {
  return entry.record.kind === "v4l2" || entry.camera.device !== undefined;
}

/** One device on one node: what `found`, `changed` and `lost` speak of. */
function deviceKey(device: Device): string {
  const { kind, node, identity } = device;
  return node === undefined ? `${kind} ${identity.busPath} ${identity.index}` : `${kind} ${node}`;
}

/** A number given by the configuration goes before what others would take by themselves. */
function claim(device: Device): number {
  return device.wantedNumber === undefined ? 1 : 0;
}

function nodeNumber(node: string | undefined): number {
  const digits = /(\d+)$/.exec(node ?? "");
  return digits === null ? Number.MAX_SAFE_INTEGER : Number(digits[1]);
}

/** `video0` of `/dev/video0`, `video0` or a link below `/dev/v4l`. */
function nodeName(name: string): string | undefined {
  const direct = /^(?:\/dev\/)?(video\d{1,9})$/.exec(name);
  if (direct !== null) return direct[1];
  if (!/^\/dev\/v4l\/by-(?:id|path)\/[^/\0]+$/.test(name)) return undefined;
  try {
    const target = basename(realpathSync(name));
    return /^video\d+$/.test(target) ? target : undefined;
  } catch {
    return undefined;
  }
}
