/** The `ocelli` command. */
import { terminalInput } from "./input.ts";
import { run } from "./program.ts";

// A reader that has enough (`ocelli files list | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}
const argv = process.argv.slice(2);
const stopping = new AbortController();
const interrupt = (): void => {
  // The second time it is meant: whatever still runs is left.
  if (stopping.signal.aborted) process.exit(130);
  stopping.abort(new Error("interrupted"));
};
// A hub finishes its files first, and sees to its own signals.
if (argv[0] !== "serve") for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, interrupt);
process.exitCode = await run(argv, {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
  outIsTerminal: process.stdout.isTTY === true,
  columns: () => process.stdout.columns ?? process.stderr.columns ?? 80,
  signal: stopping.signal,
  input: terminalInput({ stdin: process.stdin, stderr: process.stderr, interrupt }),
});
// A hub that was forced to stop must not be waited for.
if (argv[0] === "serve") process.exit();
