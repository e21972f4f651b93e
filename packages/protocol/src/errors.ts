/**
 * Every failure a user can meet, by its stable code. The wire carries code, message and details;
 * each protocol adapter maps the code to its own error form, and an SDK rebuilds the same error from it.
 */
export const errorCodes = [
  "auth_failed",
  "auth_required",
  "already_recording",
  "camera_busy",
  "camera_disconnected",
  "camera_not_found",
  "capture_failed",
  "clock_not_synchronised",
  "config_invalid",
  "data_dir_locked",
  "device_failed",
  "device_unreachable",
  "ffmpeg_failed",
  "ffmpeg_missing",
  "file_in_use",
  "file_not_found",
  "internal",
  "invalid_filename",
  "invalid_params",
  "media_malformed",
  "not_found",
  "not_recording",
  "permission_denied",
  "port_in_use",
  "rate_limited",
  "reader_too_slow",
  "start_timeout",
  "storage_critical",
  "storage_failed",
  "storage_low",
  "unsupported",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Plain JSON facts a caller can act on: device, path, limits, who holds the camera. Never secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

const worthRetrying: ReadonlySet<ErrorCode> = new Set([
  "camera_busy",
  "camera_disconnected",
  "capture_failed",
  "device_unreachable",
  "rate_limited",
  "reader_too_slow",
  "start_timeout",
]);

/** The one error class of the project. Match on `code`, not on `instanceof` or the message. */
export class OcelliError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  /**
   * @param message what happened, what it touched and what to do, in plain English
   */
  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OcelliError";
    this.code = code;
    this.details = options.details ?? {};
  }

  /** True when the same call may succeed later without the caller changing anything. */
  get retryable(): boolean {
    return worthRetrying.has(this.code);
  }
}

/** The code of any thrown value; `internal` for what is not ours. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof OcelliError ? error.code : "internal";
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
