/**
 * The rules of file names, once for all protocols: what a client may wish for, how it is completed, and what a
 * file is called when nobody wished. Pure functions; whether a name is free is `library.ts`'s business.
 */
import { posix } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import type { MediaKind } from "./contract.ts";

/** Longest name a client may send, in characters. */
export const maxNameLength = 255;
/**
 * Longest name of a file, in bytes of UTF-8 with its extension. File systems allow 255; `.json` of the sidecar and a
 * mark of what is set aside need the rest.
 */
export const maxNameBytes = 216;

export const sidecarSuffix = ".json";

const videos: ReadonlySet<string> = new Set(["mp4", "mkv", "ts"]);
/** What devices record that is no video: kept among the recordings as it came. */
const enclosures: ReadonlySet<string> = new Set(["zip", "bin"]);

/** Extensions that make a file a medium of its kind; all else in a folder is not the library's. */
const extensions: Readonly<Record<MediaKind, ReadonlySet<string>>> = {
  recording: new Set([...videos, ...enclosures]),
  snapshot: new Set(["jpg", "jpeg", "png"]),
};

const sameExtension: Readonly<Record<string, string>> = { jpeg: "jpg" };

/** `mp4` of `a.b.mp4`, in lower case; empty when there is none. */
export function extensionOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : "";
}

/** A recording that nothing can be shown of. */
export function isEnclosure(name: string): boolean {
  return enclosures.has(extensionOf(name));
}

/** What a file fetched from elsewhere can be called; `bin` where its own extension is not one of the library's. */
export function extensionOfImport(name: string): string {
  const extension = extensionOf(name);
  return extensions.recording.has(extension) ? extension : "bin";
}

/** The name without its media extension: what clients that leave it out ask for. */
export function stemOf(kind: MediaKind, name: string): string {
  const extension = extensionOf(name);
  return extensions[kind].has(extension) ? name.slice(0, -(extension.length + 1)) : name;
}

/**
 * True for a name that belongs in the index. Hidden files (temporary ones among them) do not, nor what somebody put
 * there under a name that no client may ask for.
 */
export function isMediaName(kind: MediaKind, name: string): boolean {
  return extensions[kind].has(extensionOf(name)) && whyRefused(name) === undefined;
}

// Control characters, what other systems forbid, separators, and what turns the direction of text around to
// disguise an extension. A lone surrogate has no UTF-8 form, so two such names could meet on disk.
const forbidden = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"|?*\\/]/u;

/**
 * Refuses what is not a plain base name.
 * @throws OcelliError `invalid_filename`
 */
export function checkName(name: string): void {
  const reason = whyRefused(name);
  if (reason !== undefined) throw invalidName(name, reason);
}

function whyRefused(name: string): string | undefined {
  if (name.trim() === "") return "it is empty";
  if (name.length > maxNameLength) return `it is longer than ${maxNameLength} characters`;
  if (name.startsWith(".")) return "it begins with a dot";
  if (name.includes("..")) return 'it contains ".."';
  const hit = forbidden.exec(name);
  if (hit !== null) {
    const code = hit[0].codePointAt(0) ?? 0;
    const shown = /[<>:"|?*\\/]/.test(hit[0])
      ? hit[0]
      : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    return `it contains ${shown}`;
  }
  return undefined;
}

function invalidName(name: string, reason: string): OcelliError {
  // What a client sent goes to logs and other clients: bounded, and printable.
  const shown = JSON.stringify(name.slice(0, 80));
  return new OcelliError(
    "invalid_filename",
    `The file name ${shown} is not allowed: ${reason}. Use a plain name without folders, such as "front-door".`,
    { details: { filename: name.slice(0, 80), reason } },
  );
}

/**
 * An absolute path inside one of the media folders becomes its base name (older clients send such paths); a plain
 * name is returned as it is; any other path is refused.
 * @throws OcelliError `invalid_filename`
 */
export function toBaseName(wanted: string, mediaFolders: readonly string[]): string {
  if (!wanted.startsWith("/") || wanted.length > 4096) return wanted;
  if (wanted.includes("\0") || wanted.split("/").includes("..")) {
    throw invalidName(wanted, "it is a path that leaves its folder");
  }
  const path = posix.normalize(wanted);
  const inside = mediaFolders.some((folder) =>
    path.startsWith(`${posix.normalize(folder).replace(/\/+$/, "")}/`),
  );
  if (!inside || path.endsWith("/")) throw invalidName(wanted, "it is a path outside the media folder");
  return posix.basename(path);
}

/**
 * The validated name with its extension, which is appended unless it is there already (`.jpeg` counts as `.jpg`).
 * @param extension without the dot
 * @throws OcelliError `invalid_filename`
 */
export function completeName(
  wanted: string,
  extension: string,
  mediaFolders: readonly string[] = [],
): string {
  const base = toBaseName(wanted, mediaFolders);
  checkName(base);
  const found = extensionOf(base);
  const name = (sameExtension[found] ?? found) === extension ? base : `${base}.${extension}`;
  const bytes = Buffer.byteLength(name);
  if (bytes > maxNameBytes) {
    throw invalidName(
      base,
      `with its extension it is ${bytes} bytes long and at most ${maxNameBytes} can be stored`,
    );
  }
  return name;
}

/** `clip.mkv` of `clip.mp4` and `mkv`. */
export function inFormat(kind: MediaKind, name: string, extension: string): string {
  return `${stemOf(kind, name)}.${extension}`;
}

/** `clip_2.mp4` of `clip.mp4` and 2. */
export function withSuffix(name: string, suffix: number): string {
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  const tail = `_${suffix}${extension}`;
  // A name at the limit is shortened rather than refused: the client's wish was a legal one.
  let kept = stem;
  while (Buffer.byteLength(kept) + Buffer.byteLength(tail) > maxNameBytes)
    kept = [...kept].slice(0, -1).join("");
  return `${kept}${tail}`;
}

/**
 * `camera0_2025-01-15_14-30-00` or `camera0_snapshot_2025-01-15_14-30-00`, in local time.
 * @param atUs epoch microseconds
 */
export function defaultStem(kind: MediaKind, cameraId: string, atUs: number): string {
  const at = new Date(Math.floor(atUs / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = `${two(at.getHours())}-${two(at.getMinutes())}-${two(at.getSeconds())}`;
  return `${cameraId}${kind === "snapshot" ? "_snapshot" : ""}_${day}_${time}`;
}

/** The camera a default name tells of, for a file whose sidecar is lost. */
export function cameraOfName(name: string): string | undefined {
  return /^(camera\d{1,6})_/.exec(name)?.[1];
}
