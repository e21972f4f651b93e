/** What every command that talks to a hub is given. */
import type { CameraClient, RpcConnection } from "@ocelli/client/node";
import type { Command } from "commander";
import { cameraNamed } from "./camera-names.ts";
import { warning } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { type Style, styleOf } from "./style.ts";
import { clientOf, connect, type GlobalOptions, type Target, targetOf } from "./target.ts";

export interface Output {
  readonly io: Io;
  readonly json: boolean;
  readonly style: Style;
  /** Writes `value` with --json, else the text for people. */
  readonly print: (value: unknown, text: () => string) => void;
  /** One of many: a line of JSON, or of text. */
  readonly printLine: (value: unknown, text: () => string) => void;
  /** A remark, beside the results. */
  readonly note: (text: string) => void;
  /** A remark that says nothing the results of --json do not say. */
  readonly aside: (text: string) => void;
}

export interface Context extends Output {
  readonly connection: RpcConnection;
  readonly target: Target;
  /** The id of a camera, from its id, its device node, or the name people gave it. */
  readonly camera: (name: string) => Promise<string>;
}

/** A client that reconnects, for what goes on until somebody ends it. */
export interface Following extends Output {
  readonly client: CameraClient;
  readonly target: Target;
  readonly camera: (name: string) => Promise<string>;
}

export function outputOf(command: Command, io: Io): Output {
  const json = command.optsWithGlobals<GlobalOptions>().json === true;
  return {
    io,
    json,
    style: styleOf(io),
    print: (value, text) => io.out(json ? `${JSON.stringify(value, null, 2)}\n` : text()),
    printLine: (value, text) => io.out(json ? `${JSON.stringify(value)}\n` : text()),
    note: (text) => io.err(`${text}\n`),
    aside: (text) => {
      if (!json) io.err(`${text}\n`);
    },
  };
}

export function targetFor(command: Command, io: Io): Target {
  return targetOf(command.optsWithGlobals<GlobalOptions>(), io.env, (text) => io.err(warning(text)));
}

/** Connects, does `work`, and closes the connection whatever happens. Ctrl-C ends it. */
export async function withHub(
  command: Command,
  io: Io,
  work: (context: Context) => Promise<void>,
): Promise<void> {
  const target = targetFor(command, io);
  const connection = await connect(target, io.signal);
  const interrupted = (): void => connection.destroy();
  io.signal.addEventListener("abort", interrupted);
  if (io.signal.aborted) interrupted();
  try {
    await work({
      ...outputOf(command, io),
      connection,
      target,
      camera: (name) => cameraNamed(name, () => connection.call("get_camera_list")),
    });
  } finally {
    io.signal.removeEventListener("abort", interrupted);
    await connection.close();
  }
}

/** As `withHub`, for commands that survive the loss of the connection. */
export async function followingHub(
  command: Command,
  io: Io,
  work: (following: Following) => Promise<void>,
): Promise<void> {
  const target = targetFor(command, io);
  await using client = clientOf(target, io.signal);
  await work({
    ...outputOf(command, io),
    client,
    target,
    camera: (name) => cameraNamed(name, () => client.call("get_camera_list")),
  });
}
