/**
 * The one Fastify instance all HTTP adapters register on. It is never told to listen: `listener.ts` opens the
 * addresses and passes requests to it.
 */
import { randomUUID } from "node:crypto";
import { OcelliError } from "@ocelli/protocol";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import type { Log } from "../log/log.ts";
import { pathOf } from "./answers.ts";
import { sendError } from "./http-errors.ts";

export function createHttpApp(options: { readonly log: Log }): FastifyInstance {
  const { log } = options;
  const app = Fastify({
    logger: false,
    // No route takes a body; one is read before anybody asks who sends it.
    bodyLimit: 1024,
    routerOptions: { maxParamLength: 4096 },
    genReqId: (request) => requestIdOf(request.headers["x-request-id"]),
    rewriteUrl: (request) => percentEncoded(request.url ?? "/"),
    // A request target that cannot be decoded never reaches a route.
    frameworkErrors: (_error, request, reply) => {
      const isFile = request.raw.url?.startsWith("/files/") === true;
      // The types of Fastify tie this reply to a route's schema, and there is no route here.
      (reply as unknown as FastifyReply)
        .code(400)
        .type("text/plain; charset=utf-8")
        .send(isFile ? "Invalid filename" : "Bad request");
    },
  });
  app.addHook("onRequest", async (request, reply) => {
    // Not a header of the reply: answers that are written past it carry the id too.
    reply.raw.setHeader("X-Request-Id", request.id);
  });
  app.setNotFoundHandler((_request, reply) => {
    reply.code(404).type("text/plain; charset=utf-8").send("Not found");
  });
  app.setErrorHandler((error: unknown, request, reply) => {
    if (error instanceof OcelliError) return sendError(reply, error);
    const status = clientStatusOf(error);
    if (status !== undefined) {
      return reply
        .code(status)
        .type("text/plain; charset=utf-8")
        .send((error as Error).message);
    }
    const { id: requestId, method } = request;
    log.error({ err: error, requestId, method, path: pathOf(request.url) }, "a request failed");
    return sendError(reply, error);
  });
  return app;
}

/** The 4xx status of an error of Fastify itself (body too large, bad content type…), which is safe to show. */
function clientStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("statusCode" in error)) return undefined;
  const status = error.statusCode;
  return typeof status === "number" && status >= 400 && status < 500 ? status : undefined;
}

/** The caller's own, if it is one that can do no harm in a log; else a new one. */
function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === "string" && /^[\w.:/+=@-]{1,128}$/.test(given) ? given : randomUUID();
}

/** Old clients do not percent-encode file names: a `%` that begins no escape stands for itself. */
function percentEncoded(url: string): string {
  return url.replace(/%(?![0-9a-fA-F]{2})/g, "%25");
}
