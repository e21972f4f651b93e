import { beforeAll, expect, it } from "vitest";
import { namespacesMustSkip, playScene } from "../harness/namespace.ts";

// `ocelli multicam discover`, in a network namespace of its own; the other side is test/clients/mdns_peer.py.

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const mustSkip = namespacesMustSkip();
let scene: { readonly nobody: Outcome; readonly people: Outcome; readonly program: Outcome };

beforeAll(async () => {
  if (mustSkip) return;
  const also = ["ip route add 224.0.0.0/4 dev hub0"];
  scene = await playScene("multicam-discover-scene.ts", { also, timeoutMs: 60_000 });
}, 70_000);

it.skipIf(mustSkip)(
  "`ocelli multicam discover` lists who announces itself, and nothing a name does to terminals",
  () => {
    expect(scene.nobody).toEqual({ code: 0, out: "No device answered.\n", err: "" });
    const [head, ...devices] = scene.people.out.trimEnd().split("\n");
    expect(scene.people).toMatchObject({ code: 0, err: "" });
    expect(head).toMatch(/^DEVICE +ADDRESS$/);
    expect(devices.toSorted()).toEqual([
      expect.stringMatching(/^Evil\[2J +10\.99\.0\.12:8080$/),
      expect.stringMatching(/^Mountain-A1B2C3D4 +10\.99\.0\.10:8080$/),
      expect.stringMatching(/^oak-0b51 +10\.99\.0\.11:8081$/),
    ]);
  },
);

it.skipIf(mustSkip)("... and as JSON", () => {
  expect(scene.program).toMatchObject({ code: 0, err: "" });
  const { devices, total } = JSON.parse(scene.program.out) as { devices: { name: string }[]; total: number };
  expect(total).toBe(3);
  expect(devices.find(({ name }) => name === "oak-0b51")).toEqual({
    ...{ name: "oak-0b51", host: "10.99.0.11", port: 8081, device_id: "oak-0b51" },
  });
});
