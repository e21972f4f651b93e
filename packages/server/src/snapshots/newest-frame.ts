/**
 * Gets the newest frame of a source, with all that is needed to decode it. Warm, that is a look into the ring; cold,
 * it starts the capture through a lease. A frame older than two frame intervals is never taken for new: then the next
 * one is waited for.
 */
import { OcelliError } from "@ocelli/protocol";
import type { FragmentSource } from "../capture/source.ts";
import type { Clock } from "../clock/clock.ts";
import type { Fragment } from "../media/fragment.ts";

export interface NewestFrameOptions {
  readonly clock: Clock;
  /** Who asks, in words: "snapshot of camera0". */
  readonly holder: string;
  /** Frames skipped after the capture had to be started, while the camera finds its exposure. */
  readonly warmUpFrames: number;
  /** No more frames are skipped after this long, milliseconds. */
  readonly warmUpMaxMs: number;
  /** How long to wait for a new frame once the capture runs, milliseconds; at least five frame intervals. */
  readonly frameTimeoutMs: number;
  readonly signal: AbortSignal;
}

export interface NewestFrame {
  /** The frame wanted: the last one presented. */
  readonly frame: Fragment;
  /** From the keyframe on, in decoding order. */
  readonly gop: readonly Fragment[];
  /** True when a capture was running already. */
  readonly warm: boolean;
}

/**
 * @throws OcelliError as `FragmentSource.open`; `capture_failed` when no new frame comes in time; the signal's reason
 */
export async function newestFrame(source: FragmentSource, options: NewestFrameOptions): Promise<NewestFrame> {
  const { clock, holder, signal } = options;
  signal.throwIfAborted();
  const wasLive = source.state === "live";
  const held = wasLive ? heldFrame(source) : undefined;
  if (held !== undefined && isFresh(held.frame, source, clock)) {
    keepWarm(source, options);
    return { ...held, warm: true };
  }

  const askedAtMonoUs = clock.monoUs();
  await using lease = await source.open({ holder, from: "next", overflow: "skip", signal });
  const openedAtMonoUs = clock.monoUs();
  const timeoutMs = Math.max(options.frameTimeoutMs, (5 * (source.frameIntervalUs ?? 0)) / 1000);
  const late = new AbortController();
  const cancel = clock.after(timeoutMs, () => {
    late.abort(
      new OcelliError("capture_failed", `${source.id} gave no new frame within ${timeoutMs} ms. Try again.`, {
        details: { source: source.id, timeoutMs },
      }),
    );
  });
  try {
    const bound = AbortSignal.any([signal, late.signal]);
    // Frames to read before one is taken: those skipped and the one after them.
    let toSkip = wasLive || options.warmUpFrames === 0 ? 0 : options.warmUpFrames + 1;
    for (;;) {
      const now = heldFrame(source);
      const skippedEnough = toSkip <= 0 || clock.monoUs() - openedAtMonoUs >= options.warmUpMaxMs * 1000;
      if (now !== undefined && skippedEnough && now.frame.receivedAtMonoUs >= askedAtMonoUs) {
        return { ...now, warm: wasLive };
      }
      const item = await lease.cursor.next(bound);
      if (item === undefined) {
        throw new OcelliError(
          "capture_failed",
          `The capture of ${source.id} was closed while a frame was awaited.`,
          {
            details: { source: source.id },
          },
        );
      }
      if (item.kind === "lost") toSkip -= item.frames;
      else if (item.fragment.track.kind === "video") toSkip--;
    }
  } finally {
    cancel();
  }
}

/** The newest frame that can be decoded; `undefined` while the beginning of its GOP is not held. */
function heldFrame(source: FragmentSource): { frame: Fragment; gop: readonly Fragment[] } | undefined {
  const gop = source.newestGop();
  let frame = gop[0];
  if (frame?.keyframe !== true) return undefined;
  // Where the codec reorders frames the last one decoded is not the last one presented.
  for (const one of gop) if (one.mediaTimeUs > frame.mediaTimeUs) frame = one;
  return { frame, gop };
}

/**
 * A frame leaves ffmpeg when its successor arrives, so the newest one is between one and two intervals old. Both sides
 * are on the monotonic clock's mapping: a step of the wall clock makes no frame old.
 */
function isFresh(frame: Fragment, source: FragmentSource, clock: Clock): boolean {
  const intervalUs = source.frameIntervalUs;
  if (intervalUs === undefined) return false;
  return clock.monoToWallUs(clock.monoUs()) - frame.capturedAtUs <= 2 * intervalUs;
}

/** A short lease starts the linger time anew, so that a series of snapshots finds the camera running. */
function keepWarm(source: FragmentSource, { holder, signal }: NewestFrameOptions): void {
  source.open({ holder, from: "next", overflow: "skip", signal }).then(
    (lease) => lease.close(),
    // The capture ended meanwhile: this snapshot has its frame, the next one will say what is wrong.
    () => undefined,
  );
}
