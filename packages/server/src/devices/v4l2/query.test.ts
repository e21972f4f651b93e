import { constants } from "node:os";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../clock/fake-clock.ts";
import { SystemClock } from "../../clock/system-clock.ts";
import { NodeQueries } from "./query.ts";

const clock = new SystemClock();
const open: NodeQueries[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((queries) => queries.close()));
});

function queries(options: Partial<ConstructorParameters<typeof NodeQueries>[0]> = {}): NodeQueries {
  const made = new NodeQueries({ clock, ...options });
  open.push(made);
  return made;
}

/** Answers like a good driver, except that node `hang` is never answered. */
const sluggish = `
  const { parentPort } = require("node:worker_threads");
  parentPort.postMessage("ready");
  parentPort.on("message", ({ node }) => {
    if (node === "die") process.exit(1);
    if (node === "hang") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    parentPort.postMessage({ kind: "other", driver: node });
  });`;
const makeWorker = (): Worker => new Worker(sluggish, { eval: true });

describe("NodeQueries", () => {
  it("asks the kernel in a thread", async () => {
    const asking = queries();
    asking.warmUp();
    const { ENOENT, ENOTTY } = constants.errno;
    expect(await asking.ask("/nonexistent/video0")).toEqual({
      kind: "failed",
      errno: ENOENT,
      operation: "open",
    });
    expect(await asking.ask("/dev/null")).toEqual({
      kind: "failed",
      errno: ENOTTY,
      operation: "VIDIOC_QUERYCAP",
    });
  });

  it("answers the other nodes while one driver hangs, then gives that node up", async () => {
    const time = new FakeClock();
    const timeLimitMs = 1_000_000;
    const asking = queries({ clock: time, makeWorker, timeLimitMs, impatienceMs: 10 });
    const order: string[] = [];
    const ask = async (node: string): Promise<void> => {
      const answer = await asking.ask(node);
      order.push(answer.kind === "failed" ? `${node} failed ${answer.errno}` : node);
    };
    const [hanging, ...others] = ["hang", "a", "b", "c"].map(ask);
    // Impatience begins when the first thread has been loaded.
    while (order.length < others.length) {
      time.advance(10);
      await clock.sleep(5);
    }
    await Promise.all(others);
    time.advance(timeLimitMs);
    await hanging;
    expect(order.slice(0, 3).toSorted()).toEqual(["a", "b", "c"]);
    expect(order[3]).toBe(`hang failed ${constants.errno.ETIMEDOUT}`);
    expect(await asking.ask("d")).toEqual({ kind: "other", driver: "d" });
  });

  it("outlives a thread that dies", async () => {
    const asking = queries({ makeWorker });
    expect(await asking.ask("die")).toMatchObject({ kind: "failed", errno: constants.errno.EIO });
    expect(await asking.ask("a")).toEqual({ kind: "other", driver: "a" });
  });

  it("settles what waits when it is closed", async () => {
    const asking = queries({ makeWorker });
    const waiting = ["hang", "a", "b"].map((node) => asking.ask(node));
    await asking.close();
    expect((await Promise.all(waiting)).map((answer) => answer.kind)).toEqual(["failed", "failed", "failed"]);
    expect(await asking.ask("late")).toMatchObject({ kind: "failed" });
  });
});
