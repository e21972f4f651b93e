import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OcelliError } from "@ocelli/protocol";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { AnonymousAccess } from "./anonymous.ts";
import { ApiKeys, keyMigrations } from "./api-keys.ts";
import { Authenticator } from "./authenticator.ts";
import { apiKeyCredentials } from "./credentials.ts";
import { LinkSigner } from "./signed-links.ts";

const log = pino({ level: "silent" });
const configured = "a_configured_key_of_the_user_0123456789";

let folder: string;
let clock: FakeClock;
let database: Database;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-auth-"));
  clock = new FakeClock();
  database = openDatabase(join(folder, "hub.sqlite"), keyMigrations);
});
afterEach(() => {
  database.close();
  rmSync(folder, { recursive: true, force: true });
});

const open = () => new ApiKeys({ database, clock });

describe("API keys", () => {
  it("make one admin key at the first start, and no other later", () => {
    const made = open().ensureAdmin();
    expect(made?.key).toMatch(/^camera_service_sk_[A-Za-z0-9]{64}$/);
    const again = open();
    expect(again.ensureAdmin()).toBeUndefined();
    expect(again.verify(made?.key ?? "")).toMatchObject({ role: "admin", name: "admin", isActive: true });
  });

  it("store no key, only its hash", () => {
    const made = open().ensureAdmin();
    database.close();
    const bytes = readFileSync(join(folder, "hub.sqlite"));
    expect(bytes.includes(Buffer.from("api_keys"))).toBe(true);
    expect(bytes.includes(Buffer.from(made?.key.slice(20) ?? "?"))).toBe(false);
    expect(JSON.stringify(made?.record)).not.toContain(made?.key.slice(20));
  });

  it("follow the configured key, also back to none", () => {
    const keys = open();
    expect(keys.ensureAdmin(configured)).toBeUndefined();
    expect(keys.verify(configured)?.role).toBe("admin");
    const other = open();
    expect(other.ensureAdmin(`${configured}_2`)).toBeUndefined();
    expect(other.verify(configured)).toBeUndefined();
    expect(other.ensureAdmin(configured)).toBeUndefined();
    expect(other.verify(configured)?.role).toBe("admin");
    expect(other.ensureAdmin(undefined)?.key).toBeDefined();
    expect(other.verify(configured)).toBeUndefined();
    expect(() => other.ensureAdmin("too short")).toThrow(OcelliError);
  });

  it("refuse what is expired, revoked, or nearly right", () => {
    const keys = open();
    const { key, record } = keys.create({
      name: "lab",
      role: "viewer",
      expiresAtUs: clock.wallUs() + 60_000_000,
    });
    expect(keys.verify(key)?.role).toBe("viewer");
    for (const wrong of ["", key.slice(0, -1), `${key}x`, `${key.slice(0, -1)}!`, "x".repeat(100_000)]) {
      expect(keys.verify(wrong)).toBeUndefined();
    }
    clock.advance(60_000);
    expect(keys.verify(key)).toBeUndefined();
    expect(keys.removeExpired()).toBe(1);
    expect(keys.list()).toEqual([]);
    const second = keys.create({ name: "b", role: "operator" });
    expect(keys.revoke(second.record.keyId)).toBe(true);
    expect(keys.revoke(second.record.keyId)).toBe(false);
    expect(keys.revoke(record.keyId)).toBe(false);
    expect(open().verify(second.key)).toBeUndefined();
  });

  it("rotate into a new key with the same role", () => {
    const keys = open();
    const old = keys.create({ name: "lab", role: "operator" });
    const next = keys.rotate(old.record.keyId);
    expect(next.record).toMatchObject({ name: "lab (rotated)", role: "operator" });
    expect(keys.verify(old.key)).toBeUndefined();
    expect(keys.verify(next.key)?.keyId).toBe(next.record.keyId);
    expect(() => keys.rotate(old.record.keyId)).toThrow(/no active API key/);
  });

  it("open on a full disk too", () => {
    const keys = open();
    const { key } = keys.create({ name: "k", role: "admin" });
    database.exec("PRAGMA query_only = 1");
    expect(keys.verify(key)?.role).toBe("admin");
    database.exec("PRAGMA query_only = 0");
  });

  it("remember the last use to the minute", () => {
    const keys = open();
    const { key, record } = keys.create({ name: "a", role: "viewer" });
    keys.verify(key);
    const first = open().list()[0]?.lastUsedUs;
    clock.advance(30_000);
    keys.verify(key);
    expect(open().list()[0]?.lastUsedUs).toBe(first);
    clock.advance(31_000);
    keys.verify(key);
    expect(open().list()[0]).toMatchObject({ keyId: record.keyId, lastUsedUs: clock.wallUs() });
  });
});

describe("anonymous access", () => {
  const settings = {
    enabled: true,
    role: "operator",
    networks: ["127.0.0.0/8", "::1/128", "10.1.2.3"],
  } as const;

  it("is nobody's while it is off", () => {
    expect(new AnonymousAccess({ ...settings, enabled: false }).identityFor("127.0.0.1")).toBeUndefined();
  });

  it.each([
    ["127.0.0.1", true],
    ["127.255.0.9", true],
    ["::1", true],
    ["::ffff:127.0.0.1", true],
    ["10.1.2.3", true],
    ["10.1.2.4", false],
    ["::2", false],
    ["8.8.8.8", false],
    ["", false],
    ["nonsense", false],
  ])("of %j is %s", (address, allowed) => {
    expect(new AnonymousAccess(settings).identityFor(address)?.role).toBe(allowed ? "operator" : undefined);
  });

  it.each(["10.0.0.0/33", "localhost", "::1/129", "1.2.3.4/x", "1.2.3.4/8/8", ""])(
    "refuses the network %j",
    (network) => {
      expect(() => new AnonymousAccess({ ...settings, networks: [network] })).toThrow(/is no network/);
    },
  );
});

describe("signed links", () => {
  const path = "/files/recordings/camera0%20%C3%A4.mp4";

  it("open their own path until they expire", () => {
    const links = new LinkSigner({ clock, lifetimeS: 60 });
    const link = links.sign(path);
    expect(link).toMatch(/\?exp=\d+&sig=[\w-]{43}$/);
    expect(links.verify(link)).toMatchObject({ role: "viewer" });
    expect(links.verify(link.replace("%C3%A4", "%c3%a4"))).toMatchObject({ role: "viewer" });
    expect(links.verify(`${link}&width=3`)).toMatchObject({ role: "viewer" });
    clock.advance(59_000);
    expect(links.verify(link)).toMatchObject({ role: "viewer" });
    clock.advance(1000);
    expect(links.verify(link)).toBe(undefined);
  });

  it("open nothing else", () => {
    const links = new LinkSigner({ clock });
    const link = links.sign(path);
    expect(links.verify(link.replace("camera0", "camera1"))).toBe(undefined);
    expect(links.verify(link.replace(/exp=\d+/, "exp=99999999999"))).toBe(undefined);
    const otherSig = link.replace(/sig=./, (first) => (first === "sig=_" ? "sig=A" : "sig=_"));
    expect(links.verify(otherSig)).toBe(undefined);
    expect(links.verify(path)).toBe(undefined);
    expect(links.verify(`${path}?exp=&sig=`)).toBe(undefined);
    expect(links.verify("/%E0%A4%A?exp=99999999999&sig=x")).toBe(undefined);
    expect(new LinkSigner({ clock }).verify(link)).toBe(undefined);
  });
});

describe("a link", () => {
  const standing = { revoked: false };
  const signer = { cameras: new Set(["camera0", "camera7"]), standings: [standing], expiresAtUs: undefined };
  const path = "/files/recordings/a.mp4";
  const open = () => new LinkSigner({ clock });

  it("gives no more cameras than whoever had it signed, and none when the limit is tampered with", () => {
    const links = open();
    const link = links.sign(path, 60, signer);
    expect(links.verify(link)).toMatchObject({ role: "viewer", cameras: signer.cameras });
    for (const forged of [
      link.replace("camera0", "camera1"),
      link.replace(/&cams=[^&]*/, ""),
      `${link.replace("cams=", "x=")}&cams=camera1`,
      link.replace(/&cams=/, "&cams=camera1&cams="),
      link.replace(/&by=[^&]*/, ""),
    ]) {
      expect(forged).not.toBe(link);
      expect(links.verify(forged)).toBe(undefined);
    }
  });

  it("ends with whoever had it signed", () => {
    const links = open();
    const mortal = { revoked: false };
    const link = links.sign(path, 60, { ...signer, standings: [standing, mortal] });
    const others = links.sign(path, 60, signer);
    const identity = links.verify(link);
    mortal.revoked = true;
    expect(links.verify(link)).toBe(undefined);
    expect(identity?.standings.some(({ revoked }) => revoked)).toBe(true);
    expect(links.verify(others)).toBeDefined();
    // Forgotten when the next one is signed, and still refused.
    links.sign(path, 60, { ...signer, standings: [{ revoked: false }] });
    expect(links.verify(link)).toBe(undefined);
  });

  it("says when whoever had it signed ends, for what is opened with it", () => {
    const links = open();
    const endUs = (Math.floor(clock.wallUs() / 1e6) + 7200) * 1e6;
    const link = links.sign(path, 60, { ...signer, expiresAtUs: endUs });
    expect(links.verify(link)).toMatchObject({ signerExpiresAtUs: endUs });
    expect(links.verify(link.replace(/&until=\d+/, ""))).toBe(undefined);
    expect(links.verify(link.replace(/&until=\d/, "&until=9"))).toBe(undefined);
    expect(links.verify(links.sign(path, 60, signer))).toMatchObject({ signerExpiresAtUs: undefined });
  });

  it("lives no longer than whoever had it signed", () => {
    const links = open();
    const link = links.sign(path, 3600, { ...signer, expiresAtUs: clock.wallUs() + 10_000_000 });
    expect(links.verify(link)).toBeDefined();
    clock.advance(10_001);
    expect(links.verify(link)).toBe(undefined);
  });
});

describe("the authenticator", () => {
  const setUp = (anonymous = false) => {
    const keys = open();
    const links = new LinkSigner({ clock });
    const authenticator = new Authenticator({
      kinds: [apiKeyCredentials(keys)],
      anonymous: new AnonymousAccess({ enabled: anonymous, role: "viewer", networks: ["127.0.0.0/8"] }),
      links,
      clock,
      log,
      guard: { freeFailures: 3, maxWaiting: 2 },
    });
    const { key, record } = keys.create({ name: "k", role: "operator" });
    return { authenticator, links, key, revoke: () => keys.revoke(record.keyId) };
  };
  const request = (headers: Record<string, string>, url = "/ws", remoteAddress = "127.0.0.1") =>
    ({ headers, url, socket: { remoteAddress } }) as unknown as IncomingMessage;
  const address = "192.0.2.1";

  it("knows a key however it is sent", async () => {
    const { authenticator, key } = setUp();
    expect((await authenticator.verify(`Bearer ${key}`, { address })).role).toBe("operator");
    expect((await authenticator.verify(key, { address, type: "auto" })).role).toBe("operator");
    for (const headers of [{ authorization: `Bearer ${key}` }, { "x-api-key": key }]) {
      expect((await authenticator.identify(request(headers)))?.userId).toMatch(/^api_key_[0-9a-f]{16}$/);
    }
  });

  it.each([
    [undefined, "auto", "Missing auth_token"],
    ["  ", "auto", "Missing auth_token"],
    ["x", "auto", "Invalid or expired API key"],
    ["x", "api_key", "Invalid or expired API key"],
    ["x", "jwt", "Invalid or expired JWT token"],
    ["x", "__proto__", "Invalid or expired API key"],
  ])("refuses %j as %s: %s", async (credential, type, text) => {
    const { authenticator } = setUp();
    await expect(authenticator.verify(credential, { address, type })).rejects.toMatchObject({
      code: "auth_failed",
      message: text,
    });
  });

  it("lets signed links and allowed networks in over HTTP, and takes a wrong credential for none", async () => {
    const closed = setUp();
    const path = "/files/snapshots/a.jpg";
    expect(await closed.authenticator.identify(request({}, path))).toBeUndefined();
    expect((await closed.authenticator.identify(request({}, closed.links.sign(path))))?.role).toBe("viewer");
    const open = setUp(true);
    expect((await open.authenticator.identify(request({})))?.method).toBe("anonymous");
    expect((await open.authenticator.identify(request({ "x-api-key": "wrong" })))?.method).toBe("anonymous");
    expect(await open.authenticator.identify(request({}, "/", "192.0.2.7"))).toBeUndefined();
    const page = (origin: string) => open.authenticator.identify(request({ host: "hub:8002", origin }));
    expect((await page("http://hub:8002"))?.method).toBe("anonymous");
    for (const foreign of ["http://evil.example", "http://hub:9000", "null"])
      expect(await page(foreign)).toBeUndefined();
    // What a page only embeds, such as a picture, comes without an origin.
    const embedded = (site: string, dest = "image") =>
      open.authenticator.identify(request({ "sec-fetch-site": site, "sec-fetch-dest": dest }));
    expect(await embedded("cross-site")).toBeUndefined();
    expect(await embedded("same-site")).toBeUndefined();
    expect(await embedded("cross-site", "iframe")).toBeUndefined();
    for (const site of ["same-origin", "none"]) expect((await embedded(site))?.method).toBe("anonymous");
    // A link that somebody follows is no part of the page it is on.
    expect((await embedded("cross-site", "document"))?.method).toBe("anonymous");
    const forwarded = request({ "x-forwarded-for": "127.0.0.1" }, "/", "192.0.2.7");
    expect(await open.authenticator.identify(forwarded)).toBeUndefined();
  });

  it("slows an address down after wrong credentials, right ones not seen before too, and forgets", async () => {
    const { authenticator, key } = setUp();
    const wrong = () => authenticator.verify("wrong", { address }).catch((error: OcelliError) => error.code);
    for (let attempt = 0; attempt < 3; attempt++) expect(await wrong()).toBe("auth_failed");
    let done = 0;
    const waiting = [wrong(), authenticator.verify(key, { address })].map((one) => one.then(() => done++));
    await expect(authenticator.verify(key, { address })).rejects.toMatchObject({ code: "rate_limited" });
    expect(done).toBe(0);
    await clock.advanceAsync(250);
    await Promise.all(waiting);
    await clock.advanceAsync(61_000);
    expect((await authenticator.verify(key, { address })).role).toBe("operator");
  });

  it("takes all addresses of an IPv6 network for one", async () => {
    const { authenticator, key } = setUp();
    for (const host of ["1", "2", "ffff:1:2"])
      await authenticator.verify("wrong", { address: `2001:db8:0:7::${host}` }).catch(() => undefined);
    let known = false;
    const next = authenticator.verify(key, { address: "2001:db8:0:7::4" }).then(() => (known = true));
    await clock.advanceAsync(249);
    expect(known).toBe(false);
    expect((await authenticator.verify(key, { address: "2001:db8:0:8::1" })).role).toBe("operator");
    await clock.advanceAsync(1);
    await next;
  });

  it("does not slow down a client it knows because of another one at the same address", async () => {
    const { authenticator, key, revoke } = setUp();
    await authenticator.verify(key, { address });
    const stale = () => authenticator.verify("wrong", { address }).catch(() => undefined);
    for (let attempt = 0; attempt < 3; attempt++) await stale();
    const waiting = [stale(), stale()];
    expect((await authenticator.verify(key, { address })).role).toBe("operator");
    revoke();
    for (const code of ["auth_failed", "rate_limited"])
      await expect(authenticator.verify(key, { address })).rejects.toMatchObject({ code });
    await clock.advanceAsync(5000);
    await Promise.all(waiting);
  });
});
