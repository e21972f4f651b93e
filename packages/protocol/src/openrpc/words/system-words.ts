import type { Words } from "./contract.ts";

/** The hub itself. */
export const systemWords: Words = {
  ping: {
    summary: "Says `pong`. For checking the connection.",
  },
  echo: {
    summary: "Says back what it is told.",
    params: {
      message: "any text",
    },
    example: { message: "hello" },
    exampleAnswer: "hello",
  },
  get_supported_methods: {
    summary: "The names of all methods of this hub.",
    exampleAnswer: ["ping", "authenticate", "get_camera_list"],
  },
  get_server_info: {
    summary: "What the hub is, where it runs, and what the machine has.",
  },
  get_status: {
    summary: "How the hub is, and what is wrong with it.",
    exampleAnswer: { status: "healthy", components: { websocket_server: "running" }, problems: [] },
  },
  get_system_status: {
    summary: "Whether the hub is ready, and the cameras that can be used now.",
    exampleAnswer: { status: "ready" },
  },
  get_metrics: {
    summary: "Measured figures: requests, memory, processor, cameras, recordings, viewers.",
  },
  get_configuration: {
    summary:
      "Extension: the settings in force, each with where it comes from. Secrets are `***`. They are changed in the file or the environment, and hold from the next start.",
    params: { key: "only this setting, or this group: `recording`" },
    example: { key: "recording" },
  },
  "rpc.discover": {
    summary: "Extension: this API as an OpenRPC document, the same as `GET /openrpc.json`.",
    errors: ["rate_limited"],
  },
};
