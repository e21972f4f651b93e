// So many MultiCam devices in one process, each on a port of its own: they answer, and note when START reached them.
// Says {"ports": [...]}; after a line on its input {"lastStartMs": epoch ms of the last START, "starts": how many}.

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const count = Number(process.argv[2]);
const host = process.argv[3] ?? "127.0.0.1";
let starts = 0;
let lastStartMs = 0;

function answer(text: string, index: number): string {
  const { command } = JSON.parse(text) as { command: string };
  const timestamp = Date.now() / 1000;
  if (command === "START_RECORDING") {
    starts++;
    lastStartMs = performance.timeOrigin + performance.now();
  }
  const status = command === "START_RECORDING" ? "scheduled_recording_accepted" : "ready";
  return JSON.stringify({
    ...{ deviceId: `device-${index}`, status, timestamp, deviceType: "Android:Phone" },
    ...{ batteryLevel: 80, uploadQueue: [], failedUploadQueue: [] },
  });
}

const ports = await Promise.all(
  Array.from({ length: count }, async (_, index) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (data) => socket.write(answer(data.toString(), index)));
    });
    await new Promise<void>((resolve) => server.listen(0, host, 512, resolve));
    return (server.address() as AddressInfo).port;
  }),
);
console.log(JSON.stringify({ ports }));
createInterface({ input: process.stdin })
  .on("line", () => console.log(JSON.stringify({ lastStartMs, starts })))
  .on("close", () => process.exit(0));
