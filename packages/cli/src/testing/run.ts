/** Runs command lines in this process, as `ocelli` would. */
import { run } from "../program.ts";
import { type KeptIo, keptIo } from "./io.ts";

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly io: KeptIo;
  readonly done: Promise<Outcome>;
  /** Ctrl-C. */
  readonly interrupt: () => void;
}

type Given = Parameters<typeof keptIo>[0];

export function start(args: readonly string[], env: Record<string, string>, given: Given = {}): Running {
  const stopping = new AbortController();
  const io = keptIo({ ...given, env, signal: stopping.signal });
  const done = run(args, io).then((code) => ({ code, ...io.text }));
  return { io, done, interrupt: () => stopping.abort(new Error("interrupted")) };
}
