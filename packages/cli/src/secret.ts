/** Passwords: asked for without showing them, or read from the standard input. Never an argument, which others can see. */
import { OcelliError } from "@ocelli/protocol";
import { CommandError } from "./exit-codes.ts";
import type { Io } from "./io.ts";

export interface PasswordOptions {
  readonly passwordStdin?: true;
}

/** For all commands that take a password. */
export const passwordFlag = [
  "--password-stdin",
  "read the password from the standard input (one line)",
] as const;

/**
 * @param twice a new password is asked for a second time, against a slip that nobody sees
 * @throws OcelliError `invalid_params` where nobody can be asked, or none is given
 */
export async function passwordOf(
  options: PasswordOptions,
  { input, signal }: Io,
  twice: "once" | "twice",
): Promise<string> {
  if (options.passwordStdin) {
    const text = (await input.readAll()).replace(/\r?\n$/, "");
    if (text === "") throw new OcelliError("invalid_params", "The standard input holds no password.");
    return text;
  }
  if (!input.isTerminal) {
    throw new OcelliError(
      "invalid_params",
      "Nobody can be asked for the password here: give it with --password-stdin.",
    );
  }
  const password = await input.ask("Password: ", { hidden: true, signal });
  if (password === "") throw new OcelliError("invalid_params", "No password was given.");
  if (twice === "twice" && (await input.ask("Once more: ", { hidden: true, signal })) !== password) {
    throw new CommandError("declined", "The two passwords differ. Nothing was changed.");
  }
  return password;
}
