/** Run as a process of its own by the crash test: adds entries for ever, naming each one once `put` has answered. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import pino from "pino";
import { SystemClock } from "../../clock/system-clock.ts";
import { MediaLibrary } from "../library.ts";
import { makeSidecar } from "./make-sidecar.ts";

const root = process.argv[2];
if (root === undefined) throw new Error("usage: adding-child.ts FOLDER");
const library = await MediaLibrary.open({
  recordingsFolder: join(root, "recordings"),
  snapshotsFolder: join(root, "snapshots"),
  indexPath: join(root, "library.db"),
  clock: new SystemClock(),
  log: pino({ level: "silent" }),
});
for (;;) {
  const filename = library.reserve("recording", "clip", "mp4");
  await writeFile(join(library.folder("recording"), filename), "media");
  await library.put(makeSidecar("recording", filename));
  process.stdout.write(`${filename}\n`);
}
