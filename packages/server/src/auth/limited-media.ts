/** Files and policies, as somebody limited to some cameras sees them. See `limited-cameras.ts`. */
import { basename } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { Library, MediaEntry } from "../library/contract.ts";
import { fileNotFound } from "../library/not-found.ts";
import type { Retention } from "../library/retention.ts";
import type { Exports } from "../recording/contract.ts";
import { assertMaySee, type Limited, maySee } from "./camera-limit.ts";

/** What adapters may do with the library: what makes files is not among it. */
export type LibraryReader = Pick<Library, "folder" | "get" | "page" | "delete">;

export function limitedLibrary(who: Limited, library: LibraryReader): LibraryReader {
  const allowed = who?.cameras;
  if (allowed === undefined) return library;
  const get: Library["get"] = (kind, filename): MediaEntry => {
    const entry = library.get(kind, filename);
    if (!maySee(who, entry.cameraId)) throw fileNotFound(kind, basename(filename));
    return entry;
  };
  return {
    folder: (kind) => library.folder(kind),
    get,
    page(kind, { cameraId, ...options }) {
      if (cameraId === undefined) return library.page(kind, { ...options, cameraIds: allowed });
      if (!maySee(who, cameraId)) return { entries: [], total: 0 };
      return library.page(kind, { ...options, cameraId });
    },
    async delete(kind, filename) {
      return library.delete(kind, get(kind, filename).filename);
    },
  };
}

export function limitedExports(library: LibraryReader, exports: Pick<Exports, "run">): Pick<Exports, "run"> {
  return {
    async run(request) {
      const { filename } = library.get("recording", request.filename);
      return exports.run({ ...request, filename });
    },
  };
}

type RetentionControl = Pick<Retention, "policies" | "set" | "cleanup">;

export function limitedRetention(who: Limited, retention: RetentionControl): RetentionControl {
  if (who?.cameras === undefined) return retention;
  return {
    /** The policy for all cameras holds for these too. */
    policies: () => retention.policies().filter(({ cameraId }) => maySee(who, cameraId)),
    set(scoped) {
      if (scoped.cameraId === undefined) throw needsAllCameras("A policy for every camera");
      assertMaySee(who, scoped.cameraId);
      retention.set(scoped);
    },
    async cleanup() {
      throw needsAllCameras("Cleaning up the files of every camera");
    },
  };
}

/** @param what begins the sentence */
export function needsAllCameras(what: string): OcelliError {
  return new OcelliError(
    "permission_denied",
    `${what} needs a credential for all cameras; this one is limited to some.`,
  );
}
