/** What a load process can be told, and what it answers. */
import type { Target } from "./raw-client.ts";

export interface Commands {
  /** Opens connections, at most `parallel` handshakes at a time. */
  readonly connect: {
    readonly ask: {
      readonly target: Target;
      readonly count: number;
      /** Connections come from these addresses in turn, so that there are ports enough. */
      readonly localAddresses: readonly string[];
      readonly parallel: number;
    };
    /** Time of each handshake, from the call to the answer. */
    readonly answer: { readonly handshakesMs: Float64Array };
  };
  /** Every connection asks, waits for the answer, and asks again. */
  readonly converse: {
    readonly ask: { readonly request: string; readonly warmUpMs: number; readonly ms: number };
    readonly answer: { readonly roundTripsMs: Float64Array; readonly ms: number };
  };
  /** From now on the first message with each of these words in it is noted, on each connection. */
  readonly watch: { readonly ask: { readonly words: readonly string[] }; readonly answer: object };
  /** How many connections the last word has come to. */
  readonly arrived: { readonly ask: object; readonly answer: { readonly count: number } };
  /** Ends the watch: monotonic milliseconds for each word and connection, NaN for what did not come. */
  readonly seen: {
    readonly ask: object;
    readonly answer: { readonly atMs: readonly Float64Array[]; readonly samples: readonly string[] };
  };
  /** Takes `count` connections out: they ask `times` times without reading one answer. */
  readonly stall: {
    readonly ask: { readonly count: number; readonly request: string; readonly times: number };
    readonly answer: object;
  };
  /** How many connections are open, and how those that ended did. */
  readonly count: {
    readonly ask: object;
    readonly answer: { readonly open: number; readonly ended: Readonly<Record<string, number>> };
  };
  readonly close: { readonly ask: object; readonly answer: object };
}

export type Command = keyof Commands;
