/** What the notifications of the hub tell, in words. */
import type { NotificationName } from "../camera-service/index.ts";

export const notificationWords: Readonly<Record<NotificationName, string>> = {
  camera_status_update:
    "A camera came, went, failed or changed what it can do; `initial` tells a new connection that asks nothing how cameras are.",
  recording_status_update: "A recording started, goes on, stopped or failed.",
  system_health_update: "Something is wrong with a camera, the disk or the clock, or no longer.",
  export_update: "Progress of an export or of aligning a sync session, to the connection that asked for it.",
  server_welcome: "The first message to clients that ask for the subprotocol echo-protocol.",
};
