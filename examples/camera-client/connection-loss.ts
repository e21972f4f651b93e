/** The client reconnects by itself. A callback may wait for it: `connect()` joins the attempt that runs. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

await using client = new CameraClient(options);

const back = new Promise<void>((resolve) => {
  client.setConnectionLostCallback(async () => {
    console.log("Connection lost - attempting to reconnect...");
    try {
      await client.connect();
      console.log("Reconnected successfully");
    } catch (error) {
      console.log(`Reconnection failed: ${error}`);
    }
    resolve();
  });
});

await client.connect();
console.log("Connected. Restart the service to see what happens.");
await back;
console.log(`The service answers: ${await client.ping()}`);
