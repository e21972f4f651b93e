/** From any thrown value to the error a client of this dialect reads. The one table is in the protocol package. */
import { OcelliError } from "@ocelli/protocol";
import {
  type Condition,
  type Dialect,
  type MethodName,
  type Names,
  type WireError,
  wireForm,
} from "@ocelli/protocol/camera-service";
import { maskSecrets } from "../../log/mask.ts";

/** A failure that only JSON-RPC has, besides the stable codes. */
export class RpcError extends Error {
  readonly condition: Condition;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(condition: Condition, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = "RpcError";
    this.condition = condition;
    this.details = details;
  }
}

export interface Failure {
  readonly condition: Condition;
  /** For people: what happened and what to do. */
  readonly reason: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export function failureOf(error: unknown): Failure {
  const stated: Failure | undefined =
    error instanceof OcelliError
      ? { condition: error.code, reason: error.message, details: error.details }
      : error instanceof RpcError
        ? { condition: error.condition, reason: error.message, details: error.details }
        : undefined;
  if (stated === undefined || isInternal(stated.condition))
    return { condition: "internal", reason: "", details: {} };
  return stated;
}

/** Failures whose text could tell a stranger about the inside: the log has them, the client gets a request id. */
export function isInternal(condition: Condition): boolean {
  return (
    condition === "internal" ||
    condition === "config_invalid" ||
    condition === "data_dir_locked" ||
    condition === "port_in_use"
  );
}

const suggestions: Partial<Record<Condition, string>> = {
  auth_required: "Call authenticate with an API key or a token first.",
  auth_failed: "Check the key, token or password.",
  camera_not_found: "get_camera_list names the cameras.",
  camera_disconnected: "Plug the camera in, then try again.",
  already_recording: "Stop the running recording first.",
  file_in_use: "Stop the running recording first.",
  storage_low: "Delete recordings or add space.",
  storage_critical: "Delete recordings or add space.",
};

export function wireError(
  names: Names,
  failure: Failure,
  context: { readonly requestId: string; readonly method?: string; readonly device?: string },
): WireError {
  const { condition } = failure;
  const { code, message } = wireForm(names, condition, subjectOf(failure, context));
  const suggestion = suggestions[condition];
  const resource = stringIn(failure.details, "resource") ?? resourceOf(condition, context.method);
  const reason = maskSecrets(failure.reason);
  return {
    code,
    message,
    data: {
      ...wireDetails(failure.details),
      code: condition,
      ...(reason === "" ? {} : { reason, details: reason }),
      // Clients tell a feature that is switched off by this word.
      ...(failure.details.reason === "feature_disabled" ? { reason: "feature_disabled" } : {}),
      ...(suggestion === undefined ? {} : { suggestion }),
      ...(resource === undefined ? {} : { resource }),
      request_id: context.requestId,
    },
  };
}

/** Names that are not the domain's own in snake case. */
const wireNames: Readonly<Record<string, string>> = {
  recordingId: "session_id",
  freeBytes: "available_space",
  totalBytes: "total_space",
};

/** Facts under the names clients of this protocol know. Paths of the server are nobody's business. */
function wireDetails(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const renamed = Object.entries(details)
    .filter(([name]) => name !== "path")
    .map(([name, value]) => [
      wireNames[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]);
  return Object.fromEntries(renamed);
}

function subjectOf(
  failure: Failure,
  context: { readonly method?: string; readonly device?: string },
): string | undefined {
  switch (failure.condition) {
    case "camera_not_found":
      return context.device ?? stringIn(failure.details, "device") ?? stringIn(failure.details, "camera_id");
    case "method_not_found":
      return context.method === undefined ? undefined : shortened(context.method);
    case "file_not_found": {
      if (failure.details.resource === "stream") return failure.reason;
      const name = stringIn(failure.details, "filename");
      const kind = context.method?.includes("snapshot") === true ? "Snapshot" : "Recording";
      return `${kind} file not found${name === undefined ? "" : `: ${name}`}`;
    }
    default:
      return failure.reason === "" ? undefined : maskSecrets(failure.reason);
  }
}

function resourceOf(condition: Condition, method: string | undefined): string | undefined {
  if (condition === "camera_not_found") return "camera";
  if (condition !== "file_not_found") return undefined;
  return method?.includes("snapshot") === true ? "snapshot" : "recording";
}

function stringIn(details: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = details[key];
  return typeof value === "string" ? value : undefined;
}

function shortened(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}

/** Commands whose failure older clients read from `result`, with the words those clients expect before the reason. */
const inbandPrefix: Partial<Record<MethodName, string>> = {
  take_snapshot: "Snapshot failed: ",
  capture_snapshot: "Snapshot failed: ",
  start_recording: "Recording failed: ",
  stop_recording: "Stop recording failed: ",
};

/** Failures of camera and media; all others are never told in-band, since some clients would take them for success. */
const inbandConditions: ReadonlySet<Condition> = new Set<Condition>([
  "already_recording",
  "camera_busy",
  "camera_disconnected",
  "camera_not_found",
  "capture_failed",
  "ffmpeg_failed",
  "ffmpeg_missing",
  "media_malformed",
  "not_recording",
  "reader_too_slow",
  "start_timeout",
  "storage_critical",
  "storage_failed",
  "storage_low",
  "unsupported",
]);

/** The failure as a `result`, or `undefined` when it has to be a JSON-RPC error. */
export function inbandResult(
  dialect: Dialect,
  method: MethodName,
  failure: Failure,
  wire: WireError,
  device: string | undefined,
): unknown {
  if (dialect.failures !== "inband") return undefined;
  if (method === "authenticate" && failure.condition === "auth_failed") {
    return { authenticated: false, error: failure.reason };
  }
  if (method === "get_camera_status" && failure.condition === "camera_not_found") return null;
  const prefix = inbandPrefix[method];
  if (prefix === undefined || !inbandConditions.has(failure.condition)) return undefined;
  return {
    success: false,
    error: inbandText(prefix, failure, device),
    error_code: wire.code,
    error_data: wire.data ?? {},
    device: device ?? null,
    status: "FAILED",
    filename: null,
  };
}

/** The words "not found" make those clients raise their camera-not-found error: they stand there for nothing else. */
function inbandText(prefix: string, failure: Failure, device: string | undefined): string {
  if (failure.condition === "camera_not_found") return `Camera not found: ${device ?? failure.reason}`;
  return prefix + maskSecrets(failure.reason).replace(/not found/gi, "missing");
}
