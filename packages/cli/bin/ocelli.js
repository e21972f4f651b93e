#!/usr/bin/env node
// In the repository as it is, so that the command can be linked before the first build. Loads nothing that an older Node
// could not read before it has said so.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > 22 || (major === 22 && minor >= 13)) await import("../dist/main.js");
else {
  process.stderr.write(
    `ocelli: Node.js 22.13 or newer is needed, and this is ${process.version} (${process.execPath}).\n` +
      "In the project's folder, `npx ocelli` brings its own; elsewhere install a newer one.\n",
  );
  process.exitCode = 1;
}
