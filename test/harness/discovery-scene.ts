/**
 * Runs a hub beside `onvif_cameras.py` in a network namespace that it is started in, searches, and prints what came of
 * it as one line of JSON. For stream-discovery.test.ts, which makes the namespace.
 */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startHub } from "./hub.ts";

const script = join(dirname(fileURLToPath(import.meta.url)), "onvif_cameras.py");
const cameras = spawn("/usr/bin/python3", [script], { stdio: ["pipe", "pipe", "inherit"] });
const stray: string[] = [];
const ready = Promise.withResolvers<void>();
createInterface({ input: cameras.stdout }).on("line", (line) => {
  const said: { ready?: boolean; stray?: string } = JSON.parse(line);
  if (said.stray !== undefined) stray.push(said.stray);
  if (said.ready === true) ready.resolve();
});
cameras.on("exit", () => ready.reject(new Error("the cameras ended")));
await ready.promise;

const results: Record<string, unknown> = {};
{
  await using hub = await startHub({
    env: {
      OCELLI_DEVICES_V4L2: "false",
      OCELLI_DISCOVERY_ONVIF_ENABLED: "true",
      OCELLI_DISCOVERY_ONVIF_TIMEOUT_SECONDS: "2",
      OCELLI_DISCOVERY_SKYDIO_NETWORKS: "10.99.0.14",
      OCELLI_DISCOVERY_GENERIC_PORTS: "[554, 8554]",
      OCELLI_DISCOVERY_GENERIC_NETWORKS: "10.99.0.8/29",
    },
  });
  await using rpc = await hub.rpc();
  await rpc.call("subscribe_events", { topics: ["stream.discovered"] });
  results.onvif = await rpc.call("discover_external_streams", { skydio_enabled: false });
  results.again = await rpc.call("discover_external_streams", { skydio_enabled: false });
  results.all = await rpc.call("discover_external_streams", { generic_enabled: true });
  results.offline = await rpc.call("discover_external_streams", {
    ...{ onvif_enabled: false, skydio_enabled: true, include_offline: true },
  });
  results.known = await rpc.call("get_external_streams");
  results.events = rpc.notifications.filter(({ method }) => method === "stream.discovered").length;
  results.interval = await rpc.call("set_discovery_interval", { scan_interval: 1 });
  // Two more that nobody asked for.
  const since = hub.output.length;
  const searched = () => hub.output.slice(since).filter((line) => line.includes("searched for streams"));
  while (searched().length < 2) await new Promise((resolve) => hub.process.stderr?.once("data", resolve));
  results.alive = await rpc.call("ping");
  results.output = hub.output;
}
cameras.stdin.end();
process.stdout.write(`${JSON.stringify({ ...results, stray })}\n`);
process.exit(0);
