/**
 * What is being recorded, so that a crash loses neither a file nor a recording that should go on. One small JSON file per
 * running recording, written atomically and flushed *before* the file it names is created, and removed only after every
 * sidecar is final. Knows nothing of media; recovery is in `recovery.ts`.
 */
import { mkdirSync } from "node:fs";
import { readdir, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, OcelliError } from "@ocelli/protocol";
import { z } from "zod";
import type { Log } from "../log/log.ts";
import { syncFolder, temporaryPrefix, writeFileAtomic } from "../store/atomic-file.ts";
import { cameraFactsSchema } from "./camera-facts.ts";

const entrySchema = z.object({
  version: z.literal(1),
  id: z.string().min(1),
  cameraId: z.string().min(1),
  format: z.enum(["mp4", "fmp4", "mkv", "ts"]),
  /** The name asked for, from which the segments' names are made. */
  filename: z.string().optional(),
  durationS: z.number().optional(),
  /** Armed for this instant, epoch microseconds. */
  startAtUs: z.number().optional(),
  /** Until then it gives its camera to a recording that is to begin at once. */
  yields: z.boolean().optional(),
  /** The session of cameras recorded together it belongs to. */
  sync: z.object({ sessionId: z.string(), groupName: z.string(), startAtUs: z.number() }).optional(),
  /** It has ended, or been told to: its files are still to be finished, but it does not go on after a restart. */
  over: z.boolean(),
  /** Capture time of the first frame; absent while armed. */
  startedAtUs: z.number().optional(),
  /** Names of all files so far. */
  segments: z.array(z.string()),
  /** Those whose sidecar is not final yet. */
  unfinished: z.array(z.object({ filename: z.string(), index: z.number() })),
  /** Media microseconds and frames in the finished files. */
  recordedUs: z.number(),
  recordedFrames: z.number(),
  recordedBytes: z.number(),
  /** Capture time of the last frame of the last finished file. */
  lastFrameAtUs: z.number().optional(),
  /** What the sidecar of the newest file says of the camera. */
  facts: cameraFactsSchema.optional(),
});

export type JournalEntry = z.output<typeof entrySchema>;

export class RecordingJournal {
  readonly folder: string;
  /** The folder was not there: first start, or somebody removed it. */
  readonly isNew: boolean;
  readonly #log: Log;
  /** Changes happen one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  /** @throws OcelliError `storage_failed` */
  constructor(folder: string, log: Log) {
    this.folder = folder;
    this.#log = log;
    try {
      this.isNew = mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined;
    } catch (error) {
      throw failed(`The journal folder ${folder} cannot be created`, folder, error);
    }
  }

  /** Durable when it resolves. @throws OcelliError `storage_failed` */
  write(entry: JournalEntry): Promise<void> {
    const text = `${JSON.stringify(entry)}\n`;
    const path = this.#path(entry.id);
    return this.#serially(async () => {
      try {
        await writeFileAtomic(path, text, { mode: 0o600 });
      } catch (error) {
        throw failed(`The recording journal ${path} could not be written`, path, error);
      }
    });
  }

  /** @throws OcelliError `storage_failed` */
  remove(id: string): Promise<void> {
    const path = this.#path(id);
    return this.#serially(async () => {
      try {
        await unlink(path);
        await syncFolder(this.folder);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
        throw failed(`The recording journal ${path} could not be removed`, path, error);
      }
    });
  }

  /** All entries, those of recordings that began first coming first. What cannot be read is set aside and logged. */
  async list(): Promise<JournalEntry[]> {
    const entries: JournalEntry[] = [];
    for (const name of await readdir(this.folder)) {
      const path = join(this.folder, name);
      if (name.startsWith(temporaryPrefix)) await unlink(path).catch(() => undefined);
      if (!name.endsWith(".json") || name.startsWith(".")) continue;
      try {
        entries.push(entrySchema.parse(JSON.parse(await readFile(path, "utf8"))));
      } catch (error) {
        this.#log.error(
          { err: error, path },
          "an entry of the recording journal cannot be read; it is set aside",
        );
        await rename(path, `${path}.unreadable`).catch(() => undefined);
      }
    }
    return entries.sort((a, b) => (a.startedAtUs ?? a.startAtUs ?? 0) - (b.startedAtUs ?? b.startAtUs ?? 0));
  }

  #path(id: string): string {
    return join(this.folder, `${id}.json`);
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const run = this.#last.then(work, work);
    this.#last = run.catch(() => undefined);
    return run;
  }
}

function failed(what: string, path: string, cause: unknown): OcelliError {
  return new OcelliError(
    "storage_failed",
    `${what}: ${messageOf(cause)}. Check the free space and the permissions.`,
    {
      details: { path },
      cause,
    },
  );
}
