/** The client for Node: credentials also on the upgrade, private CAs, downloads to the disk. */
import type { Readable } from "node:stream";
import { fileUrl, refusal } from "../files.ts";
import { GuideNames } from "../guide-names.ts";
import type { CameraClientOptions, SnakeCaseOptions } from "../options.ts";
import { type DownloadOptions, downloadFile } from "./download.ts";
import { get } from "./http-get.ts";
import { nodeSocket } from "./socket.ts";

export type FileDownloadOptions = Pick<
  DownloadOptions,
  "signal" | "onProgress" | "retries" | "retryDelay" | "keepPartial"
>;

export class CameraClient extends GuideNames {
  /** @throws ValidationError */
  constructor(options: CameraClientOptions & SnakeCaseOptions = {}) {
    super(options, { openSocket: nodeSocket });
  }

  /**
   * Saves a recording or snapshot on this machine. Needs no open connection.
   * @param localPath default: the file's own name, in the current folder
   * @returns the path written
   * @throws MediaMTXError `File not found: …`, `Download failed with status N`, `Invalid file type: …`
   * @throws AuthenticationError
   * @throws ConnectionError
   */
  async downloadFile(
    fileType: string,
    filename: string,
    localPath?: string | null,
    options: FileDownloadOptions = {},
  ): Promise<string> {
    const baseUrl = this.origin("http");
    fileUrl(baseUrl, fileType, filename);
    const { ca, serverName, requestTimeout } = this.settings;
    return this.authorized(async () =>
      downloadFile({
        ...options,
        baseUrl,
        filename,
        kind: fileType === "recordings" ? "recording" : "snapshot",
        headers: await this.headers(),
        ca,
        serverName,
        ...(requestTimeout > 0 ? { idleTimeout: requestTimeout } : {}),
        ...(localPath == null ? {} : { to: localPath }),
      }),
    );
  }

  /** A file as it comes, without keeping it. */
  async openFile(
    fileType: string,
    filename: string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Readable> {
    const url = fileUrl(this.origin("http"), fileType, filename);
    const { ca, serverName, requestTimeout } = this.settings;
    return this.authorized(async () => {
      const response = await get(url, {
        headers: await this.headers(),
        idleTimeoutMs: requestTimeout * 1000,
        ca,
        serverName,
        signal: options.signal,
      });
      if (response.statusCode === 200) return response;
      response.destroy();
      throw refusal(response.statusCode ?? 0, filename);
    });
  }

  download_file(...args: Parameters<CameraClient["downloadFile"]>): Promise<string> {
    return this.downloadFile(...args);
  }
}
