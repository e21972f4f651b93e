/** What a command may touch of the world outside, so that tests can look at it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Results. */
  readonly out: (text: string) => void;
  /** Progress and errors. */
  readonly err: (text: string) => void;
  /** Whether progress may be drawn over: `err` is a terminal. */
  readonly isTerminal: boolean;
  /** Whether `out` is a terminal: colours, and lists that are redrawn. */
  readonly outIsTerminal: boolean;
  /** Columns of the terminal now. */
  readonly columns: () => number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly input: Input;
}

export interface Input {
  /** Somebody sits there who can answer. */
  readonly isTerminal: boolean;
  /** Everything until its end. */
  readonly readAll: () => Promise<string>;
  /**
   * One line. A hidden one is not shown while it is typed.
   * @throws the reason of `signal` when Ctrl-C is pressed
   */
  readonly ask: (
    prompt: string,
    options?: { readonly hidden?: boolean; readonly signal?: AbortSignal },
  ) => Promise<string>;
}
