/**
 * Downloads to the disk: streamed under a temporary name until complete and verified; taken up where it broke off
 * as long as the server still has the same file.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, write as writeChunk, writeFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { CameraServiceError, ConnectionError, MediaMTXError } from "../errors.ts";
import { fileUrl, refusal } from "../files.ts";
import { sleep } from "../waiting.ts";
import { get } from "./http-get.ts";
import type { Tls } from "./tls.ts";

export interface DownloadOptions extends Tls {
  /** `http://host:8002` */
  readonly baseUrl: string;
  readonly kind: "recording" | "snapshot";
  readonly filename: string;
  /** API key. */
  readonly key?: string | undefined;
  /** In place of `key`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Default: the file's own name in the current folder. Missing folders are made. */
  readonly to?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes so far, and of all if the server says. */
  readonly onProgress?: ((bytes: number, total: number | undefined) => void) | undefined;
  /** Attempts to go on after the connection broke, as long as each brings something. Default 3. */
  readonly retries?: number | undefined;
  /** Seconds before going on. Default 1. */
  readonly retryDelay?: number | undefined;
  /** Keeps what has come when the download fails (`.<name>.part`), and goes on from there the next time. Default false. */
  readonly keepPartial?: boolean | undefined;
  /** Longest time without a byte, in seconds. Default 30. */
  readonly idleTimeout?: number | undefined;
}

/** What tells two states of a file apart. */
interface Version {
  readonly etag?: string | undefined;
  readonly modified?: string | undefined;
  readonly size?: number | undefined;
}

interface Part {
  readonly path: string;
  readonly versionPath: string;
  readonly keep: boolean;
}

/**
 * @returns the path written
 * @throws MediaMTXError `file_not_found`, `permission_denied`, `download_failed`, `storage_failed`
 * @throws AuthenticationError
 * @throws ConnectionError
 */
export async function downloadFile(options: DownloadOptions): Promise<string> {
  const { filename, retries = 3, retryDelay = 1, signal } = options;
  const url = fileUrl(options.baseUrl, `${options.kind}s`, filename);
  const path = options.to ?? basename(filename);
  const part = partOf(path, options.keepPartial === true);
  try {
    await mkdir(dirname(path), { recursive: true });
    let failures = 0;
    for (;;) {
      const before = await sizeOf(part.path);
      try {
        await fetchRest(url, part, options);
        break;
      } catch (error) {
        signal?.throwIfAborted();
        failures = (await sizeOf(part.path)) > before ? 1 : failures + 1;
        // At least one byte a time, or it would never end.
        if (!(error instanceof ConnectionError) || failures > retries) throw error;
        await sleep(retryDelay, signal);
      }
    }
    await rename(part.path, path);
    await rm(part.versionPath, { force: true });
    return path;
  } catch (error) {
    if (!part.keep) await forget(part);
    signal?.throwIfAborted();
    if (error instanceof CameraServiceError || !isDiskError(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new MediaMTXError(`${filename} could not be written to ${path}: ${why}`, {
      condition: "storage_failed",
      data: { filename, path },
      cause: error,
    });
  }
}

async function fetchRest(url: URL, part: Part, options: DownloadOptions): Promise<void> {
  const { filename, key, signal, idleTimeout = 30 } = options;
  let have = await sizeOf(part.path);
  const known = have > 0 ? await versionKept(part) : undefined;
  if (known === undefined) have = 0;
  const response = await get(url, {
    ca: options.ca,
    serverName: options.serverName,
    idleTimeoutMs: idleTimeout * 1000,
    signal,
    headers: {
      ...(options.headers ?? (key === undefined ? {} : { "X-API-Key": key })),
      "Accept-Encoding": "identity",
      ...rangeHeaders(have, known),
    },
  });
  const { statusCode = 0, headers } = response;
  const version = versionOf(statusCode, headers);
  const continues = statusCode === 206 && known !== undefined && sameFile(known, version, headers, have);
  if (statusCode === 206 || statusCode === 416 ? !continues : statusCode !== 200) {
    response.destroy();
    if (statusCode !== 206 && statusCode !== 416) throw refusal(statusCode, filename);
    // Not the rest of what is here: from the beginning.
    await forget(part);
    throw new ConnectionError(`${filename} has changed on the server`, { condition: "connection_lost" });
  }
  if (!continues) {
    have = 0;
    // No waiting before the body is read: what is held meanwhile is lost if the connection breaks.
    writeFileSync(part.versionPath, JSON.stringify(version));
  }
  await receive(response, part, have, version.size, options);
  await verify(part, version, headers, filename);
}

async function receive(
  response: IncomingMessage,
  part: Part,
  have: number,
  total: number | undefined,
  { filename, onProgress, signal }: DownloadOptions,
): Promise<void> {
  let bytes = have;
  // Written chunk by chunk: a pipe would throw away what it holds when the connection breaks.
  const file = openSync(part.path, have > 0 ? "a" : "w");
  try {
    for await (const chunk of response) {
      if (!(chunk instanceof Uint8Array)) continue;
      await writeAll(file, chunk);
      bytes += chunk.length;
      onProgress?.(bytes, total);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    // Not the connection: the disk, or what onProgress threw.
    if (response.errored === null) throw cause;
    throw new ConnectionError(`The download of ${filename} broke off after ${bytes} bytes`, {
      condition: "connection_lost",
      data: { filename, bytes },
      cause,
    });
  } finally {
    response.destroy();
    closeSync(file);
  }
}

const write = promisify(writeChunk);

async function writeAll(file: number, chunk: Uint8Array): Promise<void> {
  for (let from = 0; from < chunk.length; ) {
    from += (await write(file, chunk, from, chunk.length - from, null)).bytesWritten;
  }
}

function isDiskError(cause: unknown): boolean {
  return cause instanceof Error && "syscall" in cause;
}

/** Size and, if the server tells one, checksum. */
async function verify(
  part: Part,
  version: Version,
  headers: IncomingHttpHeaders,
  filename: string,
): Promise<void> {
  const size = await sizeOf(part.path);
  if (version.size !== undefined && size !== version.size) {
    throw new ConnectionError(`The download of ${filename} has ${size} of ${version.size} bytes`, {
      condition: "connection_lost",
    });
  }
  const stated = checksumOf(headers);
  if (stated === undefined) return;
  const hash = createHash(stated.algorithm);
  await pipeline(createReadStream(part.path), hash);
  if (hash.digest("base64") === stated.base64) return;
  await forget(part);
  throw new MediaMTXError(`${filename} does not have the checksum the server states`, {
    condition: "download_failed",
    data: { filename, algorithm: stated.algorithm },
  });
}

/** `Repr-Digest` (RFC 9530) or its forerunner `Digest`: both are of the whole file, also beside a part. */
function checksumOf(
  headers: IncomingHttpHeaders,
): { algorithm: "sha256" | "sha512"; base64: string } | undefined {
  for (const name of ["repr-digest", "digest"]) {
    const value = headers[name];
    if (typeof value !== "string") continue;
    const [, bits, base64] = /(?:^|[,\s])sha-(256|512)=:?([A-Za-z0-9+/]+=*):?/i.exec(value) ?? [];
    if (base64 !== undefined) return { algorithm: bits === "256" ? "sha256" : "sha512", base64 };
  }
  return undefined;
}

/** A weak ETag may not stand in `If-Range`; the date may. Either way the answer is compared with what is known. */
function rangeHeaders(have: number, known: Version | undefined): Record<string, string> {
  if (known === undefined) return {};
  const strong = known.etag?.startsWith('"') ? known.etag : undefined;
  const condition = strong ?? known.modified;
  return condition === undefined ? {} : { Range: `bytes=${have}-`, "If-Range": condition };
}

function sameFile(known: Version, now: Version, headers: IncomingHttpHeaders, have: number): boolean {
  const begins = /^bytes (\d+)-/.exec(headers["content-range"] ?? "")?.[1];
  return (
    Number(begins) === have &&
    known.size === now.size &&
    known.etag === now.etag &&
    known.modified === now.modified
  );
}

function versionOf(status: number, headers: IncomingHttpHeaders): Version {
  const size =
    status === 206 ? /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] : headers["content-length"];
  return {
    etag: headers.etag,
    modified: headers["last-modified"],
    size: size === undefined ? undefined : Number(size),
  };
}

/** Where `keepPartial` keeps what has come of a file that is to be `path`. */
export function partPath(path: string): string {
  return join(dirname(path), `.${basename(path).slice(0, 100)}.part`);
}

function partOf(path: string, keep: boolean): Part {
  // Two downloads to one place must not write one file, unless it is to be found again.
  const unique = keep ? "" : `-${process.pid}-${Math.random().toString(36).slice(2, 10)}`;
  const part = `${partPath(path)}${unique}`;
  return { path: part, versionPath: `${part}.json`, keep };
}

async function versionKept(part: Part): Promise<Version | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(part.versionPath, "utf8"));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Failing here must not hide what failed before. */
async function forget(part: Part): Promise<void> {
  for (const path of [part.path, part.versionPath]) await rm(path, { force: true }).catch(() => {});
}
