import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { clientKey, Networks } from "../../auth/networks.ts";
import { FakeClock } from "../../clock/fake-clock.ts";
import { Clients } from "./clients.ts";
import { Newcomers } from "./newcomers.ts";
import { Origins } from "./origins.ts";
import { ownHosts } from "./own-hosts.ts";
import { RateLimits } from "./rate-limits.ts";

/** The parts of a request that tell where it comes from. */
function request(
  remoteAddress: string,
  headers: Record<string, string> = {},
  socket: object = {},
): IncomingMessage {
  return { headers, socket: { remoteAddress, ...socket } } as unknown as IncomingMessage;
}

describe("the address of a client", () => {
  const clients = new Clients(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]);
  it.each([
    ["is the socket's", "203.0.113.9", undefined, "203.0.113.9"],
    ["is never what a stranger claims", "203.0.113.9", "127.0.0.1", "203.0.113.9"],
    ["is what a trusted proxy says", "127.0.0.1", "203.0.113.9", "203.0.113.9"],
    [
      "is the last one no trusted proxy has, whatever was sent before",
      "127.0.0.1",
      "1.2.3.4, 203.0.113.9, 10.1.2.3",
      "203.0.113.9",
    ],
    ["is the outermost proxy's when all are trusted", "127.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"],
    ["is the proxy's when it says nothing", "127.0.0.1", undefined, "127.0.0.1"],
    ["is the proxy's when it says nonsense", "127.0.0.1", "203.0.113.9, unknown", "127.0.0.1"],
    ["may come with a port", "127.0.0.1", "203.0.113.9:4711", "203.0.113.9"],
    ["may be IPv6", "::ffff:127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"],
    ["may come through IPv6", "fd00::5", "2001:db8::1", "2001:db8::1"],
  ])("%s", (_what, peer, forwarded, wanted) => {
    const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
    expect(clients.addressOf(request(peer, headers))).toBe(wanted);
  });

  it("is the socket's for everybody without a trusted proxy", () => {
    expect(new Clients().addressOf(request("127.0.0.1", { "x-forwarded-for": "1.2.3.4" }))).toBe("127.0.0.1");
  });
});

describe("how a client reached the hub", () => {
  const clients = new Clients(["127.0.0.1"]);
  const forwarded = {
    host: "10.0.0.5:8002",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "cam.example.org",
  };
  it("is what a trusted proxy says, and only that", () => {
    expect(clients.originOf(request("127.0.0.1", forwarded))).toBe("https://cam.example.org");
    expect(clients.originOf(request("10.0.0.9", forwarded))).toBe("http://10.0.0.5:8002");
    expect(clients.originOf(request("10.0.0.9", { host: "hub:8002" }, { encrypted: true }))).toBe(
      "https://hub:8002",
    );
    expect(clients.originOf(request("10.0.0.9", { host: "a b/<script>" }))).toBeUndefined();
  });
});

describe("names of the hub", () => {
  const own = ownHosts(["cam.example.org", "*.lan.example.org"], () => "Hub7.home.example");
  it.each([
    ...["127.0.0.1:8002", "192.168.1.5", "[::1]:8002", "localhost:8080", "hub7:8002", "HUB7.home.example"],
    ...["camera-hub.local:8002", "cam.example.org", "a.b.lan.example.org:443", "hub7.home.example."],
  ])("%s is one", (host) => expect(own(host)).toBe(true));
  it.each([
    "evil.example:8002",
    "127.0.0.1.evil.example",
    "lan.example.org",
    "xlocal",
    "cam.example.org.evil.example",
    "[::1",
    "",
  ])("%s is none", (host) => expect(own(host)).toBe(false));
  it("need not be told by programs that send none", () => expect(own(undefined)).toBe(true));
});

describe("origins", () => {
  const from = (origin: string | undefined, host = "hub.local:8002") =>
    request("203.0.113.9", { host, ...(origin === undefined ? {} : { origin }) });
  const clients = new Clients();
  const isOwnHost = ownHosts([], () => "hub");
  it("allow listed sites, the hub's own page, and what is no page", () => {
    const origins = new Origins({ allowed: ["https://Cam.example.org:443"], clients, isOwnHost });
    const allows = (origin: string | undefined, host?: string) => origins.allows(from(origin, host));
    expect(allows("https://cam.example.org")).toBe(true);
    expect(allows("http://hub.local:8002")).toBe(true);
    expect(allows(undefined)).toBe(true);
    for (const other of [
      "http://cam.example.org",
      "https://evil.example",
      "null",
      "http://hub.local:9999",
      "*",
    ])
      expect(allows(other), other).toBe(false);
    // A name made to point here does not make a page the hub's own.
    expect(allows("http://evil.example:8002", "evil.example:8002")).toBe(false);
  });
  it("allow every site with *", () => {
    const origins = new Origins({ allowed: ["*"], clients, isOwnHost });
    expect(["https://evil.example", "null"].map((origin) => origins.allows(from(origin)))).toEqual([
      true,
      true,
    ]);
  });
});

describe("rate limits", () => {
  const refusal = (work: () => void): number | undefined => {
    try {
      work();
      return undefined;
    } catch (error) {
      expect(error).toMatchObject({ code: "rate_limited" });
      return (error as { details: { retry_after_ms: number } }).details.retry_after_ms;
    }
  };

  it("give a minute's worth at once, then one after the other", () => {
    const clock = new FakeClock();
    const limits = new RateLimits({ clock, connectionPerMinute: 60 });
    const connection = limits.allowance();
    for (let call = 0; call < 60; call++)
      expect(refusal(() => limits.admit("a", connection))).toBeUndefined();
    expect(refusal(() => limits.admit("a", connection))).toBe(1000);
    clock.advance(400);
    expect(refusal(() => limits.admit("a", connection))).toBe(600);
    clock.advance(600);
    expect(refusal(() => limits.admit("a", connection))).toBeUndefined();
    expect(refusal(() => limits.admit("a", connection))).toBe(1000);
    clock.advance(3_600_000);
    const granted = Array.from({ length: 100 }, () => refusal(() => limits.admit("a", connection)));
    expect(granted.filter((waitMs) => waitMs === undefined)).toHaveLength(60);
    expect(refusal(() => limits.admit("a", limits.allowance()))).toBeUndefined();
  });

  it("share one allowance among the connections of an address, and of an IPv6 network", () => {
    const limits = new RateLimits({ clock: new FakeClock(), addressPerMinute: 2 });
    const takes = (address: string) => refusal(() => limits.admit(address, limits.allowance()));
    expect([takes("10.0.0.1"), takes("::ffff:10.0.0.1"), takes("10.0.0.1")]).toEqual([
      undefined,
      undefined,
      30_000,
    ]);
    expect(takes("10.0.0.2")).toBeUndefined();
    expect([takes("2001:db8::1"), takes("2001:db8::2"), takes("2001:db8::3")]).toEqual([
      undefined,
      undefined,
      30_000,
    ]);
    expect(takes("2001:db8:0:1::1")).toBeUndefined();
  });

  it("remember a bounded number of addresses", () => {
    const limits = new RateLimits({ clock: new FakeClock(), addressPerMinute: 1, maxAddresses: 2 });
    for (const address of ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) limits.admit(address);
    expect(refusal(() => limits.admit("10.0.0.3"))).toBe(60_000);
    expect(refusal(() => limits.admit("10.0.0.1"))).toBeUndefined();
  });

  it("are off by default", () => {
    const limits = new RateLimits({ clock: new FakeClock() });
    expect(limits.allowance()).toBeUndefined();
    for (let call = 0; call < 10_000; call++) limits.admit("10.0.0.1");
  });
});

describe("newcomers", () => {
  it("of one address are limited until they show who they are", () => {
    const newcomers = new Newcomers(2);
    const [first, second]: { identity?: string }[] = [{}, {}];
    for (const one of [first, second]) newcomers.add("10.0.0.1", one as { identity: unknown });
    expect(newcomers.hasRoom("10.0.0.1")).toBe(false);
    expect(newcomers.hasRoom("10.0.0.2")).toBe(true);
    if (first !== undefined) first.identity = "somebody";
    expect(newcomers.hasRoom("10.0.0.1")).toBe(true);
    newcomers.remove("10.0.0.1", second as { identity: unknown });
    expect(newcomers.hasRoom("10.0.0.1")).toBe(true);
  });
});

describe("networks", () => {
  it("are of one family each", () => {
    const networks = new Networks(["192.168.0.0/16", "fe80::/10"]);
    expect(
      ["192.168.7.7", "::ffff:192.168.7.7", "fe80::1%eth0", "10.0.0.1", "garbage"].map((one) =>
        networks.has(one),
      ),
    ).toEqual([true, true, true, false, false]);
  });
  it.each(["10.0.0.0/33", "10.0.0.0/", "::1/129", "10.0.0.0/8/8", "hub"])("refuse %s", (network) =>
    expect(() => new Networks([network])).toThrow(/is no network/),
  );
  it("count an IPv6 network as one client", () => {
    expect(clientKey("2001:db8::1")).toBe(clientKey("2001:0db8:0:0:ffff::2"));
    expect(clientKey("::1")).toBe("0:0:0:0::/64");
    expect(clientKey("10.0.0.1")).toBe("10.0.0.1");
  });
});
