import type { Words } from "./contract.ts";

/** Groups that record from one instant, and the clock. */
export const syncWords: Words = {
  get_clock_status: {
    summary: "Extension: how far the hub's clock may be trusted.",
  },
  create_sync_group: {
    summary:
      "Extension: cameras and devices that record together from one instant. A group of this name is replaced.",
    params: {
      name: "of the group",
      members:
        'cameras by any of their names, and MultiCam devices as `{"host", "port", "name"}`, whose network `multicam.networks` must allow',
      tolerance_ms: "how far first frames may be apart; one frame interval of the slowest member otherwise",
    },
    example: { name: "lab", members: ["camera0"] },
    errors: ["camera_not_found", "permission_denied"],
  },
  get_sync_groups: {
    summary: "Extension: the groups, by name.",
  },
  delete_sync_group: {
    summary: "Extension: forgets a group. Its sessions and files stay.",
    params: { group: "its id or name" },
    example: { group: "lab" },
    errors: ["not_found", "file_in_use"],
  },
  start_sync_recording: {
    summary:
      "Extension: arms every member for one instant, and answers when all are armed. If one cannot take part nobody starts, unless `allow_partial`. Each member's first frame is the first one captured at or after the instant.",
    params: {
      group: "its id or name",
      start_time: "the instant; `delay` from now otherwise",
      delay: "seconds from now, 5 unless given: cameras need some to warm up",
      duration: "seconds; until stopped otherwise",
      allow_partial: "begin with those that can",
      name: "part of the files' names; the group's otherwise",
    },
    example: { group: "lab", delay: 5 },
    errors: ["not_found", "already_recording", "camera_disconnected", "device_unreachable", "device_failed"],
  },
  stop_sync_recording: {
    summary: "Extension: ends a session. Answers when every member's file is finished and in the library.",
    params: { session_id: "the session", group: "or the group whose session runs" },
    example: { group: "lab" },
    errors: ["not_found", "not_recording"],
  },
  get_sync_sessions: {
    summary: "Extension: what groups recorded, newest first.",
    params: {
      limit: "at most so many; 100 unless given",
      offset: "skip so many",
      session_id: "only this one",
      running: "true: only those that wait or record, all of them",
    },
  },
  delete_sync_session: {
    summary:
      "Extension: forgets a session, its report and metadata. The files stay, unless `delete_files`: then what its members recorded and what aligning made of that is deleted.",
    params: { session_id: "the session", delete_files: "also its files; false unless given" },
    example: { session_id: "5f0c7a52-6d5e-4c6c-9a51-0d6a4d1c9f10", delete_files: true },
    errors: ["not_found", "file_in_use"],
  },
  get_sync_report: {
    summary:
      "Extension: what a session's files show: start errors, skew, frames, jitter, and a verdict. Read from the files, also while it records.",
    params: { session_id: "the session" },
    example: { session_id: "5f0c7a52-6d5e-4c6c-9a51-0d6a4d1c9f10" },
    errors: ["not_found"],
  },
  align_sync_session: {
    summary:
      "Extension: makes new recordings with exactly the frames all members have, and a side-by-side view. Long work: `export_update` tells the caller how far it is, `export.progress` those who subscribed.",
    params: { session_id: "the session", preview: "false: no side-by-side view" },
    example: { session_id: "5f0c7a52-6d5e-4c6c-9a51-0d6a4d1c9f10" },
    errors: ["not_found", "file_in_use", "unsupported", "storage_low", "ffmpeg_failed"],
  },
};
