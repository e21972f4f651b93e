import type { MethodWords, Words } from "./contract.ts";

const snapshot = {
  params: {
    device: "the camera",
    filename:
      "name wished for; a free one with date and time otherwise. An existing file is never overwritten",
    format: "`jpg` otherwise",
    quality: "1 is the smallest, 100 the best; without it the camera's own JPEG, untouched",
  },
  example: { device: "camera0" },
  errors: [
    "camera_disconnected",
    "camera_busy",
    "capture_failed",
    "ffmpeg_failed",
    "start_timeout",
    "storage_critical",
    "storage_failed",
    "invalid_filename",
  ],
  exampleAnswer: {
    filename: "camera0_snapshot_2026-01-15_14-30-00.jpg",
    format: "jpg",
    status: "completed",
    file_path: "snapshots/camera0_snapshot_2026-01-15_14-30-00.jpg",
    download_url: "/files/snapshots/camera0_snapshot_2026-01-15_14-30-00.jpg",
  },
} satisfies Omit<MethodWords<"take_snapshot">, "summary">;

/** Recordings and snapshots, now and by schedule. */
export const recordingWords: Words = {
  take_snapshot: { ...snapshot, summary: "A picture of now, saved as a file." },
  capture_snapshot: { ...snapshot, summary: "The same as `take_snapshot`." },
  start_recording: {
    summary: "Starts recording a camera. Answers when the first frame is in the file.",
    params: {
      device: "the camera",
      duration: "seconds of media; until stopped otherwise",
      format:
        "`mp4` otherwise: plain MP4 once finished. `fmp4` stays fragmented; `mkv` and `ts` are made when the recording ends",
      filename: "name wished for, with or without extension",
      duration_seconds: "other ways to say `duration`; at most one of the four",
      duration_minutes: "",
      duration_hours: "",
      resolution: "checked and otherwise ignored: a camera records at the size it captures",
      pre_roll: "extension: begin so many seconds before now, as far as the hub still holds the frames",
      start_at:
        "extension: the first frame is the first one captured at or after this instant; answers when the camera is warm and the start is armed",
    },
    example: { device: "camera0", duration: 60 },
    errors: [
      "camera_disconnected",
      "camera_busy",
      "capture_failed",
      "ffmpeg_failed",
      "start_timeout",
      "storage_low",
      "storage_critical",
      "storage_failed",
      "unsupported",
      "already_recording",
      "invalid_filename",
      "reader_too_slow",
    ],
    exampleAnswer: { status: "STARTED" },
  },
  stop_recording: {
    summary:
      "Ends a recording. Answers when the file is finished. A start that still waits is taken back: `CANCELLED`, no file, and `scheduled_for` says what it waited for.",
    params: {
      device: "the camera; may be left out while only one recording runs",
      recording_id: "the recording itself, as `start_recording` named it",
    },
    example: { device: "camera0" },
    errors: ["not_recording", "storage_failed", "capture_failed"],
  },
  get_recording_status: {
    summary: "The recording of a camera that runs now; null when there is none.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  schedule_recording: {
    summary:
      "Records at a later time, also after a restart of the hub. The camera may be absent now; when it (or the hub) is back within the time, what is left of it is recorded.",
    params: {
      device: "the camera",
      start_time: "to come; the first frame is the first one captured at or after this instant",
      duration: "seconds",
      format: "`mp4` otherwise",
      filename: "extension: name wished for",
    },
    example: { device: "camera0", start_time: "2099-01-15T14:30:00Z", duration: 60 },
    errors: ["unsupported", "invalid_filename"],
  },
  get_scheduled_recordings: {
    summary: "Extension: recordings to come, by start.",
    params: {
      device: "only of this camera",
      all: "also those that are over, newest first",
    },
  },
  cancel_scheduled_recording: {
    summary: "Extension: takes back a scheduled recording that has not begun.",
    params: {
      schedule_id: "as `schedule_recording` answered it",
    },
    example: { schedule_id: "5f0c7a52-6d5e-4c6c-9a51-0d6a4d1c9f10" },
    errors: ["file_not_found", "unsupported"],
  },
};
