/** `ocelli completion bash | zsh | fish` */
import { Argument, type Command } from "commander";
import { completionScript, type Shell, shells } from "../completion/scripts.ts";
import { treeOf } from "../completion/tree.ts";
import type { Io } from "../io.ts";

export function addCompletion(program: Command, io: Io): void {
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>").choices(shells))
    .addHelpText(
      "after",
      `
In ~/.bashrc:                 source <(ocelli completion bash)
In ~/.zshrc, after compinit:  source <(ocelli completion zsh)
For fish:                     ocelli completion fish > ~/.config/fish/completions/ocelli.fish`,
    )
    .action((shell: Shell) => io.out(completionScript(shell, treeOf(program))));
}
