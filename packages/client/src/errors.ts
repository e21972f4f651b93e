/**
 * What a call can throw: the error classes of the older clients of this service, told apart with `instanceof` or
 * by `condition`. Owns how the errors of all server generations are mapped to them.
 */
import type { ErrorCode } from "@ocelli/protocol";
import { errorFromWire } from "@ocelli/protocol/camera-service/errors";

/** Stable words: those of the hub, and what only a client can meet. */
export type Condition =
  | ErrorCode
  | "connect_failed"
  | "connection_lost"
  | "request_timeout"
  | "method_not_found"
  | "download_failed";

export interface ErrorFacts {
  /** JSON-RPC error code, when a server sent one. */
  readonly code?: number | undefined;
  readonly condition?: Condition | undefined;
  /** The `data` of the server's error. */
  readonly data?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

/** Base of all errors of this package. */
export class CameraServiceError extends Error {
  readonly code: number | undefined;
  readonly condition: Condition;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.code = facts.code;
    this.condition = facts.condition ?? "internal";
    this.data = facts.data ?? {};
  }
}

/** The credential is missing, wrong or expired. */
export class AuthenticationError extends CameraServiceError {}
/** No connection could be made, or it ended. */
export class ConnectionError extends CameraServiceError {}
export class CameraNotFoundError extends CameraServiceError {}
/** The server could not do what was asked with a camera or a file: snapshot, recording, stream, storage. */
export class MediaMTXError extends CameraServiceError {}
/** No answer in time. The server may still do what was asked. */
export class TimeoutError extends CameraServiceError {}
/** Parameters or options that cannot be right. */
export class ValidationError extends CameraServiceError {}

const commands: Readonly<Record<string, string>> = {
  take_snapshot: "Snapshot failed: ",
  capture_snapshot: "Snapshot failed: ",
  start_recording: "Recording failed: ",
  stop_recording: "Stop recording failed: ",
};

/**
 * The failure in an answer, in any of the forms servers of this service use; `undefined` when it worked. They tell
 * it as `error`, with or without `result`; as `success: false`, `authenticated: false` or `status: "FAILED"` in
 * the result; or as a result with nothing but a text `error`.
 */
export function failureIn(
  method: string,
  params: object,
  answer: { readonly error?: unknown; readonly result?: unknown },
): CameraServiceError | undefined {
  if (answer.error !== undefined && answer.error !== null) return errorOf(answer.error);
  const { result } = answer;
  if (!isObject(result)) return undefined;
  const text = typeof result.error === "string" && result.error !== "" ? result.error : undefined;
  if (result.authenticated === false) {
    return new AuthenticationError(text ?? "Authentication failed", { condition: "auth_failed" });
  }
  const prefix = commands[method];
  const failed =
    result.success === false ||
    (prefix !== undefined &&
      result.success !== true &&
      (result.status === "FAILED" || (text !== undefined && !("filename" in result))));
  if (!failed) return undefined;
  const wire = { code: result.error_code, message: text ?? "unknown error", data: result.error_data };
  const error = errorOf(wire, "media");
  if (error instanceof CameraNotFoundError || /\bnot found\b/i.test(text ?? "")) {
    const device = "device" in params ? String(params.device) : (text ?? "");
    return new CameraNotFoundError(`Camera not found: ${device}`, {
      code: error.code,
      condition: "camera_not_found",
      data: error.data,
    });
  }
  if (prefix === undefined) return error;
  const { code, condition, data } = error;
  return new MediaMTXError(`${prefix}${error.message}`, { code, condition, data });
}

/** The error class for the `error` member of an answer. `otherwise`: what a failure without a known code is. */
export function errorOf(wire: unknown, otherwise: "service" | "media" = "service"): CameraServiceError {
  const known = errorFromWire(typeof wire === "string" ? { message: wire } : wire);
  const { wireCode, ...data } = known.details;
  const code = typeof wireCode === "number" ? wireCode : undefined;
  const condition = conditionOf(known.code, code, known.message);
  const facts = { code, condition, data };
  if (code === -32001 || condition === "auth_failed" || condition === "auth_required") {
    return new AuthenticationError(known.message, facts);
  }
  if (condition === "camera_not_found") return new CameraNotFoundError(known.message, facts);
  if (code === -32602) return new ValidationError(known.message, facts);
  if (code === -32000) return new ConnectionError(known.message, { ...facts, condition: "connection_lost" });
  if (isMediaCode(code) || (code === undefined && otherwise === "media")) {
    return new MediaMTXError(known.message, facts);
  }
  return new CameraServiceError(known.message, facts);
}

/** -32002 is a rate limit in one vocabulary and a refusal in the other; only the text tells. */
function conditionOf(stable: ErrorCode, code: number | undefined, message: string): Condition {
  if (code === -32601) return "method_not_found";
  if (stable !== "internal") return stable;
  if (code === -32003) return "permission_denied";
  if (code === -32002) return /permission/i.test(message) ? "permission_denied" : "rate_limited";
  return "internal";
}

function isMediaCode(code: number | undefined): boolean {
  if (code === undefined) return false;
  return (
    (code <= -1001 && code >= -1010) ||
    (code <= -32005 && code >= -32010) ||
    code === -32020 ||
    code === -32050
  );
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
