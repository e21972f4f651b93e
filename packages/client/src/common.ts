/** What the entries for browsers and for Node have in common. */
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
export type { Logger } from "./logger.ts";
export {
  type CallOptions,
  RpcConnection,
  type RpcConnectionOptions,
  type Success,
} from "./rpc-connection.ts";
export type { OpenSocket, Socket, SocketHandlers } from "./socket.ts";
export { isTokenExpired, tokenExpiry } from "./token.ts";
