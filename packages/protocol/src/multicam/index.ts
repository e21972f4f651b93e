/** MultiCam: recording synchronised across devices over TCP (seed 001, both dialects). */
export {
  type CloudTarget,
  type CommandFields,
  CommandMessage,
  type Dialect,
  type FileKey,
} from "./commands.ts";
export * from "./constants.ts";
export { MultiCamFormatError } from "./errors.ts";
export {
  type FramedMessage,
  type FramingMode,
  MessageDecoder,
  TransferDecoder,
  type TransferItem,
  withLength,
} from "./framing.ts";
export {
  type DeviceFacts,
  type FileMetadata,
  type FileResponse,
  type ListFilesResponse,
  parseFileHeader,
  parseFiles,
  parseStatus,
  type ReplyDefaults,
  type StatusResponse,
  statusOfProse,
  type UploadItem,
  writeError,
  writeFileHeader,
  writeFiles,
  writeStatus,
  writeStopped,
  writeUploadQueued,
  writeUploadStatus,
} from "./replies.ts";
export {
  CommandType,
  DeviceStatus,
  DeviceType,
  isCommandType,
  isDeviceStatus,
  isError,
  isSuccess,
  normaliseStatus,
  UploadStatus,
} from "./vocabulary.ts";
