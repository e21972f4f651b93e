/** What is typed or piped into the command. */
import type { Input } from "./io.ts";

interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stderr: NodeJS.WriteStream;
  /** Ctrl-C: the terminal does not turn it into a signal while a hidden line is read. */
  readonly interrupt: () => void;
}

export function terminalInput({ stdin, stderr, interrupt }: Streams): Input {
  return {
    get isTerminal() {
      return stdin.isTTY === true;
    },
    async readAll() {
      let text = "";
      stdin.setEncoding("utf8");
      for await (const chunk of stdin) text += chunk;
      return text;
    },
    ask: (prompt, { hidden = false, signal } = {}) =>
      new Promise((resolve, reject) => {
        let line = "";
        const raw = hidden && stdin.isTTY === true;
        const end = (settle: () => void): void => {
          stdin.off("data", read);
          stdin.off("end", ended);
          signal?.removeEventListener("abort", aborted);
          if (raw) stdin.setRawMode(false);
          stdin.pause();
          if (raw) stderr.write("\n");
          settle();
        };
        const aborted = (): void => end(() => reject(signal?.reason));
        const ended = (): void => end(() => resolve(line));
        const read = (chunk: string): void => {
          for (const char of chunk) {
            if (char === "\r" || char === "\n" || (raw && char === "\u0004")) {
              ended();
              return;
            }
            if (raw && char === "\u0003") interrupt();
            else if (raw && (char === "\u007f" || char === "\b")) line = [...line].slice(0, -1).join("");
            else if (raw && char === "\u0015") line = "";
            else line += char;
          }
        };
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        stdin.setEncoding("utf8");
        // Before anybody is asked: what is typed at once must not be seen either.
        if (raw) stdin.setRawMode(true);
        stderr.write(prompt);
        signal?.addEventListener("abort", aborted);
        stdin.on("data", read);
        stdin.on("end", ended);
        stdin.resume();
      }),
  };
}
