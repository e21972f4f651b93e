/** How the hub is set up for load, and how the load presents itself. */
import { adminKey } from "../../test/harness/hub.ts";

/** Virtual cameras that nobody opens; no log lines of connections. */
export const loadedHubEnv: Readonly<Record<string, string>> = {
  OCELLI_DEVICES_V4L2: "false",
  OCELLI_VIRTUAL_CAMERA: "always",
  OCELLI_LOG_LEVEL: "warn",
};

export const viewerHeaders = { "X-API-Key": adminKey } as const;
