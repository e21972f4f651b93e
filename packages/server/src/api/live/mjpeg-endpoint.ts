/** `GET /live/{camera}/mjpeg`: the pictures as `multipart/x-mixed-replace`, which an `<img>` shows as video. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { OcelliError } from "@ocelli/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../clock/clock.ts";
import { LiveClosed, type LiveViews } from "../../live/live-views.ts";
import type { JpegPicture } from "../../live/mjpeg-pictures.ts";
import type { Log } from "../../log/log.ts";
import type { Lasting } from "../access.ts";
import { Stay } from "./stay.ts";
import { secondsText } from "./times.ts";

const boundary = "ocelli-picture";

/**
 * Answers with an endless response; an error before the first picture is thrown, a later one ends the connection.
 * @throws OcelliError as `LiveViews.mjpeg`
 */
export async function serveMjpeg(
  options: {
    readonly views: LiveViews;
    readonly clock: Clock;
    readonly log: Log;
    /** Nothing is shown beyond it. */
    readonly lasting: Lasting;
  },
  camera: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const { views, clock, log, lasting } = options;
  using stay = new Stay(lasting, clock);
  const response = reply.raw;
  const { socket } = request.raw;
  const left = new AbortController();
  response.once("close", () => left.abort(new Error("the viewer left")));
  const viewer = request.raw.socket.remoteAddress ?? "unknown";
  let started = false;
  const show = async (picture: JpegPicture, signal: AbortSignal): Promise<void> => {
    stay.assertLasts();
    if (!started) {
      started = true;
      reply.hijack();
      response.writeHead(200, {
        ...corsOf(reply),
        "Content-Type": `multipart/x-mixed-replace; boundary=${boundary}`,
        "Cache-Control": "no-store",
        Connection: "close",
      });
      response.write(`--${boundary}\r\n`);
    }
    writePart(response, picture);
    // The response itself does not know: what is written while corked is not held against the socket.
    if (socket.writableNeedDrain) await drained(socket, signal, clock, views.stallTimeoutMs);
  };
  try {
    const signal = AbortSignal.any([left.signal, stay.signal]);
    await views.mjpeg({ camera, viewer, signal, show });
  } catch (error) {
    if (!started && !left.signal.aborted) throw error;
    if (!left.signal.aborted && !(error instanceof LiveClosed))
      log.info({ err: error, camera }, "a live view ended");
  }
  if (!started) reply.hijack();
  // A stalled viewer would never take the rest.
  if (socket.writableNeedDrain) response.destroy();
  else response.end();
}

/** What was already said to browsers about pages of other sites; a reply taken over would lose it. */
function corsOf(reply: FastifyReply): Record<string, string> {
  const said = Object.entries(reply.getHeaders());
  return Object.fromEntries(
    said.flatMap(([name, value]) => (/^(access-control-|vary$)/.test(name) ? [[name, String(value)]] : [])),
  );
}

/**
 * One part. Browsers show a picture when they see the boundary after it, so that boundary goes along at once
 * instead of with the next picture.
 */
function writePart(response: ServerResponse, { jpeg, capturedAtUs }: JpegPicture): void {
  response.cork();
  response.write(
    `Content-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\nX-Timestamp: ${secondsText(capturedAtUs)}\r\n\r\n`,
  );
  response.write(jpeg);
  response.write(`\r\n--${boundary}\r\n`);
  response.uncork();
}

function drained(socket: Socket, signal: AbortSignal, clock: Clock, stallTimeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      cancel();
      socket.off("drain", onDrain);
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    const onDrain = (): void => done(resolve);
    const onAbort = (): void => done(() => reject(signal.reason));
    const cancel = clock.after(stallTimeoutMs, () =>
      done(() =>
        reject(new OcelliError("reader_too_slow", `the viewer took nothing for ${stallTimeoutMs / 1000} s`)),
      ),
    );
    socket.on("drain", onDrain);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
}
