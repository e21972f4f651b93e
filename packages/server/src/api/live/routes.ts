/**
 * The live pictures over HTTP: `/live/{camera}/mjpeg`, `/live/{camera}/jpeg`, `/live/{camera}/mse` (WebSocket),
 * and signed short-lived links for places that cannot send headers. Translates only.
 */
import { OcelliError, sentencesOf } from "@ocelli/protocol";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { z } from "zod";
import { limitedCameras } from "../../auth/limited-cameras.ts";
import type { Signer } from "../../auth/signed-links.ts";
import type { Cameras } from "../../cameras/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { LiveViews } from "../../live/live-views.ts";
import type { Log } from "../../log/log.ts";
import type { Snapshots } from "../../snapshots/contract.ts";
import type { Authorize } from "../access.ts";
import { admitted } from "../http-errors.ts";
import type { Upgrades } from "../upgrades.ts";
import { serveMjpeg } from "./mjpeg-endpoint.ts";
import { mseRoute } from "./mse-endpoint.ts";
import { secondsText } from "./times.ts";

export interface LiveRoutesOptions {
  readonly app: FastifyInstance;
  readonly upgrades: Upgrades;
  readonly views: LiveViews;
  readonly cameras: Cameras;
  readonly snapshots: Snapshots;
  readonly authorize: Authorize;
  /** Appends `?exp=…&sig=…` to a path, limited as `signer` is. */
  readonly signLink: (path: string, lifetimeS: number, signer: Signer) => string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Long enough to open the link, too short to be worth passing on. An open view is cut when whoever had it signed ends or is revoked, not when the link expires. */
const linkLifetimeS = 300;

const cameraName = z.object({ camera: z.string().min(1) });
const stillQuery = z.object({ quality: z.coerce.number().int().min(1).max(100).optional() });

export function registerLiveRoutes(options: LiveRoutesOptions): void {
  const { app, upgrades, views, cameras, snapshots, authorize, signLink, clock, log } = options;

  app.get("/live/:camera/mjpeg", { exposeHeadRoute: false }, async (request, reply) => {
    const { who, lasting } = await admitted(authorize, request, "viewer");
    const { id } = limitedCameras(who, cameras).find(parse(cameraName, request.params).camera);
    await serveMjpeg({ views, clock, log, lasting }, id, request, reply);
    return reply;
  });

  app.get("/live/:camera/jpeg", { exposeHeadRoute: false }, async (request, reply) => {
    const { who } = await admitted(authorize, request, "viewer");
    const cameraId = limitedCameras(who, cameras).find(parse(cameraName, request.params).camera).id;
    const { quality } = parse(stillQuery, request.query);
    const still = await snapshots.still({ cameraId, ...(quality === undefined ? {} : { quality }) });
    return reply
      .type(still.contentType)
      .header("Cache-Control", "no-store")
      .header("X-Timestamp", secondsText(still.capturedAtUs))
      .send(still.bytes);
  });

  app.get("/api/live-link", async (request, reply) => {
    const { who, signer } = await admitted(authorize, request, "viewer");
    const { id } = limitedCameras(who, cameras).find(parse(cameraName, request.query).camera);
    const link = (kind: string): string => signLink(`/live/${id}/${kind}`, linkLifetimeS, signer);
    reply.header("Cache-Control", "no-store");
    return {
      camera: id,
      mse: link("mse"),
      mjpeg: link("mjpeg"),
      jpeg: link("jpeg"),
      expires_at: new Date(clock.wallUs() / 1000 + linkLifetimeS * 1000).toISOString(),
    };
  });

  upgrades.add(mseRoute({ views, cameras, authorize, clock, log }));
}

function parse<T>(schema: z.ZodType<T>, value: FastifyRequest["params"] | FastifyRequest["query"]): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new OcelliError("invalid_params", sentencesOf(result.error, value, "The request"));
}
