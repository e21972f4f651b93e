/** Credentials from the environment, and a new token before the old one ends. */
import { CameraClient, isTokenExpired } from "@ocelli/client";
import { options } from "./settings.ts";

const token = process.env.CAMERA_SERVICE_JWT_TOKEN;
if (token !== undefined) console.log(`The token ${isTokenExpired(token) ? "has expired" : "is still good"}`);

await using client = new CameraClient({
  ...options,
  // Asked when the token is about to expire, or was refused. Get a new one from wherever yours come from.
  refreshToken: async () => process.env.CAMERA_SERVICE_API_KEY ?? "",
});
await client.connect();
console.log("Authenticated");
