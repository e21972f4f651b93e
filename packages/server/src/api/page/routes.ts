/** The page at `/`: files of the web package, which need no credential; everything they show is asked for with one. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { send } from "@fastify/send";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

export interface PageRoutesOptions {
  readonly app: FastifyInstance;
  /** Folder of the built web package; found through the package by default. */
  readonly folder?: string;
}

const policy = [
  "default-src 'self'",
  "connect-src 'self' ws: wss:",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'self'",
].join("; ");

export function registerPageRoutes(options: PageRoutesOptions): void {
  const { app } = options;
  const folder =
    options.folder ?? dirname(createRequire(import.meta.url).resolve("@ocelli/web/package.json"));
  const assets = join(folder, "public");
  const scripts = join(folder, "dist");

  app.get("/", (request, reply) => sendFrom(assets, "index.html", request, reply));
  app.get<{ Params: { name: string } }>("/assets/:name", (request, reply) =>
    sendFrom(assets, request.params.name, request, reply),
  );
  app.get<{ Params: { name: string } }>("/js/:name", (request, reply) =>
    request.params.name.endsWith(".js")
      ? sendFrom(scripts, request.params.name, request, reply)
      : reply.callNotFound(),
  );
}

async function sendFrom(
  root: string,
  name: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  // Nothing here lies in a subfolder.
  const result = await send(request.raw, encodeURIComponent(name), {
    root,
    index: false,
    cacheControl: false,
  });
  if (result.type !== "file") {
    result.stream.destroy();
    reply.callNotFound();
    return reply;
  }
  return (
    reply
      .code(result.statusCode)
      .headers(result.headers)
      // Asked for again each time, answered by 304: a new version of the hub is seen at once.
      .header("Cache-Control", "no-cache")
      .header("Content-Security-Policy", policy)
      .header("Referrer-Policy", "no-referrer")
      .header("X-Content-Type-Options", "nosniff")
      .send(result.stream)
  );
}
