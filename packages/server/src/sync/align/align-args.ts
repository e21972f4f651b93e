/** What ffmpeg is told to cut members to their common part, and to show them side by side. Pure. */

const seconds = (us: number): string => (us / 1e6).toFixed(6);

/** A file among those that are cut as one. */
export interface JoinedFile {
  readonly path: string;
  /** Until the next one begins; up to the end of the cut for the last. */
  readonly lastsUs: number;
}

/** A list for ffmpeg's concat demuxer. It can be sought in only because it says how long each file lasts. */
export function joinList(files: readonly JoinedFile[]): string {
  const entries = files.map(
    ({ path, lastsUs }) => `file '${path.replaceAll("'", "'\\''")}'\nduration ${seconds(lastsUs)}\n`,
  );
  return `ffconcat version 1.0\n${entries.join("")}`;
}

const joinedInput = (list: string): string[] => ["-f", "concat", "-safe", "0", "-i", list];

/**
 * By stream copy: an MP4 keeps what lies between the keyframe before the cut and the cut, and hides it by an edit list.
 * Time scales of microseconds keep the cut exact. Times count from the first picture, even where hidden sound lies
 * before it (`-seek_timestamp`).
 */
export function copyArgs(
  list: string,
  target: string,
  cut: { readonly fromMediaUs: number; readonly durationUs: number },
): string[] {
  return [
    ...["-y", "-seek_timestamp", "1", "-ss", seconds(cut.fromMediaUs), ...joinedInput(list)],
    ...["-t", seconds(cut.durationUs), "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy"],
    ...["-video_track_timescale", "1000000", "-movie_timescale", "1000000"],
    ...["-movflags", "+faststart", "-f", "mp4", target],
  ];
}

/** Where a copy does not show exactly the wanted frames: decoded, cut by their times, encoded again. */
export function encodeArgs(
  list: string,
  target: string,
  cut: { readonly fromMediaUs: number; readonly frames: number },
  threads: number,
): string[] {
  const from = seconds(cut.fromMediaUs - 500);
  return [
    ...["-y", "-copyts", ...joinedInput(list), "-map", "0:v:0"],
    ...["-vf", `trim=start=${from},setpts=PTS-STARTPTS,crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p`],
    ...["-frames:v", String(cut.frames), "-fps_mode", "passthrough", "-enc_time_base", "1:1000000"],
    ...["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-threads", String(threads)],
    ...["-video_track_timescale", "1000000", "-movflags", "+faststart", "-f", "mp4", target],
  ];
}

const tile = { width: 640, height: 360 } as const;

/**
 * Tiles in as square a grid as can be, each with its own proportions on black. All get one rate: of several, ffmpeg
 * would take the time scale for the rate, and make a million frames a second.
 */
export function previewArgs(
  sources: readonly string[],
  target: string,
  fps: number,
  threads: number,
): string[] {
  const columns = Math.ceil(Math.sqrt(sources.length));
  const { width, height } = tile;
  const scaled = sources.map(
    (_source, i) =>
      `[${i}:v]setpts=PTS-STARTPTS,fps=${fps}:start_time=0,scale=${width}:${height}:force_original_aspect_ratio=decrease,` +
      `pad=${width}:${height}:(ow-iw)/2:(oh-ih)/2,setsar=1,format=yuv420p[v${i}]`,
  );
  const places = sources.map((_source, i) => `${(i % columns) * width}_${Math.floor(i / columns) * height}`);
  const inputs = sources.map((_source, i) => `[v${i}]`).join("");
  const stacked =
    sources.length === 1
      ? "[v0]null[out]"
      : `${inputs}xstack=inputs=${sources.length}:layout=${places.join("|")}:fill=black:shortest=1[out]`;
  return [
    "-y",
    ...sources.flatMap((source) => ["-i", source]),
    ...["-filter_complex", [...scaled, stacked].join(";"), "-map", "[out]"],
    ...["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-threads", String(threads)],
    ...["-movflags", "+faststart", "-f", "mp4", target],
  ];
}
