import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, type RunningHub, startHub, virtualCameras } from "../harness/hub.ts";
import { Rpc, RpcError } from "../harness/rpc.ts";

// Keys, users and tokens of a running hub with two cameras, and a key that is good for one of them only.

const dataDir = mkdtempSync(join(tmpdir(), "ocelli-accounts-"));
const env = virtualCameras({ count: 2, size: "320x240" });
const password = "correct horse battery";
const [mine, other] = ["camera100", "camera101"];
let hub: RunningHub;
let admin: Rpc;
let limitedKey: string;
let limitedId: string;

beforeAll(async () => {
  hub = await startHub({ dataDir, env });
  admin = await hub.rpc();
  const made = await admin.call<{ api_key: string; key_id: string; cameras: string[] }>("create_api_key", {
    ...{ name: "one camera", role: "operator", cameras: [mine] },
  });
  expect(made.cameras).toEqual([mine]);
  limitedKey = made.api_key;
  limitedId = made.key_id;
  for (const device of [mine, other]) {
    await admin.call("take_snapshot", { device, filename: `still_${device}` });
  }
  await admin.call("start_recording", { device: other, filename: "secret" });
  await admin.call("stop_recording", { device: other });
});
afterAll(async () => {
  await admin?.[Symbol.asyncDispose]();
  await hub?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const refusal = async (call: Promise<unknown>): Promise<RpcError> => {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof RpcError) return error;
  throw new Error(`it was not refused: ${String(error)}`);
};
const get = (path: string, key?: string): Promise<Response> =>
  fetch(`${hub.url}${path}`, { headers: key === undefined ? {} : { "x-api-key": key } });
const bodyOf = async (path: string, key: string) => {
  const response = await get(path, key);
  return { status: response.status, body: await response.text() };
};

describe("a key for one camera, over HTTP", () => {
  it("gets its own files and pictures", async () => {
    expect((await get(`/files/snapshots/still_${mine}.jpg`, limitedKey)).status).toBe(200);
    expect((await get(`/live/${mine}/jpeg`, limitedKey)).status).toBe(200);
    const listed = (await (await get("/api/cameras", limitedKey)).json()) as { total: number };
    expect(listed.total).toBe(1);
  });

  it.each([
    ["/files/snapshots/still_camera101.jpg", "/files/snapshots/still_camera999.jpg"],
    ["/files/snapshots/still_camera101", "/files/snapshots/still_camera999"],
    ["/files/recordings/secret.mp4", "/files/recordings/absent.mp4"],
    ["/files/recordings/secret.mp4/frames.csv", "/files/recordings/absent.mp4/frames.csv"],
    ["/live/camera101/jpeg", "/live/camera999/jpeg"],
    ["/live/camera101/mjpeg", "/live/camera999/mjpeg"],
    ["/api/live-link?camera=camera101", "/api/live-link?camera=camera999"],
  ])("is told of %s as of %s", async (hidden, absent) => {
    const about = await bodyOf(hidden, limitedKey);
    const against = await bodyOf(absent, limitedKey);
    expect(about.status).toBe(404);
    expect({ ...about, body: about.body.replaceAll("101", "999") }).toEqual(against);
    expect((await get(hidden, adminKey)).status).toBe(200);
  });

  it("gets no live picture of another by WebSocket, and links that carry its limit", async () => {
    const link = (await (await get(`/api/live-link?camera=${mine}`, limitedKey)).json()) as {
      mse: string;
      jpeg: string;
    };
    expect((await get(link.jpeg)).status).toBe(200);
    expect((await get(link.jpeg.replaceAll(mine, other))).status).toBe(401);
    const socket = new WebSocket(`${hub.url.replace("http", "ws")}${link.mse.replace(mine, other)}`);
    const [closed] = (await once(socket, "close")) as [CloseEvent];
    expect(closed.code).toBe(1008);
  });
});

describe("a revoked key", () => {
  it("ends its links, its live views and its connections at once", async () => {
    const { api_key: key, key_id } = await admin.call<{ api_key: string; key_id: string }>("create_api_key", {
      ...{ name: "soon gone", role: "viewer", cameras: [mine] },
    });
    const link = (await (await get(`/api/live-link?camera=${mine}`, key)).json()) as {
      mjpeg: string;
      mse: string;
    };
    const view = request(`${hub.url}${link.mjpeg}`);
    view.end();
    const [response] = await once(view, "response");
    await once(response, "data");
    const ended = once(response, "close");
    response.on("data", () => undefined);
    response.on("error", () => undefined);
    const socket = new WebSocket(`${hub.url.replace("http", "ws")}${link.mse}`);
    socket.binaryType = "arraybuffer";
    await once(socket, "message");
    const closed = once(socket, "close");
    const open = await Rpc.connect(`${hub.url.replace("http", "ws")}/ws`, key);
    await admin.call("revoke_api_key", { key_id });
    await ended;
    expect(((await closed) as [CloseEvent])[0].code).toBe(1008);
    expect((await get(link.mjpeg)).status).toBe(401);
    expect((await get(`/live/${mine}/jpeg`, key)).status).toBe(401);
    expect((await refusal(open.call("get_camera_list"))).message).toMatch(/revoked/);
    await open[Symbol.asyncDispose]();
  });

  it("can be replaced by one with the same rights", async () => {
    const next = await admin.call<{ api_key: string; key_id: string }>("rotate_api_key", {
      key_id: limitedId,
    });
    expect((await get(`/live/${mine}/jpeg`, limitedKey)).status).toBe(401);
    limitedKey = next.api_key;
    expect((await get(`/live/${mine}/jpeg`, limitedKey)).status).toBe(200);
    expect((await get(`/live/${other}/jpeg`, limitedKey)).status).toBe(404);
    const { keys } = await admin.call<{ keys: Record<string, unknown>[] }>("list_api_keys");
    expect(keys.find(({ key_id }) => key_id === limitedId)).toMatchObject({ is_active: false });
    expect(JSON.stringify(keys)).not.toContain(limitedKey);
  });
});

interface Token {
  readonly token: string;
  readonly user_id: string;
  readonly role: string;
}

describe("a user", () => {
  const visitor = () => Rpc.connect(`${hub.url.replace("http", "ws")}/ws`);
  const bearer = (token: string, path: string) =>
    fetch(`${hub.url}${path}`, { headers: { authorization: `Bearer ${token}` } });

  it("logs in, works within limits, renews, and ends when shut out; over a restart too", async () => {
    const user = await admin.call<Record<string, unknown>>("create_user", {
      ...{ username: "Alice", password, role: "operator", cameras: [mine] },
    });
    expect(JSON.stringify(user)).not.toMatch(/scrypt|horse/);
    const client = await visitor();
    const wrong = await refusal(client.call("login", { username: "alice", password: `${password}!` }));
    expect([wrong.code, wrong.data.code]).toEqual([-32001, "auth_failed"]);
    const { token } = await client.call<Token>("login", { username: "alice", password });
    await refusal(client.call("get_camera_list"));
    expect(await client.call("authenticate", { auth_token: token, auth_type: "jwt" })).toMatchObject({
      ...{ role: "operator", auth_method: "jwt", user_id: user.user_id },
    });
    expect(await client.call("get_camera_list")).toMatchObject({ total: 1 });
    expect((await refusal(client.call("take_snapshot", { device: other }))).data.code).toBe(
      "camera_not_found",
    );
    expect((await refusal(client.call("list_users"))).data.code).toBe("permission_denied");
    expect((await bearer(token, `/live/${mine}/jpeg`)).status).toBe(200);
    expect((await bearer(token, `/live/${other}/jpeg`)).status).toBe(404);
    const renewed = await client.call<Token>("refresh_token");
    await client[Symbol.asyncDispose]();

    await admin[Symbol.asyncDispose]();
    await hub.stop();
    hub = await startHub({ dataDir, env });
    admin = await hub.rpc();
    expect((await bearer(renewed.token, `/live/${mine}/jpeg`)).status).toBe(200);
    expect(statSync(join(dataDir, "state", "token.key")).mode & 0o777).toBe(0o600);

    const again = await visitor();
    await again.call("authenticate", { token: renewed.token });
    await admin.call("update_user", { username: "alice", enabled: false });
    expect((await refusal(again.call("get_camera_list"))).code).toBe(-32001);
    expect((await bearer(renewed.token, `/live/${mine}/jpeg`)).status).toBe(401);
    const shut = await refusal(again.call("login", { username: "alice", password }));
    expect([shut.code, shut.data.reason]).toEqual([wrong.code, wrong.data.reason]);
    await admin.call("delete_user", { username: "alice" });
    expect(await admin.call("list_users")).toMatchObject({ total: 0 });
    await again[Symbol.asyncDispose]();
    expect(hub.output.join("\n")).not.toMatch(/horse|eyJ[\w-]+\./);
  });

  it("gets a token from an administrator, and no secret is in the log", async () => {
    const issued = await admin.call<Token>("create_token", { ttl: 600, role: "viewer", cameras: [mine] });
    expect((await bearer(issued.token, `/live/${mine}/jpeg`)).status).toBe(200);
    expect((await bearer(issued.token, `/live/${other}/jpeg`)).status).toBe(404);
    const client = await visitor();
    await client.call("authenticate", { auth_token: issued.token });
    expect((await refusal(client.call("create_token", { ttl: 600 }))).data.code).toBe("permission_denied");
    await client[Symbol.asyncDispose]();
    const log = hub.output.join("\n");
    expect(log).toContain("a token was created");
    for (const secret of [issued.token, limitedKey, adminKey]) expect(log).not.toContain(secret);
  });
});

describe("an identity provider named in the settings", () => {
  it("lets its users in, with the role and the cameras it names", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: "k1", alg: "ES256" };
    const provider = createServer((_request, response) => void response.end(JSON.stringify({ keys: [jwk] })));
    provider.listen(0, "127.0.0.1");
    await once(provider, "listening");
    const { port } = provider.address() as AddressInfo;
    const nowS = Math.floor(Date.now() / 1000);
    const token = (more: object) =>
      new SignJWT({
        iss: "https://id.example.org",
        aud: "ocelli",
        sub: "carol",
        groups: ["operator"],
        ...more,
      })
        .setProtectedHeader({ alg: "ES256", kid: "k1" })
        .setIssuedAt(nowS)
        .setExpirationTime(nowS + 600)
        .sign(privateKey);
    const own = await startHub({
      env: {
        ...env,
        OCELLI_AUTH_JWKS_URL: `http://127.0.0.1:${port}/keys`,
        OCELLI_AUTH_JWKS_ISSUER: "https://id.example.org",
        OCELLI_AUTH_JWKS_AUDIENCE: "ocelli",
        OCELLI_AUTH_JWKS_ROLE_CLAIM: "groups",
      },
    });
    try {
      const client = await Rpc.connect(`${own.url.replace("http", "ws")}/ws`);
      const identity = await client.call("authenticate", { token: await token({ cameras: [mine] }) });
      expect(identity).toMatchObject({ role: "operator", user_id: "external:carol", cameras: [mine] });
      expect(await client.call("get_camera_list")).toMatchObject({ total: 1 });
      expect((await refusal(client.call("refresh_token"))).data.code).toBe("unsupported");
      const foreign = client.call("authenticate", { auth_token: await token({ aud: "another service" }) });
      expect(await foreign).toMatchObject({ authenticated: false });
      await client[Symbol.asyncDispose]();
    } finally {
      await own.stop();
      provider.close();
      provider.closeAllConnections();
    }
  });
});
