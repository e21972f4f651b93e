/** The entry for Node. */
export * from "../common.ts";
export { CameraClient, type FileDownloadOptions } from "./camera-client.ts";
export { type DownloadOptions, downloadFile, partPath } from "./download.ts";
export * from "./multicam/index.ts";
export { nodeSocket } from "./socket.ts";
export type { Tls } from "./tls.ts";
