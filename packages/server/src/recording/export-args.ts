/** What ffmpeg is told for an export. Pure. */
import { OcelliError } from "@ocelli/protocol";
import { mediaFileArgs } from "../ffmpeg/media-file.ts";

export type ExportFormat = "mp4" | "mkv" | "ts";

const muxers: Readonly<Record<ExportFormat, string>> = { mp4: "mp4", mkv: "matroska", ts: "mpegts" };

/** What a transport stream can carry (and players can read). */
const inTransportStream: ReadonlySet<string> = new Set(["h264", "hevc"]);

export interface ExportPlan {
  readonly format: ExportFormat;
  /** Codec of the recording, as ffmpeg names it. */
  readonly sourceCodec: string;
  /** True when the pictures are encoded anew. */
  readonly transcode: boolean;
}

/**
 * Decides between stream copy and encoding; a recording that is H.264 already is never encoded again.
 * @throws OcelliError `unsupported` when the container cannot hold what the recording holds
 */
export function planExport(sourceCodec: string, format: ExportFormat, codec: "copy" | "h264"): ExportPlan {
  const transcode = codec === "h264" && sourceCodec !== "h264";
  if (!transcode && format === "ts" && !inTransportStream.has(sourceCodec)) {
    throw new OcelliError(
      "unsupported",
      `A .ts file cannot hold ${sourceCodec === "" ? "this recording" : sourceCodec.toUpperCase()}. Export it as mkv or mp4, or with codec h264.`,
      { details: { codec: sourceCodec, format } },
    );
  }
  return { format, sourceCodec, transcode };
}

/**
 * @param threads of the encoder
 * @returns all arguments between ffmpeg's own and the progress ones
 */
export function exportArgs(plan: ExportPlan, source: string, target: string, threads: number): string[] {
  return [
    ...["-y", ...mediaFileArgs, "-i", source, "-map", "0:v:0", "-map", "0:a:0?", "-map_metadata", "0"],
    ...(plan.transcode ? h264Args(threads) : ["-c:v", "copy"]),
    ...audioArgs(plan.format),
    // The index first, so that the file plays while it is being downloaded.
    ...(plan.format === "mp4" ? ["-movflags", "+faststart"] : []),
    ...["-f", muxers[plan.format], target],
  ];
}

function h264Args(threads: number): string[] {
  return [
    ...["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-threads", String(threads)],
    // 4:2:0 wants even sides; the limited range is what every player takes for granted.
    ...["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_range=tv,format=yuv420p", "-color_range", "tv"],
    // Frames keep their own times: no frame is invented or dropped for the sake of a constant rate.
    ...["-fps_mode", "passthrough", "-enc_time_base", "1:1000000"],
  ];
}

function audioArgs(format: ExportFormat): string[] {
  // Opus in a transport stream is read by few players.
  return format === "ts" ? ["-c:a", "aac"] : ["-c:a", "copy"];
}
