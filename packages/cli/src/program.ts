/** The command line: global options, the list of commands, and how failures are told. */
import { OcelliError } from "@ocelli/protocol";
import { Command, CommanderError } from "commander";
import { addCameras } from "./commands/cameras.ts";
import { addCheck } from "./commands/check.ts";
import { addClock } from "./commands/clock.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEvents } from "./commands/events.ts";
import { addExternal } from "./commands/external.ts";
import { addFiles } from "./commands/files.ts";
import { addKeys } from "./commands/keys.ts";
import { addLogin } from "./commands/login.ts";
import { addMulticam } from "./commands/multicam.ts";
import { addRecord } from "./commands/record.ts";
import { addSnapshot } from "./commands/snapshot.ts";
import { addStatus } from "./commands/status.ts";
import { addStreams } from "./commands/streams.ts";
import { addSync } from "./commands/sync.ts";
import { addToken } from "./commands/token.ts";
import { addUsers } from "./commands/users.ts";
import { exitCodeHelp, exitCodes, type Failure, failureOf, Interrupted } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { harmlessLines } from "./words.ts";

export const version = "0.1.0";

/** Runs one command line. @returns the exit code; never rejects */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // Before any parsing: the flags after it are the hub's own. Loaded only here, since it takes longer than all other commands.
  if (argv[0] === "serve") return (await import("@ocelli/server")).main(argv.slice(1));
  const options = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  const json = options.includes("--json");
  const program = programFor(io);
  try {
    await program.parseAsync(argv, { from: "user" });
    // What goes on until it is ended ends well by being ended.
    return io.signal.aborted ? exitCodes.interrupted : exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    // Help, as an answer to nothing at all, has been written already.
    if (error instanceof CommanderError && error.code === "commander.help") return exitCodes.usage;
    const failure = failureIn(error, io);
    const { code, message } = failure;
    io.err(
      json ? `${JSON.stringify({ error: { code, message } })}\n` : `ocelli: ${harmlessLines(message)}\n`,
    );
    return failure.exitCode;
  }
}

/** All commands. Their tree is also what completion is made of. */
export function programFor(io: Io): Command {
  const program = new Command("ocelli")
    .description("Run an Ocelli camera hub and work with its cameras and files.")
    .version(version)
    .option("--url <url>", "address of the hub (environment: OCELLI_URL; default http://127.0.0.1:8002)")
    .option("--host <host>", "host of the hub")
    .option("--port <port>", "port of the hub")
    .option("--key <key>", "API key or token (environment: OCELLI_API_KEY)")
    .option("--profile <name>", "hub and credential kept by `ocelli login` (environment: OCELLI_PROFILE)")
    .option("--ca <file>", "certificates to trust instead of the system's (environment: OCELLI_CA)")
    .option(
      "--data-dir <folder>",
      "where a hub on this machine keeps its data (environment: OCELLI_DATA_DIR; default data)",
    )
    .option("--json", "print JSON")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", `\n${exitCodeHelp}`);
  // Before the commands are added: they take these over. Errors of the command line are told as all others.
  program.exitOverride().configureOutput({ writeOut: io.out, writeErr: io.err, outputError: () => {} });
  program
    .command("serve [settings...]")
    .description("run the hub; `ocelli serve --help` lists its settings")
    .action(() => {
      throw new OcelliError(
        "invalid_params",
        "Write `ocelli serve` first: all that follows are settings of the hub.",
      );
    });
  addStatus(program, io);
  addCameras(program, io);
  addSnapshot(program, io);
  addRecord(program, io);
  addSync(program, io);
  addMulticam(program, io);
  addClock(program, io);
  addFiles(program, io);
  addStreams(program, io);
  addEvents(program, io);
  addLogin(program, io);
  addKeys(program, io);
  addUsers(program, io);
  addToken(program, io);
  addExternal(program, io);
  addDoctor(program, io, async () => (await import("@ocelli/server")).runDoctor);
  addCheck(program, io);
  addCompletion(program, io);
  return program;
}

function failureIn(error: unknown, io: Io): Failure {
  if (io.signal.aborted) {
    const message =
      error instanceof Interrupted
        ? error.message
        : "Interrupted. What the hub was asked for before may still be done.";
    return { exitCode: exitCodes.interrupted, code: "interrupted", message };
  }
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, "");
    return {
      exitCode: exitCodes.usage,
      code: "usage",
      message: `${message.replace(/([^.!?)…])$/, "$1.")}\nSee \`ocelli --help\`, or --help after a command.`,
    };
  }
  return failureOf(error);
}
