/** A source whose frames come when the test says so. Leases, ring, states and linger are the real ones. */
import pino from "pino";
import { OnDemandSource } from "../../capture/on-demand-source.ts";
import type { CaptureMode, OpenOptions, TimeSource } from "../../capture/source.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Fragment } from "../../media/fragment.ts";

export class ScriptedSource extends OnDemandSource {
  readonly timeSource: TimeSource = "kernel";
  starts = 0;
  opens = 0;
  #sequence = 0;

  constructor(clock: Clock, options: { readonly lingerMs?: number } = {}) {
    super({ id: "camera0", clock, log: pino({ level: "silent" }), ...options });
  }

  protected readonly pid = undefined;

  override open(options: OpenOptions): ReturnType<OnDemandSource["open"]> {
    this.opens++;
    return super.open(options);
  }

  protected async work(signal: AbortSignal, mode: CaptureMode | undefined): Promise<void> {
    this.starts++;
    this.beginRun(mode ?? { format: "MJPG", width: 320, height: 240, fps: 30 });
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }

  /** Delivers a frame captured one interval ago, as a real one would be. */
  give(fragment: Fragment, ageUs = 33_333): Fragment {
    const now = this.clock.monoUs();
    const given: Fragment = {
      ...fragment,
      sequence: this.#sequence++,
      capturedAtUs: this.clock.monoToWallUs(now) - ageUs,
      receivedAtMonoUs: now,
    };
    this.publish(given);
    return given;
  }

  stall(): void {
    this.setState("stalled", "test");
  }
}
