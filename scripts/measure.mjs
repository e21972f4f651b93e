// Sets up, builds, and runs one of the programs under bench/ with the arguments given.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { build, checkNode, installFfmpeg, installPackages, node, root } from "./prepare.mjs";

export function measure(program) {
  checkNode();
  installPackages();
  installFfmpeg();
  build();
  const child = spawn(node, [join(root, program), ...process.argv.slice(2)], {
    cwd: process.env.INIT_CWD ?? process.cwd(),
    stdio: "inherit",
  });
  // A terminal sends Ctrl-C to both; others only to this process.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill("SIGTERM"));
  child.on("exit", (code) => {
    process.exitCode = code ?? 1;
  });
}
