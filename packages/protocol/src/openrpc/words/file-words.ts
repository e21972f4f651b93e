import type { MethodWords, Words } from "./contract.ts";

const listed = {
  params: {
    limit: "at most so many; 100 otherwise (50 in the newer vocabulary)",
    offset: "skip so many",
    device: "only of this camera",
  },
  example: { limit: 5 },
  errors: ["storage_failed"],
} satisfies Omit<MethodWords<"list_recordings" | "list_snapshots">, "summary">;

/** Files, and the room they take. */
export const fileWords: Words = {
  list_recordings: { ...listed, summary: "Finished recordings, newest first." },
  list_snapshots: { ...listed, summary: "Snapshots, newest first." },
  get_recording_info: {
    summary: "Everything known of one recording: times, frames, drops, gaps.",
    params: {
      filename: "with or without extension",
    },
    example: { filename: "camera0_2026-01-15_14-30-00.mp4" },
    errors: ["file_not_found", "invalid_filename"],
  },
  get_snapshot_info: {
    summary: "Everything known of one snapshot.",
    params: {
      filename: "with or without extension",
    },
    example: { filename: "camera0_snapshot_2026-01-15_14-30-00.jpg" },
    errors: ["file_not_found", "invalid_filename"],
  },
  delete_recording: {
    summary: "Deletes a recording and its sidecar. Never one that is being written.",
    params: {
      filename: "with or without extension",
    },
    example: { filename: "camera0_2026-01-15_14-30-00.mp4" },
    errors: ["file_not_found", "file_in_use", "invalid_filename", "storage_failed"],
  },
  delete_snapshot: {
    summary: "Deletes a snapshot and its sidecar.",
    params: {
      filename: "with or without extension",
    },
    example: { filename: "camera0_snapshot_2026-01-15_14-30-00.jpg" },
    errors: ["file_not_found", "file_in_use", "invalid_filename", "storage_failed"],
  },
  export_recording: {
    summary:
      "Makes a copy of a recording in another container or codec. Answers when it is done; until then `export_update` tells the progress.",
    params: {
      filename: "the recording",
      format: "`mp4` otherwise",
      codec:
        "`h264` plays in every browser, `copy` keeps the pictures as they are; `h264` for mp4, else `copy`",
    },
    example: { filename: "camera0_2026-01-15_14-30-00.mp4", format: "mkv" },
    errors: [
      "file_not_found",
      "file_in_use",
      "invalid_filename",
      "ffmpeg_failed",
      "media_malformed",
      "storage_low",
      "storage_critical",
      "storage_failed",
      "unsupported",
    ],
  },
  get_storage_info: {
    summary: "How much room there is on the disk, and what recordings and snapshots take.",
  },
  set_retention_policy: {
    summary: "Says which old files are deleted by themselves. Nothing is ever deleted without such a policy.",
    params: {
      policy_type:
        "`age`, `size`, `free`: the one limit it names; `all`: every limit given; `manual`: nothing by itself",
      enabled: "whether it holds",
      max_age_days: "older files are deleted; needed for `age`",
      max_size_gb: "GiB of recordings and snapshots together; needed for `size`",
      min_free_gb: "extension: GiB kept free on the disk; for `free`",
      device: "extension: for this camera alone; not with `free`",
    },
    example: { policy_type: "age", enabled: true, max_age_days: 30 },
  },
  get_retention_policies: {
    summary: "Extension: the policies in force.",
  },
  cleanup_old_files: {
    summary: "Applies the policies now.",
  },
};
