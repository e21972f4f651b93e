import type { CaptureMode } from "./source.ts";

/** Rates that differ by less than a hundredth are the same (30000/1001 is not 30). */
export function sameMode(a: CaptureMode, b: CaptureMode): boolean {
  return (
    a.format === b.format && a.width === b.width && a.height === b.height && Math.abs(a.fps - b.fps) < 0.01
  );
}

export function modeInWords(mode: CaptureMode): string {
  return `${mode.format} ${mode.width}x${mode.height} at ${mode.fps} fps`;
}
