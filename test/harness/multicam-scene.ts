/**
 * Announces and discovers MultiCam devices in a network namespace that it is started in, and prints what came of it as
 * one line of JSON. For multicam-discovery.test.ts, which makes the namespace.
 */
import { execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { MultiCamController } from "@ocelli/client/node";
import { root, startHub, until, virtualCameras } from "./hub.ts";
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

/** This machine gets into a second network, is given another address there, and meets one that has its name. */
async function otherNetworks(
  first: PythonPeer,
  port: number,
  said: (text: string) => Promise<unknown>,
): Promise<void> {
  const ip = (command: string) => execFileSync("ip", command.split(" "));
  const before = first.lines.length;
  ip("addr add 10.98.0.1/24 dev hub2");
  ip("link set hub3 up");
  ip("link set hub2 up");
  await using second = new PythonPeer("mdns_peer.py", ["10.98.0.1", "browse"]);
  await second.line("ready", ({ ready }) => ready === true);
  await second.line("the first address", ({ type, address: at }) => type === "A" && at === "10.98.0.1");
  ip("addr del 10.98.0.1/24 dev hub2");
  ip("addr add 10.98.0.7/24 dev hub2");
  await second.line("the next address", ({ type, address: at }) => type === "A" && at === "10.98.0.7");
  results.secondNetwork = second.lines.slice();
  results.firstMeanwhile = first.lines.slice(before);
  // The device whose place is the shared port.
  const { name } = await second.line("its name", ({ type, port: at }) => type === "SRV" && at === port);
  const instance = String(name).split(".", 1)[0];
  const other = [{ name: instance, port: 9, address: "10.98.0.2" }];
  const commands = [
    "read moved",
    "ip addr add 10.98.0.2/24 dev hub3",
    "ip link set hub3 up",
    'exec python3 -B "$0" 10.98.0.2 announce "$1"',
  ];
  // Another machine: a network namespace within this one.
  const machine = spawn(
    "unshare",
    [
      ...["-n", "sh", "-ec", commands.join("\n"), join(root, "test/clients/mdns_peer.py")],
      JSON.stringify(other),
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const own = readlinkSync("/proc/self/ns/net");
  await until("the namespace", () => readlinkSync(`/proc/${machine.pid}/ns/net`) !== own);
  ip(`link set hub3 netns ${machine.pid}`);
  machine.stdin.write("moved\n");
  await once(machine.stdout, "data");
  // Its answer is what the hub hears.
  await using third = new PythonPeer("mdns_peer.py", ["10.98.0.7", "browse"]);
  const asked = setInterval(() => third.send({}), 500);
  await third.line(
    "another name",
    ({ type, name: now }) => type === "SRV" && String(now).startsWith(`${instance}-2.`),
  );
  clearInterval(asked);
  await said("another machine announces a MultiCam device of the same name");
  await third.line("its address", ({ type, name: now }) => type === "A" && String(now).endsWith("-2.local"));
  results.renamed = { instance, records: third.lines.slice() };
  machine.stdin.end();
  machine.kill("SIGKILL");
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
  results.records = browser.lines.slice();
  await otherNetworks(browser, hub.port, (text) =>
    until(text, () => hub.output.some((line) => line.includes(text))),
  );
  const alive = browser.lines.length;
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
