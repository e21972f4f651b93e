import { beforeAll, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import type { VideoCodec } from "../media/fragment.ts";
import { LiveViews } from "./live-views.ts";
import type { MseMessage, MseSink } from "./mse-messages.ts";
import { type Clip, FakeCamera, FakeCameras, FakeSource, makeClip } from "./testing/fake-camera.ts";

let h264: Clip;
let mjpeg: Clip;

beforeAll(async () => {
  h264 = await makeClip("h264");
  mjpeg = await makeClip("mjpeg", { seconds: 1 });
});

/** Collects what a viewer gets; `stall` makes it take nothing more. */
class TestSink implements MseSink {
  readonly items: (MseMessage | Buffer)[] = [];
  stalled = false;
  #watch: { condition: () => boolean; resolve: () => void } | undefined;
  readonly #held: (() => void)[] = [];

  text(message: MseMessage): Promise<void> {
    return this.#take(message);
  }

  binary(bytes: Buffer): Promise<void> {
    return this.#take(bytes);
  }

  get messages(): MseMessage[] {
    return this.items.filter((item): item is MseMessage => !Buffer.isBuffer(item));
  }

  get buffers(): Buffer[] {
    return this.items.filter((item) => Buffer.isBuffer(item));
  }

  /** Resolves when `count` binary messages are here. */
  binaries(count: number): Promise<void> {
    return this.until(() => this.buffers.length >= count);
  }

  /** Resolves with the message that makes `condition` true. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve) => {
      this.#watch = { condition, resolve };
    });
  }

  resume(): void {
    this.stalled = false;
    for (const release of this.#held.splice(0)) release();
  }

  #take(item: MseMessage | Buffer): Promise<void> {
    this.items.push(item);
    if (this.#watch?.condition() === true) this.#watch.resolve();
    return this.stalled ? new Promise((resolve) => this.#held.push(resolve)) : Promise.resolve();
  }
}

function setup(camera: FakeCamera, limits: { maxInFlightBytes?: number; stallTimeoutMs?: number } = {}) {
  const clock = new SystemClock();
  const views = new LiveViews({ cameras: new FakeCameras([camera]), clock, ...limits });
  const view = (sink: MseSink, accepts: readonly VideoCodec[] = ["h264"]) => {
    const left = new AbortController();
    const ended = views.mse({
      camera: camera.id,
      viewer: "test",
      signal: left.signal,
      accepts: new Set(accepts),
      sink,
    });
    ended.catch(() => {});
    return { ended, leave: () => left.abort(new Error("left")) };
  };
  return { views, view };
}

describe("an MSE session", () => {
  it("sends init, then the very buffers of the fragments, and releases the capture at the end", async () => {
    const source = new FakeSource("camera0", h264);
    const { views, view } = setup(new FakeCamera("camera0", { native: source }));
    const sinks = [new TestSink(), new TestSink()];
    const sessions = sinks.map((sink) => view(sink));
    const sent = Array.from({ length: 20 }, () => source.push());
    await Promise.all(sinks.map((sink) => sink.binaries(21)));
    for (const sink of sinks) {
      expect(sink.messages[0]).toMatchObject({
        type: "init",
        codec: "h264",
        width: 320,
        height: 240,
        rendition: "native",
      });
      expect(sink.buffers[0]).toBe(source.init?.bytes);
      for (const [index, fragment] of sent.entries()) expect(sink.buffers[index + 1]).toBe(fragment.bytes);
    }
    expect(views.viewersOf("camera0")).toBe(2);
    expect(views.stats()[0]).toMatchObject({ kind: "mse", framesSent: 20, framesLost: 0 });
    for (const session of sessions) {
      session.leave();
      await expect(session.ended).rejects.toThrow("left");
    }
    expect(source.holders).toEqual([]);
    expect(views.stats()).toEqual([]);
  });

  it("starts a late viewer at the newest keyframe", async () => {
    const source = new FakeSource("camera0", h264);
    const pushed = Array.from({ length: 20 }, () => source.push());
    const { view } = setup(new FakeCamera("camera0", { native: source }));
    const sink = new TestSink();
    view(sink);
    await sink.binaries(2);
    expect(sink.buffers[1]).toBe(pushed[15]?.bytes);
    expect(pushed[15]?.keyframe).toBe(true);
  });

  it("chooses the transcode when the viewer cannot play the camera's codec", async () => {
    const native = new FakeSource("camera0", mjpeg);
    const transcode = new FakeSource("camera0/h264", h264);
    const { view } = setup(new FakeCamera("camera0", { native, h264: transcode }));
    const sink = new TestSink();
    view(sink, ["h264", "hevc"]);
    transcode.push();
    await sink.binaries(2);
    expect(sink.messages[0]).toMatchObject({ type: "init", codec: "h264", rendition: "transcode" });
    expect(native.holders).toEqual([]);
  });

  it("bounds what a stalled viewer holds, tells it what it lost, and goes on with a keyframe", async () => {
    const source = new FakeSource("camera0", h264, 20);
    const { views, view } = setup(new FakeCamera("camera0", { native: source }), {
      maxInFlightBytes: 40_000,
    });
    const slow = new TestSink();
    const fast = new TestSink();
    view(slow);
    view(fast);
    source.push();
    await Promise.all([slow.binaries(2), fast.binaries(2)]);
    slow.stalled = true;
    for (let frame = 2; frame <= 100; frame++) {
      source.push();
      await fast.binaries(frame + 1);
    }
    const heldBytes = slow.buffers.slice(2).reduce((sum, buffer) => sum + buffer.length, 0);
    expect(heldBytes).toBeLessThanOrEqual(40_000);
    expect(fast.messages.filter((message) => message.type === "lost")).toEqual([]);
    const before = slow.items.length;
    slow.resume();
    const newest = source.newestGop().at(-1);
    await slow.until(() => newest !== undefined && slow.items.includes(newest.bytes));
    const after = slow.items.slice(before);
    const lostAt = after.findIndex((item) => !Buffer.isBuffer(item) && item.type === "lost");
    const lost = after[lostAt];
    expect(lost).toMatchObject({ type: "lost" });
    const next = after.slice(lostAt).find((item) => Buffer.isBuffer(item));
    expect(next).toBe(source.newestGop()[0]?.bytes);
    // Nothing disappeared without being counted.
    const counted = views.stats().find((viewer) => viewer.framesLost > 0);
    expect((counted?.framesSent ?? 0) + (counted?.framesLost ?? 0)).toBe(100);
  });

  it("disconnects a viewer that is stalled for ever", async () => {
    const source = new FakeSource("camera0", h264);
    const { view } = setup(new FakeCamera("camera0", { native: source }), {
      maxInFlightBytes: 10_000,
      stallTimeoutMs: 50,
    });
    const sink = new TestSink();
    sink.stalled = true;
    const { ended } = view(sink);
    for (let frame = 0; frame < 30; frame++) source.push();
    await expect(ended).rejects.toMatchObject({ code: "reader_too_slow" });
    expect(source.holders).toEqual([]);
  });

  it("tells of gaps and of the state of the capture", async () => {
    const source = new FakeSource("camera0", h264);
    const { view } = setup(new FakeCamera("camera0", { native: source }));
    const sink = new TestSink();
    view(sink);
    source.push();
    await sink.binaries(2);
    source.setState("recovering", "the camera was pulled");
    source.gap(3_000_000);
    source.push();
    await sink.binaries(3);
    expect(sink.messages).toContainEqual({
      type: "state",
      state: "recovering",
      reason: "the camera was pulled",
    });
    expect(sink.messages.map((message) => message.type)).toContain("gap");
  });

  it("ends every session when the hub closes", async () => {
    const source = new FakeSource("camera0", h264);
    const { views, view } = setup(new FakeCamera("camera0", { native: source }));
    const stalled = new TestSink();
    stalled.stalled = true;
    const sessions = [view(new TestSink()), view(stalled)];
    source.push();
    const closing = views.close();
    expect(views.close()).toBe(closing);
    await closing;
    for (const { ended } of sessions) await expect(ended).rejects.toMatchObject({ name: "LiveClosed" });
    await expect(view(new TestSink()).ended).rejects.toMatchObject({ name: "LiveClosed" });
    expect(source.holders).toEqual([]);
  });
});
