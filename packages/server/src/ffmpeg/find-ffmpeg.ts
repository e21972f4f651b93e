/** Which ffmpeg and ffprobe are here, and are they new enough. */
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../clock/clock.ts";
import { findExecutable } from "./launcher.ts";
import { ffmpegInstallCommand, ffmpegMissing } from "./process.ts";
import { runFfmpeg } from "./run.ts";

export interface FfmpegSkills {
  /** Full paths. */
  readonly ffmpeg: string;
  readonly ffprobe: string;
  /** As the program prints it: `5.1.6-0+deb12u1`. */
  readonly version: string;
}

/** ffmpeg 5.1: the first with `-fps_mode` and microsecond `prft` from V4L2. */
const minimum = { version: "5.1", avformat: [59, 27] } as const;

/**
 * @throws OcelliError `ffmpeg_missing` when a program is absent or older than 5.1; the message carries the
 *   command that installs it
 */
export async function findFfmpeg(options: {
  readonly clock: Clock;
  /** Names or paths; defaults `ffmpeg`, `ffprobe`. */
  readonly ffmpeg?: string;
  readonly ffprobe?: string;
}): Promise<FfmpegSkills> {
  const names = { ffmpeg: options.ffmpeg ?? "ffmpeg", ffprobe: options.ffprobe ?? "ffprobe" };
  const ffmpeg = findExecutable(names.ffmpeg);
  if (ffmpeg === undefined) throw ffmpegMissing(names.ffmpeg);
  const ffprobe = findExecutable(names.ffprobe);
  if (ffprobe === undefined) throw ffmpegMissing(names.ffprobe);
  const { stdout } = await runFfmpeg({
    clock: options.clock,
    program: ffmpeg,
    quietArgs: false,
    args: ["-version"],
    purpose: "asking ffmpeg for its version",
    // A machine that has just started is busy.
    timeoutMs: 60_000,
  });
  const { version, newEnough } = parseVersion(stdout.toString("utf8"));
  if (!newEnough) {
    throw new OcelliError(
      "ffmpeg_missing",
      `${ffmpeg} is version ${version}; Ocelli needs ${minimum.version} or newer. Install it with: ${ffmpegInstallCommand}`,
      { details: { program: ffmpeg, version, minimum: minimum.version, command: ffmpegInstallCommand } },
    );
  }
  return { ffmpeg, ffprobe, version };
}

/** Builds from git carry no release number, so the version of libavformat decides where it is printed. */
export function parseVersion(text: string): { version: string; newEnough: boolean } {
  const version = /^ffmpeg version (\S+)/m.exec(text)?.[1] ?? "unknown";
  const library = /^libavformat\s+(\d+)\.\s*(\d+)/m.exec(text);
  if (library !== null) {
    return { version, newEnough: atLeast([Number(library[1]), Number(library[2])], minimum.avformat) };
  }
  const release = /^n?(\d+)\.(\d+)/.exec(version);
  return {
    version,
    newEnough: release !== null && atLeast([Number(release[1]), Number(release[2])], [5, 1]),
  };
}

function atLeast(have: readonly [number, number], want: readonly [number, number]): boolean {
  return have[0] > want[0] || (have[0] === want[0] && have[1] >= want[1]);
}
