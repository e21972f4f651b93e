/**
 * Settings of one camera as people change them: what is allowed for this camera, what holds now. Persistence is the
 * registry's; continuous recording and pre-roll are done by `recording/`, which watches the settings.
 */
import { OcelliError } from "@ocelli/protocol";
import type { CaptureMode } from "../capture/source.ts";
import type { CameraView } from "../events/catalogue.ts";
import type { Log } from "../log/log.ts";
import type { Camera, CameraSettings, Cameras } from "./contract.ts";
import { chooseMode, type ModeWishes } from "./mode-choice.ts";

export interface CameraSettingsOptions {
  readonly cameras: Cameras & {
    configure(id: string, change: { [K in keyof CameraSettings]?: CameraSettings[K] | undefined }): Camera;
  };
  readonly log: Log;
  /** How far back frames are kept, seconds: no pre-roll can be longer. */
  readonly maxPreRollS: number;
}

/** `auto` goes back to the default; what is left out stays. */
export interface SettingsChange {
  readonly name?: string | "auto";
  readonly format?: string | "auto";
  readonly size?: { readonly width: number; readonly height: number } | "auto";
  readonly fps?: number | "auto";
  readonly recordCodec?: "copy" | "h264" | "auto";
  readonly continuousRecording?: boolean;
  readonly preRollS?: number;
}

export interface CurrentSettings {
  readonly camera: CameraView;
  /** What is wished for; the documented rule chooses the rest. */
  readonly wishes: ModeWishes;
  /** The mode the next start of the capture takes; `undefined` where only a capture can tell. */
  readonly nextMode: CaptureMode | undefined;
  readonly recordCodec: "copy" | "h264";
  readonly continuousRecording: boolean;
  readonly preRollS: number;
}

const rateTolerance = 0.5;

export class CameraSettingsService {
  readonly #options: CameraSettingsOptions;

  constructor(options: CameraSettingsOptions) {
    this.#options = options;
  }

  /** @throws OcelliError `camera_not_found` */
  get(name: string): CurrentSettings {
    return current(this.#options.cameras.find(name));
  }

  /**
   * Changes settings for good; setting what is set already changes nothing. A new mode holds from the next start of
   * the capture, which is at once when nobody uses it.
   * @throws OcelliError `camera_not_found`; `unsupported` for a mode the camera does not have; `invalid_params`
   */
  set(name: string, change: SettingsChange): CurrentSettings {
    const { cameras, maxPreRollS } = this.#options;
    const camera = cameras.find(name);
    const wishes = wishesAfter(camera.settings.mode ?? {}, change);
    if (change.format !== undefined || change.size !== undefined || change.fps !== undefined) {
      checkMode(camera, wishes);
    }
    if (change.preRollS !== undefined && change.preRollS > maxPreRollS) {
      throw new OcelliError(
        "invalid_params",
        `The hub keeps the last ${maxPreRollS} s of a camera, so pre_roll can be ${maxPreRollS} at most. Raise capture.ringSeconds for more.`,
        { details: { param: "pre_roll", max: maxPreRollS } },
      );
    }
    const { name: label, recordCodec, continuousRecording, preRollS } = change;
    const modeChanges = JSON.stringify(wishes) !== JSON.stringify(camera.settings.mode ?? {});
    const before = camera.chosenMode?.();
    cameras.configure(camera.id, {
      ...(label === undefined ? {} : { name: label === "auto" ? undefined : label }),
      ...(modeChanges ? { mode: Object.keys(wishes).length === 0 ? undefined : wishes } : {}),
      ...(recordCodec === undefined ? {} : { recordCodec: recordCodec === "auto" ? undefined : recordCodec }),
      ...(continuousRecording === undefined
        ? {}
        : { continuousRecording: continuousRecording ? true : undefined }),
      ...(preRollS === undefined ? {} : { preRollS: preRollS > 0 ? preRollS : undefined }),
    });
    if (JSON.stringify(before) !== JSON.stringify(camera.chosenMode?.())) this.#applyMode(camera);
    return current(camera);
  }

  /** A capture nobody uses, which only lingers, is started anew in the new mode. */
  #applyMode(camera: Camera): void {
    const mode = camera.chosenMode?.();
    if (camera.view().status !== "CONNECTED" || mode === undefined) return;
    const native = camera.native();
    if (native.state !== "live" || native.stats().leases.length > 0) return;
    native
      .open({ holder: "new settings", from: "next", overflow: "skip", mode })
      .then((lease) => lease.close())
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error, camera: camera.id }, "the new mode could not be started");
      });
  }
}

function current(camera: Camera): CurrentSettings {
  const { settings } = camera;
  return {
    camera: camera.view(),
    wishes: settings.mode ?? {},
    nextMode: camera.chosenMode?.(),
    recordCodec: settings.recordCodec,
    continuousRecording: settings.continuousRecording ?? false,
    preRollS: settings.preRollS ?? 0,
  };
}

function wishesAfter(before: ModeWishes, { format, size, fps }: SettingsChange): ModeWishes {
  const wish = <T>(asked: T | "auto" | undefined, now: T | undefined): T | undefined =>
    asked === undefined ? now : asked === "auto" ? undefined : asked;
  const wishedSize =
    size === undefined ? { width: before.width, height: before.height } : size === "auto" ? {} : size;
  const [newFormat, newFps] = [wish(format, before.format), wish(fps, before.fps)];
  const { width, height } = wishedSize;
  return {
    ...(newFormat === undefined ? {} : { format: newFormat }),
    ...(width === undefined ? {} : { width }),
    ...(height === undefined ? {} : { height }),
    ...(newFps === undefined ? {} : { fps: newFps }),
  };
}

/** @throws OcelliError `unsupported` */
function checkMode(camera: Camera, wishes: ModeWishes): void {
  if (Object.keys(wishes).length === 0) return;
  const view = camera.view();
  if (view.kind !== "v4l2" && view.kind !== "virtual") {
    throw new OcelliError(
      "unsupported",
      `${camera.id} is a network camera: its format, size and rate are set in the camera itself.`,
      { details: { camera: camera.id } },
    );
  }
  const { capabilities } = camera;
  // Absent and never seen: the wish is met as far as the camera can when it comes.
  if (capabilities === undefined) return;
  const { mode, wishesUnmet } = chooseMode(capabilities, wishes);
  const { fps } = wishes;
  if (!wishesUnmet && (fps === undefined || Math.abs(mode.fps - fps) <= rateTolerance)) return;
  throw new OcelliError(
    "unsupported",
    `${camera.id} has no such mode. It has ${view.formats.join(", ")}; ${view.resolutions.join(", ")}; ${view.fpsOptions.join(", ")} frames a second, not all of them together.`,
    {
      details: {
        camera: camera.id,
        wished: { ...wishes },
        formats: [...view.formats],
        resolutions: [...view.resolutions],
        fps_options: [...view.fpsOptions],
      },
    },
  );
}
