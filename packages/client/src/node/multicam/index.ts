/** MultiCam from the controller's side. */
export {
  type CallOptions as MultiCamCallOptions,
  type DeviceResult,
  type DownloadOptions as MultiCamDownloadOptions,
  type ManyOptions,
  MultiCamController,
  type MultiCamControllerOptions,
  type StartOptions,
  type StoppedFile,
  type Uploads,
} from "./controller.ts";
export type { DeviceAddress, MultiCamDevice } from "./device.ts";
export { MultiCamError, type MultiCamErrorCode } from "./errors.ts";
export {
  MultiCamSession,
  type SessionDownloadOptions,
  type SessionMetadata,
  type SessionOptions,
} from "./session.ts";
export type { Transferred } from "./transfer.ts";
