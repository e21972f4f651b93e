/** What happens at the service, by callbacks, by typed events and by iterating. */
import { CameraClient, type JsonObject } from "@ocelli/client";
import { device, options } from "./settings.ts";

await using client = new CameraClient(options);

/** Notifications of older servers say less: every field may be missing. */
const part = (params: JsonObject, name: string): JsonObject => ({ ...(params[name] as object | undefined) });

client.setCameraStatusCallback(async (params) => {
  const camera = part(params, "camera");
  console.log(`Camera ${camera.name} status changed to ${camera.status}`);
});
client.setRecordingStatusCallback(async (params) => {
  const recording = part(params, "recording");
  console.log(`Recording ${recording.filename} status: ${recording.status}`);
});
client.setConnectionLostCallback(async () => {
  console.log("Connection lost - attempting to reconnect...");
});
client.on("recording_status_update", ({ device, duration }) => {
  console.log(`${device}: ${duration} s recorded`);
});

await client.connect();
// Begun before the recording, so that nothing is missed.
const notifications = client.events("notification");
await client.startRecording(device, 1);
for await (const { method, params } of notifications) {
  console.log(`Notification ${method}`);
  if (method === "recording_status_update" && params.status !== "STARTED") break;
}
