import { createHmac, generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { openDatabase } from "../store/database.ts";
import { Accounts } from "./accounts.ts";
import { AnonymousAccess } from "./anonymous.ts";
import { ApiKeys, keyMigrations } from "./api-keys.ts";
import { Authenticator } from "./authenticator.ts";
import { apiKeyCredentials, tokenCredentials } from "./credentials.ts";
import { Logins } from "./logins.ts";
import { Passwords } from "./passwords.ts";
import { LinkSigner } from "./signed-links.ts";
import { tokenSecret } from "./token-secret.ts";
import { Tokens } from "./tokens.ts";
import { Users, userMigrations } from "./users.ts";

const secret = new Uint8Array(32).fill(7);
const password = "correct horse battery";
const peer = { address: "10.0.0.1" };
let clock: FakeClock;
let keys: ApiKeys;
let users: Users;
let tokens: Tokens;
let auth: Authenticator;
let accounts: Accounts;
let logins: Logins;
let logged: string;

beforeEach(() => {
  clock = new FakeClock();
  const database = openDatabase(":memory:", [...keyMigrations, ...userMigrations]);
  keys = new ApiKeys({ database, clock });
  users = new Users({ database, clock });
  tokens = new Tokens({ secret, clock });
  logged = "";
  const log = pino(
    { level: "trace" },
    {
      write: (line: string) => {
        logged += line;
      },
    },
  );
  const passwords = new Passwords({ n: 16, r: 1, p: 1 });
  auth = new Authenticator({
    kinds: [tokenCredentials(tokens, users, keys), apiKeyCredentials(keys, users)],
    anonymous: new AnonymousAccess({ enabled: false, role: "viewer", networks: [] }),
    links: new LinkSigner({ clock }),
    ...{ clock, log },
    guard: { freeFailures: 1000 },
  });
  accounts = new Accounts({ keys, users, passwords, clock, log });
  logins = new Logins({ tokens, users, passwords, auth, clock, log });
});

const nowS = (): number => Math.floor(clock.wallUs() / 1e6);
const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = (more: object = {}): Record<string, unknown> => ({
  ...{ user_id: "outside", role: "operator", iat: nowS(), exp: nowS() + 3600 },
  ...more,
});
const signed = (payload: Record<string, unknown>, header: object = { alg: "HS256", typ: "JWT" }): string => {
  const body = `${base64(header)}.${base64(payload)}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
};
const verify = (token: string) => auth.verify(token, peer);
const refused = { code: "auth_failed", message: "Invalid or expired JWT token" };

describe("a token", () => {
  it("made by others with the secret counts, as the specification says", async () => {
    expect(await verify(signed(claims()))).toMatchObject({
      ...{ role: "operator", userId: "outside", method: "jwt", expiresAtUs: (nowS() + 3600) * 1e6 },
      cameras: undefined,
    });
    expect(await verify(`Bearer ${signed(claims({ cameras: ["camera0"] }))}`)).toMatchObject({
      cameras: new Set(["camera0"]),
    });
    // A clock that is a little ahead.
    expect(await verify(signed(claims({ iat: nowS() + 4 })))).toMatchObject({ role: "operator" });
  });

  it("is tried first, and its refusal told, when no kind is named", async () => {
    await expect(verify("neither")).rejects.toMatchObject(refused);
    const keyOnly = auth.verify("neither", { ...peer, type: "api_key" });
    await expect(keyOnly).rejects.toMatchObject({ message: "Invalid or expired API key" });
    const { key } = keys.create({ name: "k", role: "viewer" });
    await expect(auth.verify(key, { ...peer, type: "jwt" })).rejects.toMatchObject(refused);
    expect(await auth.verify(key, peer)).toMatchObject({ method: "api_key" });
  });

  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
  const bad: Record<string, () => string | Promise<string>> = {
    "without a signature (alg none)": () => `${base64({ alg: "none" })}.${base64(claims())}.`,
    "with alg None and a signature": () => signed(claims(), { alg: "None" }),
    "without alg": () => signed(claims(), { typ: "JWT" }),
    "with another algorithm of the same family": () =>
      new SignJWT(claims()).setProtectedHeader({ alg: "HS512" }).sign(new Uint8Array(64).fill(7)),
    "that says RS256 and is signed with HMAC": () => signed(claims(), { alg: "RS256" }),
    "signed with HMAC by a public key": () => {
      const body = `${base64({ alg: "HS256" })}.${base64(claims())}`;
      return `${body}.${createHmac("sha256", pem).update(body).digest("base64url")}`;
    },
    "signed with RSA": () => new SignJWT(claims()).setProtectedHeader({ alg: "RS256" }).sign(privateKey),
    "that brings its own key": () =>
      signed(claims(), {
        alg: "HS256",
        jwk: { kty: "oct", k: Buffer.from(secret).toString("base64url") },
      }).replace(/[^.]+$/, "AAAA"),
    "signed with another secret": () =>
      new SignJWT(claims()).setProtectedHeader({ alg: "HS256" }).sign(new Uint8Array(32).fill(8)),
    "with a changed payload": () => {
      const [head, , signature] = signed(claims()).split(".");
      return `${head}.${base64(claims({ role: "admin" }))}.${signature}`;
    },
    truncated: () => signed(claims()).slice(0, -2),
    "cut after the payload": () => signed(claims()).replace(/[^.]+$/, ""),
    "with a part more": () => `${signed(claims())}.x`,
    "that has expired": () => signed(claims({ exp: nowS() })),
    "that begins later": () => signed(claims({ nbf: nowS() + 60 })),
    "made in the future": () => signed(claims({ iat: nowS() + 60 })),
    "with a critical extension": () => signed(claims(), { alg: "HS256", crit: ["x"], x: 1 }),
    "that is no JSON": () => signed(JSON.parse("[]") as Record<string, unknown>),
    "of a hub user, without its version": () => signed(claims({ user_id: "user_0123456789abcdef" })),
    ...Object.fromEntries(
      ["user_id", "role", "iat", "exp"].map((name) => [
        `without ${name}`,
        () => signed(claims({ [name]: undefined })),
      ]),
    ),
    "with an unknown role": () => signed(claims({ role: "root" })),
    "with a number for a user": () => signed(claims({ user_id: 5 })),
    "with a text for an end": () => signed(claims({ exp: "never" })),
    "with an end beyond all calendars": () => signed(claims({ exp: 1e15 })),
    "with a limit that is none": () => signed(claims({ cameras: "camera0" })),
  };
  it.each(Object.entries(bad))("%s is refused", async (_what, make) => {
    await expect(verify(await make())).rejects.toMatchObject(refused);
  });

  it("ends when it says", async () => {
    const { token, expiresAtUs } = await tokens.issue({ userId: "x", role: "viewer", lifetimeS: 60 });
    expect(expiresAtUs).toBe((nowS() + 60) * 1e6);
    clock.advance(59_000);
    expect(await verify(token)).toMatchObject({ userId: "x" });
    clock.advance(1000);
    await expect(verify(token)).rejects.toMatchObject(refused);
  });
});

describe("a login", () => {
  const login = (username: string, given = password) => logins.login({ username, password: given }, peer);

  it("gives a token with the rights of the user", async () => {
    const cameras = new Set(["camera0"]);
    await accounts.createUser({ username: "Alice", password, role: "operator", cameras }, "me");
    const issued = await login(" alice");
    expect(issued).toMatchObject({ role: "operator", cameras, expiresAtUs: (nowS() + 86_400) * 1e6 });
    expect(await verify(issued.token)).toMatchObject({ userId: issued.userId, role: "operator", cameras });
    expect(users.find("alice")?.lastLoginUs).toBe(clock.wallUs());
  });

  it("is refused alike for an unknown, a wrong and a disabled one", async () => {
    await accounts.createUser({ username: "alice", password, role: "viewer" }, "me");
    await accounts.createUser({ username: "bob", password, role: "viewer" }, "me");
    accounts.updateUser("bob", { enabled: false }, "me");
    for (const [name, given] of [["nobody"], ["alice", `${password}!`], ["bob"]]) {
      await expect(login(name ?? "", given)).rejects.toMatchObject({
        ...{ code: "auth_failed", message: "Wrong user name or password", details: {} },
      });
    }
    await login("alice");
    expect(logged).toContain("a login was refused");
    expect(logged).toContain("a user logged in");
    expect(logged).not.toMatch(/horse|nobody/);
  });

  it("slows down who guesses", async () => {
    const slow = new Authenticator({
      kinds: [],
      anonymous: new AnonymousAccess({ enabled: false, role: "viewer", networks: [] }),
      links: new LinkSigner({ clock }),
      ...{ clock, log: pino({ level: "silent" }) },
      guard: { freeFailures: 2, maxWaiting: 1 },
    });
    const guess = () => slow.attempt(peer, async () => undefined);
    await guess();
    await guess();
    const waiting = guess();
    await expect(guess()).rejects.toMatchObject({ code: "rate_limited" });
    clock.advance(10_000);
    expect(await waiting).toBe(undefined);
  });

  it("stores a hash of today's cost in place of an older one", async () => {
    const old = await new Passwords({ n: 32, r: 1, p: 1 }).hash(password);
    const { userId } = users.create({ name: "alice", role: "viewer", password: old });
    const { token } = await login("alice");
    expect(users.passwordOf(userId)).toMatch(/^scrypt\$16\$/);
    expect(await verify(token)).toMatchObject({ userId });
    await login("alice");
  });
});

describe("what a user holds", () => {
  const ends: Record<string, () => unknown> = {
    "a new password": () => accounts.setPassword("alice", `${password}2`, "me"),
    "a new role": () => accounts.updateUser("alice", { role: "viewer" }, "me"),
    "a new limit": () => accounts.updateUser("alice", { cameras: { to: new Set(["camera1"]) } }, "me"),
    "being disabled": () => accounts.updateUser("alice", { enabled: false }, "me"),
    "being deleted": () => accounts.deleteUser("alice", "me"),
  };
  it.each(Object.entries(ends))(
    "ends with %s: tokens at once, also on open connections",
    async (_what, end) => {
      await accounts.createUser({ username: "alice", password, role: "operator" }, "me");
      const { token } = await logins.login({ username: "alice", password }, peer);
      const identity = await verify(token);
      const { token: another } = await logins.refresh(identity);
      await end();
      expect(identity.standings.some(({ revoked }) => revoked)).toBe(true);
      for (const one of [token, another]) await expect(verify(one)).rejects.toMatchObject(refused);
      expect((await tokens.verify(token))?.user_id).toBe(identity.userId);
    },
  );

  it("is a key only while the user counts, and then no more than the user has", async () => {
    const cameras = new Set(["camera0", "camera1"]);
    const { userId } = await accounts.createUser(
      { username: "alice", password, role: "operator", cameras },
      "me",
    );
    const { key } = accounts.createKey(
      { name: "k", role: "admin", cameras: new Set(["camera1", "camera2"]), userId },
      "me",
    );
    const identity = await verify(key);
    expect(identity).toMatchObject({ role: "operator", cameras: new Set(["camera1"]), method: "api_key" });
    accounts.updateUser("alice", { enabled: false }, "me");
    expect(identity.standings.some(({ revoked }) => revoked)).toBe(true);
    await expect(verify(key)).rejects.toMatchObject({ code: "auth_failed" });
    accounts.updateUser("alice", { enabled: true }, "me");
    expect(await verify(key)).toMatchObject({ role: "operator" });
    accounts.deleteUser("alice", "me");
    await expect(verify(key)).rejects.toMatchObject({ code: "auth_failed" });
  });
});

describe("a token from an administrator", () => {
  const admin = async () => {
    const { key, record } = keys.create({ name: "a", role: "admin" });
    return { identity: await verify(key), keyId: record.keyId };
  };

  it("has the rights asked for, and ends with the key that made it", async () => {
    const { identity, keyId } = await admin();
    const cameras = new Set(["camera0"]);
    const { token } = await logins.create({ role: "operator", lifetimeS: 600, cameras }, identity);
    const made = await verify(token);
    expect(made).toMatchObject({ role: "operator", cameras });
    const { token: grandchild } = await logins.create({ role: "admin", lifetimeS: 600 }, made);
    keys.revoke(keyId);
    expect(made.standings[0]?.revoked).toBe(true);
    for (const one of [token, grandchild]) await expect(verify(one)).rejects.toMatchObject(refused);
  });

  const changes: Record<string, () => unknown> = {
    "a new password": () => accounts.setPassword("root", `${password}2`, "me"),
    "a lower role": () => accounts.updateUser("root", { role: "viewer" }, "me"),
    "being disabled": () => accounts.updateUser("root", { enabled: false }, "me"),
    "being deleted": () => accounts.deleteUser("root", "me"),
  };
  it.each(Object.entries(changes))("ends for good with %s of the user who made it", async (_what, change) => {
    keys.create({ name: "another way in", role: "admin" });
    const { userId } = await accounts.createUser({ username: "root", password, role: "admin" }, "me");
    const { key } = accounts.createKey({ name: "root's", role: "admin", userId }, "me");
    const login = await logins.login({ username: "root", password }, peer);
    const wishes = { role: "admin" as const, lifetimeS: 600 };
    const byUser = await logins.create(wishes, await verify(login.token));
    const byKey = await logins.create(wishes, await verify(key));
    const renewed = await logins.refresh(await verify(byUser.token));
    const made = [byUser, byKey, renewed];
    for (const { token } of made) expect(await verify(token)).toMatchObject({ role: "admin" });
    await change();
    for (const { token } of made) await expect(verify(token)).rejects.toMatchObject(refused);
  });

  it("for a user gives no more than the user has", async () => {
    await accounts.createUser({ username: "alice", password, role: "viewer" }, "me");
    const { identity } = await admin();
    const user = users.find("alice");
    const { token } = await logins.create({ role: "admin", lifetimeS: 600, user }, identity);
    expect(await verify(token)).toMatchObject({ role: "viewer", userId: user?.userId });
    accounts.updateUser("alice", { enabled: false }, "me");
    const disabled = logins.create({ lifetimeS: 600, user: users.find("alice") }, identity);
    await expect(disabled).rejects.toMatchObject({ code: "invalid_params" });
  });

  it("does not outlive the key that made it", async () => {
    const expiresAtUs = clock.wallUs() + 60_000_000;
    const { key } = keys.create({ name: "short", role: "admin", expiresAtUs });
    const issued = await logins.create({ lifetimeS: 3600 }, await verify(key));
    expect(issued.expiresAtUs).toBeLessThanOrEqual(expiresAtUs);
  });
});

describe("renewing", () => {
  it("gives the same rights for as long again, up to 30 days after the login", async () => {
    await accounts.createUser({ username: "alice", password, role: "operator" }, "me");
    let { token } = await logins.login({ username: "alice", password }, peer);
    const began = nowS();
    for (let day = 0; day < 29; day++) {
      clock.advance(86_000_000);
      token = (await logins.refresh(await verify(token))).token;
    }
    const last = await verify(token);
    expect(last).toMatchObject({ role: "operator" });
    clock.advance(86_000_000);
    const final = await logins.refresh(await verify(token));
    expect(final.expiresAtUs).toBe((began + 30 * 86_400) * 1e6);
  });

  it("is for tokens of the hub only", async () => {
    const { key } = keys.create({ name: "k", role: "viewer" });
    await expect(logins.refresh(await verify(key))).rejects.toMatchObject({ code: "unsupported" });
  });
});

describe("the secret", () => {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-secret-"));
  it("is made once, private, and a new one where it was deleted", () => {
    const path = join(folder, "token.key");
    const first = tokenSecret(path);
    expect(first.length).toBe(32);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o644);
    expect(tokenSecret(path)).toEqual(first);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).not.toContain("change");
    rmSync(path);
    expect(tokenSecret(path)).not.toEqual(first);
  });

  it.each(["", "short\n"])("is not taken from a damaged file (%j)", (text) => {
    const path = join(folder, "damaged.key");
    writeFileSync(path, text);
    expect(() => tokenSecret(path)).toThrow(/Delete the file/);
    rmSync(path);
  });
});
