/** Runs inside the V4L2 guest, see sections/sync-guest.ts: cameras with a real driver, started by the hub and by a shell. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { startHub } from "../test/harness/hub.ts";
import { loadVivid } from "../test/v4l2/modules.mjs";
import { byHub, byShell, type Started } from "./lib/common-start.ts";

export interface GuestStarts {
  readonly count: number;
  /** Files are names in the shared folder; their times are by the wall clock. */
  readonly hub: readonly Pick<Started, "files" | "instantMs">[];
  /** Likewise; their times are by the monotonic clock, and so is the instant. */
  readonly shell: readonly Pick<Started, "files" | "instantMs">[];
}

export const guestFps = 15;
const size = "320x180";
const share = "/mnt/share";
const counts = [2, 4];

/** The driver's own stamp of each picture is kept: what is compared is when it took the first one that is in the file. */
function recorder(index: number, file: string): readonly string[] {
  return [
    ...["-f", "v4l2", "-input_format", "yuyv422", "-video_size", size, "-framerate", String(guestFps)],
    ...["-i", `/dev/video${index}`, "-frames:v", String(guestFps), "-c:v", "libx264", "-preset", "ultrafast"],
    ...["-copyts", "-fps_mode", "passthrough", "-enc_time_base", "1:1000000", "-f", "matroska", "-y", file],
  ];
}

function shared(files: readonly string[], round: number): string[] {
  return files.map((file) => {
    const name = `${round}-${basename(file)}`;
    copyFileSync(file, join(share, name));
    return name;
  });
}

async function main(): Promise<void> {
  const rounds = Number(process.env.ROUNDS);
  const dataDir = "/tmp/ocelli-data";
  mkdirSync(dataDir);
  // The first start of ffmpeg reads it from the host, which takes many seconds where that has other work.
  execFileSync("ffmpeg", ["-version"]);
  await loadVivid({ devices: Math.max(...counts) });
  const hub = await startHub({
    dataDir,
    env: {
      OCELLI_VIRTUAL_CAMERA: "never",
      OCELLI_DEVICES_SIZE: size,
      OCELLI_DEVICES_FPS: String(guestFps),
      OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "60",
      // In turns with a shell, which cannot open a camera that the hub has open.
      OCELLI_CAPTURE_LINGER_SECONDS: "0",
    },
  });
  const rpc = await hub.rpc();
  const results: GuestStarts[] = [];
  for (const count of counts) {
    const cameras = Array.from({ length: count }, (_, index) => index);
    const group = `of ${count}`;
    await rpc.call("create_sync_group", { name: group, members: cameras.map((number) => `camera${number}`) });
    const own: GuestStarts["hub"][number][] = [];
    const shell: GuestStarts["shell"][number][] = [];
    for (let round = 0; round < rounds; round++) {
      const started = await byHub(hub, rpc, group, { delayS: 5 + 3 * count, durationS: 1 });
      own.push({ files: shared(started.files, round), instantMs: started.instantMs });
      const files = cameras.map((number) => `/tmp/shell-${count}-${number}.mkv`);
      const instantMs = await byShell(
        files.map((file, index) => recorder(index, file)),
        4000,
      );
      const monotonicMs = Number(process.hrtime.bigint()) / 1e6;
      shell.push({ files: shared(files, round), instantMs: instantMs - (Date.now() - monotonicMs) });
      console.log(`${count} cameras, round ${round + 1} of ${rounds}`);
    }
    results.push({ count, hub: own, shell });
  }
  await rpc.close();
  await hub.stop();
  writeFileSync(process.env.RESULT ?? "", JSON.stringify(results));
}

if (import.meta.main) await main();
