// `npm start`: installs what is missing, builds, and runs the hub on Node 24.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { build, checkNode, hubNodeOptions, installFfmpeg, installPackages, node, root } from "./prepare.mjs";

checkNode();
installPackages();
installFfmpeg();
build();

// The hub gets a process group of its own, so that it sees each Ctrl-C once, from here.
const hub = spawn(
  node,
  [...hubNodeOptions, join(root, "packages/server/dist/main.js"), ...process.argv.slice(2)],
  {
    cwd: process.env.INIT_CWD ?? process.cwd(),
    stdio: "inherit",
    detached: true,
  },
);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => hub.kill(signal));
hub.on("error", (error) => {
  process.stderr.write(`The hub could not be started: ${error.message}\n`);
  process.exitCode = 1;
});
hub.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
