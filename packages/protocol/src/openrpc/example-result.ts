/**
 * An answer of the right shape, for the examples of the document: made from the schema of the result, with values that fields
 * of that name usually have. Illustration only; nothing is ever answered from here.
 */
import type { JsonSchema } from "./json-schema.ts";

const time = "2026-01-15T14:30:00.000Z";

/** By the name of the field. What does not fit the schema of the field is not used. */
const usual: Readonly<Record<string, unknown>> = {
  device: "camera0",
  device_path: "/dev/video0",
  camera_id: "camera0",
  cameras: ["camera0"],
  available_cameras: ["camera0"],
  device_number: 0,
  recording: false,
  recording_session: null,
  current_file: null,
  disconnected_at: null,
  reason: null,
  low_space_warning: false,
  critical_space_warning: false,
  gone: false,
  next_since: null,
  read_only: false,
  inactive: false,
  volatile: false,
  secret: false,
  name: "Door",
  username: "anna",
  user_id: "anna",
  resolution: "1280x720",
  resolutions: ["1280x720", "640x480"],
  width: 1280,
  height: 720,
  fps: 30,
  fps_options: [30, 15],
  frame_rates: [30, 15],
  formats: ["MJPG", "YUYV"],
  codec: "h264",
  validation_status: "confirmed",
  filename: "camera0_2026-01-15_14-30-00.mp4",
  capabilities: ["snapshot", "recording", "streaming"],
  url: "rtsp://192.168.1.20/stream1",
  message: "Done",
  schedule_id: "5f0c7a52-6d5e-4c6c-9a51-0d6a4d1c9f10",
  replaces: "key_1",
  token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
  total_space: 250_000_000_000,
  used_space: 100_000_000_000,
  available_space: 150_000_000_000,
  usage_percentage: 40,
  used_percent: 40,
  warn_threshold: 90,
  block_threshold: 96,
  uptime: 3600,
  uptime_seconds: 3600,
  seq: 1042,
  latest_seq: 1042,
  platform: "linux",
  architecture: "x64",
  supported_formats: ["mp4", "mkv", "fmp4", "ts", "jpg", "png"],
  source: "camera0_2026-01-15_14-30-00.mp4",
  files: ["camera0_2026-01-15_14-30-00.mp4"],
  file_path: "recordings/camera0_2026-01-15_14-30-00.mp4",
  download_url: "/files/recordings/camera0_2026-01-15_14-30-00.mp4",
  frame_times_url: "/files/recordings/camera0_2026-01-15_14-30-00.mp4/frames.csv",
  format: "mp4",
  file_size: 1_204_224,
  size_bytes: 1_204_224,
  duration: 60,
  start_time: 1_768_487_400.123,
  stream_name: "camera0",
  stream_url: "http://localhost:8002/live/camera0/mjpeg",
  auto_close_after: "300s",
  ffmpeg_command: "",
  recording_id: "0b9f2c6e-8f0a-4f6e-9d1e-3c6f2f1a7b10",
  session_id: "0b9f2c6e-8f0a-4f6e-9d1e-3c6f2f1a7b10",
  version: "1.0.0",
  role: "viewer",
  permissions: ["view"],
  auth_method: "api_key",
  key_id: "key_1",
  api_key: "camera_service_sk_0123456789",
  topics: ["recording.stop"],
  client_topics: ["recording.stop"],
  total: 1,
  connected: 1,
  limit: 5,
  offset: 0,
};

/** @param given what to take instead: fields of an object, or the whole answer */
export function exampleResult(schema: JsonSchema, given?: unknown): unknown {
  const made = sample(schema, "");
  return isObject(made) && isObject(given) ? { ...made, ...given } : (given ?? made);
}

/** Stands for a text of which nothing is known. */
const anyText = "…";

function sample(schema: JsonSchema, name: string): unknown {
  if ("const" in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum.includes(usual[name]) ? usual[name] : schema.enum[0];
  if (usual[name] === null && isNullable(schema)) return null;
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) {
    const wanted = branches.find((branch) => isObject(branch) && branch.type !== "null");
    return isObject(wanted) ? sample(wanted, name) : null;
  }
  const known = usual[name];
  // Nullable, in the short form.
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  switch (type) {
    case "object":
      return object(schema);
    case "array": {
      const items = isObject(schema.items) ? schema.items : undefined;
      if (Array.isArray(known) && items?.type === typeof known[0]) return known;
      if (Array.isArray(known) && items?.type === "integer") return known;
      return items?.type === "object" ? [sample(items, "")] : [];
    }
    case "string":
      if (schema.format === "date-time") return time;
      if (schema.format === "uuid") return usual.recording_id;
      return typeof known === "string" ? known : anyText;
    case "integer":
    case "number":
      return number({ ...schema, type }, known);
    case "boolean":
      return typeof known === "boolean" ? known : true;
    case "null":
      return null;
    default:
      return {};
  }
}

function isNullable({ type, anyOf }: JsonSchema): boolean {
  const isNull = (branch: unknown): boolean => isObject(branch) && branch.type === "null";
  return Array.isArray(type) ? type.includes("null") : Array.isArray(anyOf) && anyOf.some(isNull);
}

function object({ properties, required }: JsonSchema): object {
  if (!isObject(properties) || !Array.isArray(required)) return {};
  return Object.fromEntries(
    Object.entries(properties).flatMap(([field, schema]) =>
      required.includes(field) && isObject(schema) ? [[field, sample(schema, field)]] : [],
    ),
  );
}

function number({ type, minimum, maximum }: JsonSchema, known: unknown): number {
  const low = typeof minimum === "number" ? minimum : 0;
  const high = typeof maximum === "number" ? maximum : Number.MAX_SAFE_INTEGER;
  const fits = typeof known === "number" && known >= low && known <= high;
  if (fits && (type === "number" || Number.isInteger(known))) return known;
  return Math.min(Math.max(0, low), high);
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
