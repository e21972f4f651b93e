/** `GET /api/cameras`: the cameras for programs that ask again and again instead of listening. */
import type { IncomingMessage } from "node:http";
import { messageOf } from "@ocelli/protocol";
import type { FastifyInstance } from "fastify";
import { type Limited, maySee } from "../../auth/camera-limit.ts";
import type { Identity } from "../../auth/identity.ts";
import type { Cameras } from "../../cameras/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { CameraView } from "../../events/catalogue.ts";
import type { Log } from "../../log/log.ts";
import { requireRole } from "../http-errors.ts";

export interface CameraRoutesOptions {
  readonly app: FastifyInstance;
  readonly cameras: Pick<Cameras, "list">;
  readonly authorize: (request: IncomingMessage) => Promise<Pick<Identity, "role" | "cameras"> | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

export function registerCameraRoutes({ app, cameras, authorize, clock, log }: CameraRoutesOptions): void {
  app.get("/api/cameras", async (request, reply) => {
    const identity = await authorize(request.raw);
    // The role is what matters: cameras the credential is not good for are left out below.
    await requireRole(() => identity && { role: identity.role }, request, "viewer");
    const timestamp = new Date(clock.wallUs() / 1000).toISOString();
    reply.header("Cache-Control", "no-store");
    try {
      const views = viewsFor(identity, cameras);
      return {
        status: "healthy",
        timestamp,
        cameras: views.map(shapeOf),
        total: views.length,
        connected: views.filter(({ status }) => status === "CONNECTED").length,
      };
    } catch (error) {
      log.error({ err: error, requestId: request.id }, "the cameras cannot be listed");
      return reply.code(500).send({ status: "unhealthy", timestamp, error: messageOf(error), cameras: [] });
    }
  });
}

function viewsFor(who: Limited, cameras: Pick<Cameras, "list">): CameraView[] {
  return cameras
    .list()
    .filter(({ id }) => maySee(who, id))
    .map((camera) => camera.view());
}

/** As the older servers tell it, with the hub's own id beside. */
function shapeOf({ id, node, name, status, mode }: CameraView) {
  const known = status === "CONNECTED" ? mode : undefined;
  return {
    device: node ?? id,
    camera_id: id,
    status,
    name,
    resolution: known === undefined ? null : `${known.width}x${known.height}`,
    // 0: a network camera whose rate has not been measured yet.
    fps: known === undefined || known.fps === 0 ? null : Math.max(1, Math.floor(known.fps + 1e-6)),
  };
}
