/** Everything together: watches all cameras, takes a snapshot, records, lists, downloads. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { CameraClient } from "@ocelli/client";
import { options, seconds } from "./settings.ts";

async function cameraMonitor(): Promise<void> {
  await using client = new CameraClient(options);
  client.on("camera_status_update", ({ camera }) =>
    console.log(`📹 Camera ${camera.name}: ${camera.status}`),
  );
  client.on("recording_status_update", ({ recording }) =>
    console.log(`🎥 Recording ${recording.filename}: ${recording.status}`),
  );

  await client.connect();
  console.log("✅ Connected to camera service");

  const cameras = await client.getCameraList();
  console.log(`📹 Found ${cameras.length} cameras`);

  const [camera] = cameras;
  if (camera !== undefined) {
    console.log(`🎯 Working with camera: ${camera.name}`);
    const snapshot = await client.takeSnapshot(camera.devicePath);
    console.log(`📸 Snapshot: ${snapshot.filename}`);

    const recording = await client.startRecording(camera.devicePath, 2 * seconds, "demo_recording.mp4");
    console.log(`🎥 Recording started: ${recording.filename}`);
    await sleep(seconds * 1000);
    const stopped = await client.stopRecording(camera.devicePath);
    console.log(`⏹️ Recording stopped: ${stopped.filename}`);

    const recordings = await client.listRecordings(5);
    console.log(`📹 Found ${recordings.files.length} recordings:`);
    for (const { filename, file_size } of recordings.files.slice(0, 3)) {
      console.log(`  - ${filename} (${file_size} bytes)`);
    }
    const path = await client.downloadFile("snapshots", snapshot.filename);
    console.log(`✅ Downloaded snapshot: ${path}`);
  }

  console.log("👀 Monitoring cameras (press Ctrl+C to stop)...");
  await Promise.race([once(process, "SIGINT"), sleep(3 * seconds * 1000, undefined, { ref: false })]);
}

try {
  await cameraMonitor();
  console.log("✅ Disconnected");
} catch (error) {
  console.log(`❌ Error: ${error}`);
  process.exitCode = 1;
}
