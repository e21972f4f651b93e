/**
 * One file by HTTP PUT, streamed from the disk with its length. A presigned address covers neither a content type nor
 * chunks, so that neither is sent (spec section 11.1).
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";

export interface PutRequest {
  readonly url: URL;
  readonly path: string;
  readonly size: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Without any byte taken on; default 300,000. */
  readonly idleTimeoutMs?: number;
  readonly onProgress?: (bytes: number) => void;
}

export interface PutOutcome {
  /** The receiver stated the checksum of what it got, and it is the file's. `undefined`: it stated none. */
  readonly verified: boolean | undefined;
}

/** @throws OcelliError `device_failed` with the receiver's answer, `device_unreachable`, `file_not_found`; the signal's reason */
export async function putFile(put: PutRequest): Promise<PutOutcome> {
  const { url, path, size, signal } = put;
  const where = `${url.protocol}//${url.host}`;
  const stalled = new AbortController();
  const both = AbortSignal.any([signal, stalled.signal]);
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  const request = send(url, {
    method: "PUT",
    signal: both,
    headers: { ...put.headers, "Content-Length": String(size) },
  });
  const md5 = createHash("md5");
  let sent = 0;
  let cancel = (): void => undefined;
  const alive = (): void => {
    cancel();
    cancel = put.clock.after(put.idleTimeoutMs ?? 300_000, () =>
      stalled.abort(new OcelliError("device_unreachable", `${where} took nothing on for too long.`)),
    );
  };
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      md5.update(chunk);
      sent += chunk.length;
      alive();
      put.onProgress?.(sent);
      done(null, chunk);
    },
  });
  alive();
  try {
    const answered = answerTo(request);
    // An answer that comes before the file is out is a refusal.
    answered.catch(() => undefined);
    const source = createReadStream(path, { end: Math.max(0, size - 1), highWaterMark: 2 ** 18 });
    await Promise.race([
      size === 0 ? new Promise<void>((resolve) => request.end(resolve)) : pipeline(source, counted, request),
      answered,
    ]);
    const response = await answered;
    const text = await bodyOf(response);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) {
      throw new OcelliError(
        "device_failed",
        `${where} refused the upload with HTTP ${status}${reasonIn(text)}.`,
        {
          details: { status },
        },
      );
    }
    if (sent !== size) {
      throw new OcelliError(
        "device_failed",
        `${where} was content with ${sent} of ${size} bytes, which is not the file.`,
      );
    }
    return { verified: sameAs(response.headers.etag, md5.digest("hex")) };
  } catch (cause) {
    request.destroy();
    signal.throwIfAborted();
    if (stalled.signal.aborted) throw stalled.signal.reason;
    if (cause instanceof OcelliError) throw cause;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why = cause instanceof Error ? cause.message : String(cause);
    if (code === "ENOENT")
      throw new OcelliError("file_not_found", `The file is not there any more: ${why}`, { cause });
    throw new OcelliError("device_unreachable", `${where} could not be reached: ${why}`, { cause });
  } finally {
    cancel();
  }
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
}

/** Answers are small; what is longer is not read. */
async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > 16_384) break;
  }
  return text;
}

/** S3 says why in XML. */
function reasonIn(text: string): string {
  const code = /<Code>([\w.-]{1,80})<\/Code>/.exec(text)?.[1];
  return code === undefined ? "" : ` (${code})`;
}

/** The ETag of a file that was put in one piece is its MD5; others say nothing. */
function sameAs(etag: string | undefined, md5: string): boolean | undefined {
  const bare = etag?.replaceAll('"', "").toLowerCase();
  return bare !== undefined && /^[0-9a-f]{32}$/.test(bare) ? bare === md5 : undefined;
}
