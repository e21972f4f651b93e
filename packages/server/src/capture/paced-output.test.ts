import { describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { PacedOutput } from "./paced-output.ts";

/** A pipe that a test writes into. */
class FakePipe {
  capacity = 65_536;
  watched = false;
  closed = false;
  waiting: Buffer[] = [];
  onChunk: (chunk: Buffer) => void = () => {};

  reserve(bytes: number): void {
    this.capacity = Math.max(this.capacity, Math.min(2 ** 20, bytes));
  }
  watch(): void {
    this.watched = true;
    const chunk = this.take();
    if (chunk !== undefined) this.onChunk(chunk);
  }
  leave(): void {
    this.watched = false;
  }
  take(): Buffer | undefined {
    if (this.waiting.length === 0) return undefined;
    return Buffer.concat(this.waiting.splice(0));
  }
  close(): void {
    this.closed = true;
  }
  write(text: string | Buffer): void {
    this.waiting.push(Buffer.from(text));
    if (this.watched) this.watch();
  }
}

function setUp(onChunk: (text: string) => boolean = () => true) {
  const clock = new FakeClock();
  const pipe = new FakePipe();
  const got: { text: string; onTime: boolean }[] = [];
  const output: PacedOutput = new PacedOutput({
    clock,
    pipe,
    onChunk: (chunk, onTime) => {
      const text = chunk.toString();
      got.push({ text, onTime });
      return onChunk(text);
    },
  });
  pipe.onChunk = (chunk) => output.watched(chunk);
  output.prompt();
  return { clock, pipe, got, output };
}

/** A frame of `bytes` every 40 ms for a second, so that the rate is known. */
function warmUp({ clock, pipe, got }: ReturnType<typeof setUp>, bytes = 10): void {
  for (let i = 0; i < 25; i++) {
    pipe.write(Buffer.alloc(bytes));
    clock.advance(40);
  }
  got.length = 0;
}

describe("PacedOutput", () => {
  it("hands on every write at first", () => {
    const { pipe, got } = setUp();
    pipe.write("a");
    pipe.write("b");
    expect(got).toEqual([
      { text: "a", onTime: true },
      { text: "b", onTime: true },
    ]);
  });

  it("reads a few times a second in batches", () => {
    const all = setUp();
    const { clock, pipe, got, output } = all;
    warmUp(all);
    output.batches(false);
    for (let i = 0; i < 50; i++) {
      pipe.write("x");
      clock.advance(40);
    }
    expect(pipe.watched).toBe(false);
    // In two seconds, with the piece of a batch before and after.
    expect(got.length).toBeGreaterThanOrEqual(9);
    expect(got.length).toBeLessThanOrEqual(11);
    expect(got.every(({ onTime }) => !onTime)).toBe(true);
    output.close();
    expect(clock.pending).toBe(0);
  });

  it("looks when a frame comes every two seconds where that is asked for", () => {
    // An audio frame, "-", does not count.
    const all = setUp((text) => text.includes("x"));
    const { clock, pipe, got, output } = all;
    warmUp(all);
    output.batches(true);
    for (let i = 0; i < 300; i++) {
      pipe.write("-");
      clock.advance(20);
      pipe.write("x");
      clock.advance(20);
    }
    const onTime = got.filter(({ onTime, text }) => onTime && text.includes("x"));
    expect(onTime.length).toBeGreaterThanOrEqual(4);
    expect(onTime.length).toBeLessThanOrEqual(6);
    // Alone, not among others that had been waiting.
    expect(onTime.every(({ text }) => text === "x")).toBe(true);
    expect(got.map(({ text }) => text).join("")).toBe(
      "-x".repeat(300).slice(0, got.map(({ text }) => text).join("").length),
    );
  });

  it("hands on what waits when it is to be prompt again, or asked", () => {
    const all = setUp();
    const { pipe, got, output } = all;
    warmUp(all);
    output.batches(false);
    pipe.write("a");
    expect(got).toEqual([]);
    output.poll();
    expect(got.map(({ text }) => text)).toEqual(["a"]);
    pipe.write("b");
    output.prompt();
    pipe.write("c");
    expect(got.map(({ text }) => text)).toEqual(["a", "b", "c"]);
    expect(output.inBatches).toBe(false);
  });

  it("asks for a larger pipe, reads more often where media does not fit, and not in batches where that is too often", () => {
    const fast = setUp();
    warmUp(fast, 20_000);
    fast.output.batches(false);
    expect(fast.output.inBatches).toBe(true);
    // 500 kB/s, 200 ms, three times.
    expect(fast.pipe.capacity).toBeGreaterThanOrEqual(290_000);

    const tooFast = setUp();
    warmUp(tooFast, 400_000);
    tooFast.output.batches(false);
    expect(tooFast.output.inBatches).toBe(false);
    expect(tooFast.pipe.watched).toBe(true);
  });

  it("goes back to prompt reading when the rate rises beyond the pipe", () => {
    const all = setUp();
    const { clock, pipe, output } = all;
    warmUp(all);
    output.batches(false);
    pipe.reserve = () => {};
    pipe.write(Buffer.alloc(200_000));
    clock.advance(400);
    expect(output.inBatches).toBe(false);
  });

  it("is not confused by a receiver that asks for more from inside", () => {
    const all = setUp();
    const { pipe, got, output } = all;
    warmUp(all);
    output.batches(false);
    const inner = setUp(() => {
      inner.output.poll();
      return true;
    });
    inner.pipe.write("1");
    inner.pipe.write("2");
    expect(inner.got.map(({ text }) => text)).toEqual(["1", "2"]);
    pipe.write("late");
    output.close();
    output.poll();
    expect(got).toEqual([]);
    expect(pipe.closed).toBe(true);
  });
});
