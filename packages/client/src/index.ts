/** The entry for browsers; Node gets `node/index.ts` under the same name. */
export { CameraClient, type FetchOptions } from "./browser-client.ts";
export * from "./common.ts";
