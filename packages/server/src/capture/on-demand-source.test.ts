import { OcelliError } from "@ocelli/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { random as randomOf } from "../media/testing/random.ts";
import { OnDemandSource } from "./on-demand-source.ts";
import type { CaptureMode, Lease } from "./source.ts";
import { fragmentMaker } from "./testing/fragments.ts";
import { silentLog } from "./testing/sources.ts";

const modes: readonly CaptureMode[] = [10, 25].map((fps) => ({ format: "H264", width: 64, height: 48, fps }));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Work that does what the test says. */
class ScriptedSource extends OnDemandSource {
  readonly timeSource = "kernel";
  readonly #make = fragmentMaker({ gop: 3 });
  works = 0;
  worksAtOnce = 0;
  /** What the work under way does next. */
  frame = (): void => {};
  fail = (): void => {};

  protected get pid(): undefined {
    return undefined;
  }

  protected async work(signal: AbortSignal, mode: CaptureMode | undefined): Promise<void> {
    this.works++;
    this.worksAtOnce++;
    expect(this.worksAtOnce).toBe(1);
    try {
      await this.clock.sleep(5, signal).catch(() => undefined);
      if (signal.aborted) return;
      this.beginRun(mode ?? (modes[0] as CaptureMode));
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
        this.frame = () => this.publish(this.#make({ receivedAtMonoUs: this.clock.monoUs() }));
        this.fail = () => reject(new OcelliError("capture_failed", "as the script says"));
      });
      // Ending takes its time, as it does for a process; and a last frame may still come, even after it.
      await this.clock.sleep(3);
    } finally {
      this.worksAtOnce--;
    }
  }
}

const clocks: FakeClock[] = [];
afterEach(() => {
  for (const clock of clocks.splice(0)) clock.close();
});

describe("OnDemandSource", () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))(
    "keeps its promises whatever comes in whatever order (%i)",
    async (seed) => {
      const random = randomOf(seed);
      const pick = (below: number): number => Math.floor(random() * below);
      const clock = new FakeClock();
      clocks.push(clock);
      const source = new ScriptedSource({
        ...{ id: "camera0", clock, log: silentLog, startTimeoutMs: 50, lingerMs: pick(2) * 30 },
      });
      const leases: Lease[] = [];
      const wrong: unknown[] = [];
      const unsettled = new Set<Promise<unknown>>();
      const aborts: AbortController[] = [];
      for (let step = 0; step < 150; step++) {
        switch (pick(8)) {
          case 0:
          case 1: {
            const abort = new AbortController();
            aborts.push(abort);
            const mode = modes[pick(4)];
            const opening = source
              .open({
                ...{ holder: `reader ${step}`, from: "keyframe", signal: abort.signal },
                overflow: pick(2) === 0 ? "skip" : "fail",
                ...(mode === undefined ? {} : { mode }),
              })
              .then(
                (lease) => {
                  if (mode !== undefined) expect(lease.mode).toEqual(mode);
                  leases.push(lease);
                },
                (error: unknown) => {
                  // By its abort, or by a named error.
                  if (!abort.signal.aborted) expect(error).toBeInstanceOf(OcelliError);
                },
              );
            unsettled.add(opening);
            opening.catch((error: unknown) => wrong.push(error)).finally(() => unsettled.delete(opening));
            break;
          }
          case 2:
            leases.splice(pick(leases.length), 1)[0]?.close();
            break;
          case 3:
            aborts.splice(pick(aborts.length), 1)[0]?.abort();
            break;
          case 4:
            if (pick(4) === 0) source.fail();
            break;
          case 5:
            await clock.advanceAsync(pick(40));
            break;
          default:
            source.frame();
        }
        if (pick(2) === 0) await turn();
      }
      // Nobody waits longer than the start may take, whatever happened.
      await clock.advanceAsync(200);
      expect([...unsettled]).toEqual([]);
      expect(wrong).toEqual([]);
      for (const lease of leases) lease.close();
      await clock.advanceAsync(200);
      expect(source.stats().leases).toEqual([]);
      expect(["idle", "failed"]).toContain(source.state);
      expect(source.worksAtOnce).toBe(0);
      expect(clock.pending).toBe(0);

      // And closed in the middle of a start, of a capture, or at rest.
      const last =
        pick(3) === 0 ? undefined : source.open({ holder: "the last", from: "next", overflow: "skip" });
      last?.catch(() => undefined);
      if (pick(2) === 0) await clock.advanceAsync(10);
      source.frame();
      const closing = source.close();
      expect(source.close()).toBe(closing);
      await clock.advanceAsync(20);
      await closing;
      expect(source.state).toBe("closed");
      expect(clock.pending).toBe(0);
      await expect(source.open({ holder: "too late", from: "next", overflow: "skip" })).rejects.toMatchObject(
        {
          code: "capture_failed",
        },
      );
    },
  );
});
