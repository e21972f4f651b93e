/**
 * Announces and discovers MultiCam devices in a network namespace that it is started in, and prints what came of it as
 * one line of JSON. For multicam-discovery.test.ts, which makes the namespace.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { MultiCamController } from "@ocelli/client/node";
import { startHub, until, virtualCameras } from "./hub.ts";
import { PythonPeer } from "./multicam.ts";

const address = "10.99.0.1";
const settings = {
  OCELLI_LISTEN: "0.0.0.0:0",
  ...virtualCameras({ count: 2 }),
  OCELLI_MULTICAM_ENABLED: "true",
  OCELLI_MULTICAM_ADVERTISE: "true",
  OCELLI_MULTICAM_NETWORKS: "10.99.0.0/24",
  OCELLI_MULTICAM_DEVICES: JSON.stringify([{ camera: "camera101", port: 8081 }]),
};
const results: Record<string, unknown> = {};

/** What a device says of itself, without what changes from run to run. */
async function found(where: string | undefined) {
  const controller = new MultiCamController({ retryDelays: [] });
  const devices = await controller.discover({
    seconds: 3,
    ...(where === undefined ? {} : { interface: where }),
  });
  const statuses = await controller.statusOf();
  await controller.close();
  return devices.map(({ id, name, host, port, origin, deviceId }, at) => ({
    ...{ id, name, host, port, origin, deviceId },
    status: statuses[at]?.ok === true ? statuses[at].value.status : "unreachable",
  }));
}

{
  await using browser = new PythonPeer("mdns_peer.py", [address, "browse"]);
  await browser.line("ready", (facts) => facts.ready === true);
  const hub = await startHub({ env: settings });
  await browser.line("the second device", (facts) => facts.type === "SRV" && facts.port === 8081);
  await browser.line("its address", (facts) => facts.type === "A");
  // Asked, it answers too.
  const before = browser.lines.length;
  browser.send({});
  await browser.line("an answer", (facts) => facts.type === "SRV" && facts.port === hub.port, before);
  await browser.line("an address with it", (facts) => facts.type === "A", before);
  results.port = hub.port;
  results.discovered = await found(undefined);
  results.discoveredOn = await found(address);
  const alive = browser.lines.length;
  results.records = browser.lines.slice(0, alive);
  await hub.stop();
  await browser.line("a goodbye", (facts) => facts.type === "PTR" && facts.ttl === 0, alive);
  results.goodbyes = browser.lines.slice(alive).filter(({ ttl }) => ttl === 0);
  results.exit = hub.process.exitCode;
}
{
  const phones = [
    { name: "multiCam-Mountain-A1B2C3D4", port: 8080, address: "10.99.0.10" },
    { name: "multiCam-River-00000002", port: 8080, address: "10.99.0.11", txt: ["MultiCam Android Device"] },
    { name: "multiCam-oak-0b51", port: 8081, address: "10.99.0.10", txt: ["deviceId=oak-0b51"] },
  ];
  await using peer = new PythonPeer("mdns_peer.py", [address, "announce", JSON.stringify(phones)]);
  await peer.line("ready", (facts) => facts.ready === true);
  results.phones = await found(address);
}
{
  // Somebody has the port of mDNS to himself.
  const holder = createSocket({ type: "udp4", reuseAddr: false });
  holder.bind(5353);
  await once(holder, "listening");
  const controller = new MultiCamController();
  results.refused = await controller.discover({ seconds: 30 }).then(
    () => "found",
    (error: { code?: string }) => error.code,
  );
  await controller.close();
  const hub = await startHub({ env: settings });
  await until("the hub says so", () =>
    hub.output.some((line) => line.includes("cannot be announced by mDNS")),
  );
  results.servesOn = (await hub.fetch("/health/live")).status;
  await hub.stop();
  results.exitWithout = hub.process.exitCode;
  holder.close();
}
process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit(0);
