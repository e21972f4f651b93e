import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { OcelliError } from "@ocelli/protocol";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SystemClock } from "../../clock/system-clock.ts";
import type { Library, MediaEntry, MediaKind } from "../../library/contract.ts";
import { Digests } from "../../library/digests.ts";
import type { Authorize } from "../access.ts";
import { createHttpApp } from "../http-app.ts";
import { Listener } from "../listener.ts";
import { Upgrades } from "../upgrades.ts";
import { registerFileRoutes } from "./routes.ts";

const run = promisify(execFile);
const key = "k".repeat(40);
const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
const unicodeName = "cámara 50% – ü.mp4";

let folder: string;
let port: number;
let listener: Listener;
let url: string;
const clock = new SystemClock();

const authorize: Authorize = (request) => {
  if (request.headers.authorization === `Bearer ${key}`) return { role: "viewer" };
  if (request.headers.authorization === "Bearer nobody") return { role: "none" as "viewer" };
  return request.headers["x-api-key"] === key ? { role: "operator" } : undefined;
};

function fakeLibrary(): Library {
  const known: Readonly<Record<MediaKind, readonly string[]>> = {
    recording: ["a.mp4", unicodeName, "gone.mp4", "link.mp4", "sub", "growing.mp4", "empty.mp4", "50%.mp4"],
    snapshot: ["s.png", "odd.xyz"],
  };
  const folderOf = (kind: MediaKind): string => join(folder, `${kind}s`);
  const refuse = (): never => {
    throw new OcelliError("unsupported", "not used");
  };
  return {
    folder: folderOf,
    get: (kind, name) => {
      if (name.includes("/")) throw new OcelliError("invalid_filename", "has a slash");
      if (name === "broken.mp4") throw new Error("disk on fire");
      const filename = known[kind].find((candidate) => candidate === name || candidate === `${name}.mp4`);
      if (filename === undefined) throw new OcelliError("file_not_found", name);
      const state = filename === "growing.mp4" ? "recording" : "complete";
      return { filename, path: join(folderOf(kind), filename), state } as MediaEntry;
    },
    reserve: refuse,
    reserveCopy: refuse,
    release: refuse,
    put: refuse,
    page: refuse,
    delete: refuse,
    rebuild: refuse,
  };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ocelli-files-"));
  await mkdir(join(folder, "recordings", "sub"), { recursive: true });
  await mkdir(join(folder, "snapshots"));
  for (const name of ["a.mp4", unicodeName, "growing.mp4", "50%.mp4"]) {
    await writeFile(join(folder, "recordings", name), content);
  }
  await writeFile(join(folder, "recordings", "empty.mp4"), "");
  await writeFile(join(folder, "secret.mp4"), "secret");
  await symlink(join(folder, "secret.mp4"), join(folder, "recordings", "link.mp4"));
  for (const name of ["s.png", "odd.xyz"]) await writeFile(join(folder, "snapshots", name), "picture");
  const log = pino({ level: "silent" });
  const app = createHttpApp({ log });
  async function* frameTimesCsv(path: string): AsyncIterable<string> {
    if (path.includes(unicodeName)) throw new OcelliError("unsupported", "A phone made this file.");
    yield "index,captured_at_us\n";
    yield "0,1736951400123456\n";
  }
  const digests = new Digests({ log });
  registerFileRoutes({ app, library: fakeLibrary(), authorize, frameTimesCsv, digests, log });
  const upgrades = new Upgrades({ clock, log });
  listener = new Listener({ app, upgrades, addresses: ["127.0.0.1:0"], explicit: true, clock, log });
  port = (await listener.open())[0]?.port ?? 0;
  url = `http://127.0.0.1:${port}/files`;
});

afterAll(async () => {
  await listener.close();
  clock.close();
  await rm(folder, { recursive: true });
});

function get(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
  return fetch(url + path, { method, headers: { "x-api-key": key, ...headers } });
}

/** A request line written byte for byte, as old clients do; the answer as text. */
function raw(target: Buffer | string, method = "GET"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", reject);
    socket.write(
      Buffer.concat([
        Buffer.from(`${method} `),
        Buffer.from(target),
        Buffer.from(` HTTP/1.1\r\nHost: hub\r\nX-API-Key: ${key}\r\nConnection: close\r\n\r\n`),
      ]),
    );
  });
}

describe("downloads", () => {
  it("tell the digest of the whole file, also with a part of it, unless it still grows", async () => {
    const digest = `sha-256=:${createHash("sha256").update(content).digest("base64")}:`;
    expect((await get("/recordings/a.mp4")).headers.get("repr-digest")).toBe(digest);
    const part = await get("/recordings/a.mp4", { range: "bytes=1-2" });
    expect([part.status, part.headers.get("repr-digest")]).toEqual([206, digest]);
    expect((await get("/recordings/a.mp4", {}, "HEAD")).headers.get("repr-digest")).toBe(digest);
    const growing = await get("/recordings/growing.mp4");
    expect([growing.status, growing.headers.get("repr-digest")]).toEqual([200, null]);
  });

  it("gives the whole file with the headers clients look at", async () => {
    const response = await get("/recordings/a.mp4");
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "video/mp4",
      "content-disposition": 'attachment; filename="a.mp4"',
      "content-length": "100000",
      "accept-ranges": "bytes",
      etag: expect.stringMatching(/^(W\/)?".+"$/),
      "last-modified": expect.stringMatching(/ GMT$/),
    });
  });

  it("answers HEAD like GET without a body, and finds a name without its extension", async () => {
    const head = await get("/recordings/a", {}, "HEAD");
    expect(head.status).toBe(200);
    expect(head.headers.get("content-length")).toBe("100000");
    expect(await head.text()).toBe("");
  });

  it.each([
    ["bytes=0-9", 206, "bytes 0-9/100000", content.subarray(0, 10)],
    ["bytes=99990-", 206, "bytes 99990-99999/100000", content.subarray(99_990)],
    ["bytes=-5", 206, "bytes 99995-99999/100000", content.subarray(-5)],
    ["bytes=99999-200000", 206, "bytes 99999-99999/100000", content.subarray(99_999)],
    ["bytes=100000-", 416, "bytes */100000", Buffer.from("Range not satisfiable")],
    ["bytes=0-1,5-6", 200, null, content],
    ["lines=1-2", 200, null, content],
  ])("range %s is answered with %i", async (range, status, contentRange, expected) => {
    const response = await get("/recordings/a.mp4", { range });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-range")).toBe(contentRange);
    expect(Buffer.from(await response.arrayBuffer()).equals(expected)).toBe(true);
  });

  it("honours If-None-Match, If-Modified-Since and If-Range", async () => {
    const first = await get("/recordings/a.mp4", {}, "HEAD");
    const etag = first.headers.get("etag") ?? "";
    const modified = first.headers.get("last-modified") ?? "";
    const same = await get("/recordings/a.mp4", { "if-none-match": etag });
    expect(same.status).toBe(304);
    expect(same.headers.get("content-type")).toBeNull();
    expect((await get("/recordings/a.mp4", { "if-none-match": '"other"' })).status).toBe(200);
    expect((await get("/recordings/a.mp4", { "if-modified-since": modified })).status).toBe(304);
    expect((await get("/recordings/a.mp4", { range: "bytes=0-1", "if-range": etag })).status).toBe(206);
    expect((await get("/recordings/a.mp4", { range: "bytes=0-1", "if-range": '"other"' })).status).toBe(200);
  });

  it("serves a file that grows with its size of now", async () => {
    const before = await get("/recordings/growing.mp4", {}, "HEAD");
    await appendFile(join(folder, "recordings", "growing.mp4"), content);
    const after = await get("/recordings/growing.mp4");
    expect(Number(after.headers.get("content-length"))).toBe(200_000);
    expect((await after.arrayBuffer()).byteLength).toBe(200_000);
    expect(after.headers.get("etag")).not.toBe(before.headers.get("etag"));
    const empty = await get("/recordings/empty.mp4");
    expect([empty.status, await empty.text()]).toEqual([200, ""]);
  });

  it("takes percent-encoded names and raw UTF-8 ones, and names the file for saving", async () => {
    const encoded = await get(`/recordings/${encodeURIComponent(unicodeName)}`);
    expect(encoded.status).toBe(200);
    expect(encoded.headers.get("content-disposition")).toBe(
      `attachment; filename="c_mara 50% _ _.mp4"; filename*=UTF-8''${encodeURIComponent(unicodeName)}`,
    );
    const asIs = `${url}/recordings/${unicodeName.replaceAll(" ", "%20")}`;
    const curl = await run("curl", ["-sSfL", "-H", `X-API-Key: ${key}`, asIs], { encoding: "buffer" });
    expect(curl.stdout.equals(content)).toBe(true);
    // Only file names are helped this way, or the hub could be made to redirect elsewhere.
    expect(await raw(Buffer.from("//evil.example/ü"))).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw("/files/recordings/50%.mp4")).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("types by extension, and what it does not know by kind", async () => {
    expect((await get("/snapshots/s.png")).headers.get("content-type")).toBe("image/png");
    expect((await get("/snapshots/odd.xyz")).headers.get("content-type")).toBe("image/jpeg");
  });

  it("gives the frame times as CSV", async () => {
    const response = await get("/recordings/a.mp4/frames.csv");
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    expect(response.headers.get("content-disposition")).toBe('attachment; filename="a_frames.csv"');
    expect(await response.text()).toBe("index,captured_at_us\n0,1736951400123456\n");
    expect((await get("/snapshots/s.png/frames.csv")).status).toBe(404);
  });

  it("says why a file of another maker has no frame times", async () => {
    const response = await get(`/recordings/${encodeURIComponent(unicodeName)}/frames.csv`);
    expect(response.status).toBe(415);
    expect(response.headers.get("content-disposition")).toBeNull();
    expect(await response.text()).toBe("A phone made this file.");
  });

  it("is read by curl, resuming an interrupted download", async () => {
    const target = join(folder, "curl.part");
    await writeFile(target, content.subarray(0, 1234));
    await run("curl", [
      "-sSf",
      "-C",
      "-",
      "-o",
      target,
      "-H",
      `Authorization: Bearer ${key}`,
      `${url}/recordings/a.mp4`,
    ]);
    await run("cmp", [target, join(folder, "recordings", "a.mp4")]);
  });
});

describe("refusals", () => {
  it.each([
    ["/files/recordings/missing.mp4", 404, "File not found"],
    ["/files/recordings/gone.mp4", 404, "File not found"],
    ["/files/recordings/sub", 404, "File not found"],
    ["/files/recordings/link.mp4", 404, "File not found"],
    ["/files/recordings/x/y.mp4", 404, "File not found"],
    ["/files/recordings/../secret.mp4", 400, "Invalid filename"],
    ["/files/recordings/%2e%2e/secret.mp4", 400, "Invalid filename"],
    ["/files/recordings/%2e%2e%2fsecret.mp4", 400, "Invalid filename"],
    ["/files/recordings//etc/passwd", 400, "Invalid filename"],
    ["/files/recordings/%2fetc/passwd", 400, "Invalid filename"],
    ["/files/recordings/a.mp4%00", 400, "Invalid filename"],
    ["/files/recordings/", 400, "Invalid filename"],
    ["/files/recordings/%ff%fe.mp4", 400, "Invalid filename"],
    ["/files/recordings/broken.mp4", 500, "Internal server error"],
    ["/files/elsewhere/a.mp4", 404, "Not found"],
  ])("%s is answered with %i", async (target, status, text) => {
    const answer = await raw(target);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toMatch(/content-type: text\/plain; charset=utf-8/i);
    expect(answer.split("\r\n\r\n")[1]).toBe(text);
  });

  it("asks for credentials, refuses those without the role, and other methods", async () => {
    const anonymous = await fetch(`${url}/recordings/a.mp4`);
    expect([anonymous.status, await anonymous.text()]).toEqual([401, "Authentication required"]);
    expect(anonymous.headers.get("www-authenticate")).toBe("Bearer");
    const nobody = await fetch(`${url}/recordings/a.mp4`, { headers: { authorization: "Bearer nobody" } });
    expect([nobody.status, await nobody.text()]).toEqual([403, "Permission denied"]);
    const removal = await get("/recordings/a.mp4", {}, "DELETE");
    expect([removal.status, removal.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  it("takes no body in, neither here nor where there is nothing", async () => {
    const head = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: hub\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n`;
    for (const path of ["/files/recordings/x.mp4", "/nothing"]) {
      const socket = connect(port, "127.0.0.1");
      // The answer must not wait for the rest of the body.
      const answer = new Promise<string>((resolve) =>
        socket.once("data", (chunk) => resolve(chunk.toString("latin1"))),
      );
      socket.write(`${head(path)}${"x".repeat(10_000)}`);
      expect(await answer).toMatch(/^HTTP\/1\.1 413 /);
      socket.destroy();
    }
  });
});
