/** `GET /metrics` for Prometheus. */
import type { IncomingMessage } from "node:http";
import { OcelliError } from "@ocelli/protocol";
import type { FastifyInstance } from "fastify";
import type { Identity } from "../../auth/identity.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import { requireRole } from "../http-errors.ts";

export interface MetricsRoutesOptions {
  readonly app: FastifyInstance;
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  readonly authorize: (request: IncomingMessage) => Promise<Pick<Identity, "role" | "cameras"> | undefined>;
  /** Whether this address may read without a credential. */
  readonly isAllowed: (address: string | undefined) => boolean;
}

export function registerMetricsRoutes({ app, metrics, authorize, isAllowed }: MetricsRoutesOptions): void {
  app.get("/metrics", { exposeHeadRoute: false }, async (request, reply) => {
    // The socket's own address: a header can claim any.
    if (!isAllowed(request.raw.socket.remoteAddress)) {
      const identity = await authorize(request.raw);
      await requireRole(() => identity, request, "viewer");
      // The figures are of all cameras.
      if (identity?.cameras !== undefined) {
        throw new OcelliError(
          "permission_denied",
          "The metrics tell of every camera, and this credential is limited to some. Use another one.",
        );
      }
    }
    return reply
      .header("Cache-Control", "no-store")
      .type(metrics.contentType)
      .send(await metrics.text());
  });
}
