/**
 * What is known of a sync session over HTTP, below `/api/sync/sessions/{id}/`: its report as a page and as JSON
 * (`report.html`, `report.json`), and its `metadata.json` as MultiCam controllers write it.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { reportPage } from "../../sync/report/report-page.ts";
import type { SessionFiles } from "../../sync/session-files.ts";
import { sessionMetadata } from "../../sync/session-metadata.ts";
import type { SyncGroups } from "../../sync/sync-groups.ts";
import type { Authorize } from "../access.ts";
import { requireRole, sendError } from "../http-errors.ts";

export interface SyncRoutesOptions {
  readonly app: FastifyInstance;
  readonly authorize: Authorize;
  readonly sync: Pick<SyncGroups, "session">;
  readonly sessionFiles: Pick<SessionFiles, "report">;
}

/** It has no scripts, and nothing from elsewhere: names that devices and clients gave could do nothing in it. */
const policy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function registerSyncRoutes({ app, authorize, sync, sessionFiles }: SyncRoutesOptions): void {
  const serve = (file: string, answer: (id: string, reply: FastifyReply) => Promise<unknown>): void => {
    app.get<{ Params: { id: string } }>(`/api/sync/sessions/:id/${file}`, async (request, reply) => {
      try {
        await requireRole(authorize, request as FastifyRequest, "viewer");
        reply.header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
        return reply.send(await answer(request.params.id, reply));
      } catch (error) {
        return sendError(reply, error);
      }
    });
  };
  serve("report.json", (id) => sessionFiles.report(id));
  serve("report.html", async (id, reply) => {
    const page = reportPage(await sessionFiles.report(id));
    reply
      .type("text/html; charset=utf-8")
      .header("Content-Security-Policy", policy)
      .header("Referrer-Policy", "no-referrer");
    return page;
  });
  serve("metadata.json", async (id) => {
    const session = sync.session(id);
    return sessionMetadata(session, -new Date(session.startAtUs / 1000).getTimezoneOffset());
  });
}
