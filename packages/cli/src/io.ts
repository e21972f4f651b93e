/** What a command may touch of the world outside, so that tests can look at it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Results. */
  readonly out: (text: string) => void;
  /** Progress and errors. */
  readonly err: (text: string) => void;
  /** Whether progress may be drawn over. */
  readonly isTerminal: boolean;
}
