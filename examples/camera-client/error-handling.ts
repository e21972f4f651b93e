/** Every class of error, and what to do about it. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  AuthenticationError,
  CameraClient,
  CameraNotFoundError,
  CameraServiceError,
  ConnectionError,
  MediaMTXError,
} from "@ocelli/client";
import { device, options, seconds } from "./settings.ts";

async function robustCameraOperations(client: CameraClient, wanted: string): Promise<void> {
  try {
    await client.connect();

    const cameras = await client.getCameraList();
    const camera = cameras.find(({ devicePath }) => devicePath === wanted) ?? { devicePath: wanted };

    const snapshot = await client.takeSnapshot(camera.devicePath);
    console.log(`Snapshot: ${snapshot.filename}`);

    const recording = await client.startRecording(camera.devicePath, 2 * seconds);
    console.log(`Recording: ${recording.filename}`);

    await sleep(seconds * 1000);
    await client.stopRecording(camera.devicePath);
    // There is nothing left to stop.
    await client.stopRecording(camera.devicePath);
  } catch (error) {
    if (error instanceof AuthenticationError) console.log("Authentication failed - check your credentials");
    else if (error instanceof ConnectionError) console.log("Connection failed - check server status");
    else if (error instanceof CameraNotFoundError) console.log("Camera not found - check device path");
    else if (error instanceof MediaMTXError) console.log(`MediaMTX operation failed: ${error.message}`);
    else if (error instanceof CameraServiceError) console.log(`Camera service error: ${error.message}`);
    else console.log(`Unexpected error: ${error}`);
  } finally {
    await client.disconnect();
  }
}

await robustCameraOperations(new CameraClient(options), device);
await robustCameraOperations(new CameraClient(options), "/dev/video99");
await robustCameraOperations(new CameraClient({ ...options, authType: "api_key", apiKey: "wrong" }), device);
await robustCameraOperations(new CameraClient({ ...options, port: 9, maxRetries: 1 }), device);
