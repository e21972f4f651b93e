/** Listing recordings and snapshots, and downloading the latest ones. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

async function fileManagementDemo(): Promise<void> {
  await using client = new CameraClient(options);
  await client.connect();

  const recordings = await client.listRecordings(10, 0);
  console.log(`Found ${recordings.files.length} recordings (total: ${recordings.total})`);
  for (const recording of recordings.files) {
    console.log(`📹 ${recording.filename}`);
    console.log(`   Size: ${recording.file_size} bytes`);
    console.log(`   Modified: ${recording.modified_time}`);
    console.log(`   Download: ${recording.download_url}`);
  }
  const snapshots = await client.listSnapshots({ limit: 10 });
  console.log(`Found ${snapshots.files.length} snapshots (total: ${snapshots.total})`);

  const [snapshot] = snapshots.files;
  if (snapshot !== undefined) {
    const path = await client.downloadFile("snapshots", snapshot.filename);
    console.log(`✅ Downloaded: ${path}`);
  }
  const [recording] = recordings.files;
  if (recording !== undefined) {
    const path = await client.downloadFile(
      "recordings",
      recording.filename,
      `./downloads/${recording.filename}`,
      { onProgress: (bytes, total) => console.log(`   ${bytes} of ${total} bytes`) },
    );
    console.log(`✅ Downloaded: ${path}`);
  }
  try {
    await client.downloadFile("snapshots", "snapshot_2025-01-15_14-30-00.jpg");
  } catch (error) {
    console.log(`❌ Download failed: ${error}`);
  }
}

await fileManagementDemo();
