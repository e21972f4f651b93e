/** What the command's exit code says. Shown by `ocelli --help`. */

import { CameraServiceError, ConnectionError, TimeoutError } from "@ocelli/client";
import { codeOf, messageOf } from "@ocelli/protocol";

export const exitCodes = {
  ok: 0,
  /** The hub could not do it. */
  failed: 1,
  /** Wrong command line. */
  usage: 2,
  /** No hub answers, or the connection was lost. */
  unreachable: 3,
  /** No API key, a wrong one, or one with too little rights. */
  refused: 4,
} as const;

export const exitCodeHelp = `Exit codes: 0 done, 1 the hub could not do it, 2 wrong command line, 3 no hub answers,
4 no API key or one that is not enough, 130 interrupted.`;

export interface Failure {
  readonly exitCode: number;
  /** Stable, for scripts. */
  readonly code: string;
  /** For people: what happened and what to do. */
  readonly message: string;
}

const hints: Readonly<Record<string, string>> = {
  auth_required:
    "Give an API key with --key or OCELLI_API_KEY. The hub printed one at its first start, or, without a terminal, wrote it to <data folder>/admin-key (see --data-dir). If it is lost, start the hub with OCELLI_ADMIN_KEY set to a key of your own.",
  auth_failed: "Check the API key (--key, OCELLI_API_KEY).",
  connect_failed: "Is the hub running there? Start it with `ocelli serve`, or name another one with --url.",
  camera_not_found: "`ocelli cameras` lists what is there.",
  file_not_found: "`ocelli files list` lists what is there.",
};

export function failureOf(error: unknown): Failure {
  const code = error instanceof CameraServiceError ? error.condition : codeOf(error);
  const hint = hints[code];
  const message = messageOf(error).replace(/([^.!?…])$/, "$1.");
  return {
    exitCode: exitCodeOf(error, code),
    code,
    message: hint === undefined ? message : `${message}\n${hint}`,
  };
}

function exitCodeOf(error: unknown, code: string): number {
  if (error instanceof ConnectionError || error instanceof TimeoutError) return exitCodes.unreachable;
  if (code === "auth_required" || code === "auth_failed" || code === "permission_denied")
    return exitCodes.refused;
  if (code === "invalid_params" || code === "invalid_filename") return exitCodes.usage;
  return exitCodes.failed;
}
