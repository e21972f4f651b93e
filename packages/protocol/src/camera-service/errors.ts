/**
 * Errors on the wire: one row for each stable code, with its number and text in both vocabularies, and the
 * way back from a wire error to an `OcelliError`.
 */
import { type ErrorCode, errorCodes, OcelliError } from "../errors.ts";
import type { Names } from "./vocabulary.ts";

/** The stable codes of the hub and those that only JSON-RPC itself has. */
export type Condition = ErrorCode | "parse_error" | "invalid_request" | "method_not_found" | "token_expired";

export interface WireError {
  readonly code: number;
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface Form {
  readonly code: number;
  /** `*` stands for what the error is about. */
  readonly message: string;
}

interface Row {
  readonly path: Form;
  readonly logical: Form;
}

const same = (code: number, message: string): Row => ({
  path: { code, message },
  logical: { code, message },
});
const row = (path: [number, string], logical: [number, string]): Row => ({
  path: { code: path[0], message: path[1] },
  logical: { code: logical[0], message: logical[1] },
});

const unauthenticated = row([-32001, "*"], [-32001, "Authentication failed or token expired"]);
const invalidParams = row([-32602, "Invalid params: *"], [-32602, "Invalid parameters"]);
const internal = same(-32603, "Internal error");
const notAvailable = row([-1001, "Camera not available"], [-32020, "Invalid state"]);
const inUse = row([-1006, "Camera is currently recording"], [-32020, "Invalid state"]);
const mediaFailed = row([-1003, "MediaMTX operation failed: *"], [-32050, "Dependency failed"]);

export const errorTable: Readonly<Record<Condition, Row>> = {
  parse_error: same(-32700, "Parse error"),
  invalid_request: same(-32600, "Invalid Request"),
  method_not_found: same(-32601, "Method not found: *"),
  invalid_params: invalidParams,
  invalid_filename: invalidParams,
  internal,
  config_invalid: internal,
  data_dir_locked: internal,
  port_in_use: internal,
  auth_required: unauthenticated,
  auth_failed: unauthenticated,
  token_expired: unauthenticated,
  rate_limited: row([-32002, "Rate limit exceeded"], [-32040, "Rate limited"]),
  permission_denied: row([-32003, "*"], [-32002, "Permission denied"]),
  camera_not_found: row([-32004, "Camera not found: *"], [-32010, "Not found"]),
  camera_disconnected: notAvailable,
  camera_busy: notAvailable,
  already_recording: inUse,
  file_in_use: inUse,
  not_recording: row([-1003, "No recording in progress"], [-32020, "Invalid state"]),
  capture_failed: mediaFailed,
  device_failed: mediaFailed,
  device_unreachable: notAvailable,
  clock_not_synchronised: row([-32020, "Clock not synchronised"], [-32020, "Invalid state"]),
  not_found: row([-32010, "*"], [-32010, "Not found"]),
  ffmpeg_failed: mediaFailed,
  ffmpeg_missing: mediaFailed,
  media_malformed: mediaFailed,
  reader_too_slow: mediaFailed,
  start_timeout: mediaFailed,
  storage_failed: mediaFailed,
  file_not_found: row([-1005, "*"], [-32010, "Not found"]),
  storage_low: row([-1008, "Storage space is low"], [-32007, "Insufficient storage"]),
  storage_critical: row([-1010, "Storage space is critical"], [-32007, "Insufficient storage"]),
  unsupported: row([-32008, "Camera capability not supported"], [-32030, "Unsupported"]),
};

/** Number and text of `condition`; `subject` is what it is about, such as the camera's name. */
export function wireForm(
  names: Names,
  condition: Condition,
  subject?: string,
): { code: number; message: string } {
  const { code, message } = errorTable[condition][names];
  if (!message.includes("*")) return { code, message };
  if (subject !== undefined) return { code, message: message.replace("*", () => subject) };
  return { code, message: message.replace(/:? ?\*/, "") || errorTable[condition].logical.message };
}

/** What numbers mean where a server sends no stable code (older servers, both vocabularies). */
const byNumber: Readonly<Record<number, ErrorCode>> = {
  [-32001]: "auth_failed",
  [-32004]: "camera_not_found",
  [-1000]: "camera_not_found",
  [-1001]: "camera_disconnected",
  [-1003]: "capture_failed",
  [-1005]: "file_not_found",
  [-1006]: "already_recording",
  [-1008]: "storage_low",
  [-1010]: "storage_critical",
  [-32006]: "capture_failed",
  [-32007]: "storage_low",
  [-32008]: "unsupported",
  [-32010]: "file_not_found",
  [-32020]: "camera_busy",
  [-32030]: "unsupported",
  [-32040]: "rate_limited",
  [-32050]: "capture_failed",
  [-32600]: "invalid_params",
  [-32601]: "unsupported",
  [-32602]: "invalid_params",
};

/** The error a server meant, rebuilt from its wire form. Anything may be passed. */
export function errorFromWire(error: unknown): OcelliError {
  const { code, message, data } = isObject(error) ? error : {};
  const facts = isObject(data) ? data : {};
  // `reason` is a sentence, or with some servers a word for programs, beside `details` for people.
  const text = [facts.details, facts.reason, message].find(isSentence) ?? message;
  return new OcelliError(
    stableCode(code, facts),
    typeof text === "string" ? text : "The server failed without saying why.",
    {
      details: { ...facts, ...(typeof code === "number" ? { wireCode: code } : {}) },
    },
  );
}

function stableCode(code: unknown, data: Readonly<Record<string, unknown>>): ErrorCode {
  const stated = errorCodes.find((one) => one === data.code);
  if (stated !== undefined) return stated;
  if (data.code === "token_expired") return "auth_failed";
  if (code === -32010 && data.resource === "camera") return "camera_not_found";
  return (typeof code === "number" ? byNumber[code] : undefined) ?? "internal";
}

function isSentence(value: unknown): value is string {
  return typeof value === "string" && value !== "" && !/^[a-z]+(_[a-z]+)+$/.test(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
