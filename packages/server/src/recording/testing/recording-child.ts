/**
 * A process that records until it is killed: `node recording-child.ts <folder> <clip> [segmentSeconds]`. Frames come in
 * real time; a line is printed for each second that is in the file.
 */
import { type ClipKind, clip, epochUs, later } from "./clips.ts";
import { FakeCamera, FakeCameras } from "./fake-camera.ts";
import { openHub } from "./hub.ts";

const [folder = "", kind = "mjpeg", segmentSeconds = "0", durationS = ""] = process.argv.slice(2);
const camera = new FakeCamera("camera0", 30);
const hub = await openHub({
  cameras: new FakeCameras(camera),
  folder,
  keepFolder: true,
  fragmentSeconds: 0.5,
  limits: { segmentSeconds: Number(segmentSeconds), segmentBytes: 0 },
});
const fragments = clip(kind as ClipKind, 2);
const started = hub.service.start({
  cameraId: "camera0",
  filename: "crash",
  ...(durationS === "" ? {} : { durationS: Number(durationS) }),
});
started.then((view) => console.log(JSON.stringify({ frames: view.frames, started: true })));
hub.events.on("recording.progress", ({ recording }) => {
  console.log(JSON.stringify({ frames: recording.frames, files: recording.segments, epochUs }));
});
for (let round = 0; ; round++) {
  for (const fragment of later(fragments, round * 2_000_000)) {
    const aheadUs = fragment.receivedAtMonoUs - hub.clock.monoUs();
    if (aheadUs > 0) hub.clock.advance(aheadUs / 1000);
    camera.source.feed(fragment);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}
