import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { makeSelfSigned } from "../../../../test/harness/certificates.ts";
import { CameraClient as BrowserClient } from "../index.ts";
import { CameraClient, type CameraClientOptions } from "./index.ts";

// Downloads that break off, change on the way, or lie; and whom the client trusts.

const content = randomBytes(300_000);
const sha256 = createHash("sha256").update(content).digest("base64");

let folder: string;
let port: number;
let handle: (request: IncomingMessage, response: ServerResponse) => void;
const requests: IncomingMessage[] = [];
const server = createServer((request, response) => {
  requests.push(request);
  handle(request, response);
});

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-download-"));
  requests.length = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

const clientOf = (more: CameraClientOptions = {}) =>
  new CameraClient({ host: "127.0.0.1", port, authToken: "t", logger: null, ...more });
const target = () => join(folder, "made", "file.mp4");
const leftovers = () => readdirSync(join(folder, "made"));

/** Answers whole files and ranges; breaks off after `most` bytes of each answer. */
function serve({ most = Number.POSITIVE_INFINITY, etag = '"1"', body = content, head = {} } = {}): void {
  handle = ({ headers }, response) => {
    const conditional = headers["if-range"];
    const from =
      headers.range !== undefined && (conditional === undefined || conditional === etag)
        ? Number(/^bytes=(\d+)-$/.exec(headers.range)?.[1])
        : undefined;
    const rest = body.subarray(from ?? 0);
    response.writeHead(from === undefined ? 200 : 206, {
      ETag: etag,
      "Content-Length": rest.length,
      ...(from === undefined ? {} : { "Content-Range": `bytes ${from}-${body.length - 1}/${body.length}` }),
      ...head,
    });
    if (rest.length <= most) response.end(rest);
    else response.write(rest.subarray(0, most), () => response.socket?.end());
  };
}

describe("a download", () => {
  it("goes on where it broke off, and tells how far it is", async () => {
    serve({ most: 100_000, head: { "Repr-Digest": `sha-256=:${sha256}:` } });
    const told: number[] = [];
    const path = await clientOf().downloadFile("recordings", "a/b ä.mp4", target(), {
      retryDelay: 0.01,
      onProgress: (bytes, total) => {
        expect(total).toBe(content.length);
        told.push(bytes);
      },
    });
    expect(path).toBe(target());
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(leftovers()).toEqual(["file.mp4"]);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told.at(-1)).toBe(content.length);
    expect(requests.length).toBeGreaterThanOrEqual(3);
    expect(requests[1]?.headers).toMatchObject({ "if-range": '"1"', authorization: "Bearer t" });
    expect(requests[0]?.url).toBe("/files/recordings/a/b%20%C3%A4.mp4");
  });

  it("begins anew when the file has changed meanwhile", async () => {
    serve({ most: 100_000 });
    const first = handle;
    const changed = randomBytes(200_000);
    handle = (request, response) => {
      first(request, response);
      serve({ etag: '"2"', body: changed });
    };
    await clientOf().downloadFile("recordings", "x.mp4", target(), { retryDelay: 0.01 });
    expect(readFileSync(target()).equals(changed)).toBe(true);
  });

  it("is not glued together from two files by a server that ignores the condition", async () => {
    serve({ most: 100_000 });
    const first = handle;
    const changed = randomBytes(200_000);
    handle = (request, response) => {
      first(request, response);
      handle = (next, answer) => {
        delete next.headers["if-range"];
        serve({ etag: '"2"', body: changed });
        handle(next, answer);
      };
    };
    await clientOf().downloadFile("recordings", "x.mp4", target(), { retryDelay: 0.01 });
    expect(readFileSync(target()).equals(changed)).toBe(true);
  });

  it("of the wrong content is refused and leaves nothing", async () => {
    serve({ head: { Digest: `sha-256=${createHash("sha256").update("other").digest("base64")}` } });
    await expect(clientOf().downloadFile("recordings", "x.mp4", target())).rejects.toMatchObject({
      name: "MediaMTXError",
      message: expect.stringContaining("checksum"),
    });
    expect(leftovers()).toEqual([]);
  });

  it("that failed can be taken up later, if asked for", async () => {
    serve({ most: 100_000 });
    const options = { keepPartial: true, retries: 0 };
    await expect(clientOf().downloadFile("snapshots", "x.jpg", target(), options)).rejects.toMatchObject({
      name: "ConnectionError",
    });
    expect(leftovers().sort()).toEqual([".file.mp4.part", ".file.mp4.part.json"]);
    serve();
    await clientOf().downloadFile("snapshots", "x.jpg", target(), options);
    expect(requests.at(-1)?.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(leftovers()).toEqual(["file.mp4"]);
  });

  it("can be aborted", async () => {
    const abort = new AbortController();
    handle = (_request, response) => {
      response.writeHead(200, { "Content-Length": 1000 }).write("x");
    };
    const download = clientOf().downloadFile("recordings", "x.mp4", target(), {
      signal: abort.signal,
      onProgress: () => abort.abort(new Error("enough")),
    });
    await expect(download).rejects.toThrow("enough");
    expect(leftovers()).toEqual([]);
  });

  it("ends with what its listener throws, once", async () => {
    serve();
    const download = clientOf().downloadFile("recordings", "x.mp4", target(), {
      onProgress: () => {
        throw new Error("in a listener");
      },
    });
    await expect(download).rejects.toThrow(/^in a listener$/);
    expect(requests).toHaveLength(1);
    expect(leftovers()).toEqual([]);
  });

  it.each([
    [404, "MediaMTXError", "File not found: x.mp4"],
    [401, "AuthenticationError", /token/],
    [403, "MediaMTXError", "Download failed with status 403"],
    [302, "MediaMTXError", "Download failed with status 302"],
    [500, "MediaMTXError", "Download failed with status 500"],
  ])("answered with %i is a %s, once", async (status, name, message) => {
    handle = (_request, response) => response.writeHead(status).end("no");
    for (const client of [clientOf(), new BrowserClient({ host: "127.0.0.1", port, authToken: "t" })]) {
      await expect(client.downloadFile("recordings", "x.mp4")).rejects.toMatchObject({
        name,
        message: expect.stringMatching(message),
      });
    }
    expect(requests).toHaveLength(2);
    expect(existsSync("x.mp4")).toBe(false);
  });

  it.each([
    ["videos", "x.mp4", "Invalid file type: videos"],
    ["recordings", "../x.mp4", "Invalid filename"],
    ["recordings", "a/../../x.mp4", "Invalid filename"],
    ["recordings", "", "Invalid filename"],
  ])("of %s %s is not even asked for", async (type, filename, message) => {
    await expect(clientOf().downloadFile(type, filename, target())).rejects.toThrow(message);
    expect(requests).toEqual([]);
  });

  it("is refreshed when the token was refused", async () => {
    handle = ({ headers }, response) =>
      headers.authorization === "Bearer new" ? response.end("ok") : response.writeHead(401).end();
    const client = clientOf({ refreshToken: () => "new" });
    // The first token is no JWT with a later end: it is replaced before it is used.
    await client.downloadFile("recordings", "x.mp4", target());
    expect(readFileSync(target(), "utf8")).toBe("ok");
  });

  it("in a browser is a Blob", async () => {
    serve();
    handle = ((serveIt) => (request: IncomingMessage, response: ServerResponse) => {
      response.setHeader("Content-Type", "video/mp4");
      serveIt(request, response);
    })(handle);
    const client = new BrowserClient({ host: "127.0.0.1", port, apiKey: "k" });
    const blob = await client.downloadFile("recordings", "x.mp4");
    expect(Buffer.from(await blob.arrayBuffer()).equals(content)).toBe(true);
    expect(blob.type).toBe("video/mp4");
    expect(requests[0]?.headers["x-api-key"]).toBe("k");
  });
});

describe("a server with TLS", () => {
  it("is trusted only with a certificate that is", async () => {
    const { certFile, keyFile } = makeSelfSigned(folder, "camera", {
      subject: "camera.test",
      alsoFor: ["DNS:camera.test"],
    });
    const ca = readFileSync(certFile, "utf8");
    const tls = createTlsServer({ key: readFileSync(keyFile), cert: ca }, (_request, response) =>
      response.end("secret"),
    );
    const sockets = new WebSocketServer({ server: tls });
    sockets.on("connection", (socket) =>
      socket.on("message", (data) => {
        const { id } = JSON.parse(data.toString());
        socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: "pong" }));
      }),
    );
    tls.listen(0, "127.0.0.1");
    await once(tls, "listening");
    try {
      const options = {
        host: "127.0.0.1",
        port: (tls.address() as AddressInfo).port,
        useSsl: true,
        maxRetries: 1,
        logger: null,
      };
      await expect(new CameraClient(options).connect()).rejects.toThrow(/self.signed/i);
      await expect(new CameraClient({ ...options, ca }).connect()).rejects.toThrow(/127\.0\.0\.1/);
      await using client = new CameraClient({ ...options, ca: [Buffer.from(ca)], serverName: "camera.test" });
      await client.connect();
      expect(await client.ping()).toBe("pong");
      await client.downloadFile("recordings", "x.mp4", target());
      expect(readFileSync(target(), "utf8")).toBe("secret");
      writeFileSync(target(), "");
      await expect(
        new CameraClient(options).downloadFile("recordings", "x.mp4", target(), { retries: 0 }),
      ).rejects.toThrow(/self.signed/i);
      expect(readFileSync(target(), "utf8")).toBe("");
    } finally {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      tls.closeAllConnections();
      await new Promise((resolve) => tls.close(resolve));
    }
  });

  it("that is not there is said in words, for calls and for downloads", async () => {
    const client = new CameraClient({ host: "127.0.0.1", port, useSsl: true, maxRetries: 1, logger: null });
    await expect(client.connect()).rejects.toThrow(/speaks no TLS; leave useSsl off, or check the port\.$/);
    await expect(client.downloadFile("recordings", "x.mp4", target(), { retries: 0 })).rejects.toThrow(
      /speaks no TLS/,
    );
  });

  it("in a browser is trusted by the browser alone", () => {
    expect(() => new BrowserClient({ ca: "x" })).toThrow("browser decides");
  });
});
