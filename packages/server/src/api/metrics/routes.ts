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
  /** Whether its sender may read without a credential. */
  readonly isAllowed: (request: IncomingMessage) => boolean;
}

export function registerMetricsRoutes({ app, metrics, authorize, isAllowed }: MetricsRoutesOptions): void {
  app.get("/metrics", { exposeHeadRoute: false }, async (request, reply) => {
    if (!isAllowed(request.raw)) {
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
