/** Which cameras there are, and how one of them is. */
import { CameraClient, CameraNotFoundError } from "@ocelli/client";
import { device, options } from "./settings.ts";

await using client = new CameraClient(options);
await client.connect();

const cameras = await client.getCameraList();
console.log(`Found ${cameras.length} cameras:`);
for (const camera of cameras) {
  console.log(`  - ${camera.name} (${camera.devicePath})`);
  console.log(`    Status: ${camera.status}`);
  console.log(`    Capabilities: ${camera.capabilities.join(", ")}`);
  if (camera.streamUrl !== null) console.log(`    Stream URL: ${camera.streamUrl}`);
}

for (const path of [device, "/dev/video99"]) {
  try {
    const status = await client.getCameraStatus(path);
    console.log(`Camera status: ${status.status}`);
    console.log(`Capabilities: ${status.capabilities.join(", ")}`);
  } catch (error) {
    if (!(error instanceof CameraNotFoundError)) throw error;
    console.log("Camera not found");
  }
}
