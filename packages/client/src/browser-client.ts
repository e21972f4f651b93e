/** The client for browsers and other platforms with nothing but WebSocket and fetch. */
import { ConnectionError, ValidationError } from "./errors.ts";
import { fileUrl, refusal } from "./files.ts";
import { GuideNames } from "./guide-names.ts";
import type { CameraClientOptions, SnakeCaseOptions } from "./options.ts";
import { openPlatformSocket } from "./socket.ts";

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes so far, and of all if the server says. */
  readonly onProgress?: (bytes: number, total: number | undefined) => void;
}

export class CameraClient extends GuideNames {
  /** @throws ValidationError also for `ca` and `serverName`: browsers trust what their user trusts */
  constructor(options: CameraClientOptions & SnakeCaseOptions = {}) {
    if (options.ca !== undefined || options.serverName !== undefined) {
      throw new ValidationError(
        "ca and serverName cannot be used here: the browser decides whom it trusts.",
        {
          condition: "invalid_params",
        },
      );
    }
    // A browser's WebSocket sends no headers; `authenticate` does what they would.
    super(options, { openSocket: () => openPlatformSocket });
  }

  /**
   * A file as it comes, without keeping it.
   * @throws MediaMTXError
   * @throws AuthenticationError
   * @throws ConnectionError
   */
  async openFile(fileType: string, filename: string, options: FetchOptions = {}): Promise<Response> {
    const { signal } = options;
    const url = fileUrl(this.origin("http"), fileType, filename);
    return this.authorized(async () => {
      const headers = await this.headers();
      const response = await fetch(url, signal === undefined ? { headers } : { headers, signal }).catch(
        (cause: unknown) => {
          signal?.throwIfAborted();
          throw new ConnectionError(`Cannot reach ${url.origin}`, { condition: "connect_failed", cause });
        },
      );
      if (response.ok && response.body !== null) return response;
      await response.body?.cancel();
      throw refusal(response.status, filename);
    });
  }

  /** The whole file. */
  async downloadFile(fileType: string, filename: string, options: FetchOptions = {}): Promise<Blob> {
    const response = await this.openFile(fileType, filename, options);
    const length = response.headers.get("content-length");
    const total = length === null ? undefined : Number(length);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let bytes = 0;
    const reader = response.body?.getReader();
    try {
      for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
        parts.push(read.value);
        bytes += read.value.length;
        options.onProgress?.(bytes, total);
      }
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new ConnectionError(`The download of ${filename} broke off`, {
        condition: "connection_lost",
        cause,
      });
    }
    return new Blob(parts, { type: response.headers.get("content-type") ?? "" });
  }

  download_file(fileType: string, filename: string): Promise<Blob> {
    return this.downloadFile(fileType, filename);
  }
}
