/** The OpenRPC document as it is served, over HTTP and by `rpc.discover`: made when first asked for, then kept. */
import { createHash } from "node:crypto";
import { type OpenRpcDocument, openRpcDocument } from "@ocelli/protocol/openrpc";

export interface ServedDocument {
  readonly document: OpenRpcDocument;
  /** The same as JSON, UTF-8. */
  readonly bytes: Buffer;
  /** Strong, in quotes. */
  readonly etag: string;
}

const made = new Map<string, ServedDocument>();

/** @param version of the hub; the same object each time */
export function servedDocument(version: string): ServedDocument {
  const known = made.get(version);
  if (known !== undefined) return known;
  const document = openRpcDocument(version);
  const bytes = Buffer.from(JSON.stringify(document));
  const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
  const served = { document, bytes, etag };
  made.set(version, served);
  return served;
}
