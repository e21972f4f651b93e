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
import { type Database, integer, type Migration, optionalText, text } from "../../store/database.ts";
import type { DeviceUploads, OpenableFile, RecordingDevice, Uploads, UploadTarget } from "../contract.ts";
import { putFile } from "./put-file.ts";
import { maxObjectBytes, objectUrl, signedHeaders, storedSize } from "./s3.ts";

export const uploadMigrations: readonly Migration[] = [
  {
    owner: "multicam uploads",
    version: 1,
    sql: `CREATE TABLE multicam_uploads (
      id TEXT PRIMARY KEY,
      seq INTEGER NOT NULL,
      device_id TEXT NOT NULL,
      file_name TEXT NOT NULL,
      file_size INTEGER NOT NULL,
      url TEXT NOT NULL,
      kind TEXT NOT NULL,
      error TEXT
    ) STRICT`,
  },
];

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
}

interface Job {
  readonly id: string;
  readonly seq: number;
  readonly deviceId: string;
  readonly fileName: string;
  readonly fileSize: number;
  /** With what gives access: never told. */
  readonly url: string;
  readonly kind: UploadTarget["kind"];
  /** Failed for good. */
  readonly error: string | undefined;
}

/** Failed ones that are remembered. */
const keptFailures = 100;
const maxQueued = 10_000;

export class UploadQueue implements Uploads {
  readonly #options: UploadQueueOptions;
  readonly #closing = new AbortController();
  /** By id; not written down. */
  readonly #credentials = new Map<string, CloudTarget>();
  #jobs: Job[];
  #current: { readonly job: Job; bytes: number; readonly sinceMonoUs: number } | undefined;
  #working: Promise<void> | undefined;

  constructor(options: UploadQueueOptions) {
    this.#options = options;
    this.#jobs = options.database
      .query("SELECT * FROM multicam_uploads ORDER BY seq", (row): Job => {
        const kind = text(row, "kind");
        return {
          id: text(row, "id"),
          seq: integer(row, "seq"),
          deviceId: text(row, "device_id"),
          fileName: text(row, "file_name"),
          fileSize: integer(row, "file_size"),
          url: text(row, "url"),
          kind: kind === "s3" ? "s3" : "presigned",
          error: optionalText(row, "error"),
        };
      })
      .all();
  }

  /** Goes on with what was on its way when the hub went down. */
  start(): void {
    for (const job of this.#jobs) {
      if (job.kind !== "s3" || job.error !== undefined) continue;
      this.#fail(
        job,
        "The hub was restarted, and credentials are not kept over that. Send UPLOAD_TO_CLOUD again.",
      );
    }
    this.#work();
  }

  queue(device: RecordingDevice, file: OpenableFile, target: UploadTarget): void {
    const { fileName, fileSize } = file;
    const url = this.#allowed(target);
    const known = this.#jobs.find((job) => job.deviceId === device.deviceId && job.fileName === fileName);
    if (known !== undefined && known.error === undefined) return;
    if (this.#jobs.length >= maxQueued) {
      throw new OcelliError("storage_failed", `${maxQueued} uploads wait already. Wait until some are done.`);
    }
    if (known !== undefined) this.#forget(known);
    const job: Job = {
      ...{ id: randomUUID(), deviceId: device.deviceId, fileName, fileSize, url: url.href },
      seq: (this.#jobs.at(-1)?.seq ?? 0) + 1,
      kind: target.kind,
      error: undefined,
    };
    this.#options.database
      .command(
        "INSERT INTO multicam_uploads (id, seq, device_id, file_name, file_size, url, kind, error) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
      )
      .run(job.id, job.seq, job.deviceId, fileName, fileSize, job.url, job.kind);
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

  #next(): Job | undefined {
    return this.#jobs.find((job) => job.error === undefined);
  }

  async #uploadAll(): Promise<void> {
    for (;;) {
      const job = this.#next();
      if (job === undefined || this.#closing.signal.aborted) return;
      await this.#upload(job);
    }
  }

  async #upload(job: Job): Promise<void> {
    const { clock, log, retryDelaysMs = [2000, 4000] } = this.#options;
    const { signal } = this.#closing;
    for (let tries = 0; ; tries++) {
      this.#current = { job, bytes: 0, sinceMonoUs: clock.monoUs() };
      try {
        const verified = await this.#send(job, signal);
        this.#forget(job);
        log.info({ file: job.fileName, bytes: job.fileSize, verified }, "a recording has been uploaded");
        await this.#deleteIfWanted(job, verified);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const delay = retryDelaysMs[tries];
        log.warn({ err: error, file: job.fileName, tries: tries + 1 }, "an upload failed");
        if (delay === undefined || (error instanceof OcelliError && error.code === "file_not_found")) {
          this.#fail(job, messageOf(error));
          return;
        }
        await clock.sleep(delay, signal).catch(() => undefined);
      } finally {
        this.#current = undefined;
      }
    }
  }

  /** @returns whether the receiver has proved that it has the file */
  async #send(job: Job, signal: AbortSignal): Promise<boolean> {
    const { library, clock } = this.#options;
    const { path } = library.get("recording", job.fileName);
    const url = new URL(job.url);
    const target = this.#credentials.get(job.id);
    if (target !== undefined && job.fileSize > maxObjectBytes) {
      throw new OcelliError(
        "unsupported",
        "The file is larger than 5 GiB, which S3 does not take in one piece. Record in shorter segments.",
      );
    }
    const { verified } = await putFile({
      ...{ url, path, size: job.fileSize, clock, signal },
      headers: target === undefined ? {} : await signedHeaders("PUT", url, target),
      onProgress: (bytes) => {
        if (this.#current !== undefined) this.#current.bytes = bytes;
      },
    });
    if (verified === false) {
      throw new OcelliError("device_failed", `${url.host} states another checksum than the file has.`);
    }
    if (verified !== undefined || target === undefined) return verified ?? false;
    return (await storedSize(url, target, signal)) === job.fileSize;
  }

  async #deleteIfWanted({ fileName }: Job, verified: boolean): Promise<void> {
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

  /** @throws OcelliError `invalid_params`, `permission_denied` */
  #allowed(target: UploadTarget): URL {
    const { hosts, s3Endpoint } = this.#options;
    const given = target.kind === "presigned" ? target.uploadUrl : objectUrl(target.target, s3Endpoint).href;
    const url = URL.canParse(given) ? new URL(given) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "") {
      throw new OcelliError(
        "invalid_params",
        "uploadUrl must be an http or https address without a user name.",
      );
    }
    const own = target.kind === "s3" && s3Endpoint !== undefined;
    if (own || hosts.some((host) => matches(url.hostname, host))) return url;
    throw new OcelliError(
      "permission_denied",
      `Uploads to ${url.hostname} are not allowed. The hub's operator can add it to multicam.uploadHosts.`,
      { details: { host: url.hostname } },
    );
  }

  #fail(job: Job, error: string): void {
    this.#note("UPDATE multicam_uploads SET error = ?, url = '' WHERE id = ?", error, job.id);
    this.#credentials.delete(job.id);
    this.#jobs = this.#jobs.map((one) => (one.id === job.id ? { ...one, error, url: shown(job.url) } : one));
    const failed = this.#jobs.filter((one) => one.error !== undefined);
    for (const old of failed.slice(0, Math.max(0, failed.length - keptFailures))) this.#forget(old);
  }

  #forget(job: Job): void {
    this.#note("DELETE FROM multicam_uploads WHERE id = ?", job.id);
    this.#credentials.delete(job.id);
    this.#jobs = this.#jobs.filter(({ id }) => id !== job.id);
  }

  /** A full disk must not stop the queue: what could not be noted is done once more after a restart. */
  #note(sql: string, ...values: readonly string[]): void {
    try {
      this.#options.database.command(sql).run(...values);
    } catch (error) {
      this.#options.log.error({ err: error }, "how an upload went could not be written down");
    }
  }

  #item(job: Job): UploadItem {
    const running = this.#current?.job.id === job.id ? this.#current : undefined;
    const bytes = running?.bytes ?? 0;
    const seconds = running === undefined ? 0 : (this.#options.clock.monoUs() - running.sinceMonoUs) / 1e6;
    return {
      fileId: fileIdOf(job.fileName),
      fileName: job.fileName,
      fileSize: job.fileSize,
      bytesUploaded: bytes,
      uploadProgress: job.fileSize === 0 ? 0 : Math.min(100, (bytes / job.fileSize) * 100),
      uploadSpeed: seconds > 0 ? Math.round(bytes / seconds) : 0,
      status: job.error !== undefined ? "failed" : running === undefined ? "queued" : "uploading",
      uploadUrl: job.url === "" ? undefined : shown(job.url),
      error: job.error,
    };
  }
}

/** The address without what gives access. */
function shown(url: string): string {
  return url.split("?", 1)[0] ?? "";
}

function matches(host: string, pattern: string): boolean {
  const name = host.toLowerCase();
  const wanted = pattern.toLowerCase();
  return wanted.startsWith("*.") ? name.endsWith(wanted.slice(1)) : name === wanted;
}
