/** Addresses and refusals of downloads. */
import { AuthenticationError, type CameraServiceError, MediaMTXError, ValidationError } from "./errors.ts";

export type FileType = "recordings" | "snapshots";

/**
 * @param origin `http://host:8080`
 * @throws MediaMTXError for a kind of file there is not
 * @throws ValidationError for a name that leads elsewhere
 */
export function fileUrl(origin: string, fileType: string, filename: string): URL {
  if (fileType !== "recordings" && fileType !== "snapshots") {
    throw new MediaMTXError(`Invalid file type: ${fileType}. Must be 'recordings' or 'snapshots'`, {
      condition: "invalid_params",
    });
  }
  const parts = filename.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..") || filename.includes("\0")) {
    throw new ValidationError(`Invalid filename: ${filename}`, { condition: "invalid_filename" });
  }
  return new URL(`/files/${fileType}/${parts.map(encodeURIComponent).join("/")}`, origin);
}

export function refusal(status: number, filename: string): CameraServiceError {
  const facts = { data: { status, filename } };
  if (status === 404) {
    return new MediaMTXError(`File not found: ${filename}`, { ...facts, condition: "file_not_found" });
  }
  if (status === 401) {
    return new AuthenticationError("The download needs a valid token or API key", {
      ...facts,
      condition: "auth_required",
    });
  }
  return new MediaMTXError(`Download failed with status ${status}`, {
    ...facts,
    condition: status === 403 ? "permission_denied" : "download_failed",
  });
}

/** How the credential is sent with HTTP requests and the upgrade. */
export function credentialHeaders(
  authType: "jwt" | "api_key",
  credential: string | undefined,
): Record<string, string> {
  if (credential === undefined) return {};
  return authType === "jwt" ? { Authorization: `Bearer ${credential}` } : { "X-API-Key": credential };
}
