/** One picture. */
import { CameraClient, CameraNotFoundError, MediaMTXError } from "@ocelli/client";
import { device, options } from "./settings.ts";

await using client = new CameraClient(options);
await client.connect();

try {
  const snapshot = await client.takeSnapshot(device);
  console.log(`Snapshot saved: ${snapshot.filename}`);
  console.log(`File size: ${snapshot.file_size} bytes`);
} catch (error) {
  process.exitCode = 1;
  if (error instanceof CameraNotFoundError) console.log("Camera not found");
  else if (error instanceof MediaMTXError) console.log(`Snapshot failed: ${error.message}`);
  else throw error;
}
