/** All cameras at once, over one connection. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

await using client = new CameraClient(options);
await client.connect();

const cameras = await client.getCameraList();
const results = await Promise.allSettled(cameras.map((camera) => client.takeSnapshot(camera.devicePath)));
for (const [index, result] of results.entries()) {
  const name = cameras[index]?.name;
  if (result.status === "rejected") console.log(`Failed to snapshot ${name}: ${result.reason}`);
  else console.log(`Snapshot ${name}: ${result.value.filename}`);
}
