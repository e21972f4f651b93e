/** Scheduled recordings in the database: those to come, and the last ones that are over. */
import { z } from "zod";
import { type Database, type Migration, text } from "../store/database.ts";

/**
 * `scheduled` waits for its time or, past it, for its camera; `armed` has the camera warm; `missed`: nothing was
 * recorded in its time; `failed`: it could never have worked.
 */
export const scheduleStates = [
  "scheduled",
  "armed",
  "recording",
  "completed",
  "missed",
  "failed",
  "cancelled",
] as const;

const formats = ["mp4", "fmp4", "mkv", "ts"] as const;

const scheduleSchema = z.object({
  id: z.string(),
  cameraId: z.string(),
  /** T0: the first frame is the first captured at or after this instant. Epoch microseconds. */
  startAtUs: z.number(),
  durationS: z.number(),
  format: z.enum(formats),
  /** Wished name of the file. */
  filename: z.string().exactOptional(),
  state: z.enum(scheduleStates),
  createdAtUs: z.number(),
  /** Of the recording that runs, or ran last. */
  recordingId: z.string().exactOptional(),
  /** Capture time of the first frame. */
  startedAtUs: z.number().exactOptional(),
  endedAtUs: z.number().exactOptional(),
  /** Made so far. */
  files: z.array(z.string()),
  /** Why it did not go as planned, in words. */
  reason: z.string().exactOptional(),
});

export type Schedule = Readonly<z.output<typeof scheduleSchema>>;

export const scheduleMigrations: readonly Migration[] = [
  {
    owner: "schedules",
    version: 1,
    sql: `CREATE TABLE schedules (
      id TEXT PRIMARY KEY,
      start_at_us INTEGER NOT NULL,
      open INTEGER NOT NULL,
      schedule TEXT NOT NULL
    ) STRICT;
    CREATE INDEX schedules_by_time ON schedules (open, start_at_us);`,
  },
];

export function isOpen({ state }: Schedule): boolean {
  return state === "scheduled" || state === "armed" || state === "recording";
}

export interface ScheduleStore {
  /** By start. */
  open(): Schedule[];
  /** Those that are over, newest first. */
  over(limit: number): Schedule[];
  get(id: string): Schedule | undefined;
  /** Keeps no more than `keepOver` of those that are over. */
  put(schedule: Schedule, keepOver: number): void;
}

export function scheduleStore(database: Database): ScheduleStore {
  const read = (row: Parameters<typeof text>[0]): Schedule =>
    scheduleSchema.parse(JSON.parse(text(row, "schedule")));
  const open = database.query("SELECT schedule FROM schedules WHERE open = 1 ORDER BY start_at_us, id", read);
  const over = database.query(
    "SELECT schedule FROM schedules WHERE open = 0 ORDER BY start_at_us DESC, id LIMIT ?",
    read,
  );
  const get = database.query("SELECT schedule FROM schedules WHERE id = ?", read);
  const put = database.command(
    "INSERT OR REPLACE INTO schedules (id, start_at_us, open, schedule) VALUES (?, ?, ?, ?)",
  );
  const trim = database.command(
    `DELETE FROM schedules WHERE open = 0 AND id IN (
       SELECT id FROM schedules WHERE open = 0 ORDER BY start_at_us DESC, id LIMIT -1 OFFSET ?)`,
  );
  return {
    open: () => open.all(),
    over: (limit) => over.all(limit),
    get: (id) => get.get(id),
    put(schedule, keepOver) {
      database.transaction(() => {
        put.run(schedule.id, schedule.startAtUs, isOpen(schedule) ? 1 : 0, JSON.stringify(schedule));
        if (!isOpen(schedule)) trim.run(keepOver);
      });
    },
  };
}
