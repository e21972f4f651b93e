/**
 * Files on their way to somebody's storage: one after the other, tried again, kept over restarts. A file is deleted
 * after its upload only when that was asked for by the settings and the receiver has proved that it has it.
 *
 * What gives access is treated as such: presigned addresses stay in the hub's private database until the upload is
 * over, S3 credentials only in memory, and neither is logged or told.
 */
import { randomUUID } from "node:crypto";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { CloudTarget, UploadItem } from "@ocelli/protocol/multicam";
import { fileIdOf } from "@ocelli/protocol/multicam";
import type { Clock } from "../../clock/clock.ts";
import type { Library } from "../../library/contract.ts";
import type { Log } from "../../log/log.ts";
import type { Database } from "../../store/database.ts";
import type { DeviceUploads, OpenableFile, RecordingDevice, Uploads, UploadTarget } from "../contract.ts";
import { addressOf, shownAddress } from "./address.ts";
import { KeptParts } from "./kept-parts.ts";
import { abandonParts, type PartsUpload, sendInParts } from "./multipart.ts";
import { putFile } from "./put-file.ts";
import { askS3, signedHeaders } from "./s3.ts";
import { type UploadJob, UploadStore } from "./upload-store.ts";

export interface UploadQueueOptions {
  readonly database: Database;
  readonly library: Pick<Library, "get" | "delete">;
  readonly clock: Clock;
  readonly log: Log;
  /** Hosts files may go to: `bucket.example.org`, `*.amazonaws.com`. */
  readonly hosts: readonly string[];
  /** Of another make of S3; its host is allowed. */
  readonly s3Endpoint?: string | undefined;
  /** Default false. */
  readonly deleteAfterUpload?: boolean;
  /** Milliseconds before each further try. Default 2000, 4000. */
  readonly retryDelaysMs?: readonly number[];
  /** With S3 credentials a file of more than two of these is sent in parts of so many bytes. Default 32 MiB. */
  readonly partBytes?: number;
}

/** Failed ones that are remembered. */
const keptFailures = 100;
const maxQueued = 10_000;
const defaultPartBytes = 32 * 2 ** 20;
/** More than fit into an answer. */
const maxTold = 500;
/** What Amazon takes of a presigned address, bytes. */
const maxPresignedBytes = 5 * 2 ** 30;

export class UploadQueue implements Uploads {
  readonly #options: UploadQueueOptions;
  readonly #closing = new AbortController();
  /** By id; not written down. */
  readonly #credentials = new Map<string, CloudTarget>();
  readonly #store: UploadStore;
  readonly #parts: KeptParts;
  #jobs: UploadJob[];
  #current:
    | { readonly job: UploadJob; bytes: number; resumed: number; readonly sinceMonoUs: number }
    | undefined;
  #working: Promise<void> | undefined;

  constructor(options: UploadQueueOptions) {
    this.#options = options;
    this.#store = new UploadStore(options.database);
    this.#parts = new KeptParts(options.database, options.log);
    this.#jobs = this.#store.all();
  }

  /** Goes on with what was on its way when the hub went down. */
  start(): void {
    for (const job of this.#jobs) {
      if (job.kind !== "s3" || job.error !== undefined) continue;
      this.#fail(
        job,
        "The hub was restarted, and credentials are not kept over that. Send UPLOAD_TO_CLOUD again: what S3 has of the file need not be sent again.",
      );
    }
    this.#work();
  }

  queue(device: RecordingDevice, file: OpenableFile, target: UploadTarget): void {
    const { fileName, fileSize } = file;
    const url = addressOf(target, this.#options);
    if (
      target.kind === "presigned" &&
      fileSize > maxPresignedBytes &&
      /\.amazonaws\.com$/.test(url.hostname)
    ) {
      throw new OcelliError(
        "unsupported",
        `${fileName} is larger than 5 GiB, which S3 does not take by a presigned address. Send UPLOAD_TO_CLOUD with S3 credentials, or record in shorter segments.`,
      );
    }
    const known = this.#jobs.find((job) => job.deviceId === device.deviceId && job.fileName === fileName);
    if (known !== undefined && known.error === undefined) return;
    if (this.#jobs.length >= maxQueued) {
      throw new OcelliError("storage_failed", `${maxQueued} uploads wait already. Wait until some are done.`);
    }
    const job: UploadJob = {
      ...{ id: randomUUID(), deviceId: device.deviceId, fileName, fileSize, url: url.href },
      seq: (this.#jobs.at(-1)?.seq ?? 0) + 1,
      kind: target.kind,
      error: undefined,
    };
    try {
      this.#store.add(job);
    } catch (cause) {
      throw new OcelliError(
        "storage_failed",
        `${fileName} was not queued for its upload, for that could not be written down: ${messageOf(cause)}. Make room on the hub's disk and ask again; what was queued before stays.`,
        { cause },
      );
    }
    if (known !== undefined) this.#drop(known);
    if (target.kind === "s3") this.#credentials.set(job.id, target.target);
    this.#jobs.push(job);
    this.#work();
  }

  of(deviceId: string): DeviceUploads {
    const mine = this.#jobs.filter((job) => job.deviceId === deviceId);
    const current = this.#current?.job.deviceId === deviceId ? this.#current : undefined;
    return {
      current: current === undefined ? undefined : this.#item(current.job),
      waiting: mine
        .filter((job) => job.error === undefined && job.id !== current?.job.id)
        .slice(0, maxTold)
        .map((job) => this.#item(job)),
      failed: mine.filter((job) => job.error !== undefined).map((job) => this.#item(job)),
    };
  }

  /** Gives up what runs; the next start begins it again. */
  async close(): Promise<void> {
    this.#closing.abort(new OcelliError("device_unreachable", "The hub is shutting down."));
    await this.#working;
  }

  #work(): void {
    this.#working ??= this.#uploadAll()
      .then(
        () => true,
        (error: unknown) => {
          this.#options.log.error({ err: error }, "the queue of uploads has stopped");
          return false;
        },
      )
      .then((isDone) => {
        this.#working = undefined;
        // One may have been queued since the queue was found empty.
        if (isDone && this.#next() !== undefined && !this.#closing.signal.aborted) this.#work();
      });
  }

  #next(): UploadJob | undefined {
    return this.#jobs.find((job) => job.error === undefined);
  }

  async #uploadAll(): Promise<void> {
    for (;;) {
      const job = this.#next();
      if (job === undefined || this.#closing.signal.aborted) return;
      await this.#upload(job);
    }
  }

  async #upload(job: UploadJob): Promise<void> {
    const { clock, log, retryDelaysMs = [2000, 4000] } = this.#options;
    const { signal } = this.#closing;
    let [tries, arrived] = [0, 0];
    for (;;) {
      this.#current = { job, bytes: 0, resumed: 0, sinceMonoUs: clock.monoUs() };
      try {
        const verified = await this.#send(job, signal);
        this.#parts.forget(job.fileName);
        this.#drop(job);
        log.info({ file: job.fileName, bytes: job.fileSize, verified }, "a recording has been uploaded");
        await this.#deleteIfWanted(job, verified);
        return;
      } catch (error) {
        if (signal.aborted) return;
        // A large file over a bad line is not given up as long as it gets on.
        const parts = this.#parts.of(job.fileName)?.parts.size ?? 0;
        if (parts > arrived) tries = 0;
        arrived = parts;
        const delay = retryDelaysMs[tries++];
        log.warn({ err: error, file: job.fileName, tries }, "an upload failed");
        if (delay === undefined || (error instanceof OcelliError && error.code === "file_not_found")) {
          await this.#giveUp(job, messageOf(error));
          return;
        }
        await clock.sleep(delay, signal).catch(() => undefined);
      } finally {
        this.#current = undefined;
      }
    }
  }

  async #giveUp(job: UploadJob, why: string): Promise<void> {
    const target = this.#credentials.get(job.id);
    if (target !== undefined) await abandonParts(this.#inParts(job, target, ""));
    this.#fail(job, why);
  }

  /** @returns whether the receiver has proved that it has the file */
  async #send(job: UploadJob, signal: AbortSignal): Promise<boolean> {
    const { library, clock, partBytes = defaultPartBytes } = this.#options;
    const { path } = library.get("recording", job.fileName);
    const url = new URL(job.url);
    const target = this.#credentials.get(job.id);
    if (target !== undefined && job.fileSize > 2 * partBytes) {
      return this.#checked(url, await sendInParts(this.#inParts(job, target, path)));
    }
    const asked = target === undefined ? undefined : { url, target, clock };
    const { verified } = await putFile({
      ...{ url, path, size: job.fileSize, clock, signal },
      headers: asked === undefined ? {} : await signedHeaders({ method: "PUT", ...asked }),
      onProgress: (bytes) => this.#got(bytes, 0),
    });
    if (verified !== undefined || asked === undefined) return this.#checked(url, verified);
    const { status, headers } = await askS3({ method: "HEAD", ...asked }, signal);
    return status === 200 && Number(headers["content-length"]) === job.fileSize;
  }

  #checked(url: URL, verified: boolean | undefined): boolean {
    if (verified !== false) return verified ?? false;
    throw new OcelliError("device_failed", `${url.host} states another checksum than the file has.`);
  }

  #inParts(job: UploadJob, target: CloudTarget, path: string): PartsUpload {
    const { clock, partBytes = defaultPartBytes } = this.#options;
    return {
      ...{ fileName: job.fileName, path, size: job.fileSize, url: new URL(job.url), target, clock },
      ...{ kept: this.#parts, partBytes, signal: this.#closing.signal },
      onProgress: (bytes, resumed) => this.#got(bytes, resumed),
    };
  }

  #got(bytes: number, resumed: number): void {
    if (this.#current === undefined) return;
    this.#current.bytes = bytes;
    this.#current.resumed = resumed;
  }

  async #deleteIfWanted({ fileName }: UploadJob, verified: boolean): Promise<void> {
    const { deleteAfterUpload = false, library, log } = this.#options;
    if (!deleteAfterUpload) return;
    if (!verified) {
      log.info(
        { file: fileName },
        "an uploaded recording is kept: its receiver did not prove that it has it",
      );
      return;
    }
    await library.delete("recording", fileName).catch((error: unknown) => {
      log.warn({ err: error, file: fileName }, "an uploaded recording could not be deleted");
    });
  }

  #fail(job: UploadJob, error: string): void {
    this.#note(() => this.#store.fail(job.id, error));
    this.#credentials.delete(job.id);
    this.#jobs = this.#jobs.map((one) =>
      one.id === job.id ? { ...one, error, url: shownAddress(job.url) } : one,
    );
    const failed = this.#jobs.filter((one) => one.error !== undefined);
    for (const old of failed.slice(0, Math.max(0, failed.length - keptFailures))) {
      this.#parts.forget(old.fileName);
      this.#drop(old);
    }
  }

  #drop(job: UploadJob): void {
    this.#note(() => this.#store.remove(job.id));
    this.#credentials.delete(job.id);
    this.#jobs = this.#jobs.filter(({ id }) => id !== job.id);
  }

  /** A full disk must not stop the queue: what could not be noted is done once more after a restart. */
  #note(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#options.log.error({ err: error }, "how an upload went could not be written down");
    }
  }

  #item(job: UploadJob): UploadItem {
    const running = this.#current?.job.id === job.id ? this.#current : undefined;
    const bytes = running?.bytes ?? 0;
    const seconds = running === undefined ? 0 : (this.#options.clock.monoUs() - running.sinceMonoUs) / 1e6;
    return {
      fileId: fileIdOf(job.fileName),
      fileName: job.fileName,
      fileSize: job.fileSize,
      bytesUploaded: bytes,
      uploadProgress: job.fileSize === 0 ? 0 : Math.min(100, (bytes / job.fileSize) * 100),
      uploadSpeed: seconds > 0 ? Math.round((bytes - (running?.resumed ?? 0)) / seconds) : 0,
      status: job.error !== undefined ? "failed" : running === undefined ? "queued" : "uploading",
      uploadUrl: job.url === "" ? undefined : shownAddress(job.url),
      error: job.error,
    };
  }
}
