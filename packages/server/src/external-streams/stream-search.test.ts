import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { EventBus } from "../events/bus.ts";
import type { DiscoveredStream } from "../events/catalogue.ts";
import { openDatabase } from "../store/database.ts";
import { addressesOf } from "./network-finder.ts";
import { externalStreamMigrations, externalStreamStore } from "./store.ts";
import { type FinderKind, type FoundStream, type StreamFinder, StreamSearch } from "./stream-search.ts";

const log = pino({ level: "silent" });
const all = ["onvif", "skydio", "generic"] as const;
const stream = (url: string): FoundStream => ({
  ...{ url, name: url, type: "generic_rtsp", status: "DISCOVERED", capabilities: {} },
});

let clock: FakeClock;
let bus: EventBus;
let announced: DiscoveredStream[];
let store: ReturnType<typeof externalStreamStore>;

beforeEach(() => {
  clock = new FakeClock();
  bus = new EventBus(log);
  announced = [];
  bus.on("stream.discovered", ({ streams }) => announced.push(...streams));
  store = externalStreamStore(openDatabase(":memory:", externalStreamMigrations));
});

class FakeFinder implements StreamFinder {
  readonly kind: FinderKind;
  found: FoundStream[] | Error | Promise<FoundStream[]>;
  asked = 0;
  constructor(kind: FinderKind, found: FakeFinder["found"]) {
    this.kind = kind;
    this.found = found;
  }
  async find(): Promise<readonly FoundStream[]> {
    this.asked++;
    if (this.found instanceof Error) throw this.found;
    return this.found;
  }
}

const searchWith = (...finders: StreamFinder[]) => new StreamSearch({ finders, store, bus, clock, log });
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("a search", () => {
  it("is refused without a finder, as is an interval", async () => {
    const search = searchWith();
    const disabled = {
      code: "unsupported",
      details: { feature: "external_discovery", reason: "feature_disabled" },
    };
    await expect(search.search({ kinds: all })).rejects.toMatchObject(disabled);
    expect(() => search.changeInterval(5)).toThrow(expect.objectContaining(disabled));
  });

  it("asks the finders that were wished for, and goes on when one fails", async () => {
    const onvif = new FakeFinder("onvif", new Error("no network"));
    const generic = new FakeFinder("generic", [stream("rtsp://a/1")]);
    const search = searchWith(onvif, generic);
    const found = await search.search({ kinds: all });
    expect(found).toMatchObject({ kinds: ["onvif", "generic"], errors: ["onvif: no network"] });
    expect(found.streams.map(({ url }) => url)).toEqual(["rtsp://a/1"]);
    await search.search({ kinds: ["generic"] });
    expect([onvif.asked, generic.asked]).toEqual([1, 2]);
  });

  it("counts for ten seconds, unless forced", async () => {
    const finder = new FakeFinder("onvif", []);
    const search = searchWith(finder);
    await search.search({ kinds: all });
    clock.advance(9999);
    await search.search({ kinds: all });
    expect(finder.asked).toBe(1);
    await search.search({ kinds: all, force: true });
    clock.advance(10_000);
    await search.search({ kinds: all });
    expect(finder.asked).toBe(3);
  });

  it("is joined while it runs", async () => {
    const answer = Promise.withResolvers<FoundStream[]>();
    const finder = new FakeFinder("onvif", answer.promise);
    const search = searchWith(finder);
    const both = [search.search({ kinds: all, force: true }), search.search({ kinds: all, force: true })];
    answer.resolve([stream("rtsp://a/1")]);
    const [first, second] = await Promise.all(both);
    expect(first?.streams).toEqual(second?.streams);
    expect(finder.asked).toBe(1);
  });

  it("tells of a stream once, remembers when it was first seen, and on wish what is gone", async () => {
    const finder = new FakeFinder("onvif", [
      stream("rtsp://a/1"),
      stream("rtsp://a/1"),
      stream("rtsp://b/1"),
    ]);
    const search = searchWith(finder);
    const first = await search.search({ kinds: all });
    expect(first.streams).toHaveLength(2);
    clock.advance(60_000);
    finder.found = [stream("rtsp://b/1")];
    const second = await search.search({ kinds: all, includeOffline: true });
    expect(announced.map(({ url }) => url)).toEqual(["rtsp://a/1", "rtsp://b/1"]);
    const [b, a] = second.streams;
    expect(b?.discoveredAtUs).toBe(first.streams[0]?.discoveredAtUs);
    expect((b?.lastSeenUs ?? 0) - (b?.discoveredAtUs ?? 0)).toBe(60_000_000);
    expect([a?.url, a?.status]).toEqual(["rtsp://a/1", "ERROR"]);
  });

  it("remembers no more than a thousand streams, those seen last", async () => {
    const finder = new FakeFinder("onvif", []);
    const search = searchWith(finder);
    for (let round = 0; round < 3; round++) {
      finder.found = Array.from({ length: 600 }, (_, n) => stream(`rtsp://h/${round}-${n}`));
      await search.search({ kinds: all, force: true });
    }
    const urls = search.known.map(({ url }) => url);
    expect(urls).toHaveLength(1000);
    expect(urls).toContain("rtsp://h/2-0");
    expect(urls).not.toContain("rtsp://h/0-599");
  });

  it("is repeated at the interval that was set, also after a restart, until it is 0", async () => {
    const finder = new FakeFinder("onvif", []);
    const search = searchWith(finder);
    search.changeInterval(60);
    clock.advance(120_000);
    await settle();
    clock.advance(60_000);
    await settle();
    const asked = finder.asked;
    expect(asked).toBeGreaterThanOrEqual(2);
    await search.close();
    clock.advance(600_000);
    await settle();
    expect(finder.asked).toBe(asked);
    const later = searchWith(finder);
    later.start();
    clock.advance(60_000);
    await settle();
    expect(finder.asked).toBe(asked + 1);
    later.changeInterval(0);
    clock.advance(600_000);
    await settle();
    expect([finder.asked, later.intervalS]).toEqual([asked + 1, 0]);
  });
});

it("knows the addresses of a network", () => {
  expect(addressesOf("10.0.0.7")).toEqual(["10.0.0.7"]);
  expect(addressesOf("10.0.0.7/32")).toEqual(["10.0.0.7"]);
  expect(addressesOf("10.0.0.7/31")).toEqual(["10.0.0.6", "10.0.0.7"]);
  expect(addressesOf("192.168.255.254/30")).toEqual(["192.168.255.253", "192.168.255.254"]);
  expect(addressesOf("192.168.42.0/24")).toHaveLength(254);
  expect(addressesOf("10.1.0.0/22").at(-1)).toBe("10.1.3.254");
});
