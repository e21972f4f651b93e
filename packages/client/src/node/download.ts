/** Downloads to the disk: streamed, under a temporary name until complete. */
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { messageOf, OcelliError } from "@ocelli/protocol";
import { ConnectionError } from "../errors.ts";

export interface DownloadOptions {
  /** `http://host:8002` */
  readonly baseUrl: string;
  readonly kind: "recording" | "snapshot";
  readonly filename: string;
  /** API key. */
  readonly key?: string;
  /** Default: the file's own name in the current folder. */
  readonly to?: string;
  readonly signal?: AbortSignal;
  /** Bytes so far, and of all if the server says. */
  readonly onProgress?: (bytes: number, total: number | undefined) => void;
}

/**
 * @returns the path written
 * @throws OcelliError `file_not_found`, `auth_required`, `permission_denied`, `storage_failed`
 * @throws ConnectionError
 */
export async function downloadFile(options: DownloadOptions): Promise<string> {
  const { baseUrl, kind, filename, key, signal, onProgress } = options;
  const path = options.to ?? basename(filename);
  const url = new URL(`/files/${kind}s/${encodeURIComponent(filename)}`, baseUrl);
  const response = await fetch(url, {
    headers: key === undefined ? {} : { "X-API-Key": key },
    ...(signal === undefined ? {} : { signal }),
  }).catch((error: unknown) => {
    throw new ConnectionError(`Cannot reach ${url.origin}.`, { condition: "connect_failed", cause: error });
  });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw refusal(response.status, filename);
  }
  const total = Number(response.headers.get("content-length") ?? Number.NaN);
  const temporary = join(dirname(path), `.${basename(path).slice(0, 100)}.part-${process.pid}`);
  let bytes = 0;
  try {
    await pipeline(
      chunksOf(response.body, (length) => {
        bytes += length;
        onProgress?.(bytes, Number.isFinite(total) ? total : undefined);
      }),
      createWriteStream(temporary),
    );
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new OcelliError(
      "storage_failed",
      `${filename} could not be downloaded to ${path}: ${messageOf(error)}.`,
      {
        details: { filename, path, bytes },
        cause: error,
      },
    );
  }
  return path;
}

async function* chunksOf(
  body: ReadableStream<Uint8Array>,
  tell: (length: number) => void,
): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      tell(value.length);
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

function refusal(status: number, filename: string): OcelliError {
  if (status === 404) return new OcelliError("file_not_found", `File not found: ${filename}`);
  if (status === 401) return new OcelliError("auth_required", "The download needs an API key.");
  if (status === 403) return new OcelliError("permission_denied", "This API key does not allow downloads.");
  return new OcelliError("internal", `Download failed with status ${status}`);
}
