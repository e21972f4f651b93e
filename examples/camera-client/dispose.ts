/** `await using` disconnects at the end of the block, whatever happens in it. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

{
  await using camera = new CameraClient(options);
  await camera.connect();
  const cameras = await camera.getCameraList();
  console.log(`${cameras.length} cameras`);
}
console.log("Disconnected");
