// Folders that hold a Debian system, and running things in them: as little of a container as the tests need.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const suite = "trixie";

/** Runs a command and returns what it printed. @throws Error with the end of its output when it fails */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 26, ...options });
  if (result.status === 0) return result.stdout;
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`.trim().split("\n").slice(-15).join("\n");
  throw new Error(`${command} ${args.join(" ")} (${result.error?.message ?? result.status}):\n${output}`);
}

/** A minimal Debian, made once and kept in `.cache/`. */
export function debian() {
  const base = join(repository, ".cache", "deploy", suite);
  if (!existsSync(base)) {
    const making = `${base}.making`;
    rmSync(making, { recursive: true, force: true });
    mkdirSync(dirname(base), { recursive: true });
    run("debootstrap", ["--variant=minbase", suite, making, "http://deb.debian.org/debian"]);
    rmSync(join(making, "var/cache/apt/archives"), { recursive: true, force: true });
    renameSync(making, base);
  }
  return base;
}

export function copyRoot(from, to) {
  run("cp", ["-a", "--reflink=auto", from, to]);
  copyFileSync("/etc/resolv.conf", join(to, "etc/resolv.conf"));
}

/** What this machine needs to reach the package registry, as environment inside of `root`. */
export function networkEnv(root) {
  const setting = (name) => run("npm", ["config", "get", name]).trim();
  const env = { npm_config_registry: setting("registry") };
  const authorities = process.env.NODE_EXTRA_CA_CERTS ?? setting("cafile");
  if (existsSync(authorities)) {
    cpSync(authorities, join(root, "registry-ca.crt"));
    env.npm_config_cafile = "/registry-ca.crt";
    env.NODE_EXTRA_CA_CERTS = "/registry-ca.crt";
  }
  for (const name of ["http_proxy", "https_proxy", "no_proxy"]) {
    if (process.env[name] !== undefined) env[name] = process.env[name];
  }
  return env;
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Arguments for `unshare`: `command` in `root` with process ids (and a network) of its own; it ends with unshare. */
function inside(root, command, { env = {}, user, workdir = "/", network = true }) {
  const script = [
    'mount -t proc proc "$0/proc"',
    network ? "true" : "ip link set lo up",
    'exec chroot "$0" "$@"',
  ].join(" && ");
  const variables = Object.entries({ PATH: path, HOME: "/root", ...env }).map(
    ([name, value]) => `${name}=${value}`,
  );
  const as = user === undefined ? [] : ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"];
  return [
    ...["--mount", "--pid", "--fork", "--kill-child", ...(network ? [] : ["--net"])],
    ...["sh", "-c", script, root, ...as, "env", "-i", "-C", workdir, ...variables, ...command],
  ];
}

export function runInside(root, command, options = {}) {
  return run("unshare", inside(root, command, options));
}

/** Starts `command` as process 1 of a container without a network. */
export function startInside(root, command, options = {}) {
  const child = spawn("unshare", inside(root, command, { ...options, network: false }), {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  const exited = new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)));
  return { child, exited, output: () => output };
}

/** The process id, outside, of the one process that `pid` has started. */
export function childOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0] || undefined;
}

/** Runs a command beside process `pid`: same files, processes and network. */
export function runBeside(pid, command, { env = {}, user } = {}) {
  const variables = Object.entries({ PATH: path, ...env }).map(([name, value]) => `${name}=${value}`);
  const as = user === undefined ? [] : ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"];
  return run("nsenter", ["-t", pid, "-a", "-r", "-w", ...as, "env", "-i", ...variables, ...command]);
}

/** Asks until `probe` neither throws nor gives false. */
export async function until(what, probe, timeoutMs = 60_000) {
  const deadline = Date.now() + timeoutMs;
  for (let last = "never asked"; ; ) {
    try {
      const value = await probe();
      if (value !== false && value !== undefined) return value;
      last = "not so";
    } catch (error) {
      last = error.message;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s (${last})`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
