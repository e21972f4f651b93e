/** Several connections, lent one at a time. */
import { CameraClient, ConnectionPool } from "@ocelli/client";
import { options } from "./settings.ts";

await using pool = new ConnectionPool({ size: 5, create: () => new CameraClient(options) });
await pool.initialize();

const client = await pool.getClient();
try {
  console.log(`Cameras: ${(await client.getCameraList()).length}`);
} finally {
  pool.returnClient(client);
}

const answers = await Promise.all(Array.from({ length: 20 }, () => pool.use((one) => one.ping())));
console.log(`${answers.length} answers`);
