// `npm run test:v4l2`: runs scenario.ts in the guest, then judges on the host, with ffprobe and a reader of its own,
// the files it left. Last line: `N passed, N failed`. An argument chooses the steps whose names have it in them.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runInGuest } from "./guest.mjs";
import { missingTools } from "./setup.mjs";

const missing = missingTools();
if (missing.length > 0) {
  console.log(`skipped: the run against real V4L2 drivers (missing: ${missing.join(", ")})`);
  console.log("0 passed, 0 failed, 1 skipped");
  process.exit(process.env.CI === "true" ? 1 : 0);
}

const only = process.argv[2] ?? "";
let passed = 0;
let failed = 0;
/** @param {string} name @param {() => string | void} work */
function step(name, work) {
  if (!name.includes(only)) return;
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
  // The file a MultiCam device hands out; made here, where it takes no time.
  const pattern = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=30:duration=1", "-pix_fmt", "yuv420p"];
  execFileSync("ffmpeg", ["-v", "error", ...pattern, join(share, "phone.mp4")]);
  const { exitCode, output, timings } = await runInGuest({
    command: ["node_modules/.bin/node", "test/v4l2/scenario.ts", only],
    shareDir: share,
    // Under emulation: under 3 minutes on a quiet machine, twice that where both cores are busy.
    timeoutMs: 480_000,
    memoryMb: 2048,
    onLine: (line) => {
      if (/^(ok {3}|FAIL )/.test(line)) console.log(line);
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
  step("what was recorded in sync is what the report says, by the files", () => {
    const { members, skew_ms, startAtUs } = JSON.parse(readFileSync(join(share, "sync.json"), "utf8"));
    const starts = [];
    for (const member of members) {
      const file = join(folder, member.files[0]);
      const counted = probe(file);
      holds(
        `${member.member}: ffprobe counts ${counted.frames} frames, the report ${member.frames_received}`,
        counted.frames === member.frames_received,
      );
      if (member.time_source === "declared") continue;
      const reader = join(dirname(fileURLToPath(import.meta.url)), "../harness/read_recording.py");
      const read = JSON.parse(execFileSync("/usr/bin/python3", ["-B", reader, file], { encoding: "utf8" }));
      const [first] = read.times;
      starts.push(first);
      const near = (
        /** @type {string} */ what,
        /** @type {number} */ a,
        /** @type {number} */ b,
        /** @type {number} */ by,
      ) =>
        holds(`${member.member}: ${what} is ${a} in the report and ${b} in the file`, Math.abs(a - b) <= by);
      near("the first frame", member.first_frame_at_us, first, 1000);
      near("the start error", member.start_error_ms, (first - startAtUs) / 1000, 1);
      near("the length", member.duration, read.duration, 1.5 / 10);
      holds(`${member.member} begins ${member.start_error_ms} ms after T0`, member.start_error_ms >= -0.01);
      if (member.time_source === "kernel") {
        holds(
          `${member.member} begins ${member.start_error_ms} ms after T0, at ${member.frame_interval_ms} ms a frame`,
          member.start_error_ms < 1.5 * member.frame_interval_ms,
        );
      }
      const longest = Math.max(
        ...read.times.slice(1).map((/** @type {number} */ at, /** @type {number} */ i) => at - read.times[i]),
      );
      near("the longest interval", member.longest_interval_ms, longest / 1000, 1);
    }
    const apart = (Math.max(...starts) - Math.min(...starts)) / 1000;
    holds(`first frames are ${apart} ms apart, the report says ${skew_ms}`, Math.abs(apart - skew_ms) < 1);
    const kinds = members.map((/** @type {{time_source: string}} */ { time_source }) => time_source);
    holds(`times from ${kinds}`, `${kinds}` === "kernel,kernel,arrival,declared");
    return `${apart.toFixed(2)} ms apart`;
  });
} catch (error) {
  failed++;
  console.log(`FAIL ${error instanceof Error ? error.message : error}`);
} finally {
  rmSync(share, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
