/** A connection over TLS. Certificates are always verified; name your own CA if you have one. */
import { readFileSync } from "node:fs";
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

const caFile = process.env.CAMERA_SERVICE_CA;

await using client = new CameraClient({
  ...options,
  useSsl: true,
  ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
});
await client.connect();
console.log(`Connected securely: ${await client.ping()}`);
