/** Numbers and names in words for people. */

/** `1:02:03` or `02:03` */
export function elapsedText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const short = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return whole < 3600 ? short : `${Math.floor(whole / 3600)}:${short}`;
}

export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = "B";
  for (const next of units) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

export function codecText(codec: string): string {
  const names: Readonly<Record<string, string>> = {
    h264: "H.264",
    hevc: "H.265",
    av1: "AV1",
    mjpeg: "MJPEG",
  };
  return names[codec] ?? codec;
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
