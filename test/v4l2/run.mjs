// `npm run test:v4l2`: runs scenario.ts in the guest, then judges on the host, with ffprobe and a reader of its own,
// the files it left. Last line: `N passed, N failed`.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInGuest } from "./guest.mjs";
import { missingTools } from "./setup.mjs";

const missing = missingTools();
if (missing.length > 0) {
  console.log(`skipped: the run against real V4L2 drivers (missing: ${missing.join(", ")})`);
  console.log("0 passed, 0 failed, 1 skipped");
  process.exit(process.env.CI === "true" ? 1 : 0);
}

let passed = 0;
let failed = 0;
/** @param {string} name @param {() => string | void} work */
function step(name, work) {
  try {
    const note = work();
    passed++;
    console.log(`ok   ${name}${note ? `: ${note}` : ""}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
/** @param {string} what @param {boolean} condition */
function holds(what, condition) {
  if (!condition) throw new Error(what);
}

/**
 * Wall times of the recording's fragments in seconds, from the standard `prft` boxes inside the file, found by
 * walking the boxes within its one `mdat`. ISO/IEC 14496-12, 8.16.5.
 * @param {string} file
 */
function producerTimes(file) {
  const bytes = readFileSync(file);
  const times = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const small = bytes.readUInt32BE(at);
    const type = bytes.toString("latin1", at + 4, at + 8);
    const size = small === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : small;
    if (type === "prft")
      times.push(bytes.readUInt32BE(at + 16) - 2_208_988_800 + bytes.readUInt32BE(at + 20) / 2 ** 32);
    // The finished file's outer mdat holds the fragments; theirs hold frames.
    at += type === "mdat" && small === 1 ? 16 : size;
    if (size < 8) break;
  }
  return times;
}

/** @param {string} file */
function probe(file) {
  const args = [
    "-v",
    "error",
    "-count_frames",
    "-select_streams",
    "v:0",
    "-show_entries",
    "stream=nb_read_frames,codec_name:format=duration",
    "-of",
    "json",
    file,
  ];
  const { streams, format } = JSON.parse(
    execFileSync("ffprobe", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
  );
  return {
    frames: Number(streams[0].nb_read_frames),
    codec: streams[0].codec_name,
    durationS: Number(format.duration),
  };
}

const share = mkdtempSync(join(tmpdir(), "ocelli-v4l2-"));
try {
  const { exitCode, output, timings } = await runInGuest({
    command: ["node_modules/.bin/node", "test/v4l2/scenario.ts"],
    shareDir: share,
    timeoutMs: 290_000,
    memoryMb: 2048,
    onLine: (line) => {
      if (/^(ok {3}|FAIL) /.test(line)) console.log(line);
    },
  });
  passed += output.match(/^ok {3}/gm)?.length ?? 0;
  failed += output.match(/^FAIL /gm)?.length ?? 0;
  if (exitCode !== 0) {
    if (failed === 0) failed++;
    console.log(`the guest's output:\n${output}`);
  }
  console.log(`     (guest: ${timings.bootMs} ms to start, ${timings.runMs} ms of tests)`);

  const folder = join(share, "recordings");
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".mp4"))) {
    step(`${name} is whole and described correctly`, () => {
      const sidecar = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
      const { frames, codec, durationS } = probe(join(folder, name));
      holds(`ffprobe counts ${frames} frames, the sidecar ${sidecar.frames}`, frames === sidecar.frames);
      holds(`codec ${codec}, sidecar ${sidecar.codec}`, codec === sidecar.codec);
      holds(
        `duration ${durationS}, sidecar ${sidecar.durationS}`,
        Math.abs(durationS - sidecar.durationS) < 0.05,
      );
      return `${codec}, ${frames} frames, ${durationS.toFixed(2)} s`;
    });
  }
  step("the files of the two MJPEG cameras begin at or after T0 within one frame interval", () => {
    const { t0Us, filenames } = JSON.parse(readFileSync(join(share, "t0.json"), "utf8"));
    const firsts = filenames
      .slice(0, 2)
      .map((/** @type {string} */ name) => (producerTimes(join(folder, name))[0] ?? Number.NaN) - t0Us / 1e6);
    for (const offset of firsts)
      holds(`first frame at T0 + ${offset} s`, offset > -0.00001 && offset < 1.5 / 15);
    return firsts.map((/** @type {number} */ offset) => `T0 + ${(offset * 1000).toFixed(2)} ms`).join(", ");
  });
} catch (error) {
  failed++;
  console.log(`FAIL ${error instanceof Error ? error.message : error}`);
} finally {
  rmSync(share, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
