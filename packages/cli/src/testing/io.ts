/** An `Io` that keeps what is written. */
import type { Input, Io } from "../io.ts";

export interface KeptIo extends Io {
  readonly text: { out: string; err: string };
}

export function keptIo(given: Partial<Omit<Io, "input">> & { readonly input?: Partial<Input> } = {}): KeptIo {
  const text = { out: "", err: "" };
  return {
    text,
    env: {},
    isTerminal: false,
    outIsTerminal: false,
    columns: () => 80,
    signal: new AbortController().signal,
    out: (part) => {
      text.out += part;
    },
    err: (part) => {
      text.err += part;
    },
    ...given,
    input: {
      isTerminal: false,
      readAll: async () => "",
      ask: async () => {
        throw new Error("nobody is there to ask");
      },
      ...given.input,
    },
  };
}
