/** The log of the client, to wherever you want it. No credential ever gets into it. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

const line = (level: string) => (message: string) =>
  console.log(`${new Date().toISOString()} - camera-client - ${level} - ${message}`);

await using client = new CameraClient({
  ...options,
  // Leave debug out for less.
  logger: { debug: line("DEBUG"), info: line("INFO"), warn: line("WARNING"), error: line("ERROR") },
});
await client.connect();
