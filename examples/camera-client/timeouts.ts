/** Every call ends after `requestTimeout`, 30 s by default, or when you say so. */
import { CameraClient, TimeoutError } from "@ocelli/client";
import { device, options } from "./settings.ts";

await using client = new CameraClient(options);
await client.connect();

try {
  const recording = await client.startRecording(device, { duration: 300, timeout: 60 });
  console.log(`Recording: ${recording.filename}`);
} catch (error) {
  if (!(error instanceof TimeoutError)) throw error;
  console.log("Operation timed out");
}
// The same with a signal of your own, which may also be a button.
await client.stopRecording(device, { signal: AbortSignal.timeout(60_000) });
console.log("Stopped");
