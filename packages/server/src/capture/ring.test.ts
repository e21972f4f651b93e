import { describe, expect, it } from "vitest";
import { RingCursor } from "./cursor.ts";
import { Ring } from "./ring.ts";
import { RingBudget } from "./ring-budget.ts";
import type { CursorItem, OpenOptions } from "./source.ts";
import { fragmentMaker } from "./testing/fragments.ts";

function cursor(
  ring: Ring,
  from: OpenOptions["from"] = "keyframe",
  overflow: OpenOptions["overflow"] = "skip",
  budgetBytes?: number,
): RingCursor {
  return new RingCursor(ring, {
    from,
    overflow,
    holder: "a test",
    ...(budgetBytes === undefined ? {} : { budgetBytes }),
  });
}

const brief = (item: CursorItem | undefined) =>
  item === undefined ? "end" : item.kind === "lost" ? `lost ${item.frames}` : item.fragment.sequence;

/** What is there to be read without waiting. */
async function drain(reader: RingCursor): Promise<(string | number)[]> {
  const items: (string | number)[] = [];
  const aborter = new AbortController();
  for (;;) {
    const next = reader.next(aborter.signal).then(brief);
    // What is there now is there in this turn of the event loop.
    const item = await Promise.race([
      next,
      new Promise<"wait">((resolve) => setImmediate(() => resolve("wait"))),
    ]);
    if (item === "wait") {
      aborter.abort();
      await next.catch(() => {});
      return items;
    }
    items.push(item);
    if (item === "end") return items;
  }
}

describe("Ring and its cursors", () => {
  it("joins at the newest keyframe, at the next frame, and at a time", async () => {
    const ring = new Ring();
    const make = fragmentMaker();
    for (let i = 0; i < 35; i++) ring.push(make());
    const next = cursor(ring, "next");
    const at = (sequence: number) =>
      cursor(ring, { capturedAtUs: 1_700_000_000_000_000 + sequence * 40_000 });
    expect((await drain(cursor(ring)))[0]).toBe(30);
    expect((await drain(at(19)))[0]).toBe(10);
    expect((await drain(at(20)))[0]).toBe(20);
    expect((await drain(at(-5)))[0]).toBe(0);
    expect((await drain(at(999)))[0]).toBe(30);
    expect(await drain(next)).toEqual([]);
    ring.push(make());
    expect(await drain(next)).toEqual([35]);
  });

  it("waits for a keyframe where none is held, saying nothing was lost", async () => {
    const ring = new Ring();
    const make = fragmentMaker();
    make();
    const reader = cursor(ring);
    const first = reader.next();
    for (let i = 1; i <= 11; i++) ring.push(make());
    expect(brief(await first)).toBe(10);
    expect(await drain(reader)).toEqual([11]);
  });

  it("gives every waiting reader the same object, once", async () => {
    const ring = new Ring();
    const make = fragmentMaker();
    const readers = Array.from({ length: 100 }, () => cursor(ring, "next"));
    const waiting = readers.map((reader) => reader.next());
    ring.push(make());
    const items = await Promise.all(waiting);
    expect(new Set(items).size).toBe(1);
    expect(await drain(readers[7] ?? cursor(ring))).toEqual([]);
  });

  it("moves a live reader that fell off to the newest keyframe and counts exactly what it missed", async () => {
    const ring = new Ring({ maxBytes: 2000 });
    const make = fragmentMaker();
    for (let i = 0; i < 5; i++) ring.push(make());
    const reader = cursor(ring);
    expect(brief(await reader.next())).toBe(0);
    for (let i = 5; i < 18; i++) ring.push(make());
    // Audio is passed over, not counted.
    ring.push(make.audio({ sequence: 1000 }));
    for (let i = 19; i < 57; i++) ring.push(make());
    const items = await drain(reader);
    expect(items[0]).toBe("lost 48");
    expect(items.slice(1)).toEqual([50, 51, 52, 53, 54, 55, 56]);
    // 1 read before, 48 lost, 7 read after: all 56 video frames.
  });

  it("waits for the next keyframe where the GOP itself was cut, and marks the cut", async () => {
    const ring = new Ring({ maxBytes: 500 });
    const make = fragmentMaker({ gop: 20 });
    const reader = cursor(ring);
    for (let i = 0; i < 12; i++) ring.push(make());
    expect(ring.cutGops).toBe(1);
    expect(ring.newestGop()).toEqual([]);
    expect(ring.newestKeyframe).toBeUndefined();
    const next = reader.next();
    for (let i = 12; i < 21; i++) ring.push(make());
    expect(brief(await next)).toBe(20);
  });

  it("is bounded in seconds of arrival, and always holds the newest fragment", () => {
    const ring = new Ring({ maxSeconds: 2, maxBytes: 5000 });
    const make = fragmentMaker();
    for (let i = 0; i < 500; i++) {
      ring.push(make());
      expect(ring.seconds).toBeLessThanOrEqual(2);
    }
    ring.push(make({ bytes: Buffer.alloc(1_000_000) }));
    expect([ring.fragments, ring.bytes]).toEqual([1, 1_000_000]);
    ring.push(make());
    expect([ring.fragments, ring.bytes]).toEqual([1, 100]);
  });

  it("keeps for a recorder what it has not read, up to its budget", async () => {
    const ring = new Ring({ maxBytes: 1000 });
    const make = fragmentMaker();
    const recorder = cursor(ring, "next", "fail", 3000);
    const sequences: (string | number)[] = [];
    for (let i = 0; i < 40; i++) ring.push(make());
    expect(ring.bytes).toBe(1000);
    expect(ring.pinnedBytes).toBe(3000);
    expect(recorder.lag()).toEqual({ fragments: 40, bytes: 4000 });
    sequences.push(...(await drain(recorder)));
    expect(sequences).toEqual(Array.from({ length: 40 }, (_, i) => i));
    ring.push(make());
    expect(ring.pinnedBytes).toBe(0);
  });

  it("ends a recorder beyond its budget with a named error, and lets its fragments go", async () => {
    const ring = new Ring({ maxBytes: 1000 });
    const make = fragmentMaker();
    const recorder = cursor(ring, "next", "fail", 3000);
    const other = cursor(ring, "next", "fail", 100_000);
    for (let i = 0; i < 41; i++) ring.push(make());
    await expect(recorder.next()).rejects.toMatchObject({
      code: "reader_too_slow",
      details: { fragments: 41 },
    });
    await expect(recorder.next()).rejects.toMatchObject({ code: "reader_too_slow" });
    expect(ring.pinnedBytes).toBe(3100);
    expect((await drain(other)).length).toBe(41);
    ring.push(make());
    expect(ring.pinnedBytes).toBe(0);
  });

  it("gives what is left after the end, and wakes who waits", async () => {
    const ring = new Ring();
    const make = fragmentMaker();
    const behind = cursor(ring, "next");
    ring.push(make());
    const waiting = cursor(ring, "next");
    const next = waiting.next();
    ring.close();
    expect(await next).toBeUndefined();
    expect(await drain(behind)).toEqual([0, "end"]);
    ring.push(make());
    expect(await drain(behind)).toEqual(["end"]);
  });

  it("ends one reader by its close, without the others", async () => {
    const ring = new Ring();
    const make = fragmentMaker();
    const [one, two] = [cursor(ring, "next"), cursor(ring, "next")];
    const [first, second] = [one.next(), two.next()];
    one.close();
    expect(await first).toBeUndefined();
    ring.push(make());
    expect(brief(await second)).toBe(0);
    expect(await one.next()).toBeUndefined();
  });

  it("rejects an aborted wait and loses nothing by it", async () => {
    const ring = new Ring();
    const make = fragmentMaker();
    const reader = cursor(ring, "next");
    const aborter = new AbortController();
    const wait = reader.next(aborter.signal);
    aborter.abort(new Error("tired"));
    await expect(wait).rejects.toThrow("tired");
    ring.push(make());
    expect(brief(await reader.next())).toBe(0);
    await expect(reader.next(AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
  });

  it("refuses two callers at a time", async () => {
    const reader = cursor(new Ring(), "next");
    const first = reader.next();
    await expect(reader.next()).rejects.toMatchObject({ code: "internal" });
    reader.close();
    await first;
  });

  it("holds memory whatever 100 readers do: one reads nothing, the others miss nothing", async () => {
    const ring = new Ring({ maxBytes: 50_000 });
    const make = fragmentMaker({ bytes: 1000 });
    const stalled = cursor(ring, "next");
    const counts = new Array<number>(99).fill(0);
    const loops = counts.map(async (_, index) => {
      const reader = cursor(ring, "next");
      for (let item = await reader.next(); item !== undefined; item = await reader.next()) {
        if (item.kind === "lost") throw new Error(`reader ${index} lost frames`);
        counts[index] = (counts[index] ?? 0) + 1;
      }
    });
    for (let i = 0; i < 3000; i++) {
      ring.push(make());
      if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
      expect(ring.bytes + ring.pinnedBytes).toBeLessThanOrEqual(50_000);
    }
    ring.close();
    await Promise.all(loops);
    expect(counts.every((count) => count === 3000)).toBe(true);
    const items = await drain(stalled);
    expect(items[0]).toBe("lost 2990");
    expect(items.length).toBe(12);
  });
});

describe("A ring whose fragments are used again", () => {
  function setUp() {
    const reused: number[] = [];
    const ring = new Ring({ maxSeconds: 0.4, recycle: ({ sequence }) => reused.push(sequence) });
    const make = fragmentMaker({ gop: 1 });
    const push = (count: number): void => {
      for (let i = 0; i < count; i++) ring.push(make());
    };
    const borrower = (overflow: OpenOptions["overflow"]): RingCursor =>
      new RingCursor(ring, { from: "next", overflow, holder: "a test", borrow: true });
    return { ring, reused, push, borrower };
  }

  it("gives back what nobody ever had", () => {
    const { ring, reused, push } = setUp();
    push(30);
    expect(reused).toEqual(Array.from({ length: ring.start }, (_, i) => i));
    ring.clear();
    expect(reused).toHaveLength(30);
  });

  it("never gives back what a reader got who did not say that he borrows", async () => {
    const { ring, reused, push } = setUp();
    const reader = cursor(ring, "next");
    push(3);
    expect(await drain(reader)).toEqual([0, 1, 2]);
    push(1);
    expect(ring.newestGop().map(({ sequence }) => sequence)).toEqual([3]);
    reader.close();
    push(30);
    expect(reused).toEqual(Array.from({ length: ring.start - 4 }, (_, i) => i + 4));
  });

  it("waits until a borrower is done, and gives back after", async () => {
    const { ring, reused, push, borrower } = setUp();
    const reader = borrower("fail");
    push(5);
    expect(await drain(reader)).toEqual([0, 1, 2, 3, 4]);
    push(30);
    expect(reused).toEqual([]);
    reader.release();
    push(1);
    expect(reused).toEqual([0, 1, 2, 3, 4]);
    // What it has not read yet it does not lose.
    expect((await drain(reader)).length).toBe(31);
    reader.release();
    push(1);
    expect(reused).toEqual(Array.from({ length: ring.start }, (_, i) => i));
  });

  it("leaves to a borrower what it was using when it closed or fell behind", async () => {
    const { ring, reused, push, borrower } = setUp();
    const closing = borrower("fail");
    push(2);
    await drain(closing);
    closing.close();
    push(2);
    const slow = new RingCursor(ring, {
      ...{ from: "next", overflow: "fail", holder: "a slow one", borrow: true, budgetBytes: 500 },
    });
    push(2);
    await drain(slow);
    push(40);
    await expect(slow.next()).rejects.toMatchObject({ code: "reader_too_slow" });
    expect(reused).not.toContain(0);
    expect(reused).not.toContain(1);
    expect(reused).not.toContain(4);
    expect(reused).not.toContain(5);
    expect(reused).toContain(2);
    expect(reused).toContain(6);
  });

  it("does not wait for a borrower that may skip", async () => {
    const { ring, reused, push, borrower } = setUp();
    const reader = borrower("skip");
    push(3);
    await drain(reader);
    push(30);
    expect(reused).toHaveLength(ring.start);
  });
});

describe("RingBudget", () => {
  it("trims the largest ring", () => {
    const budget = new RingBudget({ maxBytes: 10_000 });
    const [large, small] = [new Ring({ budget }), new Ring({ budget })];
    const [makeLarge, makeSmall] = [fragmentMaker({ bytes: 1000 }), fragmentMaker({ bytes: 100 })];
    for (let i = 0; i < 50; i++) {
      large.push(makeLarge());
      small.push(makeSmall());
      expect(budget.bytes).toBeLessThanOrEqual(10_000);
      expect(budget.bytes).toBe(large.bytes + small.bytes);
    }
    expect(small.fragments).toBe(50);
    expect(large.bytes).toBe(5000);
    large.clear();
    expect(budget.bytes).toBe(5000);
    small.close();
    large.close();
    expect(budget.bytes).toBe(0);
  });

  it("never takes a ring's newest fragment, and does not hang over it", () => {
    const budget = new RingBudget({ maxBytes: 100 });
    const ring = new Ring({ budget });
    const make = fragmentMaker({ bytes: 1000 });
    ring.push(make());
    ring.push(make());
    expect(ring.fragments).toBe(1);
  });
});
