/** A stand-in for a hub: starts a live ffmpeg, prints its pid, and does not end by itself. Run by `process.test.ts`. */
import { SystemClock } from "../../clock/system-clock.ts";
import { spawnFfmpeg } from "../process.ts";

const child = spawnFfmpeg({
  clock: new SystemClock(),
  // Writes nothing for a long time: no broken pipe would end it.
  args: ["-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"],
});
child.stdout.resume();
process.stdout.write(`${child.pid}\n`);
setInterval(() => {}, 1000);
