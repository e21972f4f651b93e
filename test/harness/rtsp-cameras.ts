/**
 * RTSP cameras that run all the time, as those on a network do: whoever opens one comes in the middle of its stream. The
 * pictures are those of virtual cameras, H.264 with a keyframe a second, made and drawn by ffmpeg; what is here takes its
 * RTP packets and hands them to every client over the client's RTSP connection (RFC 2326, interleaved), unchanged.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { VirtualCamera } from "../../packages/server/src/devices/virtual/provider.ts";
import { drawnCamera } from "./drawn-cameras.ts";
import { until } from "./hub.ts";

const keyframeMs = 1000;

export interface RtspCameras extends AsyncDisposable {
  readonly urls: readonly string[];
  /** Switches all of them off and on again, each at a moment of its own: their frames and keyframes then come at others. */
  restart(): Promise<void>;
}

export async function startRtspCameras(
  count: number,
  camera: Omit<VirtualCamera, "codec">,
): Promise<RtspCameras> {
  const signals = await Promise.all(
    Array.from({ length: count }, () => Signal.open({ ...camera, codec: "h264" })),
  );
  const restart = async (): Promise<void> => {
    await Promise.all(signals.map((signal) => signal.restart()));
  };
  await restart();
  const server = createServer((socket) => serve(socket, signals));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    urls: signals.map((_, index) => `rtsp://127.0.0.1:${port}/${index}`),
    restart,
    async [Symbol.asyncDispose]() {
      server.close();
      await Promise.all(signals.map((signal) => signal.close()));
    },
  };
}

/** What one camera sends. */
class Signal {
  readonly clients = new Set<Socket>();
  sdp = "";
  readonly #rtp: UdpSocket;
  /** Nobody reads the source's reports: the stream's own times are all there is. */
  readonly #rtcp: UdpSocket;
  readonly #args: readonly string[];
  #ffmpeg: ChildProcess | undefined;

  private constructor(rtp: UdpSocket, rtcp: UdpSocket, args: readonly string[]) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#args = args;
    rtp.on("message", (packet) => {
      const head = Buffer.from([0x24, 0, packet.length >> 8, packet.length & 255]);
      const framed = Buffer.concat([head, packet]);
      for (const client of this.clients) client.write(framed);
    });
  }

  static async open(camera: VirtualCamera): Promise<Signal> {
    const [rtp, rtcp] = await Promise.all([boundSocket(), boundSocket()]);
    const { input, encode } = await drawnCamera(camera);
    const to = `rtp://127.0.0.1:${rtp.address().port}?rtcpport=${rtcp.address().port}&pkt_size=1400`;
    // Parameter sets are in the description, as with most cameras, and before each keyframe.
    const stream = ["-flags", "+global_header", "-bsf:v", "dump_extra=freq=keyframe", "-f", "rtp", to];
    return new Signal(rtp, rtcp, [...input, ...encode, ...stream]);
  }

  async restart(): Promise<void> {
    await this.#off();
    await sleep(Math.random() * keyframeMs);
    const quiet = ["-nostdin", "-loglevel", "error"];
    const ffmpeg = spawn("setpriv", ["--pdeathsig", "KILL", "ffmpeg", ...quiet, ...this.#args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#ffmpeg = ffmpeg;
    let told = "";
    ffmpeg.stdout.on("data", (data) => (told += data));
    const sdp = await until(
      "what ffmpeg says of its RTP",
      () => /v=0[\s\S]*\na=fmtp:[^\n]*\n/.exec(told)?.[0],
    );
    this.sdp = `${sdp.replace(/^m=video \d+/m, "m=video 0")}a=control:track\n`.replaceAll(/\r?\n/g, "\r\n");
  }

  async close(): Promise<void> {
    await this.#off();
    for (const socket of [this.#rtp, this.#rtcp]) socket.close();
  }

  async #off(): Promise<void> {
    for (const client of this.clients) client.destroy();
    if (this.#ffmpeg === undefined) return;
    const closed = once(this.#ffmpeg, "close");
    this.#ffmpeg.kill("SIGKILL");
    await closed;
    this.#ffmpeg = undefined;
  }
}

async function boundSocket(): Promise<UdpSocket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

/** Answers what a client asks; its own interleaved packets (RTCP reports) are passed over. */
function serve(socket: Socket, signals: readonly Signal[]): void {
  let received = Buffer.alloc(0);
  let chosen: Signal | undefined;
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("close", () => chosen?.clients.delete(socket));
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    for (;;) {
      if (received[0] === 0x24) {
        const length = received.length < 4 ? Number.POSITIVE_INFINITY : 4 + received.readUInt16BE(2);
        if (received.length < length) return;
        received = received.subarray(length);
        continue;
      }
      const end = received.indexOf("\r\n\r\n");
      if (end < 0) return;
      const request = received.toString("latin1", 0, end);
      received = received.subarray(end + 4);
      const [method = "", url = ""] = request.split(" ");
      chosen ??= signals[Number(/:\d+\/(\d+)/.exec(url)?.[1])];
      socket.write(answerTo(method, url, request, chosen?.sdp));
      if (method === "PLAY") chosen?.clients.add(socket);
      if (method === "TEARDOWN") socket.end();
    }
  });
}

function answerTo(method: string, url: string, request: string, sdp: string | undefined): string {
  const fields = [`CSeq: ${/^cseq: *(\d+)/im.exec(request)?.[1] ?? 0}`];
  let status = "200 OK";
  let body = "";
  if (method === "OPTIONS") fields.push("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN");
  else if (sdp === undefined) status = "404 Not Found";
  else if (method === "DESCRIBE") {
    body = sdp;
    fields.push("Content-Type: application/sdp", `Content-Base: ${url}/`, `Content-Length: ${body.length}`);
  } else if (method === "SETUP") {
    const transport = /^transport: *(RTP\/AVP\/TCP[^\r,]*)/im.exec(request)?.[1];
    if (transport === undefined) status = "461 Unsupported Transport";
    else fields.push(`Transport: ${transport}`, "Session: 1");
  } else fields.push("Session: 1");
  return `RTSP/1.0 ${status}\r\n${fields.join("\r\n")}\r\n\r\n${body}`;
}
