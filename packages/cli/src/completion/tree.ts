/** The commands as completion needs them, read from the command line itself, so that no list has to be kept. */
import type { Command } from "commander";

export interface Node {
  /** `files list`; the root's is empty. */
  readonly path: string;
  readonly description: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  /** Its own and those of all above it. */
  readonly options: readonly Flag[];
  /** What an argument may be, where that is known. */
  readonly choices: readonly string[];
}

export interface Flag {
  /** `-o`, `--output` */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  readonly value: "file" | "folder" | "other";
}

/** The root first, and each command before those below it. */
export function treeOf(program: Command): Node[] {
  return nodesOf(program, "", []);
}

function nodesOf(command: Command, path: string, inherited: readonly Flag[]): Node[] {
  const own = command.options.filter(({ hidden }) => !hidden).map(flagOf);
  // Every command has it, though it is no option like the others.
  const help: Flag = {
    names: ["-h", "--help"],
    description: "show help",
    takesValue: false,
    choices: [],
    value: "other",
  };
  const passedOn = [...inherited.filter(({ names }) => !names.includes("--help")), ...own];
  const children = command.commands.map((child) => ({ child, name: child.name() }));
  const usual = command.commands.find((child) => isDefault(command, child));
  const node: Node = {
    path,
    description: command.description(),
    subcommands: children.map(({ child, name }) => ({ name, description: child.description() })),
    options: [...passedOn, ...(usual?.options.map(flagOf) ?? []), help],
    choices: [command, ...(usual === undefined ? [] : [usual])].flatMap(({ registeredArguments }) =>
      registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    ),
  };
  const below = children.flatMap(({ child, name }) =>
    nodesOf(child, path === "" ? name : `${path} ${name}`, passedOn),
  );
  return [node, ...below];
}

/** Commander keeps the name of it to itself. */
function isDefault(parent: Command, child: Command): boolean {
  return "_defaultCommandName" in parent && parent._defaultCommandName === child.name();
}

function flagOf({
  short,
  long,
  description,
  required,
  optional,
  argChoices,
  flags,
}: Command["options"][number]): Flag {
  const value = /<(file|path)>/.test(flags) ? "file" : /<folder>/.test(flags) ? "folder" : "other";
  return {
    names: [short, long].filter((name) => name !== undefined && name !== null),
    description,
    takesValue: required || optional,
    choices: argChoices ?? [],
    value,
  };
}
