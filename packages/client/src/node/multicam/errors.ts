import type { DeviceStatus } from "@ocelli/protocol/multicam";

/**
 * - `unreachable`: no connection, or it broke before the answer was whole. Worth another try.
 * - `timeout`: no answer in time. The device may still do what was asked.
 * - `stalled`: a file stopped coming.
 * - `malformed`: what came is not MultiCam.
 * - `refused`: the device said no; `status` and the message are its own.
 * - `file_not_found`, `time_not_synchronized`, `camera_disconnected`: the refusals a caller can act on.
 * - `storage_failed`: this machine could not write.
 * - `unknown_device`: there is no such device in the controller.
 */
export type MultiCamErrorCode =
  | "unreachable"
  | "timeout"
  | "stalled"
  | "malformed"
  | "refused"
  | "file_not_found"
  | "time_not_synchronized"
  | "camera_disconnected"
  | "storage_failed"
  | "unknown_device";

/** What a MultiCam device, or the way to it, did wrong. Match on `code`. */
export class MultiCamError extends Error {
  readonly code: MultiCamErrorCode;
  /** What the device answered, when it did. */
  readonly status: DeviceStatus | undefined;

  constructor(
    code: MultiCamErrorCode,
    message: string,
    facts: { readonly status?: DeviceStatus; readonly cause?: unknown } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "MultiCamError";
    this.code = code;
    this.status = facts.status;
  }

  /** Whether the same command may be sent again, by the protocol's own rule (spec section 12). */
  get retryable(): boolean {
    return this.code === "unreachable" || this.code === "timeout" || this.code === "stalled";
  }
}
