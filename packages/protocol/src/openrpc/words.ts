/**
 * What the methods are for, in words: the source of the OpenRPC document and of docs/api.md. A method without an
 * entry here, or a parameter without words, fails `npm run docs` and the test of the document.
 *
 * After a change: `npm run docs`.
 */
import type { Condition, MethodName, ParamsInput, ResultOf } from "../camera-service/index.ts";

export interface MethodWords<M extends MethodName> {
  /** A sentence or two. */
  readonly summary: string;
  /** One for each parameter. Empty where another one's words hold for it too. */
  readonly params?: { readonly [P in keyof ParamsInput<M>]?: string };
  /** Parameters of a call that makes sense: at least the required ones. */
  readonly example?: ParamsInput<M>;
  /** Fields of the answer to it, where what is made from the schema would mislead. */
  readonly exampleAnswer?: ResultOf<M> | Partial<ResultOf<M>>;
  /** Stable codes beyond those that follow from the schema (see `conditionsOf` in document.ts). */
  readonly errors?: readonly Condition[];
}

export const methodWords: { readonly [M in MethodName]?: MethodWords<M> } = {
  ping: {
    summary: "Says `pong`. For checking the connection.",
  },
  authenticate: {
    summary: "Tells the hub who you are, for as long as the connection lasts.",
    params: {
      auth_token: "the API key; the four below are other spellings of it",
      token: "the same, of older clients; also asks for failures inside `result` (see Dialects)",
      api_key: "the same",
      key: "the same",
      jwt: "the same",
      auth_type: "`api_key` or `jwt`: try only that kind",
    },
    example: { auth_token: "camera_service_sk_0123456789" },
    errors: ["auth_failed"],
  },
  get_camera_list: {
    summary: "All cameras, by number, also those that are known and absent.",
  },
  get_camera_status: {
    summary: "One camera, with more detail.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_camera_capabilities: {
    summary: "Formats, sizes and rates one camera has.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  take_snapshot: {
    summary: "A picture of now, saved as a file.",
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
  },
  capture_snapshot: {
    summary: "The same as `take_snapshot`.",
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
  },
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
    summary: "Ends a recording. Answers when the file is finished.",
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
  list_recordings: {
    summary: "Finished recordings, newest first.",
    params: {
      limit: "at most so many; 100 otherwise (50 in the newer vocabulary)",
      offset: "skip so many",
      device: "only of this camera",
    },
    example: { limit: 5 },
    errors: ["storage_failed"],
  },
  list_snapshots: {
    summary: "Snapshots, newest first.",
    params: {
      limit: "at most so many; 100 otherwise (50 in the newer vocabulary)",
      offset: "skip so many",
      device: "only of this camera",
    },
    example: { limit: 5 },
    errors: ["storage_failed"],
  },
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
  get_camera_settings: {
    summary: "Extension: the settings of a camera, and the mode they give.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
    exampleAnswer: { format: "MJPG" },
  },
  set_camera_settings: {
    summary:
      "Extension: changes settings for good. What is left out stays, `auto` goes back to the default, the same call again changes nothing. A new mode holds from the next start of the capture: at once when nobody uses the camera.",
    params: {
      device: "the camera",
      name: "for people",
      format: "FourCC, such as MJPG; must be one the camera has",
      resolution: "`WIDTHxHEIGHT`; must be one the camera has",
      fps: "frames a second, or `auto`; must be a rate the camera has",
      record_codec: "`copy` records what the camera gives, `h264` the rendition for browsers",
      continuous_recording:
        "the hub keeps a recording running, also after a restart; one that is stopped is followed by the next",
      pre_roll: "seconds that recordings begin early, for which the capture is kept running; 0 for none",
    },
    example: { device: "camera0", name: "Door" },
    errors: ["unsupported"],
    exampleAnswer: { format: "MJPG" },
  },
  get_camera_controls: {
    summary:
      "Extension: exposure, focus and whatever else the driver of a USB camera lets be turned, with its values now.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
    errors: ["unsupported", "camera_disconnected"],
  },
  set_camera_control: {
    summary:
      "Extension: sets one control and answers what the driver made of it. It holds until the camera is unplugged.",
    params: {
      device: "the camera",
      control: "its name, as in the list",
      value: "a whole number, true or false, or the name of a menu entry; nothing for a button",
    },
    example: { device: "camera0", control: "brightness", value: 128 },
    errors: ["unsupported", "camera_disconnected", "camera_busy"],
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
    params: { limit: "100 unless given" },
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
  subscribe_events: {
    summary:
      "Says what this connection is told; with `since` also what it missed. See [events.md](events.md).",
    params: {
      topics: "names of topics, see [events.md](events.md); an unknown one refuses the call",
      filters: "equality on keys of the event, `timestamp_after`, `timestamp_before`; all must hold",
      since:
        "extension: `seq` of the last event seen; what came after it follows the answer, then live events",
    },
    example: { topics: ["camera.connected", "recording.stop"] },
  },
  unsubscribe_events: {
    summary: "Takes topics back; all without any named.",
    params: {
      topics: "all without",
    },
    example: { topics: ["recording.stop"] },
  },
  get_subscription_stats: {
    summary: "What this connection and all together have subscribed to.",
  },
  get_event_history: {
    summary: "Extension: what happened, from the log of events.",
    params: {
      since: "events after this `seq`, oldest first; without it the newest, oldest first",
      limit: "100 otherwise",
      topics: "only these",
      device: "only of this camera",
      start_time: "only from here on",
      end_time: "only until here",
    },
    example: { limit: 5 },
  },
  get_configuration: {
    summary:
      "Extension: the settings in force, each with where it comes from. Secrets are `***`. They are changed in the file or the environment, and hold from the next start.",
    params: { key: "only this setting, or this group: `recording`" },
    example: { key: "recording" },
  },
  discover_external_streams: {
    summary:
      "Searches the network for cameras, in the ways the configuration of the hub allows (`discovery`). Without any: error `unsupported`. Nothing found becomes a camera by itself.",
    params: {
      skydio_enabled: "look for Skydio drones in `discovery.skydio.networks`; true otherwise",
      generic_enabled: "try usual RTSP addresses in `discovery.generic.networks`; false otherwise",
      force_rescan: "search anew even if the same was searched within the last 10 seconds",
      include_offline: "also what was found earlier and is not there now, with `status` `ERROR`",
      onvif_enabled: "extension: ask for ONVIF cameras; true otherwise",
    },
    example: {},
    errors: ["unsupported"],
  },
  add_external_stream: {
    summary:
      "Opens a stream of the network and, if it gives pictures, makes it a camera that stays, also after a restart of the hub. The same URL again changes its name, options, user and password. User and password of the URL are never shown again.",
    params: {
      stream_url:
        "`rtsp://`, `rtsps://`, `http://` or `https://`; user and password as in `rtsp://user:password@host/path`",
      stream_name: "for people; the host otherwise",
      stream_type: "`generic_rtsp` otherwise",
      transport: "extension: of RTSP; `tcp` otherwise",
      audio: "extension: whether its sound is taken along; true otherwise",
    },
    example: { stream_url: "rtsp://192.168.1.20/stream1", stream_name: "Door" },
    errors: ["capture_failed", "unsupported", "rate_limited", "storage_failed", "ffmpeg_missing"],
  },
  remove_external_stream: {
    summary:
      "Takes an added stream and its camera away; recordings stay. Cameras of the configuration are removed there.",
    params: {
      stream_url: "as it was added, with or without user and password",
      force: "extension: also while it is recorded, ending the recording first; refused otherwise",
    },
    example: { stream_url: "rtsp://192.168.1.20/stream1" },
    errors: ["file_not_found", "unsupported", "already_recording", "storage_failed"],
  },
  get_external_streams: {
    summary: "Added streams, and those that searches found and nobody added.",
  },
  set_discovery_interval: {
    summary: "How often the network is searched by itself. Kept over restarts.",
    params: { scan_interval: "seconds; 0: only on demand" },
    example: { scan_interval: 0 },
    errors: ["unsupported"],
  },
  get_streams: {
    summary: "The live pictures there are, one for each camera.",
  },
  start_streaming: {
    summary:
      "Keeps a camera running for `auto_close_after`, so that viewers get a picture at once. Asking again begins the time anew.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
    errors: ["camera_disconnected", "camera_busy", "capture_failed", "ffmpeg_failed", "start_timeout"],
  },
  stop_streaming: {
    summary: "Lets the camera go before that. Viewers and recordings keep theirs.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_stream_url: {
    summary: "The address of the live picture, good for five minutes. Starts nothing by itself.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_stream_status: {
    summary: "Whether a camera gives pictures now, to how many, and how many it gave.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  echo: {
    summary: "Says back what it is told.",
    params: {
      message: "any text",
    },
    example: { message: "hello" },
    exampleAnswer: "hello",
  },
  get_supported_methods: {
    summary: "The names of all methods of this hub.",
    exampleAnswer: ["ping", "authenticate", "get_camera_list"],
  },
  get_server_info: {
    summary: "What the hub is, where it runs, and what the machine has.",
  },
  get_status: {
    summary: "How the hub is, and what is wrong with it.",
    exampleAnswer: { status: "healthy", components: { websocket_server: "running" }, problems: [] },
  },
  get_system_status: {
    summary: "Whether the hub is ready, and the cameras that can be used now.",
    exampleAnswer: { status: "ready" },
  },
  get_metrics: {
    summary: "Measured figures: requests, memory, processor, cameras, recordings, viewers.",
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
  create_api_key: {
    summary: "Extension: a new API key. `api_key` of the answer is the only place where it can be read.",
    params: {
      name: "for people",
      role: "what it may do",
      expires_in_days: "it ends by itself after so many days",
      expires_at: "or at this time",
      cameras: "only these cameras, by any of their names; all otherwise",
      username: "it belongs to this user, gives no more than the user has, and ends with the user",
    },
    example: { name: "wall display", role: "viewer", expires_in_days: 90 },
    errors: ["camera_not_found"],
  },
  list_api_keys: { summary: "Extension: all API keys, without secrets, oldest first." },
  revoke_api_key: {
    summary: "Extension: ends a key at once, also for connections that are open.",
    params: { key_id: "as in the list" },
    example: { key_id: "key_1" },
    errors: ["not_found"],
  },
  rotate_api_key: {
    summary: "Extension: a new key with the rights of an old one, which ends at once.",
    params: { key_id: "as in the list" },
    example: { key_id: "key_1" },
    errors: ["not_found"],
  },
  create_user: {
    summary: "Extension: a new user, who then can `login`.",
    params: {
      username: "1 to 100 characters; large and small letters are one name",
      password: "10 to 256 characters",
      role: "what the user may do",
      cameras: "only these cameras, by any of their names; all otherwise",
    },
    example: { username: "alice", password: "correct horse battery", role: "operator" },
    errors: ["camera_not_found", "rate_limited"],
  },
  list_users: { summary: "Extension: all users, by name." },
  update_user: {
    summary:
      "Extension: changes what a user may do. Tokens and open connections of the user end when it does change.",
    params: {
      username: "the name, or the `user_id`",
      role: "what the user may do from now on",
      enabled: "false shuts the user out, keys included",
      cameras: "only these cameras; `all` takes the limit away",
    },
    example: { username: "alice", enabled: false },
    errors: ["not_found", "camera_not_found"],
  },
  set_user_password: {
    summary: "Extension: a new password. Tokens and open connections of the user end.",
    params: { username: "the name, or the `user_id`", password: "10 to 256 characters" },
    example: { username: "alice", password: "correct horse battery" },
    errors: ["not_found", "rate_limited"],
  },
  delete_user: {
    summary: "Extension: ends a user with all tokens and keys.",
    params: { username: "the name, or the `user_id`" },
    example: { username: "alice" },
    errors: ["not_found"],
  },
  login: {
    summary: "Extension: a token for a user name and a password. Pass it to `authenticate`.",
    params: { username: "the name", password: "the password" },
    example: { username: "alice", password: "correct horse battery" },
    errors: ["auth_failed", "rate_limited"],
  },
  create_token: {
    summary: "Extension: a token for a program or a user, which ends with the key or user that made it.",
    params: {
      role: "what it may do; the user's role otherwise, or `viewer`",
      ttl: "seconds it is good for",
      cameras: "only these cameras, by any of their names; all otherwise",
      username: "for this user: it gives no more than the user has",
    },
    example: { ttl: 3600, role: "viewer" },
    errors: ["camera_not_found"],
  },
  refresh_token: {
    summary:
      "Extension: for a connection that came with a token of this hub, a new one that is good for as long; up to 30 days after the login.",
    errors: ["unsupported"],
  },
  "rpc.discover": {
    summary: "Extension: this API as an OpenRPC document, the same as `GET /openrpc.json`.",
    errors: ["rate_limited"],
  },
};
