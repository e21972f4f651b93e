export { ConnectionError } from "./connection-error.ts";
export {
  type CallOptions,
  RpcConnection,
  type RpcConnectionOptions,
  type Success,
} from "./rpc-connection.ts";
