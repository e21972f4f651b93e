/**
 * A file, or a part of it, by HTTP PUT, streamed from the disk with its length. A presigned address covers neither a
 * content type nor chunks, so that neither is sent (spec section 11.1).
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from "node:http";
import { request as httpsRequest } from "node:https";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";

export interface PutRequest {
  readonly url: URL;
  readonly path: string;
  /** Of the first byte. Default 0. */
  readonly offset?: number;
  readonly size: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Without any byte taken on; default 300,000. */
  readonly idleTimeoutMs?: number;
  /** @param bytes of this request, so far */
  readonly onProgress?: (bytes: number) => void;
}

export interface PutOutcome {
  /** Whether the checksum the receiver stated is that of what was sent. `undefined`: it stated none. */
  readonly verified: boolean | undefined;
  /** As the receiver stated it. */
  readonly etag: string | undefined;
  /** Hexadecimal, of what was sent. */
  readonly md5: string;
}

/** @throws OcelliError `device_failed` with the receiver's answer, `device_unreachable`, `file_not_found`; the signal's reason */
export async function putFile(put: PutRequest): Promise<PutOutcome> {
  const { url, path, offset = 0, size, signal } = put;
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
    const source = createReadStream(path, {
      start: offset,
      end: Math.max(offset, offset + size - 1),
      highWaterMark: 2 ** 18,
    });
    await Promise.race([
      size === 0 ? new Promise<void>((resolve) => request.end(resolve)) : pipeline(source, counted, request),
      answered,
    ]);
    const response = await answered;
    const text = await bodyOf(response);
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw refusal(url, status, text);
    if (sent !== size) {
      throw new OcelliError(
        "device_failed",
        `${where} was content with ${sent} of ${size} bytes, which is not the file.`,
      );
    }
    const { etag } = response.headers;
    const digest = md5.digest("hex");
    return { etag, md5: digest, verified: sameAs(response.headers, digest) };
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

export function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    // Also after the answer: an error that nobody hears ends the hub.
    request.on("error", reject);
  });
}

/** Answers are small; what is longer is not read. */
export async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > 16_384) break;
  }
  return text;
}

/** What S3 says in XML is wrong, such as `NoSuchUpload`. */
export function errorCodeIn(text: string): string | undefined {
  return /<Code>([\w.-]{1,80})<\/Code>/.exec(text)?.[1];
}

export function refusal({ protocol, host }: URL, status: number, text: string): OcelliError {
  const code = errorCodeIn(text);
  const reason = code === undefined ? "" : ` (${code})`;
  return new OcelliError(
    "device_failed",
    `${protocol}//${host} refused the upload with HTTP ${status}${reason}.`,
    {
      details: { status, ...(code === undefined ? {} : { reason: code }) },
    },
  );
}

/**
 * Whether what was put has this checksum, as the receiver sees it: the ETag of what was put in one piece is its MD5, that of
 * parts put together ends in their number. `undefined` where it tells nothing of that: it has another form, or the
 * receiver says that it keeps the content under a key, where the ETag looks like an MD5 and is none.
 */
export function sameAs(headers: IncomingHttpHeaders, wanted: string): boolean | undefined {
  const encryption = headers["x-amz-server-side-encryption"];
  const underKey =
    headers["x-amz-server-side-encryption-customer-algorithm"] !== undefined ||
    (encryption !== undefined && encryption !== "AES256");
  const bare = headers.etag?.replaceAll('"', "").toLowerCase();
  if (underKey || bare === undefined || !/^[0-9a-f]{32}(-\d+)?$/.test(bare)) return undefined;
  return bare.includes("-") === wanted.includes("-") ? bare === wanted : undefined;
}
