/** The asking side of `probe.ts`. */
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

export type ProbeAsk =
  | { readonly kind: "memory" }
  | { readonly kind: "profile"; readonly ms: number; readonly file: string };

/** After collections. Bytes. */
export interface ProbeAnswer {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  /** Of `heapUsed`: what V8 has compiled. */
  readonly code: number;
  /** What keeps the event loop busy, by kind. */
  readonly handles: Readonly<Record<string, number>>;
}

/** For the command line of the process to be asked; it needs an IPC channel. */
export const probeArgs: readonly string[] = [
  "--expose-gc",
  "--import",
  fileURLToPath(new URL("./probe.ts", import.meta.url)),
];

let nextId = 1;

/** @throws Error when the process ends meanwhile */
export function askProbe(child: ChildProcess, ask: ProbeAsk = { kind: "memory" }): Promise<ProbeAnswer> {
  const id = nextId++;
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      const reply = message as { id: number; answer: ProbeAnswer };
      if (reply.id !== id) return;
      child.off("message", onMessage);
      child.off("exit", onExit);
      resolve(reply.answer);
    };
    const onExit = (): void => reject(new Error("the process that was to be measured has ended"));
    child.on("message", onMessage);
    child.once("exit", onExit);
    child.send({ id, ask });
  });
}
