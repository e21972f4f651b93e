/** Notes how each HTTP request ended, also those that were broken off: for the log and for whoever counts. */
import type { FastifyInstance } from "fastify";
import type { Clock } from "../clock/clock.ts";
import type { Log } from "../log/log.ts";

export interface AnswersOptions {
  readonly app: FastifyInstance;
  readonly clock: Clock;
  /** Each answer is a line at `debug`. */
  readonly log: Log;
  /** @param route its pattern; `undefined` where there is none */
  readonly onAnswer: (method: string, route: string | undefined, status: number) => void;
}

export function watchAnswers({ app, clock, log, onAnswer }: AnswersOptions): void {
  app.addHook("onRequest", async (request, reply) => {
    const startedMonoUs = clock.monoUs();
    const { raw } = reply;
    // The one event that comes in any case: of a broken-off answer nothing finishes.
    raw.once("close", () => {
      onAnswer(request.method, request.routeOptions.url, raw.statusCode);
      if (!log.isLevelEnabled("debug")) return;
      log.debug(
        {
          ...{ requestId: request.id, peer: request.raw.socket.remoteAddress, method: request.method },
          ...{ path: pathOf(request.url), status: raw.statusCode },
          ms: Math.round((clock.monoUs() - startedMonoUs) / 100) / 10,
          ...(raw.writableFinished ? {} : { brokenOff: true }),
        },
        "request",
      );
    });
  });
}

/** Without the query, which may hold a signature. */
export function pathOf(url: string): string {
  return url.split("?", 1)[0]?.slice(0, 500) ?? "";
}
