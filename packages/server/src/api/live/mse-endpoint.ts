/** `GET /live/{camera}/mse`: translates one WebSocket to an MSE session and its end to a close code. */
import type { IncomingMessage } from "node:http";
import { codeOf, messageOf, OcelliError } from "@ocelli/protocol";
import type { WebSocket } from "ws";
import { limitedCameras } from "../../auth/limited-cameras.ts";
import type { Cameras } from "../../cameras/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import { LiveClosed, type LiveViews } from "../../live/live-views.ts";
import type { MseMessage, MseSink } from "../../live/mse-messages.ts";
import type { Log } from "../../log/log.ts";
import type { VideoCodec } from "../../media/fragment.ts";
import { type Authorize, admissionOf } from "../access.ts";
import type { PathParams, UpgradeRoute } from "../upgrades.ts";
import { Stay } from "./stay.ts";

export interface MseEndpointOptions {
  readonly views: LiveViews;
  readonly cameras: Cameras;
  readonly authorize: Authorize;
  readonly clock: Clock;
  readonly log: Log;
}

const pingEveryMs = 20_000;
const closeGraceMs = 2000;

export function mseRoute(options: MseEndpointOptions): UpgradeRoute {
  return {
    path: "/live/:camera/mse",
    maxPayloadBytes: 1024,
    accept: (socket, request, params) => {
      void serve(options, socket, request, params);
    },
  };
}

async function serve(
  options: MseEndpointOptions,
  socket: WebSocket,
  request: IncomingMessage,
  params: PathParams,
): Promise<void> {
  const { views, cameras, authorize, clock, log } = options;
  const left = new AbortController();
  socket.on("close", () => left.abort(new Error("the viewer left")));
  const stopPing = keepAlive(socket, clock);
  const sink = socketSink(socket, left);
  try {
    const { access, who, lasting } = await admissionOf(authorize, request, "viewer");
    if (access !== "granted") {
      throw new OcelliError(
        access === "forbidden" ? "permission_denied" : "auth_required",
        "Authentication required: use a fresh link from GET /api/live-link, or send the API key as a header",
      );
    }
    const accepts = acceptedCodecs(request);
    const viewer = request.socket.remoteAddress ?? "unknown";
    const camera = limitedCameras(who, cameras).find(params.camera ?? "").id;
    using stay = new Stay(lasting, clock);
    const signal = AbortSignal.any([left.signal, stay.signal]);
    await views.mse({ camera, viewer, signal, accepts, sink: lastingAsLongAs(stay, sink) });
    socket.close(1000, "The camera is closed");
  } catch (error) {
    if (left.signal.aborted) return;
    if (error instanceof LiveClosed) {
      socket.close(1001, "Server shutdown");
    } else {
      if (codeOf(error) === "internal") log.error({ err: error }, "a live view failed");
      await farewell(socket, sink, error);
    }
  } finally {
    stopPing();
    // A viewer that reads nothing does not read the close frame either.
    if (socket.readyState !== socket.CLOSED) {
      const cancel = clock.after(closeGraceMs, () => socket.terminate());
      socket.once("close", cancel);
    }
  }
}

async function farewell(socket: WebSocket, sink: MseSink, error: unknown): Promise<void> {
  const code = codeOf(error);
  const text = code === "internal" ? "Internal error; the hub's log says more" : messageOf(error);
  // Not awaited: on a stalled connection it would never be written.
  sink.text({ type: "error", code, message: text }).catch(() => {});
  const closeCode =
    code === "internal" ? 1011 : code === "auth_required" || code === "permission_denied" ? 1008 : 1013;
  socket.close(closeCode, code);
}

/** `?codecs=h264,hevc,av1`: families the viewer can play; H.264 when it does not say. */
function acceptedCodecs(request: IncomingMessage): ReadonlySet<VideoCodec> {
  const query = new URL(request.url ?? "/", "http://hub").searchParams.get("codecs");
  const accepted = new Set<VideoCodec>();
  for (const name of query?.split(",") ?? []) {
    if (name === "h264" || name === "hevc" || name === "av1") accepted.add(name);
  }
  return accepted.size === 0 ? new Set(["h264"]) : accepted;
}

function socketSink(socket: WebSocket, left: AbortController): MseSink {
  const send = (data: string | Buffer, binary: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      socket.send(data, { binary, compress: false }, (error) => {
        if (!error) return resolve();
        // What was on its way fails before the socket tells that it is closed.
        left.abort(error);
        reject(error);
      });
    });
  return {
    text: (message: MseMessage) => send(JSON.stringify(message), false),
    binary: (bytes) => send(bytes, true),
  };
}

/** Nothing more is shown to somebody whose credential no longer counts. */
function lastingAsLongAs(stay: Stay, sink: MseSink): MseSink {
  const checked = async (send: () => Promise<void>): Promise<void> => {
    stay.assertLasts();
    return send();
  };
  return {
    text: (message) => checked(() => sink.text(message)),
    binary: (bytes) => checked(() => sink.binary(bytes)),
  };
}

/** A peer that vanished without a word is noticed by its missing pong. */
function keepAlive(socket: WebSocket, clock: Clock): () => void {
  let answered = true;
  socket.on("pong", () => {
    answered = true;
  });
  return clock.every(pingEveryMs, () => {
    if (!answered && socket.bufferedAmount === 0) {
      socket.terminate();
      return;
    }
    answered = false;
    if (socket.readyState === socket.OPEN) socket.ping();
  });
}
