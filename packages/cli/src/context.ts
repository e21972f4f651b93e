/** What every command that talks to a hub is given. */
import type { RpcConnection } from "@ocelli/client";
import type { Command } from "commander";
import type { Io } from "./io.ts";
import { connect, type GlobalOptions, type Target, targetOf } from "./target.ts";

export interface Context {
  readonly connection: RpcConnection;
  readonly target: Target;
  readonly io: Io;
  /** Writes `value` with --json, else the text for people. */
  readonly print: (value: unknown, text: () => string) => void;
}

/** Connects, does `work`, and closes the connection whatever happens. */
export async function withHub(
  command: Command,
  io: Io,
  work: (context: Context) => Promise<void>,
): Promise<void> {
  const options: GlobalOptions = command.optsWithGlobals();
  const target = targetOf(options, io.env);
  const connection = await connect(target);
  try {
    await work({
      connection,
      target,
      io,
      print: (value, text) => io.out(options.json === true ? `${JSON.stringify(value, null, 2)}\n` : text()),
    });
  } finally {
    await connection.close();
  }
}
