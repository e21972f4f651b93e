/** A file through a connection by netcat-openbsd: what the way of the bytes costs at the least. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { until } from "../../test/harness/hub.ts";
import { installed } from "./install.ts";

const nc = "/bin/nc.openbsd";

/** @returns what is missing, in words, or `undefined` */
export function installNetcat(): string | undefined {
  return installed(["netcat-openbsd"], () => existsSync(nc));
}

/**
 * Brings `source` to every target, all at once, each by a pair of its own; the targets are removed.
 * @returns seconds from the first connection to the last byte in the last file
 */
export async function netcat(source: string, targets: readonly string[]): Promise<number> {
  const receivers = await Promise.all(targets.map(listener));
  const from = targets.map(() => openSync(source, "r"));
  const startedAt = performance.now();
  const senders = receivers.map(({ port }, at) =>
    spawn(nc, ["-N", "127.0.0.1", String(port)], { stdio: [from[at], "ignore", "inherit"] }),
  );
  await Promise.all(receivers.map(({ child }) => once(child, "close")));
  const took = (performance.now() - startedAt) / 1000;
  for (const sender of senders) sender.kill();
  for (const file of from) closeSync(file);
  for (const target of targets) {
    if (statSync(target).size !== statSync(source).size) throw new Error("nc did not bring the whole file");
    rmSync(target);
  }
  return took;
}

async function listener(target: string): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const out = openSync(target, "w");
  // An input that ends would end it.
  const child = spawn(nc, ["-l", "127.0.0.1", String(port)], { stdio: ["pipe", out, "inherit"] });
  closeSync(out);
  await until("nc to listen", () => {
    const tables = readFileSync("/proc/net/tcp", "utf8") + readFileSync("/proc/net/tcp6", "utf8");
    const hex = port.toString(16).toUpperCase().padStart(4, "0");
    return new RegExp(`:${hex} \\S+ 0A `).test(tables);
  });
  return { child, port };
}
