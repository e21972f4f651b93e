/** More attempts, further apart. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

await using client = new CameraClient({
  ...options,
  maxRetries: 5, // attempts in all
  retryDelay: 2.0, // seconds; the second wait is twice as long
});
await client.connect();
console.log(`Connected: ${await client.ping()}`);
