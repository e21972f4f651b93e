/** The report of a sync session as a page and as JSON: `/api/sync/sessions/{id}/report.html` and `report.json`. */
import type { FastifyInstance } from "fastify";
import { reportPage } from "../../sync/report-page.ts";
import type { SessionFiles } from "../../sync/session-files.ts";
import type { Authorize } from "../access.ts";
import { requireRole, sendError } from "../http-errors.ts";

export interface SyncRoutesOptions {
  readonly app: FastifyInstance;
  readonly authorize: Authorize;
  readonly sessionFiles: Pick<SessionFiles, "report">;
}

export function registerSyncRoutes({ app, authorize, sessionFiles }: SyncRoutesOptions): void {
  for (const form of ["html", "json"] as const) {
    app.get<{ Params: { id: string } }>(`/api/sync/sessions/:id/report.${form}`, async (request, reply) => {
      try {
        await requireRole(authorize, request, "viewer");
        const report = await sessionFiles.report(request.params.id);
        reply.header("Cache-Control", "no-store");
        if (form === "json") return reply.send(report);
        return reply.type("text/html; charset=utf-8").send(reportPage(report));
      } catch (error) {
        return sendError(reply, error);
      }
    });
  }
}
