/** Connecting and disconnecting by hand. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

const client = new CameraClient(options);
try {
  await client.connect();
  console.log("Connected successfully");
  // Your camera operations here
} catch (error) {
  console.log(`Connection failed: ${error}`);
  process.exitCode = 1;
} finally {
  // Always disconnect
  await client.disconnect();
}
