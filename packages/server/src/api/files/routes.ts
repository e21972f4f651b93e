/**
 * Downloads of recordings and snapshots (`/files/recordings/{name}`, `/files/snapshots/{name}`) and of a
 * recording's frame times (`…/frames.csv`). A name from the network is looked up in the library; the path comes
 * from the library's entry and must still lie in its folder after symbolic links.
 */
import { realpath } from "node:fs/promises";
import { relative, sep } from "node:path";
import { Readable } from "node:stream";
import { send } from "@fastify/send";
import { codeOf, messageOf } from "@ocelli/protocol";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type LibraryReader, limitedLibrary } from "../../auth/limited-media.ts";
import type { Library, MediaEntry, MediaKind } from "../../library/contract.ts";
import type { Digests } from "../../library/digests.ts";
import type { Log } from "../../log/log.ts";
import { type Authorize, admissionOf } from "../access.ts";
import { httpStatusOf } from "../http-errors.ts";
import { attachment } from "./content-disposition.ts";

export interface FileRoutesOptions {
  readonly app: FastifyInstance;
  readonly library: Library;
  readonly authorize: Authorize;
  /** Lines of the frame-times table of a recording, with header line; works while the file grows. */
  readonly frameTimesCsv: (path: string) => AsyncIterable<string>;
  /** Digests of finished files, for those who check what they got. None are told by default. */
  readonly digests?: Pick<Digests, "of">;
  readonly log: Log;
}

const contentTypes: Readonly<Record<string, string>> = {
  mp4: "video/mp4",
  fmp4: "video/mp4",
  mkv: "video/x-matroska",
  ts: "video/mp2t",
  zip: "application/zip",
  bin: "application/octet-stream",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
};
const defaultTypes: Readonly<Record<MediaKind, string>> = { recording: "video/mp4", snapshot: "image/jpeg" };
const otherMethods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const framesSuffix = "/frames.csv";

export function registerFileRoutes(options: FileRoutesOptions): void {
  for (const kind of ["recording", "snapshot"] as const) {
    const url = `/files/${kind}s/*`;
    options.app.route({
      method: ["GET", "HEAD"],
      url,
      handler: (request, reply) => serve(options, kind, request, reply),
    });
    options.app.route({
      method: otherMethods,
      url,
      handler: (_request, reply) => refuse(reply.header("Allow", "GET, HEAD"), 405, "Method not allowed"),
    });
  }
}

async function serve(
  options: FileRoutesOptions,
  kind: MediaKind,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { authorize, log } = options;
  try {
    const { access, who } = await admissionOf(authorize, request.raw, "viewer");
    if (access === "unauthenticated") {
      return refuse(reply.header("WWW-Authenticate", "Bearer"), 401, "Authentication required");
    }
    if (access === "forbidden") return refuse(reply, 403, "Permission denied");
    const library = limitedLibrary(who, options.library);
    const name = nameOf(request.params);
    if (name === undefined) return refuse(reply, 400, "Invalid filename");
    const wantsTimes = kind === "recording" && name.endsWith(framesSuffix);
    const entry = find(library, kind, wantsTimes ? name.slice(0, -framesSuffix.length) : name);
    if (entry === undefined) return refuse(reply, 404, "File not found");
    const place = await placeOf(library.folder(kind), entry.path);
    if (place === undefined) return refuse(reply, 404, "File not found");
    return wantsTimes
      ? await sendFrameTimes(options, entry, reply)
      : await sendFile(options, kind, entry, place, request, reply);
  } catch (error) {
    log.error({ err: error, kind }, "a download failed");
    return refuse(reply, 500, "Internal server error");
  }
}

/** The wildcard part of the path, decoded. `undefined` for what can never be a name. */
function nameOf(params: unknown): string | undefined {
  if (typeof params !== "object" || params === null || !("*" in params)) return undefined;
  const name = params["*"];
  if (typeof name !== "string" || name === "") return undefined;
  return name.includes("..") || name.startsWith("/") || name.includes("\0") ? undefined : name;
}

function find(library: LibraryReader, kind: MediaKind, name: string): MediaEntry | undefined {
  try {
    return library.get(kind, name);
  } catch (error) {
    const code = codeOf(error);
    if (code === "file_not_found" || code === "invalid_filename") return undefined;
    throw error;
  }
}

/** Folder and path inside it, both without symbolic links; `undefined` when missing or outside. */
async function placeOf(folder: string, path: string): Promise<{ root: string; inside: string } | undefined> {
  try {
    const root = await realpath(folder);
    const inside = relative(root, await realpath(path));
    if (inside === "" || inside === ".." || inside.startsWith(`..${sep}`)) return undefined;
    return { root, inside };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function sendFile(
  options: FileRoutesOptions,
  kind: MediaKind,
  entry: MediaEntry,
  place: { root: string; inside: string },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  // Many clients send `Cache-Control: no-cache` with a condition of their own; the library would then ignore the condition.
  delete request.raw.headers["cache-control"];
  const digest = entry.state === "recording" ? undefined : await digestOf(options, entry);
  const urlPath = place.inside.split(sep).map(encodeURIComponent).join("/");
  const result = await send(request.raw, urlPath, {
    root: place.root,
    index: false,
    cacheControl: false,
    contentType: false,
    dotfiles: "allow",
    highWaterMark: 256 * 1024,
  });
  if (result.type !== "file") {
    result.stream.destroy();
    return refuseAs(result.statusCode, result.headers, reply);
  }
  reply.code(result.statusCode).headers(result.headers).header("Cache-Control", "private, no-cache");
  // Of the whole file, also beside a part of it (RFC 9530).
  if (digest !== undefined) reply.header("Repr-Digest", `sha-256=:${digest}:`);
  if (result.statusCode !== 304) {
    const extension = entry.filename.slice(entry.filename.lastIndexOf(".") + 1).toLowerCase();
    reply
      .header("Content-Type", contentTypes[extension] ?? defaultTypes[kind])
      .header("Content-Disposition", attachment(entry.filename))
      .header("X-Content-Type-Options", "nosniff");
  }
  if (Number(result.headers["Content-Length"]) !== 0) return reply.send(result.stream);
  // The library would read one byte of a file that has grown since; none was announced.
  result.stream.destroy();
  return reply.send("");
}

async function digestOf(options: FileRoutesOptions, entry: MediaEntry): Promise<string | undefined> {
  try {
    return await options.digests?.of(entry.path);
  } catch (error) {
    // What is wrong with the file shows when it is sent.
    options.log.debug({ err: error }, "a file has no digest");
    return undefined;
  }
}

function refuseAs(
  status: number,
  headers: Readonly<Record<string, string>>,
  reply: FastifyReply,
): FastifyReply {
  if (status === 416) {
    return refuse(reply.header("Content-Range", headers["Content-Range"]), 416, "Range not satisfiable");
  }
  if (status === 412) return refuse(reply, 412, "Precondition failed");
  return status >= 500 ? refuse(reply, 500, "Internal server error") : refuse(reply, 404, "File not found");
}

async function sendFrameTimes(
  options: FileRoutesOptions,
  entry: MediaEntry,
  reply: FastifyReply,
): Promise<FastifyReply> {
  try {
    // An answer that has begun cannot be refused any more.
    for await (const lines of options.frameTimesCsv(entry.path)) if (lines !== "") break;
  } catch (error) {
    if (codeOf(error) === "unsupported") return refuse(reply, httpStatusOf(error), messageOf(error));
    throw error;
  }
  const filename = `${entry.filename.replace(/\.[^.]*$/, "")}_frames.csv`;
  return reply
    .code(200)
    .type("text/csv; charset=utf-8")
    .header("Content-Disposition", attachment(filename))
    .header("Cache-Control", "private, no-cache")
    .send(Readable.from(options.frameTimesCsv(entry.path), { objectMode: false }));
}

function refuse(reply: FastifyReply, status: number, text: string): FastifyReply {
  return reply.code(status).type("text/plain; charset=utf-8").header("Cache-Control", "no-store").send(text);
}
