import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../../clock/system-clock.ts";
import type { CaptureInput, Device, DeviceEvent } from "../device.ts";
import { networkDevice } from "./network-device.ts";
import { type NetworkCamera, NetworkProvider } from "./provider.ts";

const run = promisify(execFile);
const clock = new SystemClock();
const mode = { format: "", width: 0, height: 0, fps: 0 };
let dir: string;
const servers: Server[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "ocelli-net-"));
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(dir, { recursive: true, force: true });
});

async function found(...cameras: NetworkCamera[]): Promise<Device[]> {
  const devices: Device[] = [];
  const provider = new NetworkProvider({ cameras, clock, timeoutMs: 1000 });
  await provider.start((event) => devices.push(event.device));
  return devices;
}

async function only(camera: NetworkCamera): Promise<Device> {
  const [device] = await found(camera);
  if (device === undefined) throw new Error("no device");
  return device;
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `127.0.0.1:${address.port}`;
}

describe("credentials", () => {
  const url = "rtsp://admin:p%40ss%2Fword@10.0.0.5:554/stream?x=1";

  it("are in nothing but the arguments, and named there as secrets", async () => {
    const device = await only({ url });
    const { input, ...visible } = device;
    expect(JSON.stringify(visible)).not.toMatch(/p%40ss|p@ss|admin/);
    expect(device.identity.busPath).toBe("rtsp://10.0.0.5:554/stream?x=1");
    const { args, secrets } = input(mode);
    expect(args).toContain(url);
    expect(secrets).toEqual(["admin:p%40ss%2Fword", "p%40ss%2Fword", "p@ss/word"]);
  });

  it("in the path or query are in nothing but the arguments either", async () => {
    const address = await serve((_request, response) => response.writeHead(404).end());
    for (const url of [
      `http://${address}/video.cgi?user=admin&pwd=pa55w0rd`,
      "rtsp://h/user=admin&password=pa55w0rd&channel=1.sdp",
    ]) {
      const device = await only({ url });
      expect(device.input(mode).args).toContain(url);
      const { input: _, ...visible } = device;
      expect(JSON.stringify(visible)).not.toContain("pa55w0rd");
      const failure = await device.prepare?.().catch((error: unknown) => error);
      expect(JSON.stringify([String(failure), failure])).not.toContain("pa55w0rd");
    }
  });

  it("are in no error", () => {
    const cameras = [{ name: "door", url: "gopher://admin:secret@h/" }];
    expect(() => new NetworkProvider({ cameras, clock })).toThrow(/"door" must begin with rtsp/);
    for (const url of ["rtsp://", "file://videos/a.mp4", "http://u:p#s@h/"]) {
      expect(() => new NetworkProvider({ cameras: [{ name: "door", url }], clock })).toThrow(
        expect.objectContaining({ code: "config_invalid", message: expect.stringContaining('"door"') }),
      );
    }
    expect(() => new NetworkProvider({ cameras: [{ url: "not a url secret" }], clock })).toThrow(
      expect.objectContaining({ code: "config_invalid", message: expect.not.stringContaining("secret") }),
    );
  });
});

describe("network cameras", () => {
  it("are told apart even when configured twice, and keep the configured name and number", async () => {
    const devices = await found(
      { url: "rtsp://h/a", name: "door", number: 107 },
      { url: "rtsp://h/a" },
      { url: "http://h:81/b" },
    );
    expect(
      devices.map((device) => [device.kind, device.name, device.wantedNumber, device.identity.index]),
    ).toEqual([
      ["rtsp", "door", 107, 0],
      ["rtsp", "h", undefined, 1],
      ["http", "h:81", undefined, 0],
    ]);
  });

  it("limit protocols, transport and media to what was asked for", async () => {
    const [udp, tls] = await found(
      { url: "rtsp://h/a", transport: "udp" },
      { url: "rtsps://h/a", audio: true },
    );
    const udpArgs = udp?.input(mode).args.join(" ");
    expect(udpArgs).toContain("-rtsp_transport udp -allowed_media_types video -timeout 1000000");
    expect(udpArgs).not.toMatch(/file|http/);
    const tlsInput = tls?.input(mode);
    expect(tlsInput?.args.join(" ")).toContain("-rtsp_transport tcp -allowed_media_types video+audio");
    expect(tlsInput).toMatchObject({ audio: true, video: "copy", timeSource: "arrival" });
  });
});

describe("a camera added while the hub runs", () => {
  const device = (url: string) => networkDevice({ url }, { clock });

  it("is found, told of when it changes, and lost, apart from those of the configuration", async () => {
    const events: DeviceEvent[] = [];
    const provider = new NetworkProvider({ cameras: [{ url: "rtsp://u:p@h/a" }], clock });
    provider.put({ ...device("rtsp://h/b"), problem: { code: "no_frames", message: "not yet" } });
    await provider.start((event) => events.push(event));
    provider.put(device("rtsp://u:p@h/c"));
    provider.report("rtsp://h/b", undefined);
    provider.report("rtsp://h/b", undefined);
    provider.report("rtsp://h/none", undefined);
    await provider.rescan();
    expect(provider.remove("rtsp://h/c")).toBe(true);
    expect(provider.remove("rtsp://h/c")).toBe(false);
    expect(provider.remove("rtsp://h/a")).toBe(false);
    expect(
      events.map(({ type, device }) => [type, device.identity.busPath, device.problem?.message]),
    ).toEqual([
      ["found", "rtsp://h/a", undefined],
      ["found", "rtsp://h/b", "not yet"],
      ["found", "rtsp://h/c", undefined],
      ["changed", "rtsp://h/b", undefined],
      ["lost", "rtsp://h/c", undefined],
    ]);
    expect([provider.isConfigured("rtsp://h/a"), provider.isConfigured("rtsp://h/b")]).toEqual([true, false]);
  });
});

describe("an HTTP camera", () => {
  const answer =
    (type: string, status = 200): RequestListener =>
    (_request, response) => {
      response.writeHead(status, { "content-type": type });
      response.write("x");
    };

  const prepared = async (address: string, path = "/video"): Promise<CaptureInput> => {
    const device = await only({ url: `http://user:word@${address}${path}` });
    await device.prepare?.();
    return device.input(mode);
  };

  it("of MJPEG is told by its content type and timed by arrival", async () => {
    let authorization: string | undefined;
    const address = await serve((request, response) => {
      authorization = request.headers.authorization;
      answer("multipart/x-mixed-replace; boundary=x")(request, response);
    });
    const input = await prepared(address);
    expect(input.times).toBe("receive");
    expect(input.args.join(" ")).toContain("-f mpjpeg");
    expect(authorization).toBe(`Basic ${Buffer.from("user:word").toString("base64")}`);
  });

  it("of anything else keeps the stream's times", async () => {
    const input = await prepared(await serve(answer("video/mp2t")));
    expect(input.times).toBeUndefined();
    expect(input.args).not.toContain("mpjpeg");
  });

  it("of MPEG-TS counts what ffmpeg keeps back of it, and does not wait for programs to come", async () => {
    const h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"];
    const stream = (...more: string[]) =>
      run(
        "ffmpeg",
        ["-v", "error", "-f", "lavfi", "-i", "testsrc2=d=1", ...h264, ...more, "-f", "mpegts", "-"],
        {
          encoding: "buffer",
        },
      );
    const head = async (bytes: Buffer): Promise<CaptureInput> =>
      prepared(
        await serve((_request, response) => response.writeHead(200, { "content-type": "x/y" }).write(bytes)),
      );
    const open = await head((await stream()).stdout);
    expect(open.keptBack).toEqual({ h264: 2, hevc: 2 });
    expect(open.args.join(" ")).toMatch(/-scan_all_pmts 0 .*-i http:/);
    const told = (await stream("-omit_video_pes_length", "0")).stdout;
    expect((await head(told)).keptBack).toEqual({ h264: 1, hevc: 1 });
    // A stream of which no more comes: what is not sure is not counted.
    expect((await head(told.subarray(0, 3 * 188))).keptBack).toEqual({ h264: 1, hevc: 1 });
    expect((await head(Buffer.from("FLV"))).keptBack).toBeUndefined();
  });

  it("that wants another authentication is judged by its ending", async () => {
    const address = await serve(answer("text/html", 401));
    expect((await prepared(address)).times).toBe("receive");
    expect((await prepared(address, "/live.m3u8")).times).toBeUndefined();
  });

  it.each([
    ["an error", answer("text/html", 404), /answers 404/],
    ["silence", () => undefined, /no answer within 1 s/],
  ] as [string, RequestListener, RegExp][])(
    "that gives %s is refused with the reason",
    async (_what, listener, reason) => {
      const address = await serve(listener);
      const failure = await prepared(address).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "capture_failed", message: expect.stringMatching(reason) });
      expect(String(failure)).not.toMatch(/user|word/);
    },
  );

  it("that is not there is refused, and asked again next time", async () => {
    const address = await serve(answer("video/mp2t"));
    const device = await only({ url: `http://${address}/` });
    const server = servers.pop();
    server?.close();
    server?.closeAllConnections();
    await expect(device.prepare?.()).rejects.toThrow(/ECONNREFUSED/);
  });

  it("is not waited for once the caller gives up", async () => {
    const device = await only({ url: `http://${await serve(() => undefined)}/` });
    const reason = new Error("enough");
    await expect(device.prepare?.(AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe("a file", () => {
  it("that is missing is a problem, which ends when it appears", async () => {
    const path = join(dir, "clip.mp4");
    const events: DeviceEvent[] = [];
    const provider = new NetworkProvider({ cameras: [{ url: pathToFileURL(path).href }], clock });
    await provider.start((event) => events.push(event));
    expect(events[0]?.device.problem?.message).toContain("ENOENT");
    await run("ffmpeg", ["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=d=0.2", path]);
    await provider.rescan();
    await provider.rescan();
    expect(events.map((event) => [event.type, event.device.problem?.code])).toEqual([
      ["found", "capture_failed"],
      ["changed", undefined],
    ]);
    expect(events[1]?.device.name).toBe("clip.mp4");
  });

  it("plays on and on with times that never go back", async () => {
    const path = join(dir, "a b's clip.mp4");
    const source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=20:duration=0.5", "-bf", "2", path];
    await run("ffmpeg", ["-loglevel", "error", ...source]);
    const input = (await only({ url: pathToFileURL(path).href })).input(mode);
    const out = ["-c", "copy", "-copyts", "-frames:v", "35", "-f", "framecrc", "pipe:1"];
    const child = spawn("ffmpeg", ["-loglevel", "error", ...input.args, ...out]);
    const lines = (await child.stdout.setEncoding("utf8").toArray()).join("").split("\n");
    const times = lines.filter((line) => /^\d/.test(line)).map((line) => line.split(",").map(Number));
    expect(times).toHaveLength(35);
    const decode = times.map(([, dts = Number.NaN]) => dts);
    const steps = decode.slice(1).map((dts, i) => dts - (decode[i] ?? Number.NaN));
    expect(new Set(steps).size).toBe(1);
    expect(steps[0]).toBeGreaterThan(0);
  });
});
