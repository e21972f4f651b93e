/** What the entries for browsers and for Node have in common. */
export type { CameraApi } from "./api-names.ts";
export type { ListOptions, RecordingOptions, RequestOptions, SnapshotOptions } from "./call-options.ts";
export type { ClientEvents, NotificationCallback, ServerNotification } from "./client-events.ts";
export {
  AuthenticationError,
  CameraNotFoundError,
  CameraServiceError,
  type Condition,
  ConnectionError,
  MediaMTXError,
  TimeoutError,
  ValidationError,
} from "./errors.ts";
export type { IterateOptions, ListenOptions } from "./events.ts";
export type { FileType } from "./files.ts";
export type { Logger } from "./logger.ts";
export type { AuthType, CameraClientOptions, SnakeCaseOptions } from "./options.ts";
export { ConnectionPool, type Pooled, type PoolOptions } from "./pool.ts";
export type {
  CameraInfo,
  FileInfo,
  FileList,
  JsonObject,
  RecordingInfo,
  SnapshotResult,
  StoppedRecording,
} from "./records.ts";
export {
  type CallOptions,
  RpcConnection,
  type RpcConnectionOptions,
  type Success,
} from "./rpc-connection.ts";
export type { OpenSocket, Socket, SocketHandlers } from "./socket.ts";
export type { LostEvents, SubscribeOptions } from "./subscriptions.ts";
export { isTokenExpired, tokenExpiry } from "./token.ts";
