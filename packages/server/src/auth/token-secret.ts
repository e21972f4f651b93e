/**
 * The secret that signs the hub's tokens: made once, kept in a file only the hub's user can read. There is no default.
 * Deleting the file (and starting the hub again) makes every token void.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { messageOf, OcelliError } from "@ocelli/protocol";

const bytes = 32;

/**
 * @param path of the file; it is made when there is none
 * @throws OcelliError `storage_failed`
 */
export function tokenSecret(path: string): Uint8Array {
  try {
    const stored = read(path) ?? make(path);
    if (stored.length < bytes) {
      throw new Error(`it holds ${stored.length} bytes and must hold ${bytes} or more, as base64url text`);
    }
    return stored;
  } catch (error) {
    throw new OcelliError(
      "storage_failed",
      `The secret of tokens in ${path} cannot be used: ${messageOf(error)}. Delete the file to have a new one made; all tokens are void then.`,
      { details: { path }, cause: error },
    );
  }
}

function read(path: string): Buffer | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  // Somebody may have copied it back with other permissions.
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  return Buffer.from(text.trim(), "base64url");
}

/** A file that a crash leaves short is refused by its length at the next start. */
function make(path: string): Buffer {
  const secret = randomBytes(bytes);
  const file = openSync(path, "wx", 0o600);
  try {
    writeSync(file, `${secret.toString("base64url")}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return secret;
}
