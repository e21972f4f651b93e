import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { startHub } from "../harness/hub.ts";

/** What only some hubs need, or only at times: loaded by `await import(...)` where it is used, not with the hub. */
const heavy = [
  "jose",
  "aws4fetch",
  "bonjour-service",
  "multicast-dns",
  "sax",
  "pino-pretty",
  "@ocelli/client",
];
/** Is loaded, so that a list of nothing is no success. */
const certain = ["fastify", "zod", "koffi", "@ocelli/server"];

it("starts without what only some hubs need, and without a thread of its own", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-modules-"));
  try {
    const hook = join(folder, "hook.mjs");
    writeFileSync(
      hook,
      `import { registerHooks } from "node:module";
       import { isMainThread } from "node:worker_threads";
       if (isMainThread) {
         const loaded = [];
         let threads = 0;
         process.on("worker", () => threads++);
         registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
         process.on("message", () => process.send({ loaded, threads }));
         process.channel?.unref();
       }`,
    );
    // A thread of Node costs more than ten megabytes; the one that asks drivers of cameras is for those who have some.
    const env = { OCELLI_DEVICES_V4L2: "false" };
    await using hub = await startHub({ env, nodeArgs: ["--import", pathToFileURL(hook).href] });
    const told = once(hub.process, "message");
    hub.process.send("what is loaded?");
    const [{ loaded: urls, threads }] = (await told) as [{ loaded: string[]; threads: number }];
    // Links of workspaces are followed: packages/client is @ocelli/client.
    const isOf = (name: string) => (url: string) =>
      url.includes(`/node_modules/${name}/`) ||
      url.includes(`/packages/${name.replace("@ocelli/", "")}/dist/`);
    expect(certain.filter((name) => !urls.some(isOf(name)))).toEqual([]);
    expect(heavy.filter((name) => urls.some(isOf(name)))).toEqual([]);
    expect(threads).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
