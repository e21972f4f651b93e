/** Load processes, started and told what to do. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Command, Commands } from "./commands.ts";
import type { Target } from "./raw-client.ts";

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

class LoadProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (answer: unknown) => void; reject: (error: Error) => void }
  >();
  readonly #exited: Promise<void>;
  #nextId = 1;

  constructor() {
    this.#child = fork(fileURLToPath(new URL("./worker.ts", import.meta.url)), { serialization: "advanced" });
    this.#child.on("message", (message) => {
      const { id, answer, error } = message as Reply;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(`a load process: ${error}`));
    });
    this.#exited = new Promise((resolve) =>
      this.#child.once("exit", (code, signal) => {
        for (const { reject } of this.#waiting.values())
          reject(new Error(`a load process ended (${code ?? signal})`));
        resolve();
      }),
    );
  }

  tell<C extends Command>(command: C, ask: Commands[C]["ask"]): Promise<Commands[C]["answer"]> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // The answer to a command has its type; the channel does not carry it.
      this.#waiting.set(id, { resolve: (answer) => resolve(answer as Commands[C]["answer"]), reject });
      this.#child.send({ id, command, ask });
    });
  }

  end(): Promise<void> {
    this.#child.kill("SIGKILL");
    return this.#exited;
  }
}

/** Connections spread over processes. Every command goes to all of them. */
export class Fleet implements AsyncDisposable {
  readonly #processes: readonly LoadProcess[];

  constructor(processes: number) {
    this.#processes = Array.from({ length: processes }, () => new LoadProcess());
  }

  /** @returns how long all of it took, and each handshake, milliseconds */
  async connect(
    target: Target,
    count: number,
    parallel: number,
  ): Promise<{ ms: number; handshakesMs: number[] }> {
    const startedAt = performance.now();
    const answers = await Promise.all(
      shares(count, this.#processes.length).map((own, index) =>
        this.#processes[index]?.tell("connect", {
          target,
          count: own,
          localAddresses: Array.from({ length: 20 }, (_, which) => `127.0.${index + 1}.${which + 1}`),
          parallel: Math.max(1, Math.ceil(parallel / this.#processes.length)),
        }),
      ),
    );
    return {
      ms: performance.now() - startedAt,
      handshakesMs: answers.flatMap((answer) => [...(answer?.handshakesMs ?? [])]),
    };
  }

  /** One request in flight on each connection. Round trips are sorted. */
  async converse(
    request: string,
    { warmUpMs, ms }: { readonly warmUpMs: number; readonly ms: number },
  ): Promise<{ perSecond: number; roundTripsMs: Float64Array }> {
    const answers = await this.#all("converse", { request, warmUpMs, ms });
    const all = answers.flatMap((answer) => [...answer.roundTripsMs]);
    const took = answers.reduce((sum, answer) => sum + answer.ms, 0) / answers.length;
    return { perSecond: (all.length / took) * 1000, roundTripsMs: Float64Array.from(all).sort() };
  }

  async watch(words: readonly string[]): Promise<void> {
    await this.#all("watch", { words });
  }

  /** To how many connections the last word watched for has come. */
  async arrived(): Promise<number> {
    const answers = await this.#all("arrived", {});
    return answers.reduce((sum, { count }) => sum + count, 0);
  }

  /** For each word: when it came to each connection (monotonic ms, NaN: never), and one message that had it. */
  async seen(): Promise<{ atMs: number[]; sample: string }[]> {
    const answers = await this.#all("seen", {});
    const words = answers[0]?.atMs.length ?? 0;
    return Array.from({ length: words }, (_, word) => ({
      atMs: answers.flatMap((answer) => [...(answer.atMs[word] ?? [])]),
      sample: answers.map((answer) => answer.samples[word] ?? "").find((text) => text !== "") ?? "",
    }));
  }

  /** Makes so many connections stop reading, with answers waiting for them. */
  async stall(count: number, request: string, times: number): Promise<void> {
    await Promise.all(
      shares(count, this.#processes.length).map((own, index) =>
        this.#processes[index]?.tell("stall", { count: own, request, times }),
      ),
    );
  }

  async count(): Promise<{ open: number; ended: Record<string, number> }> {
    const answers = await this.#all("count", {});
    const ended: Record<string, number> = {};
    for (const answer of answers)
      for (const [how, count] of Object.entries(answer.ended)) ended[how] = (ended[how] ?? 0) + count;
    return { open: answers.reduce((sum, { open }) => sum + open, 0), ended };
  }

  async close(): Promise<void> {
    await this.#all("close", {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.end()));
  }

  #all<C extends Command>(command: C, ask: Commands[C]["ask"]): Promise<Commands[C]["answer"][]> {
    return Promise.all(this.#processes.map((process) => process.tell(command, ask)));
  }
}

function shares(count: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, index) => Math.floor((count + index) / parts));
}
