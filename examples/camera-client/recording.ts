/** A recording with a longest duration, stopped by hand before it. */
import { setTimeout as sleep } from "node:timers/promises";
import { CameraClient, CameraNotFoundError, MediaMTXError } from "@ocelli/client";
import { device, options, seconds } from "./settings.ts";

await using client = new CameraClient(options);
await client.connect();

try {
  const recording = await client.startRecording(device, {
    duration: 2 * seconds,
    customFilename: "my_recording.mp4",
  });
  console.log(`Recording started: ${recording.filename}`);
  console.log(`Recording ID: ${recording.recordingId}`);

  await sleep(seconds * 1000);

  const stopped = await client.stopRecording(device);
  console.log(`Recording stopped: ${stopped.filename}`);
  console.log(`Duration: ${stopped.duration} seconds`);
} catch (error) {
  process.exitCode = 1;
  if (error instanceof CameraNotFoundError) console.log("Camera not found");
  else if (error instanceof MediaMTXError) console.log(`Recording failed: ${error.message}`);
  else throw error;
}
