// Writes the tables of docs/api.md between their markers, from the schemas the hub itself reads requests with.
// `node scripts/docs-api.mjs` after a change of packages/protocol; with --check it only says whether they are current.
// What a parameter or an error means is told here; one without words, or words without a parameter, is an error.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { OcelliError } from "@ocelli/protocol";
import { errorTable, methods } from "@ocelli/protocol/camera-service";
import { z } from "zod";
import { httpStatusOf } from "../packages/server/src/api/http-errors.ts";

const page = join(dirname(dirname(fileURLToPath(import.meta.url))), "docs", "api.md");

const purposes = {
  ping: "Says `pong`. For checking the connection.",
  authenticate: "Tells the hub who you are, for as long as the connection lasts.",
  get_camera_list: "All cameras, by number, also those that are known and absent.",
  get_camera_status: "One camera, with more detail.",
  get_camera_capabilities: "Formats, sizes and rates one camera has.",
  take_snapshot: "A picture of now, saved as a file.",
  capture_snapshot: "The same as `take_snapshot`.",
  start_recording: "Starts recording a camera. Answers when the first frame is in the file.",
  stop_recording: "Ends a recording. Answers when the file is finished.",
  get_recording_status: "The recording of a camera that runs now; null when there is none.",
  list_recordings: "Finished recordings, newest first.",
  list_snapshots: "Snapshots, newest first.",
  get_recording_info: "Everything known of one recording: times, frames, drops, gaps.",
  get_snapshot_info: "Everything known of one snapshot.",
  delete_recording: "Deletes a recording and its sidecar. Never one that is being written.",
  delete_snapshot: "Deletes a snapshot and its sidecar.",
  get_camera_settings: "Extension: the settings of a camera, and the mode they give.",
  set_camera_settings:
    "Extension: changes settings for good. What is left out stays, `auto` goes back to the default, the same call again changes nothing. A new mode holds from the next start of the capture: at once when nobody uses the camera.",
  get_camera_controls:
    "Extension: exposure, focus and whatever else the driver of a USB camera lets be turned, with its values now.",
  set_camera_control:
    "Extension: sets one control and answers what the driver made of it. It holds until the camera is unplugged.",
  schedule_recording:
    "Records at a later time, also after a restart of the hub. The camera may be absent now; when it (or the hub) is back within the time, what is left of it is recorded.",
  get_scheduled_recordings: "Extension: recordings to come, by start.",
  cancel_scheduled_recording: "Extension: takes back a scheduled recording that has not begun.",
  get_storage_info: "How much room there is on the disk, and what recordings and snapshots take.",
  set_retention_policy:
    "Says which old files are deleted by themselves. Nothing is ever deleted without such a policy.",
  get_retention_policies: "Extension: the policies in force.",
  cleanup_old_files: "Applies the policies now.",
  subscribe_events:
    "Says what this connection is told; with `since` also what it missed. See [events.md](events.md).",
  unsubscribe_events: "Takes topics back; all without any named.",
  get_subscription_stats: "What this connection and all together have subscribed to.",
  get_event_history: "Extension: what happened, from the log of events.",
  get_streams: "The live pictures there are, one for each camera.",
  start_streaming:
    "Keeps a camera running for `auto_close_after`, so that viewers get a picture at once. Asking again begins the time anew.",
  stop_streaming: "Lets the camera go before that. Viewers and recordings keep theirs.",
  get_stream_url: "The address of the live picture, good for five minutes. Starts nothing by itself.",
  get_stream_status: "Whether a camera gives pictures now, to how many, and how many it gave.",
  echo: "Says back what it is told.",
  get_supported_methods: "The names of all methods of this hub.",
  get_server_info: "What the hub is, where it runs, and what the machine has.",
  get_status: "How the hub is, and what is wrong with it.",
  get_system_status: "Whether the hub is ready, and the cameras that can be used now.",
  get_metrics: "Measured figures: requests, memory, processor, cameras, recordings, viewers.",
  create_api_key: "Extension: a new API key. `api_key` of the answer is the only place where it can be read.",
  list_api_keys: "Extension: all API keys, without secrets, oldest first.",
  revoke_api_key: "Extension: ends a key at once, also for connections that are open.",
  rotate_api_key: "Extension: a new key with the rights of an old one, which ends at once.",
  export_recording:
    "Makes a copy of a recording in another container or codec. Answers when it is done; until then `export_update` tells the progress.",
};

const snapshotWords = {
  device: "the camera",
  filename: "name wished for; a free one with date and time otherwise. An existing file is never overwritten",
  format: "`jpg` otherwise",
  quality: "1 is the smallest, 100 the best; without it the camera's own JPEG, untouched",
};
const listWords = {
  limit: "at most so many; 100 otherwise (50 in the newer vocabulary)",
  offset: "skip so many",
  device: "only of this camera",
};
const meanings = {
  authenticate: {
    auth_token: "the API key; the four below are other spellings of it",
    token: "the same, of older clients; also asks for failures inside `result` (see Dialects)",
    api_key: "the same",
    key: "the same",
    jwt: "the same",
    auth_type: "`api_key` or `jwt`: try only that kind",
  },
  get_camera_status: { device: "the camera" },
  get_camera_capabilities: { device: "the camera" },
  take_snapshot: snapshotWords,
  capture_snapshot: snapshotWords,
  start_recording: {
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
  stop_recording: {
    device: "the camera; may be left out while only one recording runs",
    recording_id: "the recording itself, as `start_recording` named it",
  },
  get_recording_status: { device: "the camera" },
  get_camera_settings: { device: "the camera" },
  set_camera_settings: {
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
  get_camera_controls: { device: "the camera" },
  set_camera_control: {
    device: "the camera",
    control: "its name, as in the list",
    value: "a whole number, true or false, or the name of a menu entry; nothing for a button",
  },
  schedule_recording: {
    device: "the camera",
    start_time: "to come; the first frame is the first one captured at or after this instant",
    duration: "seconds",
    format: "`mp4` otherwise",
    filename: "extension: name wished for",
  },
  get_scheduled_recordings: {
    device: "only of this camera",
    all: "also those that are over, newest first",
  },
  cancel_scheduled_recording: { schedule_id: "as `schedule_recording` answered it" },
  list_recordings: listWords,
  list_snapshots: listWords,
  get_recording_info: { filename: "with or without extension" },
  get_snapshot_info: { filename: "with or without extension" },
  delete_recording: { filename: "with or without extension" },
  delete_snapshot: { filename: "with or without extension" },
  set_retention_policy: {
    policy_type:
      "`age`, `size`, `free`: the one limit it names; `all`: every limit given; `manual`: nothing by itself",
    enabled: "whether it holds",
    max_age_days: "older files are deleted; needed for `age`",
    max_size_gb: "GiB of recordings and snapshots together; needed for `size`",
    min_free_gb: "extension: GiB kept free on the disk; for `free`",
    device: "extension: for this camera alone; not with `free`",
  },
  subscribe_events: {
    topics: "names of topics, see [events.md](events.md); an unknown one refuses the call",
    filters: "equality on keys of the event, `timestamp_after`, `timestamp_before`; all must hold",
    since: "extension: `seq` of the last event seen; what came after it follows the answer, then live events",
  },
  unsubscribe_events: { topics: "all without" },
  get_event_history: {
    since: "events after this `seq`, oldest first; without it the newest, oldest first",
    limit: "100 otherwise",
    topics: "only these",
    device: "only of this camera",
    start_time: "only from here on",
    end_time: "only until here",
  },
  start_streaming: { device: "the camera" },
  stop_streaming: { device: "the camera" },
  get_stream_url: { device: "the camera" },
  get_stream_status: { device: "the camera" },
  echo: { message: "any text" },
  create_api_key: {
    name: "for people",
    role: "what it may do",
    expires_in_days: "it ends by itself after so many days",
    expires_at: "or at this time",
    cameras: "only these cameras, by any of their names; all otherwise",
  },
  revoke_api_key: { key_id: "as in the list" },
  rotate_api_key: { key_id: "as in the list" },
  export_recording: {
    filename: "the recording",
    format: "`mp4` otherwise",
    codec:
      "`h264` plays in every browser, `copy` keeps the pictures as they are; `h264` for mp4, else `copy`",
  },
};

const remedies = {
  parse_error: "The message is no JSON.",
  invalid_request: "The message is no JSON-RPC 2.0 request, or a batch is empty or has more than 100.",
  method_not_found: "See the list of methods.",
  invalid_params: "`data.param` names the parameter, `data.rule` what it must be.",
  invalid_filename: "Use a plain name without folders.",
  auth_required: "Authenticate first.",
  auth_failed: "Check the key.",
  token_expired: "Authenticate again.",
  permission_denied: "Use a key with more rights.",
  rate_limited: "Too many wrong keys from your address, or too many viewers. Wait a moment.",
  camera_not_found: "`get_camera_list` names the cameras.",
  camera_disconnected: "Plug the camera in, or see its `error_message`.",
  camera_busy: "Another user holds the camera in another mode, or another program has it open.",
  already_recording: "Stop the running recording first.",
  not_recording: "Nothing to stop.",
  file_in_use: "The file is still being written. Stop the recording first.",
  file_not_found: "See the list of files.",
  storage_low: "Delete recordings or add space.",
  storage_critical: "Delete recordings or add space; until then nothing is written.",
  storage_failed: "The disk refuses. See the log.",
  capture_failed: "The camera gave no usable frames; the reason is the camera's or ffmpeg's own words.",
  start_timeout: "The camera gave no frame in time. Try again; then unplug it and plug it in.",
  ffmpeg_failed: "See the reason, and the log.",
  ffmpeg_missing: "Install ffmpeg.",
  media_malformed: "The file is damaged.",
  reader_too_slow: "The network or disk cannot keep up.",
  unsupported: "This camera or file cannot do that.",
  internal: "A fault of the hub. Its log says more under `request_id`.",
  config_invalid: "",
  data_dir_locked: "",
  port_in_use: "",
};

function fail(text) {
  console.error(text);
  process.exit(2);
}

function typeOf(schema) {
  const { type } = schema;
  const kinds = Array.isArray(type) ? type.map((one) => ({ ...schema, type: one })) : schema.anyOf;
  if (kinds !== undefined) return [...new Set(kinds.map(typeOf))].join(" or ");
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(" ");
  if (schema.type === "array") {
    const item = schema.items?.enum === undefined ? typeOf(schema.items ?? {}) : "text";
    return `list of ${item === "text" ? "texts" : item === "integer" ? "integers" : "objects"}`;
  }
  if (schema.format === "date-time") return "time";
  if (schema.type === "string") return "text";
  if (schema.type === "integer" || schema.type === "number") {
    const { minimum, maximum, exclusiveMinimum } = schema;
    const low = minimum ?? (exclusiveMinimum === undefined ? undefined : `more than ${exclusiveMinimum}`);
    const bounded = maximum !== undefined && maximum < 2 ** 31;
    if (bounded && low !== undefined) return `${schema.type} ${low} to ${maximum}`;
    return schema.type;
  }
  if (schema.type === "boolean" || schema.type === "object") return schema.type;
  if (schema.type === "null") return "null";
  // A time is read from several forms.
  return "time";
}

const jsonSchema = (schema) => z.toJSONSchema(schema, { io: "output", unrepresentable: "any" });

function parameters(name) {
  const { properties = {}, required = [] } = jsonSchema(methods[name].params);
  const words = meanings[name] ?? {};
  for (const given of Object.keys(words)) {
    if (!(given in properties))
      fail(`${name} has no parameter ${given}, but scripts/docs-api.mjs describes it.`);
  }
  const rows = Object.entries(properties).map(([parameter, schema]) => {
    if (words[parameter] === undefined)
      fail(`Describe the parameter ${parameter} of ${name} in scripts/docs-api.mjs.`);
    const must = required.includes(parameter) ? " (required)" : "";
    return `| \`${parameter}\`${must} | ${typeOf(schema)} | ${words[parameter]} |`;
  });
  return rows.length === 0 ? [] : ["", "| Parameter | Type | Meaning |", "|---|---|---|", ...rows];
}

function answer(name) {
  const schema = jsonSchema(methods[name].result);
  const branches = schema.anyOf ?? [schema];
  // What failures look like in-band is the same for all and told once.
  const wanted = branches.filter(
    ({ properties }) => properties !== undefined && properties.success?.const !== false,
  );
  if (wanted.length === 0)
    return `Answers ${schema.const === undefined ? `a ${typeOf(schema)}` : `\`"${schema.const}"\``}.`;
  const fields = Object.entries(wanted[0].properties).map(([field, of]) => `\`${field}\` ${typeOf(of)}`);
  return `Answers ${fields.join(", ")}.`;
}

function methodSections() {
  const sections = Object.entries(methods).map(([name, { access }]) => {
    const purpose = purposes[name];
    if (purpose === undefined) fail(`Say in scripts/docs-api.mjs what ${name} is for.`);
    const who = access === "public" ? "anybody" : access;
    const head = [`### ${name}`, "", `${purpose} Role: ${who}.`];
    if (name === "capture_snapshot") return head.join("\n");
    return [...head, ...parameters(name), "", answer(name)].join("\n");
  });
  return sections.join("\n\n");
}

function errorSection() {
  const rows = Object.entries(errorTable).flatMap(([name, { path, logical }]) => {
    const remedy = remedies[name];
    if (remedy === undefined) fail(`Say in scripts/docs-api.mjs what to do about the error ${name}.`);
    if (remedy === "") return [];
    const http = ["parse_error", "invalid_request", "method_not_found"].includes(name)
      ? ""
      : httpStatusOf(new OcelliError(name === "token_expired" ? "auth_failed" : name, ""));
    return [`| \`${name}\` | ${path.code} | ${logical.code} | ${http} | ${remedy} |`];
  });
  return [
    "| `data.code` | older numbers | newer numbers | HTTP | What to do |",
    "|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

function filled(text, marker, content) {
  const pattern = new RegExp(`(<!-- ${marker}: .*? -->\n)[\\s\\S]*?(<!-- end of ${marker} -->)`);
  if (!pattern.test(text)) fail(`docs/api.md has no markers for ${marker}.`);
  return text.replace(pattern, (_all, begin, end) => `${begin}\n${content}\n\n${end}`);
}

const now = readFileSync(page, "utf8");
const wanted = filled(filled(now, "methods", methodSections()), "errors", errorSection());
if (process.argv.includes("--check")) {
  if (wanted !== now) {
    console.error("docs/api.md is not current: run node scripts/docs-api.mjs");
    process.exitCode = 1;
  }
} else {
  writeFileSync(page, wanted);
}
