import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { inputOptions } from "../devices/network/inputs.ts";
import { networkDevice } from "../devices/network/network-device.ts";
import { probeStream } from "./stream-probe.ts";

// What a hostile server answers must lead to no file of this machine. The files are named pipes: opening one for
// reading waits for a writer, so that none is ever opened unnoticed; the writer's own open tells that there is a reader.

const clock = new SystemClock();
const mode = { format: "", width: 0, height: 0, fps: 0 };
let folder: string;
let pipe: string;
let playlistPipe: string;
let video: Buffer;
const servers: Server[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-smuggle-"));
  pipe = join(folder, "secret.ts");
  playlistPipe = join(folder, "secret.m3u8");
  execFileSync("mkfifo", [pipe, playlistPipe]);
  const source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=1"];
  const encode = ["-c:v", "libx264", "-g", "5", "-f", "mpegts", "pipe:1"];
  video = execFileSync("ffmpeg", ["-v", "error", ...source, ...encode]);
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function serveHttp(listener: RequestListener): Promise<string> {
  const server = createHttpServer({ keepAlive: false }, listener);
  return `http://127.0.0.1:${await listening(server)}`;
}

/** Whether somebody is about to read one of the pipes. */
function isRead(): boolean {
  return [pipe, playlistPipe].some((path) => {
    try {
      closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
      return true;
    } catch {
      return false;
    }
  });
}

async function watched(work: Promise<unknown>): Promise<{ read: boolean; error: unknown; value: unknown }> {
  let read = false;
  const timer = setInterval(() => {
    read ||= isRead();
  }, 10);
  try {
    const [outcome] = await Promise.allSettled([work]);
    read ||= isRead();
    return outcome?.status === "fulfilled"
      ? { read, error: undefined, value: outcome.value }
      : { read, error: outcome?.reason, value: undefined };
  } finally {
    clearInterval(timer);
  }
}

const probed = (url: string, timeoutMs = 15_000) =>
  probeStream(networkDevice({ url }, { clock, timeoutMs: 5000 }), { clock, ffprobe: "ffprobe", timeoutMs });

/** As a capture opens it: the arguments of the hub, and ffmpeg itself. */
async function captured(url: string): Promise<number> {
  const device = networkDevice({ url }, { clock, timeoutMs: 5000 });
  await device.prepare?.();
  const args = ["-v", "error", ...device.input(mode).args, "-t", "1", "-f", "null", "-"];
  const child = spawn("ffmpeg", args, { stdio: "ignore", timeout: 20_000 });
  const [code] = await once(child, "exit");
  return Number(code);
}

const head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n";
const list = (uri: string) => `${head}#EXTINF:1,\n${uri}\n#EXT-X-ENDLIST\n`;

function manifest(type: string, base: string): string {
  return [
    `<?xml version="1.0"?>${type === "" ? "" : `<!DOCTYPE MPD ${type}>`}`,
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"><Period>',
    '<AdaptationSet contentType="video"><Representation id="1" bandwidth="1">',
    `<BaseURL>${base}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  ].join("");
}

describe("what a server smuggles in", () => {
  const file = () => `file://${pipe}`;
  const cases: readonly (readonly [string, string, () => string])[] = [
    ["a segment that is a file", "/a.m3u8", () => list(file())],
    ["a segment without a scheme's slashes", "/a.m3u8", () => list(`file:${pipe}`)],
    ["a segment behind crypto", "/a.m3u8", () => list(`crypto:${file()}`)],
    ["a segment behind crypto+file", "/a.m3u8", () => list(`crypto+${file()}`)],
    ["a segment behind concat", "/a.m3u8", () => list(`concat:${pipe}|${pipe}`)],
    ["a segment behind subfile", "/a.m3u8", () => list(`subfile,,start,0,end,100,,:${pipe}`)],
    ["a segment behind async", "/a.m3u8", () => list(`async:${file()}`)],
    [
      "a key that is a file",
      "/a.m3u8",
      () => `${head}#EXT-X-KEY:METHOD=AES-128,URI="${file()}"\n#EXTINF:1,\n/v.ts\n#EXT-X-ENDLIST\n`,
    ],
    [
      "a header that is a file",
      "/a.m3u8",
      () => `${head}#EXT-X-MAP:URI="${file()}"\n#EXTINF:1,\n/v.ts\n#EXT-X-ENDLIST\n`,
    ],
    [
      "a playlist in a playlist",
      "/a.m3u8",
      () => `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile://${playlistPipe}\n`,
    ],
    ["a list of ffmpeg's own", "/a.txt", () => `ffconcat version 1.0\nfile '${pipe}'\n`],
    ["a list of ffmpeg's own with a URL", "/a.txt", () => `ffconcat version 1.0\nfile '${file()}'\n`],
    ["a DASH manifest", "/a.mpd", () => manifest("", file())],
    ["an entity of a DASH manifest", "/a.mpd", () => manifest(`[<!ENTITY x SYSTEM "${file()}">]`, "&x;")],
    ["the document type of a DASH manifest", "/a.mpd", () => manifest(`SYSTEM "${file()}"`, "v.ts")],
    [
      "a session description",
      "/a.sdp",
      () =>
        `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\na=control:${file()}\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n`,
    ],
  ];

  it.each(cases)("as %s opens no file", async (_what, path, body) => {
    const base = await serveHttp((request, response) => {
      const isVideo = request.url === "/v.ts";
      response.writeHead(200, { "content-type": isVideo ? "video/mp2t" : "application/octet-stream" });
      response.end(isVideo ? video : body());
    });
    const looked = await watched(probed(base + path));
    expect(looked.read).toBe(false);
    const taken = await watched(captured(base + path));
    expect(taken.read).toBe(false);
  });

  it("would be noticed: with files allowed the same list does open it", async () => {
    const base = await serveHttp((_request, response) =>
      response.end(`ffconcat version 1.0\nfile '${file()}'\n`),
    );
    const allowed = ["-v", "error", "-protocol_whitelist", "file,http,tcp", "-safe", "0", "-f", "concat"];
    const child = spawn("ffprobe", [...allowed, "-i", `${base}/a.txt`], { stdio: "ignore" });
    const ended = once(child, "exit");
    const opened = new Promise<boolean>((resolve) => {
      const timer = setInterval(() => {
        if (!isRead()) return;
        clearInterval(timer);
        resolve(true);
      }, 10);
      void ended.then(() => {
        clearInterval(timer);
        resolve(false);
      });
    });
    expect(await opened).toBe(true);
    child.kill("SIGKILL");
    await ended;
  });

  it("as a redirection opens no file, over HTTP and RTSP", async () => {
    const http = await serveHttp((_request, response) => {
      response.writeHead(302, { location: `file://${pipe}` }).end();
    });
    const rtsp = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        const sequence = /CSeq: (\d+)/i.exec(String(data))?.[1] ?? "1";
        socket.end(`RTSP/1.0 302 Found\r\nCSeq: ${sequence}\r\nLocation: file://${pipe}\r\n\r\n`);
      });
    });
    for (const url of [`${http}/video`, `rtsp://127.0.0.1:${await listening(rtsp)}/a`]) {
      const looked = await watched(probed(url));
      expect([url, looked.read, looked.error]).toEqual([
        url,
        false,
        expect.objectContaining({ code: "capture_failed" }),
      ]);
      expect((await watched(captured(url).catch(() => 1))).read).toBe(false);
    }
  });
});

describe("a stream", () => {
  it("is told by its codec, size and rate", async () => {
    const base = await serveHttp((_request, response) => {
      response.writeHead(200, { "content-type": "video/mp2t" }).end(video);
    });
    expect(await probed(`${base}/v.ts`)).toEqual({
      ...{ codec: "h264", width: 160, height: 120, fps: 10, audio: false },
    });
  });

  it("of pieces in a playlist is taken", async () => {
    const base = await serveHttp((request, response) => {
      response.end(request.url === "/v.ts" ? video : list("/v.ts"));
    });
    expect(await probed(`${base}/a.m3u8`)).toMatchObject({ codec: "h264", width: 160 });
  });

  it("the hub cannot take is refused by its codec", async () => {
    const old = execFileSync("ffmpeg", [
      ...["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=1"],
      ...["-c:v", "mpeg2video", "-f", "mpegts", "pipe:1"],
    ]);
    const base = await serveHttp((_request, response) => {
      response.writeHead(200, { "content-type": "video/mp2t" }).end(old);
    });
    await expect(probed(`${base}/v.ts`)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("mpeg2video"),
    });
  });

  it("that never ends saying nothing is given up, in time and bytes", async () => {
    let sent = 0;
    const noise = Buffer.alloc(65_536, 0x55);
    const base = await serveHttp((_request, response) => {
      response.writeHead(200, { "content-type": "video/mp2t" });
      const more = (): void => {
        if (response.destroyed) return;
        sent += noise.length;
        if (response.write(noise)) setImmediate(more);
        else response.once("drain", more);
      };
      more();
    });
    await expect(probed(`${base}/v.ts`)).rejects.toMatchObject({ code: "capture_failed" });
    // What ffprobe may read, and what the sockets of both sides take on top of it.
    expect(sent).toBeLessThan(40_000_000);
  });

  it("that is silent is given up in time, with what to check", async () => {
    const port = await listening(createServer((socket) => void socket.on("error", () => undefined)));
    const failure = probed(`rtsp://admin:s3cret@127.0.0.1:${port}/a`, 500);
    await expect(failure).rejects.toMatchObject({
      code: "capture_failed",
      message: expect.stringMatching(/^(?!.*s3cret).*Check its address, port, path and password/),
    });
  });

  it("is not waited for once the caller gives up", async () => {
    const port = await listening(createServer((socket) => void socket.on("error", () => undefined)));
    const device = networkDevice({ url: `rtsp://127.0.0.1:${port}/a` }, { clock });
    const leaving = new AbortController();
    const looking = probeStream(device, {
      clock,
      ffprobe: "ffprobe",
      timeoutMs: 60_000,
      signal: leaving.signal,
    });
    const reason = new Error("gone");
    leaving.abort(reason);
    await expect(looking).rejects.toBe(reason);
  });

  it("is opened by ffprobe with the limits of its capture", () => {
    const input = networkDevice({ url: "http://h/a.m3u8" }, { clock }).input(mode);
    const { options, url } = inputOptions(input);
    expect(url).toBe("http://h/a.m3u8");
    expect(options.join(" ")).toMatch(/-protocol_whitelist http,https,tcp,tls,crypto,data -format_whitelist/);
  });
});
