// Boots a Debian with systemd in which deploy/install.sh was run, and looks at the service as an administrator would.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { childOf, runBeside, until } from "./root.mjs";

const watchdogSeconds = 4;

/** A shorter wait for the tests; everything else of the unit stays. */
export function shortenWatchdog(root) {
  const folder = join(root, "etc/systemd/system/ocelli.service.d");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "test.conf"), `[Service]\nWatchdogSec=${watchdogSeconds}\nRestartSec=1\n`);
}

export async function boot(root) {
  const hostHasSystemd = existsSync("/run/systemd/system");
  const child = spawn(
    "systemd-nspawn",
    [
      ...["-D", root, "--boot", "--private-network", "--console=pipe", "--quiet"],
      ...(hostHasSystemd ? [] : ["--register=no", "--keep-unit"]),
      // Ordinary logins need no more than this, and the test none of it.
      ...["systemd.unit=multi-user.target", "systemd.log_target=journal"],
    ],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" } },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  const exited = new Promise((resolve) => child.on("exit", resolve));
  const pid = await until(
    "systemd is process 1",
    () => {
      if (child.exitCode !== null) throw new Error(output);
      return childOf(child.pid);
    },
    10_000,
  );
  const ask = (...command) => runBeside(pid, command);
  return {
    ask,
    show(...properties) {
      const names = properties.flatMap((name) => ["-p", name]);
      const lines = ask("systemctl", "show", "ocelli.service", ...names)
        .trim()
        .split("\n");
      return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
    },
    async shutDown() {
      try {
        ask("systemctl", "poweroff");
      } catch {
        child.kill("SIGTERM");
      }
      const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
      await exited;
      clearTimeout(timer);
    },
  };
}
