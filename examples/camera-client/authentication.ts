/** The two ways to authenticate. */
import { CameraClient } from "@ocelli/client";
import { options } from "./settings.ts";

const { host = "localhost", port = 8080, authToken, apiKey } = options;

if (authToken !== undefined) {
  await using client = new CameraClient({ host, port, authType: "jwt", authToken });
  await client.connect();
  console.log(`JWT accepted: ${client.session?.role}`);
}

if (apiKey !== undefined) {
  await using client = new CameraClient({ host, port, authType: "api_key", apiKey });
  await client.connect();
  console.log(`API key accepted: ${client.session?.role}`);
}
