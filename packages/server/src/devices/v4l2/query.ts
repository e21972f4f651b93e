/**
 * Asks video nodes what they are without ever holding up the event loop or each other. Owns the worker threads; a
 * thread that a driver does not let go of is left to itself, and its node is answered `ETIMEDOUT` until it returns.
 */
import { constants } from "node:os";
import { Worker } from "node:worker_threads";
import type { Clock } from "../../clock/clock.ts";
import type { ControlsAnswer } from "./ask-controls.ts";
import type { NodeAnswer } from "./ask-node.ts";
import type { Answer, Question } from "./ioctl.worker.ts";

export interface NodeQueriesOptions {
  readonly clock: Clock;
  /** How long a driver may take for one node, milliseconds, once the thread runs. Default 5000: a driver with very many formats on a slow machine. */
  readonly timeLimitMs?: number;
  /** A question that waits longer than this gets a second thread, milliseconds. Default 100. */
  readonly impatienceMs?: number;
  /** Default 4. */
  readonly maxThreads?: number;
  /** For tests: makes the thread. */
  readonly makeWorker?: () => Worker;
}

interface Job {
  readonly node: string;
  readonly question: Question;
  readonly settle: (answer: Answer) => void;
  stopTimer?: () => void;
}

const timedOut = (operation: string): Extract<Answer, { kind: "failed" }> => ({
  kind: "failed",
  errno: constants.errno.ETIMEDOUT,
  operation,
});

export class NodeQueries {
  readonly #clock: Clock;
  readonly #timeLimitMs: number;
  readonly #impatienceMs: number;
  readonly #maxThreads: number;
  readonly #makeWorker: () => Worker;
  readonly #waiting: Job[] = [];
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Job>();
  readonly #ready = new WeakSet<Worker>();
  /** Threads held by a driver, by node. */
  readonly #held = new Map<string, Worker>();
  #stopWaiting: (() => void) | undefined;
  #closed = false;

  constructor(options: NodeQueriesOptions) {
    this.#clock = options.clock;
    this.#timeLimitMs = options.timeLimitMs ?? 5000;
    this.#impatienceMs = options.impatienceMs ?? 100;
    this.#maxThreads = options.maxThreads ?? 4;
    this.#makeWorker = options.makeWorker ?? startWorker;
  }

  /** Starts a thread ahead of the first question, so that a new camera is not kept waiting for it. */
  warmUp(): void {
    if (this.#idle.length + this.#busy.size === 0 && !this.#closed) this.#idle.push(this.#startThread());
  }

  /** Never rejects; a driver that does not answer in time is `ETIMEDOUT`. */
  async ask(node: string): Promise<NodeAnswer> {
    const answer = await this.#put({ node });
    return answer.kind === "controls" ? timedOut("answer") : answer;
  }

  /** The controls of a node, after a change of one if there is one. As `ask` otherwise. */
  async askControls(
    node: string,
    change?: { readonly id: number; readonly value: number },
  ): Promise<ControlsAnswer> {
    const answer = await this.#put({ node, controls: change === undefined ? {} : { change } });
    return answer.kind === "controls" || answer.kind === "failed" ? answer : timedOut("answer");
  }

  #put(question: Question): Promise<Answer> {
    const { node } = question;
    if (this.#closed || this.#held.has(node)) return Promise.resolve(timedOut("open"));
    return new Promise((settle) => {
      this.#waiting.push({ node, question, settle });
      this.#dispatch();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaiting?.();
    for (const job of this.#waiting.splice(0)) job.settle(timedOut("open"));
    const threads = [...this.#idle.splice(0), ...this.#busy.keys()];
    await Promise.race([
      Promise.all(threads.map((thread) => thread.terminate())),
      this.#clock.sleep(this.#timeLimitMs),
    ]);
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#idle.pop() ?? (this.#busy.size === 0 ? this.#startThread() : undefined);
      if (thread === undefined) break;
      this.#give(thread);
    }
    if (this.#waiting.length === 0 || this.#stopWaiting !== undefined) return;
    this.#stopWaiting = this.#clock.after(this.#impatienceMs, () => {
      this.#stopWaiting = undefined;
      if (this.#closed) return;
      // Threads that are still loading are not held up by a driver; more of them would only load slower.
      const held = [...this.#busy.keys()].every((thread) => this.#ready.has(thread));
      if (this.#waiting.length > 0 && held && this.#busy.size < this.#maxThreads) {
        this.#give(this.#startThread());
      }
      this.#dispatch();
    });
  }

  #give(thread: Worker): void {
    const job = this.#waiting.shift();
    if (job === undefined) {
      this.#idle.push(thread);
      return;
    }
    this.#busy.set(thread, job);
    thread.postMessage(job.question);
    // The limit is for the driver: on a slow or busy machine a new thread alone may take longer to load.
    if (this.#ready.has(thread)) this.#limit(thread, job);
    thread.on("message", (message: "ready" | Answer) => {
      if (message === "ready") this.#limit(thread, job);
      else this.#finish(thread, message);
    });
  }

  #limit(thread: Worker, job: Job): void {
    job.stopTimer = this.#clock.after(this.#timeLimitMs, () => {
      this.#held.set(job.node, thread);
      this.#finish(thread, timedOut("answer"));
      thread.terminate().catch(() => undefined);
    });
  }

  /** The thread has answered, or is given up with its node in `#held`. */
  #finish(thread: Worker, answer: Answer): void {
    const job = this.#busy.get(thread);
    this.#busy.delete(thread);
    if (job === undefined) return;
    job.stopTimer?.();
    thread.removeAllListeners("message");
    if (!this.#held.has(job.node)) {
      // One thread is kept warm; those started out of impatience are not needed any longer.
      if (this.#idle.length === 0 && !this.#closed) this.#idle.push(thread);
      else thread.terminate().catch(() => undefined);
    }
    job.settle(answer);
    if (!this.#closed) this.#dispatch();
  }

  #gone(thread: Worker): void {
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
    for (const [node, held] of this.#held) if (held === thread) this.#held.delete(node);
    const job = this.#busy.get(thread);
    this.#busy.delete(thread);
    job?.stopTimer?.();
    job?.settle({ kind: "failed", errno: constants.errno.EIO, operation: "ask" });
    if (!this.#closed) this.#dispatch();
  }

  #startThread(): Worker {
    const thread = this.#makeWorker();
    thread.unref();
    // An error is followed by `exit`, which settles the question.
    thread.on("error", () => undefined);
    thread.once("exit", () => this.#gone(thread));
    thread.once("message", () => this.#ready.add(thread));
    return thread;
  }
}

function startWorker(): Worker {
  const file = import.meta.url.endsWith(".ts") ? "./ioctl.worker.ts" : "./ioctl.worker.js";
  return new Worker(new URL(file, import.meta.url), {
    // It lives as long as the hub, and hardly makes anything.
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
  });
}
