/**
 * `GET /openrpc.json`. Public, also for pages of other sites: it is the same for everybody and holds no secret, only what
 * the documentation says anyway.
 */
import type { FastifyInstance } from "fastify";
import { servedDocument } from "../openrpc-document.ts";

export function registerOpenRpcRoutes(options: {
  readonly app: FastifyInstance;
  readonly version: string;
}): void {
  const { app, version } = options;
  app.get("/openrpc.json", (request, reply) => {
    const { bytes, etag } = servedDocument(version);
    reply.header("ETag", etag).header("Cache-Control", "no-cache").header("Access-Control-Allow-Origin", "*");
    const known = (request.headers["if-none-match"] ?? "").split(",").map((one) => one.trim());
    if (known.includes(etag) || known.includes(`W/${etag}`)) return reply.code(304).send();
    return reply.type("application/json; charset=utf-8").send(bytes);
  });
}
