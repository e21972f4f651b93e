import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { ExternalKeys, type ExternalKeysOptions } from "./external-keys.ts";
import { externalTokenCredentials } from "./external-tokens.ts";

// An identity provider of the test's own: a small HTTP server with a key set.

const issuer = "https://id.example.org";
const audience = "ocelli";
type Pair = Awaited<ReturnType<typeof generateKeyPair>>;
const pairs = new Map<string, Pair>();
const publicKeys = new Map<string, JWK>();
let server: Server;
let url: string;
let answer: (response: ServerResponse) => void;
let asked = 0;
let clock: FakeClock;
let keys: ExternalKeys;

async function pair(name: string, alg: string): Promise<void> {
  const made = await generateKeyPair(alg, { extractable: true });
  pairs.set(name, made);
  publicKeys.set(name, { ...(await exportJWK(made.publicKey)), kid: name, alg });
}

beforeAll(async () => {
  for (const alg of ["RS256", "PS256", "ES256", "EdDSA"]) await pair(alg, alg);
  await pair("other", "RS256");
  server = createServer((_request, response) => {
    asked++;
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const give =
  (...names: string[]) =>
  (response: ServerResponse): void => {
    response.end(JSON.stringify({ keys: names.map((name) => publicKeys.get(name)) }));
  };

beforeEach(() => {
  clock = new FakeClock();
  asked = 0;
  answer = give("RS256", "PS256", "ES256", "EdDSA");
  keys = open();
});
afterEach(() => keys.close());

function open(more: Partial<ExternalKeysOptions> = {}): ExternalKeys {
  return new ExternalKeys({ url, clock, log: pino({ level: "silent" }), ...more });
}

const verify = async (token: string, more: { roleClaim?: string } = {}) =>
  externalTokenCredentials({ keys, issuer, audience, clock, ...more }).verify(token);

const nowS = (): number => Math.floor(clock.wallUs() / 1e6);

function token(alg = "RS256", more: object = {}, header: object = {}, signer = alg): Promise<string> {
  const key = pairs.get(signer)?.privateKey;
  if (key === undefined) throw new Error(`no key ${signer}`);
  const payload = {
    iss: issuer,
    aud: audience,
    sub: "alice",
    role: "operator",
    iat: nowS(),
    exp: nowS() + 60,
  };
  return new SignJWT({ ...payload, ...more }).setProtectedHeader({ alg, kid: alg, ...header }).sign(key);
}

describe("a token of the identity provider", () => {
  it.each(["RS256", "PS256", "ES256", "EdDSA"])("counts when signed with %s", async (alg) => {
    expect(await verify(await token(alg))).toMatchObject({
      ...{ role: "operator", userId: "external:alice", method: "jwt", cameras: undefined },
      expiresAtUs: (nowS() + 60) * 1e6,
    });
  });

  it("gives the cameras and the highest role it names", async () => {
    const made = await token("RS256", { cameras: ["camera1"], groups: ["staff", "viewer", "admin"] });
    expect(await verify(made, { roleClaim: "groups" })).toMatchObject({
      ...{ role: "admin", cameras: new Set(["camera1"]) },
    });
  });

  it("may leave out which key it is signed with", async () => {
    answer = give("other", "RS256");
    expect(await verify(await token("RS256", {}, { kid: undefined }))).toMatchObject({ role: "operator" });
    expect(await verify(await token("RS256", {}, { kid: undefined }, "other"))).toMatchObject({
      role: "operator",
    });
    answer = give("RS256", "other");
  });

  const bad: Record<string, () => Promise<string>> = {
    "of another provider": () => token("RS256", { iss: "https://evil.example.org" }),
    "for somebody else": () => token("RS256", { aud: "other-service" }),
    "without an audience": () => token("RS256", { aud: undefined }),
    "without an end": () => token("RS256", { exp: undefined }),
    "that has expired": () => token("RS256", { exp: nowS() }),
    "from the future": () => token("RS256", { iat: nowS() + 60 }),
    "without a role": () => token("RS256", { role: undefined }),
    "with an unknown role": () => token("RS256", { role: "root" }),
    "without a subject": () => token("RS256", { sub: undefined }),
    "with a limit that is none": () => token("RS256", { cameras: "camera1" }),
    "signed with a key the provider does not have": () => token("RS256", {}, {}, "other"),
    "with an unknown key": () => token("RS256", {}, { kid: "unknown" }, "other"),
    "whose algorithm is not that of its key": () => token("RS256", {}, { kid: "ES256" }),
    truncated: async () => (await token()).slice(0, -3),
    "without a signature": async () =>
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.${(await token()).split(".")[1]}.`,
    "signed with HMAC by the public key": async () => {
      const secret = Buffer.from(JSON.stringify(publicKeys.get("RS256")));
      const payload = { iss: issuer, aud: audience, sub: "x", role: "admin", iat: nowS(), exp: nowS() + 60 };
      return new SignJWT(payload).setProtectedHeader({ alg: "HS256", kid: "RS256" }).sign(secret);
    },
  };
  it.each(Object.entries(bad))("%s is refused", async (_what, make) => {
    expect(await verify(await make())).toBe(undefined);
    expect(await verify(await token())).toMatchObject({ role: "operator" });
  });

  it("is not believed for a secret the provider publishes", async () => {
    const secret = Buffer.alloc(32, 9);
    const oct = { kty: "oct", k: secret.toString("base64url"), kid: "oct", alg: "HS256" };
    answer = (response) => void response.end(JSON.stringify({ keys: [oct] }));
    const payload = { iss: issuer, aud: audience, sub: "x", role: "admin", iat: nowS(), exp: nowS() + 60 };
    const made = await new SignJWT(payload).setProtectedHeader({ alg: "HS256", kid: "oct" }).sign(secret);
    expect(await verify(made)).toBe(undefined);
    expect(asked).toBe(0);
  });
});

describe("the keys of the identity provider", () => {
  it("are asked for once, by all who wait for them", async () => {
    const made = await token();
    await Promise.all([verify(made), verify(made), verify(made)]);
    await verify(made);
    expect(asked).toBe(1);
  });

  it("are asked for anew for a new key, and not for each stranger", async () => {
    await verify(await token());
    answer = give("other");
    const fresh = await token("RS256", {}, { kid: "other" }, "other");
    expect(await verify(fresh)).toBe(undefined);
    expect(asked).toBe(1);
    clock.advance(30_000);
    expect(await verify(await token("RS256", {}, { kid: "other" }, "other"))).toMatchObject({
      role: "operator",
    });
    expect(asked).toBe(2);
    for (const kid of ["a", "b", "c"]) await verify(await token("RS256", {}, { kid }));
    expect(asked).toBe(2);
    // What the provider took out of use does not count any more.
    expect(await verify(await token())).toBe(undefined);
  });

  it("go on while the provider is away, for a day", async () => {
    await verify(await token());
    answer = (response) => void response.writeHead(503).end();
    clock.advance(3_600_000);
    expect(await verify(await token())).toMatchObject({ role: "operator" });
    clock.advance(82_900_000);
    expect(await verify(await token())).toBe(undefined);
    answer = give("RS256");
    clock.advance(30_000);
    expect(await verify(await token())).toMatchObject({ role: "operator" });
  });

  const broken: Record<string, (response: ServerResponse) => void> = {
    "an error": (response) => void response.writeHead(500).end("{}"),
    "no JSON": (response) => void response.end("<html>"),
    "no key set": (response) => void response.end('{"keys":{}}'),
    "a redirection": (response) => void response.writeHead(302, { location: url }).end(),
    "a torn connection": (response) => void response.destroy(),
  };
  it.each(Object.entries(broken))("are none after %s", async (_what, how) => {
    answer = how;
    expect(await verify(await token())).toBe(undefined);
    expect(asked).toBe(1);
  });

  it("are read to a bound only", async () => {
    keys = open({ maxBytes: 10_000 });
    answer = (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(" ".repeat(4096)));
      };
      response.on("drain", more);
      more();
    };
    expect(await verify(await token())).toBe(undefined);
  });

  it("are waited for to a bound only", async () => {
    const reached = Promise.withResolvers<void>();
    answer = () => reached.resolve();
    const verdict = verify(await token());
    await reached.promise;
    clock.advance(5000);
    expect(await verdict).toBe(undefined);
  });
});
