/**
 * The data folder: who uses it, may we write there, is there room, is it fast enough. Leaves no trace: the lock is
 * only looked at, and the file that is written to measure the speed is removed.
 */
import { accessSync, constants, type Stats, statSync } from "node:fs";
import { open, readFile, statfs, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { messageOf } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import type { Config } from "../config/schema.ts";
import { defaultStorageLimits, thresholds } from "../library/storage-guard.ts";
import { type CheckContext, type Finding, ok, problem, warning } from "./finding.ts";
import { userName } from "./user.ts";

const mebibyte = 2 ** 20;
const chunkBytes = mebibyte;
const measuredBytes = 16 * mebibyte;
const roomToMeasureBytes = 16 * measuredBytes;
const syncs = 10;
/** Below this a disk does not keep up with two MJPEG cameras of 1920x1080 and 30 frames/s. */
const slowMegabytesPerSecond = 20;
/** The recorder syncs once a second and file. */
const slowSyncMs = 250;

/**
 * The process that holds the lock of the data folder; read from the kernel's list, since trying the lock could keep a
 * hub that starts at this moment from getting it.
 * @returns undefined when nobody does, or nobody whom this process can see (another container)
 */
export async function lockHolder(dataDir: string): Promise<number | undefined> {
  let lock: Stats;
  let locks: string;
  let written: string;
  const path = join(resolve(dataDir), "ocelli.lock");
  try {
    lock = statSync(path);
    locks = await readFile("/proc/locks", "utf8");
    written = await readFile(path, "utf8").catch(() => "");
  } catch {
    return undefined;
  }
  const hex = (value: number): string => value.toString(16).padStart(2, "0");
  const device = `${hex((lock.dev >>> 8) & 0xfff)}:${hex((lock.dev & 0xff) | ((lock.dev >>> 12) & 0xfff00))}`;
  for (const line of locks.split("\n")) {
    const [, pid, where] = /\bFLOCK +ADVISORY +WRITE +(-?\d+) +([0-9a-f]+:[0-9a-f]+:\d+)/.exec(line) ?? [];
    if (pid === undefined || where === undefined || !where.endsWith(`:${lock.ino}`)) continue;
    // Layered file systems show another device; the hub writes its pid into the file.
    if (where.startsWith(`${device}:`) || written.trim() === pid) {
      return Number(pid) > 0 ? Number(pid) : undefined;
    }
  }
  return undefined;
}

export async function checkDataFolder(context: CheckContext): Promise<Finding[]> {
  const { config, hubPid } = context;
  const folder = resolve(config.dataDir);
  const check = "data folder";
  const found = kindOf(folder);
  if (found === "hidden") {
    return [
      problem(
        check,
        `The user ${userName()} may not look into ${folder}.`,
        "Run this as the user of the hub: sudo -u ocelli ocelli --data-dir FOLDER doctor; or name another folder with OCELLI_DATA_DIR.",
        { folder },
      ),
    ];
  }
  if (found === "file") {
    return [
      problem(check, `${folder} is a file, not a folder.`, "Name another one with OCELLI_DATA_DIR.", {
        folder,
      }),
    ];
  }
  const place = found === "absent" ? nearestFolder(folder) : folder;
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch {
    return [
      problem(
        check,
        `The user ${userName()} may not write in ${place}.`,
        `Give the user of the hub the folder: sudo install -d -o ${userName()} -m 0700 ${folder}; or name another one with OCELLI_DATA_DIR. Under systemd, folders outside of /var/lib/ocelli must be named with ReadWritePaths= too.`,
        { folder },
      ),
    ];
  }
  const findings = [
    found === "absent"
      ? ok(check, `${folder} does not exist yet; the first start makes it`, { folder })
      : hubPid === undefined
        ? ok(check, `${folder}, not in use by a hub`, { folder })
        : ok(check, `${folder}, in use by the running hub (process ${hubPid})`, { folder, hubPid }),
  ];
  const space = await checkSpace(place, config.storage);
  findings.push(space.finding);
  // Never take from recordings the room they need.
  if (space.freeBytes > roomToMeasureBytes) findings.push(await checkSpeed(place, context));
  return findings;
}

function kindOf(folder: string): "folder" | "file" | "absent" | "hidden" {
  try {
    if (!statSync(folder).isDirectory()) return "file";
    accessSync(folder, constants.X_OK | constants.R_OK);
    return "folder";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENOTDIR") return "file";
    return code === "ENOENT" ? "absent" : "hidden";
  }
}

function nearestFolder(path: string): string {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (kindOf(folder) !== "absent" || folder === dirname(folder)) return folder;
  }
}

async function checkSpace(
  folder: string,
  storage: Config["storage"],
): Promise<{ readonly finding: Finding; readonly freeBytes: number }> {
  const check = "disk space";
  const { bavail, bsize, blocks, bfree } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const totalBytes = freeBytes + (blocks - bfree) * bsize;
  const limits = thresholds(totalBytes, {
    ...defaultStorageLimits,
    lowBytes: storage.lowMegabytes * mebibyte,
    criticalBytes: storage.criticalMegabytes * mebibyte,
  });
  const free = `${sizeText(freeBytes)} of ${sizeText(totalBytes)} free`;
  const details = { folder, freeBytes, totalBytes, lowBytes: limits.low, criticalBytes: limits.critical };
  const fix = "Delete recordings (ocelli files delete), or put the data folder on a larger disk.";
  const limit = sizeText(limits.low);
  const finding =
    freeBytes < limits.low
      ? problem(check, `${free}: no recording starts below ${limit}.`, fix, details)
      : freeBytes < limits.low * 2
        ? warning(check, `${free}: recordings are refused below ${limit}.`, fix, details)
        : ok(check, free, details);
  return { finding, freeBytes };
}

async function checkSpeed(folder: string, { clock, signal }: CheckContext): Promise<Finding> {
  const check = "disk speed";
  let measured: Speed;
  try {
    measured = await measureSpeed(folder, clock, signal);
  } catch (error) {
    signal.throwIfAborted();
    return problem(
      check,
      `Writing in ${folder} failed: ${messageOf(error)}.`,
      "Check the disk (dmesg, smartctl) and quotas.",
    );
  }
  const { megabytesPerSecond, syncMs } = measured;
  const text = `${Math.round(megabytesPerSecond)} MB/s, ${syncMs.toFixed(syncMs < 10 ? 1 : 0)} ms until data is safe`;
  const slow = megabytesPerSecond < slowMegabytesPerSecond || syncMs > slowSyncMs;
  return slow
    ? warning(
        check,
        `${text}: too slow for several cameras (a MJPEG camera of 1920x1080 needs about 10 MB/s, and each recording makes its data safe once a second).`,
        "Use a faster disk (an SD card or a network folder is rarely one), see whether something else is writing (iotop), record H.264 instead of MJPEG (recording.codec), or sync less often (recording.sync).",
        { ...measured },
      )
    : ok(check, text, { ...measured });
}

interface Speed {
  readonly megabytesPerSecond: number;
  /** Median time of fsync after a small write. */
  readonly syncMs: number;
}

async function measureSpeed(folder: string, clock: Clock, signal: AbortSignal): Promise<Speed> {
  const path = join(folder, `.ocelli-doctor-${process.pid}`);
  const file = await open(path, "wx", 0o600);
  try {
    // Not zeros: some disks and file systems store those without writing.
    const chunk = Buffer.alloc(chunkBytes);
    for (let at = 0; at < chunk.length; at += 4) chunk.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    const startedAtMonoUs = clock.monoUs();
    for (let written = 0; written < measuredBytes; written += chunkBytes) {
      signal.throwIfAborted();
      await file.write(chunk);
    }
    await file.datasync();
    const megabytesPerSecond = measuredBytes / Math.max(1, clock.monoUs() - startedAtMonoUs);
    const times: number[] = [];
    for (let count = 0; count < syncs; count++) {
      signal.throwIfAborted();
      await file.write(chunk, 0, 65_536);
      const beforeMonoUs = clock.monoUs();
      await file.datasync();
      times.push((clock.monoUs() - beforeMonoUs) / 1000);
    }
    times.sort((a, b) => a - b);
    return { megabytesPerSecond, syncMs: times[syncs / 2] ?? 0 };
  } finally {
    await unlink(path).catch(() => undefined);
    await file.close();
  }
}

/** Small cards are told in MB: a tenth of a GB is a lot of them. */
function sizeText(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
