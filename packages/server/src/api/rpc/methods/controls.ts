/** Controls of cameras: exposure, focus and the like. */
import { OcelliError } from "@ocelli/protocol";
import type { ControlObject } from "@ocelli/protocol/camera-service";
import type { Camera } from "../../../cameras/contract.ts";
import type { DeviceControl, DeviceControls } from "../../../devices/controls.ts";
import { cameraNames } from "../shapes-camera.ts";
import type { MethodImplementation, MethodTable } from "./method.ts";

const getCameraControls: MethodImplementation<"get_camera_controls"> = {
  async run({ device }, { dialect }, { cameras }) {
    const camera = cameras.find(device);
    const controls = (await controlsOf(camera).list()).map(controlObject);
    return { ...cameraNames(camera.view(), dialect.names, device), controls, total: controls.length };
  },
};

const setCameraControl: MethodImplementation<"set_camera_control"> = {
  // Changes of one camera keep their order, and do not wait for its recordings.
  lane: ({ device }, { cameras }) => `controls/${cameras.find(device).id}`,
  async run({ device, control, value }, { dialect }, { cameras }) {
    const camera = cameras.find(device);
    const now = await controlsOf(camera).set(control, readValue(value));
    return { ...cameraNames(camera.view(), dialect.names, device), ...controlObject(now) };
  },
};

function controlsOf(camera: Camera): DeviceControls {
  const controls = camera.controls?.();
  if (controls !== undefined) return controls;
  throw new OcelliError("unsupported", `${camera.id} has no controls.`, { details: { camera: camera.id } });
}

/** Older clients and shells write numbers and switches as text; a menu entry may be named by a number. */
function readValue(value: number | boolean | string | undefined): number | boolean | string | undefined {
  if (typeof value !== "string") return value;
  if (value === "true" || value === "false") return value === "true";
  return /^[+-]?\d{1,15}$/.test(value) ? Number(value) : value;
}

function controlObject(control: DeviceControl): ControlObject {
  const { name, title, group, type, value, min, max, step, defaultValue, menu } = control;
  const shown = (number: number): number | boolean => (type === "bool" ? number !== 0 : number);
  return {
    ...{ name, title, group: group ?? null, type, min, max, step },
    value: value === undefined ? null : shown(value),
    default: shown(defaultValue),
    ...(type === "menu" ? { menu: menu.map((entry) => ({ ...entry })) } : {}),
    read_only: control.readOnly,
    inactive: control.inactive,
    volatile: control.volatile,
  };
}

export const controlImplementations = {
  get_camera_controls: getCameraControls,
  set_camera_control: setCameraControl,
} satisfies Partial<MethodTable>;
