/** The rate limit of an address for HTTP requests: 429 with `Retry-After`. Admins and health checks always get in. */
import { OcelliError } from "@ocelli/protocol";
import type { FastifyInstance } from "fastify";
import { type Authorize, accessOf } from "../access.ts";
import { sendError } from "../http-errors.ts";
import type { Clients } from "./clients.ts";
import type { RateLimits } from "./rate-limits.ts";

export function registerHttpLimits(options: {
  readonly app: FastifyInstance;
  readonly limits: RateLimits;
  readonly clients: Clients;
  readonly authorize: Authorize;
}): void {
  const { app, limits, clients, authorize } = options;
  app.addHook("onRequest", async (request, reply) => {
    if (/^\/(health|metrics)([/?]|$)/.test(request.url)) return;
    try {
      limits.admit(clients.addressOf(request.raw));
    } catch (error) {
      if ((await accessOf(authorize, request.raw, "admin")) === "granted") return;
      const waitMs = error instanceof OcelliError ? Number(error.details.retry_after_ms) : 1000;
      reply.header("Retry-After", String(Math.ceil(waitMs / 1000)));
      return sendError(reply, error);
    }
  });
}
