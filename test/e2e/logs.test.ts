import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub, until, virtualCameras } from "../harness/hub.ts";

/** What a hub writes to its log: request ids, files, and never a secret. */

interface Line {
  readonly msg: string;
  readonly level: number;
  readonly [field: string]: unknown;
}

const camera = virtualCameras({ size: "320x240", fps: 15 });

describe("the log of a hub at its most talkative", () => {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-logs-"));
  const receiver = createServer((_request, response) => response.writeHead(500).end());
  let hub: RunningHub;
  beforeAll(async () => {
    receiver.listen(0, "127.0.0.1");
    await once(receiver, "listening");
    const { port } = receiver.address() as AddressInfo;
    hub = await startHub({
      env: {
        ...camera,
        OCELLI_LOG_LEVEL: "trace",
        OCELLI_LOG_FOLDER: join(folder, "deep", "logs"),
        OCELLI_CAPTURE_START_TIMEOUT_SECONDS: "2",
        OCELLI_WEBHOOKS: JSON.stringify([
          { url: `http://127.0.0.1:${port}/geheim-path?token=geheim-query`, secret: "geheim-webhook-secret" },
        ]),
        OCELLI_CAMERAS: JSON.stringify([
          { url: "rtsp://admin:geheim-rtsp%2Fp@127.0.0.1:9/x", name: "Door", number: 107 },
          { url: `http://127.0.0.1:${port}/cam?user=a&password=geheim-http`, name: "Gate", number: 108 },
        ]),
      },
    });
  });
  afterAll(async () => {
    await hub?.stop();
    receiver.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const fileText = (): string =>
    readdirSync(join(folder, "deep", "logs"))
      .map((name) => readFileSync(join(folder, "deep", "logs", name), "utf8"))
      .join("");
  const linesOf = (text: string): Line[] =>
    text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Line);

  it("names each request: the caller's id, or one of its own", async () => {
    const given = await hub.fetch("/health/live", { headers: { "x-request-id": "order-66/a" } });
    expect(given.headers.get("x-request-id")).toBe("order-66/a");
    const missing = await hub.fetch("/no/such/page?sig=geheim-signature", { redirect: "manual" });
    const made = missing.headers.get("x-request-id") ?? "";
    expect(made).toMatch(/^[0-9a-f-]{36}$/);
    const hostile = await hub.fetch("/health/live", { headers: { "x-request-id": 'a"}{"b":"' } });
    expect(hostile.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    const long = await hub.fetch("/health/live", { headers: { "x-request-id": "x".repeat(129) } });
    expect(long.headers.get("x-request-id")).not.toContain("x");
    const file = await hub.fetch("/files/recordings/none.mp4", { headers: { "x-request-id": "file.1" } });
    expect(file.headers.get("x-request-id")).toBe("file.1");
    const live = await hub.fetch("/live/camera100/mjpeg", { headers: { "x-request-id": "live.1" } });
    expect(live.headers.get("x-request-id")).toBe("live.1");
    await live.body?.cancel();
    const broken = await until("the line of the viewer who has left", () =>
      linesOf(hub.output.join("\n")).find(({ requestId }) => requestId === "live.1"),
    );
    expect(broken).toMatchObject({
      msg: "request",
      path: "/live/camera100/mjpeg",
      status: 200,
      brokenOff: true,
    });
    const line = await until("the line of the request", () =>
      linesOf(hub.output.join("\n")).find(({ requestId }) => requestId === made),
    );
    expect(line).toMatchObject({ msg: "request", method: "GET", path: "/no/such/page", status: 404 });
    expect(line).not.toHaveProperty("brokenOff");

    await using rpc = await hub.rpc();
    await expect(rpc.call("take_snapshot", { device: "camera55" })).rejects.toThrow();
    const calls = await until("the lines of the call", () => {
      const found = linesOf(hub.output.join("\n")).filter(
        ({ requestId, session }) => requestId === "2" && session !== undefined,
      );
      return found.length >= 2 && found;
    });
    expect(calls).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ msg: "refused", code: "camera_not_found", method: "take_snapshot" }),
        expect.objectContaining({ msg: "call", method: "take_snapshot", outcome: "refused" }),
      ]),
    );
    expect(new Set(calls.map(({ session }) => session)).size).toBe(1);
  });

  it("holds no secret, wherever one has come by", async () => {
    const secrets = new Set([adminKey, "geheim"]);
    const signed = (url: string): string => {
      const link = new URL(url, hub.url);
      secrets.add(link.searchParams.get("sig") ?? "no signature");
      return link.pathname + link.search;
    };
    await using rpc = await hub.rpc();
    const made = await rpc.call<{ api_key: string }>("create_api_key", { name: "x", role: "viewer" });
    secrets.add(made.api_key);
    await rpc.call("create_user", { username: "anna", password: "geheim-password", role: "viewer" });
    await rpc.call("set_user_password", { username: "anna", password: "geheim-password-2" });
    const login = await rpc.call<{ token: string }>("login", {
      username: "anna",
      password: "geheim-password-2",
    });
    secrets.add(login.token);
    await using byToken = await hub.rpc(login.token);
    await byToken.call("login", { username: "anna", password: "geheim-wrong" }).catch(() => undefined);
    await byToken.call("login", { username: "anna", password: ["geheim-list"] }).catch(() => undefined);
    const renewed = await byToken.call<{ token: string }>("refresh_token", { token: login.token });
    secrets.add(renewed.token);
    await hub.fetch("/api/cameras", {
      headers: { "x-api-key": "", authorization: `Bearer ${renewed.token}` },
    });
    await using byKey = await hub.rpc(made.api_key);
    await byKey.call("get_camera_list", { auth_token: made.api_key });
    await using byQuery = await hub.rpc(undefined, `?token=${made.api_key}`);
    for (const token of ["geheim-token", `Bearer eyJhbGciOiJub25lIn0.geheim-claims.`, "geheim".repeat(10)]) {
      await byQuery.call("authenticate", { token }).catch(() => undefined);
      await byQuery.call("get_camera_list", { auth_token: token }).catch(() => undefined);
      await byQuery.call(token, { password: token }).catch(() => undefined);
      await hub.fetch("/metrics", { headers: { "x-api-key": token } });
      await hub.fetch("/metrics", { headers: { "x-api-key": "", authorization: token } });
      await hub.fetch(`/files/recordings/x.mp4?sig=${encodeURIComponent(token)}&exp=1`);
    }
    // Not JSON, with a key in it.
    const socket = new WebSocket(`${hub.url.replace("http", "ws")}/ws?api_key=${made.api_key}`);
    await once(socket, "open");
    socket.send(`{"jsonrpc":"2.0","method":"authenticate","params":{"token":"${made.api_key}"`);
    socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping", params: { token: [made.api_key] } }));
    await once(socket, "message");
    socket.close();

    const started = await rpc.call<{ stream_url: string }>("start_streaming", { device: "camera100" });
    const picture = await fetch(`${hub.url}${signed(started.stream_url)}`);
    expect(picture.status).toBe(200);
    await picture.body?.cancel();
    const links = (await (await hub.fetch("/api/live-link?camera=camera100")).json()) as Record<
      string,
      string
    >;
    for (const kind of ["mse", "mjpeg", "jpeg"]) signed(links[kind] ?? "");
    expect((await fetch(`${hub.url}${signed(links.jpeg ?? "")}`)).status).toBe(200);
    // Cameras whose addresses hold passwords, and that do not answer.
    for (const device of ["camera107", "camera108"])
      await expect(rpc.call("take_snapshot", { device })).rejects.toThrow();
    await rpc.call("take_snapshot", { device: "camera100" });
    await until("the webhook to fail", () => hub.output.some((line) => line.includes("cannot be delivered")));
    await hub.end("SIGTERM");

    const console = hub.output.join("\n");
    const text = fileText();
    expect(linesOf(console).length).toBeGreaterThan(50);
    const leaks = [...secrets].flatMap((secret) =>
      `${console}\n${text}`.split("\n").filter((line) => line.includes(secret)),
    );
    expect(leaks).toEqual([]);
  });

  it("is the same in its file as on the console, to the last line", () => {
    const console = linesOf(hub.output.join("\n")).map((line) => JSON.stringify(line));
    const file = linesOf(fileText()).map((line) => JSON.stringify(line));
    expect(file).toEqual(console);
    expect(file.at(-1)).toContain("the hub has stopped");
  });
});

describe("a log folder that cannot be", () => {
  it("costs one warning, and the hub serves", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ocelli-logs-"));
    const place = join(folder, "file");
    writeFileSync(place, "");
    try {
      await using hub = await startHub({ env: { ...camera, OCELLI_LOG_FOLDER: join(place, "logs") } });
      await using rpc = await hub.rpc();
      expect(await rpc.call("ping")).toBe("pong");
      const warnings = hub.output.filter((line) => line.includes("cannot be written to its folder"));
      expect(warnings).toHaveLength(1);
      expect(JSON.parse(warnings[0] ?? "")).toMatchObject({
        level: 40,
        folder: join(place, "logs"),
        reason: expect.stringContaining("ENOTDIR"),
      });
      // What is said afterwards is on the console.
      await until("later lines", () => hub.output.some((line) => line.includes("client connected")));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
