/** What the command's exit code says. Shown by `ocelli --help`. */

import { CameraServiceError, ConnectionError, TimeoutError } from "@ocelli/client";
import { codeOf, messageOf } from "@ocelli/protocol";

export const exitCodes = {
  ok: 0,
  /** The hub could not do it, or a check failed. */
  failed: 1,
  /** Wrong command line, or a value that cannot be right. */
  usage: 2,
  /** No hub answers, or no MultiCam device, or the connection was lost. */
  unreachable: 3,
  /** No credential, a wrong one, or one with too little rights. */
  refused: 4,
  /** No such camera, file, key, user, … */
  notFound: 5,
  /** Ctrl-C: 128 and the number of the signal, as shells do. */
  interrupted: 130,
} as const;

export const exitCodeHelp = `Exit codes: 0 done, 1 the hub could not do it, 2 wrong command line, 3 no hub or device answers,
4 no credential or one that is not enough, 5 no such camera, file, …, 130 interrupted.`;

export interface Failure {
  readonly exitCode: number;
  /** Stable, for scripts. */
  readonly code: string;
  /** For people: what happened and what to do. */
  readonly message: string;
}

const hints: Readonly<Record<string, string>> = {
  auth_required:
    "Give an API key with --key or OCELLI_API_KEY, or log in with `ocelli login`. The hub printed a key at its first start, or, without a terminal, wrote it to <data folder>/admin-key (see --data-dir). If it is lost, `ocelli keys reset` makes a new one on the hub's machine.",
  auth_failed:
    "Check the API key or token (--key, OCELLI_API_KEY, the profile), or log in again with `ocelli login`.",
  connect_failed:
    "Is the hub running there? Start it with `ocelli serve`, or name another one with --url or --profile.",
  camera_not_found: "`ocelli cameras` lists what is there.",
  file_not_found: "`ocelli files list` lists what is there.",
  method_not_found: "The hub there is of another version than this command.",
};

/** A failure of the command itself, with a code of its own. */
export class CommandError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export function failureOf(error: unknown): Failure {
  const code =
    error instanceof CameraServiceError
      ? error.condition
      : error instanceof CommandError
        ? error.code
        : codeOf(error);
  // What to do about an answer of the hub. Errors of this command say it themselves.
  const hint = error instanceof CameraServiceError ? hintFor(error) : undefined;
  const message = messageOf(error).replace(/([^.!?…])$/, "$1.");
  return {
    exitCode: exitCodeOf(error, code),
    code,
    message: hint === undefined || message.includes(hint) ? message : `${message}\n${hint}`,
  };
}

function hintFor({ condition, data, message }: CameraServiceError): string | undefined {
  // Streams of the network are told to be missing as files are.
  if (data.resource === "stream") return undefined;
  if (condition === "connect_failed" && /certificate/i.test(message)) {
    return "This machine does not trust the hub's certificate. Name it, or the CA that signed it, with --ca or OCELLI_CA.";
  }
  if (condition === "connect_failed" && /hang up/.test(message)) {
    return "Something is there that does not speak this. If the hub has a certificate, write https://.";
  }
  return hints[condition];
}

export function warning(text: string): string {
  return `ocelli: warning: ${text}\n`;
}

/** Ctrl-C, where there is more to say than that. */
export class Interrupted extends Error {}

function exitCodeOf(error: unknown, code: string): number {
  if (error instanceof ConnectionError || error instanceof TimeoutError) return exitCodes.unreachable;
  if (error instanceof CommandError && code === "device_unreachable") return exitCodes.unreachable;
  if (code === "auth_required" || code === "auth_failed" || code === "permission_denied")
    return exitCodes.refused;
  if (code === "invalid_params" || code === "invalid_filename" || code === "config_invalid")
    return exitCodes.usage;
  if (/(^|_)not_found$/.test(code) && code !== "method_not_found") return exitCodes.notFound;
  return exitCodes.failed;
}
