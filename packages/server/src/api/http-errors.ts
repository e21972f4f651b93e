/** The one table from the hub's stable error codes to HTTP statuses, and the JSON body of an error. */
import { codeOf, type ErrorCode, messageOf, OcelliError } from "@ocelli/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { needsAllCameras } from "../auth/limited-media.ts";
import { type Access, type Admission, type Authorize, admissionOf, type Role } from "./access.ts";

const statuses: Readonly<Record<ErrorCode, number>> = {
  auth_failed: 401,
  auth_required: 401,
  already_recording: 409,
  camera_busy: 409,
  camera_disconnected: 503,
  camera_not_found: 404,
  capture_failed: 503,
  clock_not_synchronised: 503,
  config_invalid: 500,
  data_dir_locked: 500,
  device_failed: 502,
  device_unreachable: 504,
  ffmpeg_failed: 502,
  ffmpeg_missing: 503,
  file_in_use: 409,
  file_not_found: 404,
  internal: 500,
  invalid_filename: 400,
  invalid_params: 400,
  media_malformed: 502,
  not_found: 404,
  not_recording: 409,
  permission_denied: 403,
  port_in_use: 500,
  rate_limited: 429,
  reader_too_slow: 503,
  start_timeout: 504,
  storage_critical: 507,
  storage_failed: 507,
  storage_low: 507,
  unsupported: 415,
};

export function httpStatusOf(error: unknown): number {
  return statuses[codeOf(error)];
}

/** What a client is told; nothing about an unexpected error, which is in the log. */
export function errorBody(error: unknown): { error: { code: ErrorCode; message: string } } {
  const code = codeOf(error);
  const message = code === "internal" ? "Internal server error; the hub's log says more" : messageOf(error);
  return { error: { code, message } };
}

/** Answers an error of the domain as JSON. */
export function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  if (codeOf(error) === "auth_required") reply.header("WWW-Authenticate", "Bearer");
  return reply.code(httpStatusOf(error)).header("Cache-Control", "no-store").send(errorBody(error));
}

/**
 * For routes that respect the limit to cameras of whoever asks.
 * @throws OcelliError `auth_required`, `permission_denied`
 */
export async function admitted(
  authorize: Authorize,
  request: FastifyRequest,
  role: Role,
): Promise<Omit<Admission, "access">> {
  const { access, ...admission } = await admissionOf(authorize, request.raw, role);
  refuseUnless(access, role);
  return admission;
}

/**
 * For routes that tell of the whole hub: a credential limited to some cameras is refused.
 * @throws OcelliError `auth_required`, `permission_denied`
 */
export async function requireRole(authorize: Authorize, request: FastifyRequest, role: Role): Promise<void> {
  const { who } = await admitted(authorize, request, role);
  if (who.cameras !== undefined) throw needsAllCameras("This");
}

function refuseUnless(access: Access, role: Role): void {
  if (access === "unauthenticated") {
    throw new OcelliError(
      "auth_required",
      "Authentication required: send the API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'",
    );
  }
  if (access === "forbidden") throw new OcelliError("permission_denied", `This needs the role ${role}`);
}
