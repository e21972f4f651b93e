/** The last net below the log: takes secrets out of a finished line of JSON, whoever wrote it, and leaves it JSON. */
import { masked, maskSecrets } from "./mask.ts";

// Raw control characters never occur in JSON, so that they can stand for its escapes while patterns look for quotes.
const quote = '"\u0001';
const backslash = "\u0002";
const escapes = /\\(["\\])/g;

/** Whole values of properties that are named like secrets. */
const secretProperty = new RegExp(
  `("[\\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|authorization|cookie)"\\s*:\\s*)"(?:[^"]|${quote})*"(?!${quote.slice(1)})`,
  "gi",
);

/**
 * @param secrets strings to mask wherever they occur, of 3 characters or more
 * @returns what makes a line of JSON without secrets of one that may hold some
 */
export function lineMask(secrets: readonly string[] = []): (line: string) => string {
  const forms = secrets.flatMap((secret) => [
    opened(JSON.stringify(secret).slice(1, -1)),
    encodeURIComponent(secret),
  ]);
  return (line) =>
    maskSecrets(opened(line), forms)
      .replace(secretProperty, `$1"${masked}"`)
      .replaceAll(quote, '\\"')
      .replaceAll(backslash, "\\\\");
}

function opened(json: string): string {
  return json.replace(escapes, (_all, one: string) => (one === '"' ? quote : backslash));
}
