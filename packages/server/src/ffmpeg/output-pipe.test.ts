import { closeSync, openSync, writeSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { OutputPipe } from "./output-pipe.ts";
import { spawnFfmpeg } from "./process.ts";

interface Opened {
  readonly pipe: OutputPipe;
  readonly chunks: string[];
  /** Resolves once so many bytes have come while it was watched. */
  came(bytes: number): Promise<void>;
}

function open(): Opened {
  const chunks: string[] = [];
  let check = (): void => {};
  const pipe = OutputPipe.open((chunk) => {
    chunks.push(chunk.toString());
    check();
  });
  if (pipe === undefined) throw new Error("this system gives no pipes");
  const came = (bytes: number): Promise<void> =>
    new Promise((resolve) => {
      check = () => {
        if (chunks.join("").length >= bytes) resolve();
      };
      check();
    });
  return { pipe, chunks, came };
}

describe("OutputPipe", () => {
  it("lets bytes gather until they are taken", () => {
    const { pipe, chunks } = open();
    expect(pipe.take()).toBeUndefined();
    writeSync(pipe.writeFd, "one ");
    writeSync(pipe.writeFd, "two");
    expect(pipe.take()?.toString()).toBe("one two");
    expect(pipe.take()).toBeUndefined();
    expect(chunks).toEqual([]);
    pipe.close();
  });

  it("hands on what comes while it is watched, and keeps the order over changes", async () => {
    const { pipe, chunks, came } = open();
    writeSync(pipe.writeFd, "a");
    pipe.watch();
    await came(1);
    writeSync(pipe.writeFd, "b");
    await came(2);
    pipe.leave();
    writeSync(pipe.writeFd, "c");
    expect(pipe.take()?.toString()).toBe("c");
    writeSync(pipe.writeFd, "d");
    pipe.watch();
    await came(3);
    expect(chunks.join("")).toBe("abd");
    pipe.close();
  });

  it("makes room on request", () => {
    const { pipe } = open();
    const before = pipe.capacity;
    pipe.reserve(200_000);
    expect(pipe.capacity).toBeGreaterThanOrEqual(before);
    pipe.reserve(1000);
    const bytes = Buffer.alloc(pipe.capacity, 1);
    expect(writeSync(pipe.writeFd, bytes)).toBe(bytes.length);
    expect(pipe.take()?.length).toBe(bytes.length);
    pipe.close();
  });

  it("never reads a descriptor that has become another's", async () => {
    const { pipe, came } = open();
    pipe.watch();
    writeSync(pipe.writeFd, "x");
    await came(1);
    pipe.started();
    pipe.close();
    pipe.close();
    const others = Array.from({ length: 8 }, () => openSync("/proc/self/status", "r"));
    expect(pipe.take()).toBeUndefined();
    pipe.watch();
    pipe.reserve(500_000);
    for (const fd of others) closeSync(fd);
  });

  it("takes the place of a process's stdout, to its last byte", async () => {
    const clock = new SystemClock();
    const { pipe } = open();
    const child = spawnFfmpeg({
      ...{ clock, program: "/bin/sh", quietArgs: false, args: ["-c", "printf first; printf last"] },
      output: pipe,
    });
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(pipe.take()?.toString()).toBe("firstlast");
    expect(pipe.take()).toBeUndefined();
    pipe.close();
    clock.close();
  });
});
