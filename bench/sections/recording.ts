import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { type RunningHub, until } from "../../test/harness/hub.ts";
import { startNetworkCameras } from "../../test/harness/network-cameras.ts";
import type { Rpc } from "../../test/harness/rpc.ts";
import { clip } from "../lib/ffmpeg.ts";
import { startUrlHub } from "../lib/hubs.ts";
import { cpuPercents } from "../lib/processes.ts";
import type { Context, Section } from "../section.ts";

const exec = promisify(execFile);

/** Cameras recorded beside the first one; what they cost is divided by their number. */
const more = 3;

/** CPU of one more recorded camera, against an ffmpeg that copies the same source to a file. */
export const recording: Section = {
  name: "recording",
  about: "one more camera recorded by stream copy, and what its file holds",
  async run(context) {
    const { report, folder } = context;
    const h264 = await clip(folder, "h264");
    const mjpeg = await clip(folder, "mjpeg");
    await measure(context, playing("H.264 file, 720p30", h264));
    await measure(context, playing("MJPEG file, 720p30", mjpeg));
    try {
      await using cameras = await startNetworkCameras();
      const url = `${cameras.rtsp}/h264`;
      const input = ["-rtsp_transport", "tcp", "-i", url];
      await measure(context, { name: "H.264 by RTSP, 320x240 at 15 frames/s", url, input });
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("the RTSP server ended"))) throw error;
      report.skip("cameras by RTSP: GStreamer's RTSP server for python3 is not installed");
    }
  },
};

interface Source {
  readonly name: string;
  readonly url: string;
  /** ffmpeg arguments that read the same. */
  readonly input: readonly string[];
}

function playing(name: string, file: string): Source {
  return { name, url: pathToFileURL(file).href, input: ["-stream_loop", "-1", "-re", "-i", file] };
}

async function measure({ report, quick, folder }: Context, source: Source): Promise<void> {
  const rounds = quick ? 1 : 3;
  // Long enough that a collection of garbage, one in half a minute, is not taken for the rule.
  const windowMs = quick ? 10_000 : 20_000;
  await using hub = await startUrlHub(
    folder,
    Array.from({ length: 1 + more }, () => source.url),
    // Each round stops all captures before bare ffmpegs have the machine.
    { env: { OCELLI_CAPTURE_LINGER_SECONDS: "0" } },
  );
  await using rpc = await hub.rpc();
  const own: number[] = [];
  const itsFfmpeg: number[] = [];
  const total: number[] = [];
  const bare: number[] = [];
  const overhead: number[] = [];
  const bareOverhead: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await start(hub, rpc, ["camera100"], 1);
    const [one = Number.NaN] = await cpuPercents([hub.pid], windowMs);
    const others = Array.from({ length: more }, (_, index) => `camera${101 + index}`);
    await start(hub, rpc, others, 1 + more);
    const [all = Number.NaN, ...captures] = await cpuPercents([hub.pid, ...hub.ffmpegs()], windowMs);
    own.push((all - one) / more);
    const each = captures.reduce((sum, percent) => sum + percent, 0) / captures.length;
    itsFfmpeg.push(each);
    total.push((all - one) / more + each);
    for (const device of ["camera100", ...others]) {
      const { filename } = await rpc.call<{ filename: string }>("stop_recording", { device });
      const path = hub.file("recordings", filename);
      if (device === "camera100") overhead.push(await overheadOf(path));
      rmSync(path);
    }
    await until("the captures end", () => hub.ffmpegs().length === 0, 30_000);

    const copies = Array.from({ length: 1 + more }, (_, index) =>
      copy(source, join(folder, `bare-${index}.mp4`)),
    );
    await sleep(1500);
    const copying = await cpuPercents(
      copies.map(({ pid }) => pid ?? 0),
      windowMs,
    );
    bare.push(copying.reduce((sum, percent) => sum + percent, 0) / copying.length);
    for (const process of copies) process.kill("SIGINT");
    await Promise.all(copies.map((process) => process.exitCode ?? once(process, "exit")));
    bareOverhead.push(await overheadOf(join(folder, "bare-0.mp4")));
    for (let index = 0; index <= more; index++) rmSync(join(folder, `bare-${index}.mp4`));
  }
  const { name } = source;
  const against = { what: "bare ffmpeg -c copy to a file", values: bare };
  const unit = "% of a core";
  report.figure({ what: `${name}: hub process for one more`, unit, values: own, against, goalRatio: 0.5 });
  report.figure({ what: `${name}: its ffmpeg`, unit, values: itsFfmpeg, against });
  report.figure({ what: `${name}: both`, unit, values: total, against });
  report.figure({
    what: `${name}: file beyond its media`,
    unit: "%",
    values: overhead,
    against: { what: "ffmpeg's file", values: bareOverhead },
  });
}

/**
 * Captures are read frame by frame for their first five seconds, and a second of media is written at a time: a recording
 * of hours is not like that.
 */
const settleMs = 8000;

/** Resolves when all these and `count` captures altogether have been recording long enough to go on so. */
async function start(hub: RunningHub, rpc: Rpc, devices: readonly string[], count: number): Promise<void> {
  for (const device of devices) await rpc.call("start_recording", { device });
  await until("the captures run", () => hub.ffmpegs().length === count);
  await sleep(settleMs);
}

function copy({ input }: Source, out: string): ChildProcess {
  const quiet = ["-hide_banner", "-nostdin", "-loglevel", "error", "-y"];
  return spawn("ffmpeg", [...quiet, ...input, "-c", "copy", out], {
    stdio: "ignore",
  });
}

/** What a file holds beside its samples, per cent of them. */
async function overheadOf(file: string): Promise<number> {
  const { stdout } = await exec(
    "ffprobe",
    ["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=size", "-of", "csv=p=0", file],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  const media = stdout.split("\n").reduce((sum, line) => sum + (Number.parseInt(line, 10) || 0), 0);
  return (statSync(file).size / media - 1) * 100;
}
