import { OcelliError } from "@ocelli/protocol";
import type { MediaKind } from "./contract.ts";

export function fileNotFound(kind: MediaKind, filename: string): OcelliError {
  const what = kind === "recording" ? "Recording" : "Snapshot";
  return new OcelliError("file_not_found", `${what} file not found: ${filename}`, {
    details: { filename, resource: kind },
  });
}
