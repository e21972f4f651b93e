/**
 * RTSP cameras that run all the time, as those on a network do: whoever opens one comes in the middle of its stream. The
 * pictures are those of virtual cameras, with a keyframe a second, made and drawn by ffmpeg; what is here takes its RTP
 * packets and hands them to every client unchanged, over the client's RTSP connection (RFC 2326, interleaved) or by UDP.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { cameraArgs, type DrawnCamera } from "./drawn-cameras.ts";
import { until } from "./hub.ts";

const keyframeMs = 1000;

export interface RtspCamera extends Omit<DrawnCamera, "encoding"> {
  /** Default H.264. */
  readonly encoding?: DrawnCamera["encoding"];
  /** All in one stream of MPEG-TS, as some drones send it. Default false. */
  readonly mpegTs?: boolean;
}

export interface RtspCameras extends AsyncDisposable {
  readonly urls: readonly string[];
  /** Switches all of them off and on again, each at a moment of its own: their frames and keyframes then come at others. */
  restart(): Promise<void>;
}

export function startRtspCameras(count: number, camera: RtspCamera): Promise<RtspCameras> {
  return startDifferentRtspCameras(Array.from({ length: count }, () => camera));
}

export async function startDifferentRtspCameras(cameras: readonly RtspCamera[]): Promise<RtspCameras> {
  const signals = await Promise.all(cameras.map((camera) => Signal.open(camera)));
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

/** Takes packets of a channel: twice the number of the track, one more for its reports. */
interface Client {
  packet(channel: number, packet: Buffer): void;
  close(): void;
}

/** What one camera sends. */
class Signal {
  readonly clients = new Set<Client>();
  sdp = "";
  /** A pair for each track: its packets, its reports. */
  readonly #sockets: readonly UdpSocket[];
  readonly #args: readonly string[];
  readonly #mpegTs: boolean;
  #sequence = 0;
  #ffmpeg: ChildProcess | undefined;

  private constructor(sockets: readonly UdpSocket[], args: readonly string[], mpegTs: boolean) {
    this.#sockets = sockets;
    this.#args = args;
    this.#mpegTs = mpegTs;
    for (const [channel, socket] of sockets.entries()) {
      socket.on("message", (packet) => this.#send(channel, packet));
    }
  }

  static async open({ encoding = "h264", mpegTs = false, ...camera }: RtspCamera): Promise<Signal> {
    const { input, video, audio } = await cameraArgs({ ...camera, encoding });
    if (mpegTs) {
      const stream = ["-flush_packets", "1", "-f", "mpegts", "pipe:1"];
      return new Signal([], [...input, ...video, ...audio, ...stream], true);
    }
    const sockets = await Promise.all(Array.from({ length: audio.length > 0 ? 4 : 2 }, () => boundSocket()));
    const to = (track: number): string[] => {
      const [rtp = 0, rtcp = 0] = sockets.slice(2 * track).map((socket) => socket.address().port);
      return ["-f", "rtp", `rtp://127.0.0.1:${rtp}?rtcpport=${rtcp}&pkt_size=1400`];
    };
    const described = ["-flags", "+global_header"];
    // Parameter sets are in the description, as with most cameras, and before each keyframe.
    const header = encoding === "mjpeg" ? [] : [...described, "-bsf:v", "dump_extra=freq=keyframe"];
    const sound = audio.length > 0 ? [...audio, ...described, ...to(1)] : [];
    return new Signal(sockets, [...input, ...video, ...header, ...to(0), ...sound], false);
  }

  async restart(): Promise<void> {
    await this.#off();
    await sleep(Math.random() * keyframeMs);
    const quiet = ["-nostdin", "-loglevel", "error"];
    const ffmpeg = spawn("setpriv", ["--pdeathsig", "KILL", "ffmpeg", ...quiet, ...this.#args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#ffmpeg = ffmpeg;
    if (this.#mpegTs) {
      this.sdp = described("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=video 0 RTP/AVP 33\n");
      ffmpeg.stdout.on("data", (stream) => this.#packets(stream));
      return;
    }
    let told = "";
    ffmpeg.stdout.on("data", (data) => (told += data));
    const sdp = await until("what ffmpeg says of its RTP", () => /v=0[\s\S]*?\n(?=\r?\n)/.exec(told)?.[0]);
    this.sdp = described(sdp);
  }

  async close(): Promise<void> {
    await this.#off();
    for (const socket of this.#sockets) socket.close();
  }

  /** Sends a piece of MPEG-TS as RTP packets (RFC 2250), what it ends with too. */
  #packets(stream: Buffer): void {
    for (let at = 0; at < stream.length; at += 7 * 188) {
      const header = Buffer.from([0x80, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
      header.writeUInt16BE(this.#sequence++ & 0xffff, 2);
      header.writeUInt32BE(Math.round(performance.now() * 90) >>> 0, 4);
      this.#send(0, Buffer.concat([header, stream.subarray(at, at + 7 * 188)]));
    }
  }

  #send(channel: number, packet: Buffer): void {
    for (const client of this.clients) client.packet(channel, packet);
  }

  async #off(): Promise<void> {
    for (const client of this.clients) client.close();
    if (this.#ffmpeg === undefined) return;
    const closed = once(this.#ffmpeg, "close");
    this.#ffmpeg.kill("SIGKILL");
    await closed;
    this.#ffmpeg = undefined;
  }
}

/** The description that clients are given: each track has a name, and no port of ours. */
function described(sdp: string): string {
  let track = 0;
  const lines = sdp
    .trim()
    .split(/\r?\n/)
    .flatMap((line) => {
      const media = /^(m=\w+) \d+(.*)/.exec(line);
      return media === null ? [line] : [`${media[1]} 0${media[2]}`, `a=control:track${track++}`];
    });
  return lines.map((line) => `${line}\r\n`).join("");
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
  const ports = new Map<number, number>();
  let udp: UdpSocket | undefined;
  const client: Client = {
    packet(channel, packet) {
      if (udp !== undefined) {
        const port = ports.get(channel - (channel % 2));
        if (port !== undefined) udp.send(packet, port + (channel % 2), "127.0.0.1");
        return;
      }
      const head = Buffer.from([0x24, channel, packet.length >> 8, packet.length & 255]);
      socket.write(Buffer.concat([head, packet]));
    },
    close: () => socket.destroy(),
  };
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    chosen?.clients.delete(client);
    udp?.close();
  });
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
      const track = Number(/\/track(\d)/.exec(url)?.[1] ?? 0);
      const port = /client_port=(\d+)/i.exec(request)?.[1];
      if (method === "SETUP" && port !== undefined) {
        udp ??= createSocket("udp4");
        ports.set(2 * track, Number(port));
      }
      socket.write(answerTo(method, url, request, chosen?.sdp));
      if (method === "PLAY") chosen?.clients.add(client);
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
    const transport = /^transport: *(RTP\/AVP[^\r,]*)/im.exec(request)?.[1];
    if (transport === undefined) status = "461 Unsupported Transport";
    else fields.push(`Transport: ${transport}`, "Session: 1");
  } else fields.push("Session: 1");
  return `RTSP/1.0 ${status}\r\n${fields.join("\r\n")}\r\n\r\n${body}`;
}
