/** Settings of cameras. */
import type { Names } from "@ocelli/protocol/camera-service";
import type { CurrentSettings } from "../../../cameras/camera-settings.ts";
import { cameraLane } from "../lanes.ts";
import { cameraNames } from "../shapes-camera.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const getCameraSettings: MethodImplementation<"get_camera_settings"> = {
  run: ({ device }, { dialect }, { cameraSettings }) =>
    settingsObject(cameraSettings.get(device), dialect.names, device),
};

const setCameraSettings: MethodImplementation<"set_camera_settings"> = {
  lane: ({ device }, { cameras }) => cameraLane(cameras.find(device).id),
  run(params, { dialect }, { cameraSettings }) {
    const { device, name, format, resolution, fps, record_codec, continuous_recording, pre_roll } = params;
    const settings = cameraSettings.set(device, {
      ...(name === undefined ? {} : { name }),
      ...(format === undefined ? {} : { format }),
      ...(resolution === undefined ? {} : { size: sizeOf(resolution) }),
      ...(fps === undefined ? {} : { fps }),
      ...(record_codec === undefined ? {} : { recordCodec: record_codec }),
      ...(continuous_recording === undefined ? {} : { continuousRecording: continuous_recording }),
      ...(pre_roll === undefined ? {} : { preRollS: pre_roll }),
    });
    return settingsObject(settings, dialect.names, device);
  },
};

function sizeOf(text: string): { width: number; height: number } | "auto" {
  if (text === "auto") return text;
  const [width = 0, height = 0] = text.split("x").map(Number);
  return { width, height };
}

function settingsObject(settings: CurrentSettings, names: Names, spelled: string) {
  const { camera, wishes } = settings;
  return {
    ...cameraNames(camera, names, spelled),
    name: camera.name,
    format: wishes.format ?? null,
    resolution:
      wishes.width === undefined || wishes.height === undefined ? null : `${wishes.width}x${wishes.height}`,
    fps: wishes.fps ?? null,
    mode: modeObject(settings.nextMode),
    current_mode: modeObject(camera.mode),
    record_codec: settings.recordCodec,
    continuous_recording: settings.continuousRecording,
    pre_roll: settings.preRollS,
  };
}

function modeObject(
  mode: { format: string; width: number; height: number; fps: number } | undefined,
): { format: string; resolution: string; width: number; height: number; fps: number } | null {
  return mode === undefined ? null : { ...mode, resolution: `${mode.width}x${mode.height}` };
}

export const cameraSettingsImplementations = {
  get_camera_settings: getCameraSettings,
  set_camera_settings: setCameraSettings,
} satisfies Partial<MethodTable>;
