/** Real fragments for the tests of this folder: made once by ffmpeg, moved in time as a test needs them. */

import { makeFragments } from "../../library/testing/make-fragments.ts";
import type { Fragment } from "../../media/fragment.ts";

export type ClipKind = "mjpeg" | "h264" | "h264-bframes" | "h264-aac";

/** Capture time of media time 0, epoch microseconds. */
export const epochUs = 1_736_951_400_000_000;
/** All clips. */
export const fps = 30;

const encoders: Record<ClipKind, readonly string[]> = {
  mjpeg: ["-c:v", "mjpeg", "-q:v", "20"],
  h264: ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"],
  "h264-bframes": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "15", "-b_strategy", "0"],
  "h264-aac": ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"],
};

const made = new Map<string, Fragment[]>();

/**
 * `seconds` at 30 frames a second, 160x120. Media time begins at 5 s, capture time is media time + `epochUs`, and the
 * hub has a frame one interval after it was captured on a monotonic clock that equals media time.
 */
export function clip(kind: ClipKind, seconds: number): Fragment[] {
  const key = `${kind}/${seconds}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  const fragments = makeFragments({
    video: `testsrc2=s=160x120:r=${fps}:d=${seconds}`,
    ...(kind === "h264-aac" ? { audio: `sine=frequency=440:sample_rate=48000:duration=${seconds}` } : {}),
    encoder: encoders[kind],
    captureOffsetUs: epochUs,
  });
  made.set(key, fragments);
  return fragments;
}

/** The same frames later, on every clock. */
export function later(fragments: readonly Fragment[], byUs: number): Fragment[] {
  return fragments.map((fragment) => ({
    ...fragment,
    mediaTimeUs: fragment.mediaTimeUs + byUs,
    decodeTimeUs: fragment.decodeTimeUs + byUs,
    capturedAtUs: fragment.capturedAtUs + byUs,
    receivedAtMonoUs: fragment.receivedAtMonoUs + byUs,
  }));
}

/** As a capture gives them after a restart: the first video frame says that there was a gap. */
export function afterGap(fragments: readonly Fragment[]): Fragment[] {
  const first = fragments.findIndex((fragment) => fragment.track.kind === "video");
  return fragments.map((fragment, at) => (at === first ? { ...fragment, discontinuity: true } : fragment));
}

export function videoOf(fragments: readonly Fragment[]): Fragment[] {
  return fragments.filter((fragment) => fragment.track.kind === "video");
}
