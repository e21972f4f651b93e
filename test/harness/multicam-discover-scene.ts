/** `ocelli multicam discover` in a network namespace it is started in; prints what it said as one line of JSON. */
import { start } from "../../packages/cli/src/testing/run.ts";
import { PythonPeer } from "./multicam.ts";

const address = "10.99.0.1";
const env = { HOME: "/nonexistent" };
const discover = ["multicam", "discover", "--for", "2"];

const nobody = await start([...discover, "--interface", "hub0"], env).done;
const phones = [
  { name: "multiCam-Mountain-A1B2C3D4", port: 8080, address: "10.99.0.10" },
  { name: "multiCam-oak-0b51", port: 8081, address: "10.99.0.11", txt: ["deviceId=oak-0b51"] },
  { name: "multiCam-Evil\u001b[2J", port: 8080, address: "10.99.0.12" },
];
// The first question is lost, as in Wi-Fi.
await using peer = new PythonPeer("mdns_peer.py", [address, "announce", JSON.stringify(phones), "1"]);
await peer.line("ready", (facts) => facts.ready === true);
const people = await start([...discover, "--interface", "hub0"], env).done;
const program = await start(["--json", ...discover, "--interface", address], env).done;
process.stdout.write(`${JSON.stringify({ nobody, people, program })}\n`);
process.exit(0);
