/** Where the client writes what it does. Credentials are taken out of every line before it gets here. */

/** The console fits, and so does a pino logger wrapped in four arrows. */
export interface Logger {
  readonly debug?: (message: string) => void;
  readonly info?: (message: string) => void;
  readonly warn?: (message: string) => void;
  readonly error?: (message: string) => void;
}

export type Level = keyof Logger;

/** Warnings and errors to the console. */
export const defaultLogger: Logger = {
  warn: (message) => console.warn(message),
  error: (message) => console.error(message),
};

export class SafeLog {
  readonly #logger: Logger;
  readonly #secrets: () => readonly (string | undefined)[];

  constructor(logger: Logger, secrets: () => readonly (string | undefined)[]) {
    this.#logger = logger;
    this.#secrets = secrets;
  }

  write(level: Level, message: string): void {
    try {
      this.#logger[level]?.(this.clean(message));
    } catch {
      // A logger that fails must not take the connection with it.
    }
  }

  clean(text: string): string {
    let clean = text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s@]+@/gi, "$1***@");
    for (const secret of this.#secrets()) if (secret) clean = clean.replaceAll(secret, "***");
    return clean.replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, "***");
  }
}

export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
}
