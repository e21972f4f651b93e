/** The command line: global options, the list of commands, and how failures are told. */
import { Command, CommanderError } from "commander";
import { addCameras } from "./commands/cameras.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addFiles } from "./commands/files.ts";
import { addRecord } from "./commands/record.ts";
import { addSnapshot } from "./commands/snapshot.ts";
import { exitCodeHelp, exitCodes, failureOf } from "./exit-codes.ts";
import type { Io } from "./io.ts";

export const version = "0.1.0";

/** Runs one command line. @returns the exit code; never rejects */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  // Before any parsing: the flags after it are the hub's own. Loaded only here, since it takes longer than all other commands.
  if (argv[0] === "serve") return (await import("@ocelli/server")).main(argv.slice(1));
  const program = new Command("ocelli")
    .description("Run an Ocelli camera hub and work with its cameras and files.")
    .version(version)
    .option("--url <url>", "address of the hub (environment: OCELLI_URL; default http://127.0.0.1:8002)")
    .option("--host <host>", "host of the hub")
    .option("--port <port>", "port of the hub")
    .option("--key <key>", "API key (environment: OCELLI_API_KEY)")
    .option(
      "--data-dir <folder>",
      "where a hub on this machine keeps its key (environment: OCELLI_DATA_DIR; default data)",
    )
    .option("--json", "print JSON")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", `\n${exitCodeHelp}`);
  // Before the commands are added: they take these over.
  program.exitOverride().configureOutput({ writeOut: io.out, writeErr: io.err });
  program.command("serve [settings...]").description("run the hub; `ocelli serve --help` lists its settings");
  addCameras(program, io);
  addSnapshot(program, io);
  addRecord(program, io);
  addFiles(program, io);
  addDoctor(program, io, async () => (await import("@ocelli/server")).runDoctor);
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const failure = failureOf(error);
    io.err(
      program.opts().json === true
        ? `${JSON.stringify({ error: { code: failure.code, message: failure.message } })}\n`
        : `ocelli: ${failure.message}\n`,
    );
    return failure.exitCode;
  }
}
