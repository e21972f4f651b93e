/**
 * One camera for as long as the hub knows it, whether attached or not. Owns its native capture and the transcodes of
 * it; derives its status; leaves identity, numbers, persistence and status events to `registry.ts`.
 *
 * Status: DISCONNECTED while no device is attached. ERROR while the device has a problem, and after its capture
 * failed or has been trying to recover for `recoveryGraceMs`, until it is live again or the device comes back anew.
 * CONNECTED otherwise: a network camera is taken to be there until a capture of it fails. Only an absent device or
 * one with a problem is refused; after a failed capture the next lease simply tries again.
 */
import { OcelliError } from "@ocelli/protocol";
import { rateOf } from "../capture/rate.ts";
import type { CaptureMode, CaptureState, FragmentSource, SourceStats } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";
import type { DeviceControls } from "../devices/controls.ts";
import type { CaptureInput, Device, DeviceCapabilities, DeviceKind } from "../devices/device.ts";
import type { CameraStatus, CameraView } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { VideoCodec } from "../media/fragment.ts";
import type { CaptureFactory, NativeSource } from "./capture-factory.ts";
import { captureProblem } from "./capture-problems.ts";
import type { Camera, CameraSettings } from "./contract.ts";
import { type Holder, holdersInWords, holdersOf } from "./holders.ts";
import { chooseMode, type ModeWishes, ratesOf } from "./mode-choice.ts";
import { Rendition } from "./rendition.ts";

/** What a camera remembers of itself between runs of the hub. */
export interface CameraMemory {
  readonly number: number;
  readonly kind: DeviceKind;
  readonly name: string;
  readonly node: string | undefined;
  readonly busPath: string;
  readonly serial: string | undefined;
  readonly lastSeenUs: number | undefined;
  /** What its last capture gave. */
  readonly learned: LearnedMode | undefined;
}

/** For cameras that tell nothing beforehand. */
export interface LearnedMode {
  readonly codec: VideoCodec;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
}

export interface CameraOptions {
  readonly memory: CameraMemory;
  readonly settings: CameraSettings;
  readonly capture: CaptureFactory;
  readonly clock: Clock;
  readonly log: Log;
  /** Something of `view()` may have changed because of the capture. */
  readonly onChange: () => void;
  readonly onCaptureState: (change: { from: CaptureState; to: CaptureState; reason?: string }) => void;
  readonly onGap: (gap: { fromUs: number; toUs: number; reason: string }) => void;
  readonly onLearned: (learned: LearnedMode) => void;
  /** How long a broken capture may try before the status says so, milliseconds. Default 5000. */
  readonly recoveryGraceMs?: number;
  /** Who has a node open; replaced in tests. */
  readonly holdersOf?: (node: string) => Promise<readonly Holder[]>;
}

interface Failure {
  readonly code: string;
  readonly message: string;
}

type Abilities = Pick<CameraView, "formats" | "resolutions" | "fpsOptions">;
type Worked<T> = { readonly capabilities: DeviceCapabilities | undefined } & T;

const fourccOf: Readonly<Record<VideoCodec, string>> = {
  mjpeg: "MJPG",
  h264: "H264",
  hevc: "HEVC",
  av1: "AV01",
};

export class CameraImpl implements Camera {
  readonly id: string;
  readonly number: number;
  readonly kind: DeviceKind;
  readonly #options: CameraOptions;
  #settings: CameraSettings;
  #device: Device | undefined;
  /** Kept when the device goes. */
  #capabilities: DeviceCapabilities | undefined;
  #name: string;
  #node: string | undefined;
  #busPath: string;
  #serial: string | undefined;
  #learned: LearnedMode | undefined;
  /** Worked out from what is told beside it, since views are made at every call. */
  #known: Worked<{ readonly learned: LearnedMode | undefined; readonly abilities: Abilities }> | undefined;
  #choice: Worked<{ readonly wishes: ModeWishes | undefined; readonly mode: CaptureMode }> | undefined;
  #lastSeenUs: number | undefined;
  #connectedAtUs: number | undefined;
  #disconnectedAtUs: number | undefined;
  #failure: Failure | undefined;
  #native: NativeSource | undefined;
  readonly #renditions = new Map<string, FragmentSource>();
  #cancelGrace: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: CameraOptions) {
    const { memory } = options;
    this.#options = options;
    this.id = `camera${memory.number}`;
    this.number = memory.number;
    this.kind = memory.kind;
    this.#settings = options.settings;
    this.#name = memory.name;
    this.#node = memory.node;
    this.#busPath = memory.busPath;
    this.#serial = memory.serial;
    this.#learned = memory.learned;
    this.#lastSeenUs = memory.lastSeenUs;
  }

  get settings(): CameraSettings {
    return this.#settings;
  }

  set settings(settings: CameraSettings) {
    this.#settings = settings;
  }

  get device(): Device | undefined {
    return this.#device;
  }

  get capabilities(): DeviceCapabilities | undefined {
    return this.#capabilities;
  }

  /** What a look at the camera, or its last capture, has shown. */
  get learned(): LearnedMode | undefined {
    return this.#learned;
  }

  get node(): string | undefined {
    return this.#node;
  }

  get status(): CameraStatus {
    if (this.#device === undefined) return "DISCONNECTED";
    return this.#device.problem !== undefined || this.#failure !== undefined ? "ERROR" : "CONNECTED";
  }

  /** The device is there, or there anew, or has changed. */
  attach(device: Device): void {
    const nowUs = this.#options.clock.wallUs();
    const wasUsable = this.#device !== undefined && this.#device.problem === undefined;
    if (this.#device === undefined) {
      this.#connectedAtUs = nowUs;
      this.#disconnectedAtUs = undefined;
      this.#clearFailure();
    }
    // The same look is not taken twice: a capture may have shown better since.
    if (device.seen !== undefined && device.seen !== this.#device?.seen) {
      const { codec, width, height, fps } = device.seen;
      this.#learned = { codec, width, height, fps };
    }
    this.#device = device;
    this.#name = device.name;
    this.#node = device.node ?? this.#node;
    this.#busPath = device.identity.busPath;
    this.#serial = device.identity.serial;
    this.#lastSeenUs = nowUs;
    this.#capabilities = device.capabilities ?? this.#capabilities;
    if (device.problem === undefined && !wasUsable) this.#native?.deviceBack();
    if (device.problem !== undefined && wasUsable) this.#native?.deviceLost();
  }

  detach(): void {
    if (this.#device === undefined) return;
    const nowUs = this.#options.clock.wallUs();
    this.#device = undefined;
    this.#disconnectedAtUs = nowUs;
    this.#lastSeenUs = nowUs;
    this.#clearFailure();
    this.#native?.deviceLost();
  }

  view(): CameraView {
    const device = this.#device;
    const trouble = device?.problem ?? (device === undefined ? undefined : this.#failure);
    const mode = this.#modeInUse() ?? this.chosenMode();
    return {
      id: this.id,
      number: this.number,
      kind: this.kind,
      name: this.#settings.name ?? this.#name,
      node: this.#node,
      status: this.status,
      reason: trouble?.message,
      reasonCode: trouble?.code,
      mode: mode === undefined || mode.width === 0 ? undefined : { ...mode },
      ...this.#abilities(),
      driver: this.#capabilities?.driver,
      busPath: this.#busPath,
      serial: this.#serial,
      captureState: this.#native?.state ?? "idle",
      connectedAtUs: this.#connectedAtUs,
      disconnectedAtUs: this.#disconnectedAtUs,
      lastSeenUs: device === undefined ? this.#lastSeenUs : this.#options.clock.wallUs(),
    };
  }

  /** What the camera can do, in words; the same object until that changes. */
  #abilities(): Abilities {
    const capabilities = this.#capabilities;
    const learned = this.#learned;
    let known = this.#known;
    if (known === undefined || known.capabilities !== capabilities || known.learned !== learned) {
      known = { capabilities, learned, abilities: abilitiesOf(capabilities, learned) };
      this.#known = known;
    }
    return known.abilities;
  }

  /** The mode a capture starts in unless a lease insists on another; `undefined` where nothing is known yet. */
  chosenMode(): CaptureMode | undefined {
    const capabilities = this.#capabilities;
    if (capabilities !== undefined) {
      const wishes = this.#settings.mode;
      if (this.#choice?.capabilities !== capabilities || this.#choice.wishes !== wishes) {
        this.#choice = { capabilities, wishes, mode: chooseMode(capabilities, wishes).mode };
      }
      return this.#choice.mode;
    }
    if (this.#learned === undefined) return undefined;
    const { codec, width, height, fps } = this.#learned;
    return { format: fourccOf[codec], width, height, fps: rateOf(this.#native?.frameIntervalUs) ?? fps };
  }

  controls(): DeviceControls {
    this.#assertUsable();
    const controls = this.#device?.controls;
    if (controls !== undefined) return controls;
    throw new OcelliError(
      "unsupported",
      `${this.id} is no V4L2 camera: it has no controls the hub can set.`,
      {
        details: { camera: this.id },
      },
    );
  }

  native(): NativeSource {
    this.#assertUsable();
    this.#native ??= this.#makeNative();
    return this.#native;
  }

  captureStats(): SourceStats | undefined {
    return this.#native?.stats();
  }

  h264(): FragmentSource {
    return this.#rendition("h264");
  }

  mjpeg(): FragmentSource {
    return this.#rendition("mjpeg");
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelGrace?.();
    await Promise.allSettled([...this.#renditions.values()].map((source) => source.close()));
    await this.#native?.close();
  }

  #rendition(codec: "h264" | "mjpeg"): FragmentSource {
    const native = this.native();
    const given = native.codec ?? this.#expectedCodec();
    if (given === codec) return native;
    const existing = this.#renditions.get(codec);
    if (existing !== undefined) return existing;
    const id = `${this.id}/${codec}`;
    const makeTranscode = (): FragmentSource =>
      this.#options.capture.makeTranscode({ id, source: native, codec });
    const source =
      given === undefined ? new Rendition({ id, native, codec, makeTranscode }) : makeTranscode();
    this.#renditions.set(codec, source);
    return source;
  }

  /** What the chosen mode gives; `undefined` for a camera that tells only when it is live. */
  #expectedCodec(): VideoCodec | undefined {
    if (this.#capabilities === undefined) return undefined;
    const format = this.chosenMode()?.format;
    if (format === "MJPG" || format === "JPEG") return "mjpeg";
    // Raw formats are encoded to H.264 once.
    return "h264";
  }

  #modeInUse(): CaptureMode | undefined {
    const native = this.#native;
    const mode = native !== undefined && native.state !== "idle" ? native.stats().mode : undefined;
    // A camera that tells only when it is live was opened without a size.
    return mode === undefined || mode.width === 0 ? undefined : mode;
  }

  #assertUsable(): void {
    if (this.#closed !== undefined) {
      throw new OcelliError("camera_disconnected", `${this.id} is closed: the hub is shutting down.`);
    }
    const device = this.#device;
    const problem = device?.problem;
    if (device !== undefined && problem === undefined) return;
    throw new OcelliError(
      "camera_disconnected",
      problem === undefined
        ? `${this.id} (${this.#name}) is not attached. Plug it in, or check that it is switched on.`
        : `${this.id} cannot be used: ${problem.message}`,
      { details: { camera: this.id, node: this.#node, reason: problem?.code } },
    );
  }

  #makeNative(): NativeSource {
    const native = this.#options.capture.makeNative({
      id: this.id,
      kind: this.kind,
      input: (wanted, signal) => this.#input(wanted, signal),
    });
    native.on("state", (change) => {
      this.#options.onCaptureState(change);
      this.#followState(native, change.to, change.reason);
    });
    native.on("gap", (gap) => this.#options.onGap(gap));
    return native;
  }

  async #input(
    wanted: CaptureMode | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ mode: CaptureMode; input: CaptureInput }> {
    this.#assertUsable();
    await this.#device?.prepare?.(signal);
    this.#assertUsable();
    const device = this.#device;
    if (device === undefined) throw new OcelliError("camera_disconnected", `${this.id} is not attached.`);
    const mode = wanted ?? this.chosenMode() ?? { format: "unknown", width: 0, height: 0, fps: 0 };
    return { mode, input: device.input(mode) };
  }

  #followState(native: NativeSource, state: CaptureState, reason: string | undefined): void {
    switch (state) {
      case "live":
        this.#clearFailure();
        this.#learn(native);
        break;
      case "failed":
        this.#fail(native.stats().lastError ?? reason ?? "the capture failed", native.stats().lastErrorLines);
        break;
      case "idle":
        // Its rate is known better than at the first frame.
        this.#learn(native);
        break;
      case "stalled":
      case "recovering":
        this.#cancelGrace ??= this.#options.clock.after(this.#options.recoveryGraceMs ?? 5000, () => {
          this.#cancelGrace = undefined;
          if (native.state !== "stalled" && native.state !== "recovering") return;
          this.#fail(native.stats().lastError ?? reason ?? "no frames arrive", native.stats().lastErrorLines);
          this.#options.onChange();
        });
        break;
      default:
        break;
    }
    this.#options.onChange();
  }

  #fail(message: string, lines: readonly string[] = []): void {
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    if (this.#device === undefined) return;
    const isRemote = this.kind === "rtsp" || this.kind === "http";
    const subject = this.#device.node ?? this.#settings.name ?? this.#name;
    const failure = captureProblem(message, lines, subject, isRemote);
    this.#failure = failure;
    if (failure.code === "camera_busy" && this.#device.node !== undefined) {
      void this.#nameHolders(failure, this.#device.node);
    }
  }

  /** Looking takes a moment; the status does not wait for it. */
  async #nameHolders(failure: Failure, node: string): Promise<void> {
    const holders = await (this.#options.holdersOf ?? holdersOf)(node);
    if (holders.length === 0 || this.#failure !== failure || this.#closed !== undefined) return;
    this.#failure = { ...failure, message: `${failure.message} It is held by ${holdersInWords(holders)}.` };
    this.#options.onChange();
  }

  #clearFailure(): void {
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    this.#failure = undefined;
  }

  #learn(native: NativeSource): void {
    if (this.#capabilities !== undefined) return;
    const track = native.init?.tracks.find((one) => one.kind === "video");
    if (track === undefined || track.kind !== "video") return;
    const learned: LearnedMode = {
      codec: track.codec,
      width: track.width,
      height: track.height,
      fps: rateOf(native.frameIntervalUs) ?? this.#learned?.fps ?? 0,
    };
    if (JSON.stringify(learned) === JSON.stringify(this.#learned)) return;
    this.#learned = learned;
    this.#options.onLearned(learned);
  }
}

/** `WxH`, by width, then height, largest first. */
function abilitiesOf(
  capabilities: DeviceCapabilities | undefined,
  learned: LearnedMode | undefined,
): Abilities {
  const sizes = capabilities?.formats.flatMap((format) => format.sizes) ?? [];
  const rates = sizes.flatMap(ratesOf).map(Math.trunc);
  return {
    formats:
      capabilities !== undefined
        ? [...new Set(capabilities.formats.map((format) => format.fourcc))]
        : learned === undefined
          ? []
          : [fourccOf[learned.codec]],
    resolutions: sizes.length > 0 ? sizeNames(sizes) : learned === undefined ? [] : sizeNames([learned]),
    fpsOptions:
      rates.length > 0
        ? [...new Set(rates)].filter((rate) => rate > 0).sort((a, b) => b - a)
        : learned === undefined || learned.fps < 1
          ? []
          : [Math.round(learned.fps)],
  };
}

function sizeNames(sizes: readonly { readonly width: number; readonly height: number }[]): string[] {
  const sorted = sizes.toSorted((a, b) => b.width - a.width || b.height - a.height);
  return [...new Set(sorted.map((size) => `${size.width}x${size.height}`))];
}
