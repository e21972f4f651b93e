/**
 * Four hours of two network cameras whose clocks run apart, in seconds: made-up frames and arrivals on a `FakeClock`,
 * through the real timing, publisher, drop account and search for the first frame. After three hours the processes of
 * both cameras crash, and somebody sets the wall clock back by half an hour before they are there again.
 */
import { describe, expect, it } from "vitest";
import { RunPublisher } from "../capture/run-publisher.ts";
import { type RunTiming, runTiming } from "../capture/run-timing.ts";
import { FakeClock } from "../clock/fake-clock.ts";
import type { Fragment, InitSegment, VideoTrack } from "../media/fragment.ts";
import { DropAccount } from "./drops.ts";
import { FirstFrameFinder } from "./first-frame.ts";

const fps = 10;
const nominalUs = 1e6 / fps;
const hourUs = 3_600_000_000;
const track: VideoTrack = {
  ...{ kind: "video", id: 1, codec: "mjpeg", codecString: "mjpeg", width: 64, height: 48 },
  timescale: 1_000_000,
};
const init: InitSegment = { bytes: Buffer.alloc(0), tracks: [track], fingerprint: "made-up" };

interface TimeError {
  readonly atUs: number;
  /** Capture time told less the true one. */
  readonly errorUs: number;
}

class SkewedCamera {
  readonly errors: TimeError[] = [];
  readonly drops = new DropAccount();
  first: Fragment | undefined;
  last: Fragment | undefined;
  readonly #intervalUs: number;
  readonly #publisher: RunPublisher;
  readonly #finder: FirstFrameFinder;
  #timing: RunTiming | undefined;
  /** Of this run: when its first frame was captured, and how many there were. */
  #runFromUs = 0;
  #frames = 0;
  #arrivedAtUs = 0;
  #seed: number;
  readonly #trueUs = new Map<number, number>();

  /** @param slowPpm parts per million by which the camera's clock is slow */
  constructor(clock: FakeClock, slowPpm: number, seed: number, startAtUs: number) {
    this.#seed = seed;
    this.#intervalUs = nominalUs * (1 + slowPpm / 1e6);
    this.#finder = new FirstFrameFinder({ notBeforeUs: startAtUs });
    this.#publisher = new RunPublisher({
      clock,
      publish: (fragment) => this.#take(fragment),
      onGap: (fromUs, toUs) => this.gaps.push(toUs - fromUs),
    });
  }

  readonly gaps: number[] = [];

  beginRun(atUs: number): void {
    this.#runFromUs = atUs;
    this.#frames = 0;
    this.#timing = runTiming({
      ...{ timeSource: "arrival", times: "stream", nominalIntervalUs: nominalUs },
      afterUs: this.#publisher.newestDecodeUs,
      skewUs: this.#timing?.skewUs ?? 0,
    });
    this.#publisher.beginRun(0, "crashed");
  }

  /** When the next frame reaches the hub: with its successor, over a network that is late by 5 to 25 ms and now and then more. */
  get nextArrivalUs(): number {
    const capturedUs = this.#runFromUs + (this.#frames + 1) * this.#intervalUs;
    const random = ((this.#seed * 9301 + 49_297 + this.#frames * 7919) % 233_280) / 233_280;
    const delayUs = 5000 + random * 20_000 + (this.#frames % 97 === 13 ? 300_000 : 0);
    return Math.max(this.#arrivedAtUs, Math.round(capturedUs + delayUs));
  }

  arrive(): void {
    const ptsUs = this.#frames * nominalUs;
    this.#arrivedAtUs = this.nextArrivalUs;
    this.#trueUs.set(ptsUs, this.#runFromUs + this.#frames * this.#intervalUs);
    this.#frames++;
    const bytes = Buffer.alloc(8);
    const times = { ptsTicks: ptsUs, dtsTicks: ptsUs, ptsUs, dtsUs: ptsUs, durationUs: nominalUs };
    const frame = { init, track, ...times, keyframe: true, bytes, sample: bytes, decodeTimeAt: 0 };
    for (const timed of this.#timing?.add(frame, this.#arrivedAtUs) ?? []) {
      const trueUs = this.#trueUs.get(timed.frame.ptsUs) ?? Number.NaN;
      this.#trueUs.delete(timed.frame.ptsUs);
      this.errors.push({ atUs: trueUs, errorUs: timed.capturedAtMonoUs - trueUs });
      this.#publisher.add(timed);
    }
  }

  #take(fragment: Fragment): void {
    this.drops.frame(fragment, nominalUs, fragment.discontinuity ? "crashed" : undefined);
    this.first ??= this.#finder.take(fragment)?.frame;
    this.last = fragment;
  }
}

function spread(values: readonly number[]): { least: number; most: number; mean: number } {
  let [least, most, sum] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
    sum += value;
  }
  return { least, most, mean: sum / values.length };
}

describe("four hours of two cameras whose clocks run 140 ppm apart", () => {
  const clock = new FakeClock({ monoUs: 1_000_000_000 });
  const originUs = clock.monoUs();
  // T0 when they have run for two hours, and are a second apart by their own clocks.
  const startAtUs = clock.wallUs() + 2 * hourUs;
  const cameras = [
    new SkewedCamera(clock, 80, 1, startAtUs),
    new SkewedCamera(clock, -60, 2, startAtUs),
  ] as const;
  for (const [i, camera] of cameras.entries()) camera.beginRun(originUs + i * 37_000);
  const crashAtUs = originUs + 3 * hourUs;
  const awayUs = 1_300_000;
  const stepUs = -hourUs / 2;
  let crashed = false;
  while (clock.monoUs() < originUs + 4 * hourUs) {
    if (!crashed && clock.monoUs() >= crashAtUs) {
      crashed = true;
      clock.step(stepUs);
      for (const camera of cameras) camera.beginRun(clock.monoUs() + awayUs);
    }
    const next = cameras[0].nextArrivalUs <= cameras[1].nextArrivalUs ? cameras[0] : cameras[1];
    clock.advance((next.nextArrivalUs - clock.monoUs()) / 1000);
    next.arrive();
  }
  // Settling and catching up at the start of a run are bounded elsewhere.
  const settledErrors = cameras.map((camera) =>
    camera.errors.filter(
      ({ atUs }) =>
        atUs > originUs + 15_000_000 && !(atUs > crashAtUs && atUs < crashAtUs + awayUs + 15_000_000),
    ),
  );

  it("tells each frame's capture time within some milliseconds of the network's least delay", () => {
    for (const errors of settledErrors) {
      expect(errors.length).toBeGreaterThan(140_000);
      const { least, most } = spread(errors.map(({ errorUs }) => errorUs));
      // Never before the frame was captured; late by the least delay (5 ms) and a minute of drift (5 ms).
      expect(least).toBeGreaterThan(0);
      expect(most).toBeLessThan(12_000);
    }
  });

  it("does not drift", () => {
    for (const errors of settledErrors) {
      const meanOf = (hour: number) =>
        spread(
          errors
            .filter(({ atUs }) => Math.floor((atUs - originUs) / hourUs) === hour)
            .map(({ errorUs }) => errorUs),
        ).mean;
      expect(Math.abs(meanOf(3) - meanOf(0))).toBeLessThan(1000);
    }
  });

  it("keeps the cameras in step", () => {
    const [a = [], b = []] = settledErrors;
    let at = 0;
    let worst = 0;
    for (const { atUs, errorUs } of a) {
      while (at < b.length - 1 && (b[at]?.atUs ?? 0) < atUs) at++;
      worst = Math.max(worst, Math.abs(errorUs - (b[at]?.errorUs ?? 0)));
    }
    expect(worst).toBeLessThan(8000);
  });

  it("starts both at T0 within one frame interval", () => {
    const errors = cameras.map(({ first }) => (first?.capturedAtUs ?? 0) - startAtUs);
    for (const errorUs of errors) {
      expect(errorUs).toBeGreaterThanOrEqual(0);
      expect(errorUs).toBeLessThan(nominalUs + 1000);
    }
  });

  it("counts what a crash cost, however far the camera's clock had run away by then", () => {
    for (const { drops, gaps } of cameras) {
      expect(gaps).toHaveLength(1);
      // From the last frame before to the first one after: what it was away and up to two intervals.
      expect(gaps[0]).toBeGreaterThan(awayUs);
      expect(gaps[0]).toBeLessThan(awayUs + 3 * nominalUs);
      expect(Math.abs(drops.missing - ((gaps[0] ?? 0) / nominalUs - 1))).toBeLessThan(1);
      expect(drops.gaps).toHaveLength(1);
    }
  });

  it("leaves media time to the camera's own clock", () => {
    const runS = (camera: SkewedCamera) => {
      const { first, last } = camera;
      if (first === undefined || last === undefined) return Number.NaN;
      const capturedUs = last.capturedAtUs - stepUs - first.capturedAtUs;
      return (last.mediaTimeUs - first.mediaTimeUs - capturedUs) / 1e6;
    };
    // Two hours at 80 ppm slow, at 60 ppm fast.
    expect(runS(cameras[0])).toBeCloseTo(-0.576, 1);
    expect(runS(cameras[1])).toBeCloseTo(0.432, 1);
  });
});
