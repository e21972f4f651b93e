// `npm run bench`: sets up, builds, and measures; `npm run bench -- --help` says what can be chosen.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { build, checkNode, installFfmpeg, installPackages, node, root } from "./prepare.mjs";

checkNode();
installPackages();
installFfmpeg();
build();

const bench = spawn(node, [join(root, "bench/main.ts"), ...process.argv.slice(2)], {
  cwd: process.env.INIT_CWD ?? process.cwd(),
  stdio: "inherit",
});
// A terminal sends Ctrl-C to both; others only to this process.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => bench.kill("SIGTERM"));
bench.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
