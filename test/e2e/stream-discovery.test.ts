import { beforeAll, describe, expect, it } from "vitest";
import { namespacesMustSkip, playScene } from "../harness/namespace.ts";

// Searching the network, in a network namespace of its own: nothing of it leaves this machine.

interface Found {
  readonly url: string;
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly error?: string;
  readonly capabilities: Record<string, unknown>;
}
interface Search {
  readonly discovered_streams: readonly Found[];
  readonly skydio_streams: readonly Found[];
  readonly generic_streams: readonly Found[];
  readonly total_found: number;
  readonly scan_timestamp: string;
  readonly scan_duration: string;
  readonly errors: readonly string[];
}
interface Scene {
  readonly onvif: Search;
  readonly again: Search;
  readonly all: Search;
  readonly offline: Search;
  readonly known: { readonly external_streams: readonly Found[] };
  readonly events: number;
  readonly interval: Record<string, unknown>;
  readonly alive: unknown;
  readonly output: readonly string[];
  readonly stray: readonly string[];
}

/** The cameras' addresses are on lo. */
const cameraAddresses = [10, 11, 12, 13, 14, 99].map((n) => `ip addr add 10.99.0.${n}/32 dev lo`);
const mustSkip = namespacesMustSkip();
let scene: Scene;

beforeAll(async () => {
  if (mustSkip) return;
  scene = await playScene("discovery-scene.ts", { also: cameraAddresses, timeoutMs: 60_000 });
}, 70_000);

describe.skipIf(mustSkip)("a search for ONVIF cameras", () => {
  it("finds the streams a camera tells, without its passwords, and those of nobody else", () => {
    const good = scene.onvif.discovered_streams.filter(({ url }) => url.includes("10.99.0.10"));
    expect(good).toMatchObject([
      {
        url: "rtsp://10.99.0.10:8554/one?a=1&b=2",
        name: "Front Door Main",
        type: "generic_rtsp",
        status: "DISCOVERED",
        capabilities: {
          found_by: "onvif",
          codec: "h264",
          resolution: "1920x1080",
          hardware: "X100",
          location: "yard",
        },
      },
      { url: "rtsp://10.99.0.10:8554/three", name: "Front Door Pass" },
    ]);
    expect(JSON.stringify(scene)).not.toContain("s3cret");
  });

  it("names cameras that want a password, and those that do not answer as they should", () => {
    const find = (address: string) => scene.onvif.discovered_streams.find(({ url }) => url.includes(address));
    expect(find("10.99.0.11")).toMatchObject({
      ...{ name: "Gate", status: "ERROR", url: "http://10.99.0.11:8000/onvif/device_service" },
      error: expect.stringContaining("password"),
    });
    expect(find("10.99.0.14")).toMatchObject({ status: "ERROR", error: expect.stringContaining("bytes") });
  });

  it("takes no bomb, no lie and no answer to another question for a camera", () => {
    const addresses = scene.onvif.discovered_streams.map(({ capabilities }) => capabilities.address);
    expect(addresses).toEqual(["10.99.0.10", "10.99.0.10", "10.99.0.11", "10.99.0.14"]);
    expect(scene.stray).toEqual([]);
    expect(scene.alive).toBe("pong");
    expect(scene.onvif).toMatchObject({ total_found: 4, errors: [], skydio_streams: [] });
  });

  it("counts for the next one that comes soon", () => {
    expect(scene.again.scan_timestamp).toBe(scene.onvif.scan_timestamp);
    expect(scene.onvif.scan_duration).toMatch(/^\d+\.\ds$/);
  });
});

describe.skipIf(mustSkip)("a search through networks", () => {
  it("finds Skydio drones and RTSP streams at usual places", () => {
    const { skydio_streams, generic_streams, discovered_streams } = scene.all;
    expect(skydio_streams).toMatchObject([
      { url: "rtsp://10.99.0.14:5554/subject", type: "skydio_stanag4609", status: "DISCOVERED" },
    ]);
    const scanned = generic_streams.filter(({ capabilities }) => capabilities.found_by === "generic");
    expect(scanned.map(({ url, status }) => [url, status]).sort()).toEqual([
      ["rtsp://10.99.0.10:8554/live", "DISCOVERED"],
      ["rtsp://10.99.0.10:8554/stream1", "DISCOVERED"],
      ["rtsp://10.99.0.11:554/stream", "ERROR"],
    ]);
    expect(discovered_streams).toHaveLength(8);
  });

  it("tells on wish what was there and is not looked for now, and tells of each once", () => {
    const { discovered_streams } = scene.offline;
    expect(discovered_streams.filter(({ status }) => status === "DISCOVERED")).toHaveLength(1);
    expect(discovered_streams).toHaveLength(8);
    expect(scene.known.external_streams).toHaveLength(8);
    expect(scene.events).toBe(2);
  });
});

it.skipIf(mustSkip)("is repeated at the interval that was set", () => {
  expect(scene.interval).toMatchObject({ scan_interval: 1, status: "UPDATED" });
  expect(scene.output.filter((line) => line.includes("searched for streams")).length).toBeGreaterThanOrEqual(
    5,
  );
});
