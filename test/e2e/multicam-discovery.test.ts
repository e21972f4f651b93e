import { beforeAll, describe, expect, it } from "vitest";
import { namespacesMustSkip, playScene } from "../harness/namespace.ts";

// MultiCam devices are announced and found, in a network namespace of its own: nothing of it leaves this machine.
// The other side is test/clients/mdns_peer.py.

interface Found {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly origin: string;
  readonly deviceId?: string;
  readonly status: string;
}
interface MdnsRecord {
  readonly type: string;
  readonly name: string;
  readonly ttl: number;
  readonly target?: string;
  readonly port?: number;
  readonly address?: string;
  readonly strings?: readonly string[];
}
interface Scene {
  readonly port: number;
  readonly records: readonly MdnsRecord[];
  readonly discovered: readonly Found[];
  readonly discoveredOn: readonly Found[];
  readonly secondNetwork: readonly MdnsRecord[];
  readonly firstMeanwhile: readonly MdnsRecord[];
  readonly renamed: { readonly instance: string; readonly records: readonly MdnsRecord[] };
  readonly goodbyes: readonly MdnsRecord[];
  readonly exit: number | null;
  readonly phones: readonly Found[];
  readonly refused: string;
  readonly servesOn: number;
  readonly exitWithout: number | null;
}

const mustSkip = namespacesMustSkip();
let scene: Scene;

beforeAll(async () => {
  if (mustSkip) return;
  scene = await playScene("multicam-scene.ts", {
    also: ["ip route add 224.0.0.0/4 dev hub0", "ip link add hub2 type veth peer name hub3"],
    timeoutMs: 110_000,
  });
}, 120_000);

describe.skipIf(mustSkip)("the hub's cameras", () => {
  const of = (type: string) => scene.records.filter((record) => record.type === type);
  const service = "_multicam._tcp.local";

  it("are announced as the protocol says, each with its port", () => {
    const instances = [
      ...new Set(of("PTR").flatMap(({ name, target }) => (name === service ? [target] : []))),
    ];
    expect(instances).toHaveLength(2);
    for (const instance of instances) {
      const [, deviceId] =
        /^multiCam-(Ocelli-[0-9A-F]{8})\._multicam\._tcp\.local$/.exec(instance ?? "") ?? [];
      expect(deviceId, instance).toBeDefined();
      const text = of("TXT").find(({ name }) => name === instance);
      expect(text?.strings).toEqual([`deviceId=${deviceId}`]);
      const place = of("SRV").find(({ name }) => name === instance);
      expect([8081, scene.port]).toContain(place?.port);
      // A name resolvers look up by mDNS, and an IPv4 address behind it.
      expect(place?.target).toBe(`${deviceId}.local`);
      expect(of("A").find(({ name }) => name === place?.target)?.address).toBe("10.99.0.1");
    }
    expect(new Set(of("SRV").map(({ port }) => port)).size).toBe(2);
    expect(of("28")).toEqual([]);
  });

  it("are found by our own controller, which then talks with them", () => {
    for (const found of [scene.discovered, scene.discoveredOn]) {
      expect(found).toHaveLength(2);
      expect(found.map(({ port }) => port).sort()).toEqual([8081, scene.port].sort());
      for (const device of found) {
        expect(device).toMatchObject({ host: "10.99.0.1", origin: "discovered", status: "ready" });
        expect(device.id).toBe(device.deviceId);
        expect(device.name).toBe(device.deviceId);
      }
    }
  });

  it("are announced in a network that this machine gets into, by the address it has there at the time", () => {
    const addresses = (records: readonly MdnsRecord[]) =>
      records.flatMap(({ type, address }) => (type === "A" ? [address] : []));
    const second = addresses(scene.secondNetwork);
    expect(new Set(second)).toEqual(new Set(["10.98.0.1", "10.98.0.7"]));
    expect(second.slice(second.indexOf("10.98.0.7"))).not.toContain("10.98.0.1");
    // The others are left as they were.
    expect(addresses(scene.firstMeanwhile).filter((address) => address !== "10.99.0.1")).toEqual([]);
    expect(scene.firstMeanwhile.filter(({ ttl }) => ttl === 0)).toEqual([]);
  });

  it("take another name where another machine has theirs, and keep their id", () => {
    const { instance, records } = scene.renamed;
    const renamed = `${instance}-2.${service}`;
    const deviceId = instance.replace("multiCam-", "");
    expect(records.find(({ type, name }) => type === "SRV" && name === renamed)).toMatchObject({
      ...{ port: scene.port, target: `${deviceId}-2.local` },
    });
    const address = records.find(({ type, name }) => type === "A" && name === `${deviceId}-2.local`);
    expect(address?.address).toBe("10.98.0.7");
    const text = records.find(({ type, name }) => type === "TXT" && name === renamed);
    expect(text?.strings).toEqual([`deviceId=${deviceId}`]);
    // A goodbye would be taken for that of the other machine.
    const gone = records.filter(({ ttl, target }) => ttl === 0 && target === `${instance}.${service}`);
    expect(gone).toEqual([]);
  });

  it("say goodbye when the hub stops", () => {
    const gone = scene.goodbyes.filter(({ type, name }) => type === "PTR" && name === service);
    expect(new Set(gone.map(({ target }) => target)).size).toBe(2);
    expect(scene.exit).toBe(0);
  });
});

it.skipIf(mustSkip)("where mDNS is not possible a search says so, and the hub goes on", () => {
  expect(scene.refused).toBe("unreachable");
  expect(scene.servesOn).toBe(200);
  expect(scene.exitWithout).toBe(0);
});

it.skipIf(mustSkip)("devices of other make are found, with whatever they say of themselves", () => {
  expect(scene.phones.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toMatchObject([
    { name: "Mountain-A1B2C3D4", host: "10.99.0.10", port: 8080, id: "10.99.0.10:8080" },
    { name: "River-00000002", host: "10.99.0.11", port: 8080, id: "10.99.0.11:8080" },
    { name: "oak-0b51", host: "10.99.0.10", port: 8081, id: "oak-0b51", deviceId: "oak-0b51" },
  ]);
});
