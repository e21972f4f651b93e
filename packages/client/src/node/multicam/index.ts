/** MultiCam from the controller's side. */
export { MultiCamController } from "./controller.ts";
export { type DeviceAddress, type MultiCamDevice, nameOfDevice } from "./device.ts";
export { MultiCamError, type MultiCamErrorCode } from "./errors.ts";
export type {
  CallOptions as MultiCamCallOptions,
  DeviceResult,
  DownloadOptions as MultiCamDownloadOptions,
  ManyOptions,
  MultiCamControllerOptions,
  StartOptions,
  StoppedFile,
  Uploads,
} from "./options.ts";
export {
  MultiCamSession,
  type SessionDownloadOptions,
  type SessionMetadata,
  type SessionOptions,
} from "./session.ts";
export type { Transferred } from "./transfer.ts";
