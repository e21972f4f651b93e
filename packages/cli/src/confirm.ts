/** What cannot be taken back is asked for first. */
import { OcelliError } from "@ocelli/protocol";
import { CommandError } from "./exit-codes.ts";
import type { Io } from "./io.ts";

/**
 * @param what a sentence that says what will happen
 * @throws OcelliError `invalid_params` where nobody can be asked; CommandError `declined`
 */
export async function confirmed(what: string, yes: boolean, io: Io): Promise<void> {
  if (yes) return;
  if (!io.input.isTerminal) {
    throw new OcelliError("invalid_params", `${what} Nobody can be asked here: add --yes if that is meant.`);
  }
  const answer = await io.input.ask(`${what}\nGo on? [y/N] `, { signal: io.signal });
  if (!/^\s*y(es)?\s*$/i.test(answer)) throw new CommandError("declined", "Nothing was changed.");
}
