/** Runs inside the V4L2 guest, see sections/hotplug.ts: plugs a camera in and out and times what a client hears. */
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, renameSync, watch, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { startHub, until } from "../test/harness/hub.ts";
import { feed, loadLoopback, unloadLoopback, unplugLoopback } from "../test/v4l2/modules.mjs";

export interface GuestHotplug {
  readonly appeared: readonly number[];
  readonly gone: readonly number[];
  readonly watched: readonly number[];
  readonly node: readonly number[];
}

const exec = promisify(execFile);
/** The same clock in every process. */
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A process that only watches /dev: what the kernel and Node need by themselves. */
function watchOnly(): void {
  watch("/dev", (_event, name) => {
    if (name === "video10") process.send?.(nowMs());
  });
  process.send?.("watching");
}

async function main(): Promise<void> {
  const rounds = Number(process.env.ROUNDS);
  const dataDir = "/tmp/ocelli-data";
  mkdirSync(dataDir);
  const hub = await startHub({
    dataDir,
    env: { OCELLI_VIRTUAL_CAMERA: "never", OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "60" },
  });
  const rpc = await hub.rpc();
  const watcher = fork(import.meta.filename, ["watch"]);
  const seen: number[] = [];
  watcher.on("message", (at) => {
    if (typeof at === "number") seen.push(at);
  });
  await once(watcher, "message");
  const appeared: number[] = [];
  const gone: number[] = [];
  const watched: number[] = [];
  const heard = async (event: string): Promise<number> => {
    await rpc.waitFor("camera_status_update", (p) => p.camera_id === "camera10" && p.event === event);
    return nowMs();
  };
  for (let round = -1; round < rounds; round++) {
    await loadLoopback({ numbers: [10], labels: ["Camera"] });
    // Fed while it is out of sight, it appears as a webcam does: ready.
    renameSync("/dev/video10", "/dev/.video10");
    const fed = await feed("/dev/.video10", { codec: "mjpeg", size: "160x120", fps: 1 });
    // The picture that starts the feed, and what the hub does about the first name, are over.
    await new Promise((resolve) => setTimeout(resolve, 700));
    rpc.notifications.length = 0;
    seen.length = 0;
    const told = heard("connected");
    const before = nowMs();
    renameSync("/dev/.video10", "/dev/video10");
    const took = (await told) - before;
    const at = await until("the watcher hears", () => seen[0]);
    rpc.notifications.length = 0;
    const left = heard("disconnected");
    const unplugged = nowMs();
    await unplugLoopback(10);
    const leftAfter = (await left) - unplugged;
    await fed.stop();
    await unloadLoopback([10]);
    if (round < 0) continue;
    appeared.push(took);
    watched.push(at - before);
    gone.push(leftAfter);
  }
  watcher.kill();
  await rpc.close();
  await hub.stop();
  const node: number[] = [];
  for (let run = 0; run < 5; run++) {
    const startedAt = performance.now();
    await exec(process.execPath, ["-e", "0"]);
    node.push(performance.now() - startedAt);
  }
  const result: GuestHotplug = { appeared, gone, watched, node };
  writeFileSync(process.env.RESULT ?? "", JSON.stringify(result));
}

if (process.argv[2] === "watch") watchOnly();
else if (import.meta.main) await main();
