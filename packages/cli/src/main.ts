/** The `ocelli` command. */
import { run } from "./program.ts";

// A reader that has enough (`ocelli files list | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
const argv = process.argv.slice(2);
process.exitCode = await run(argv, {
  env: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
});
// A hub that was forced to stop must not be waited for.
if (argv[0] === "serve") process.exit();
