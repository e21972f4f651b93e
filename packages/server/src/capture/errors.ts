import { OcelliError } from "@ocelli/protocol";

/** Whatever was thrown, as an error of ours naming the source. */
export function asOcelliError(id: string, error: unknown): OcelliError {
  if (error instanceof OcelliError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new OcelliError("capture_failed", `${id}: ${message}`, { cause: error });
}
