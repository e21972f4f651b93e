// What every entry point needs before it can run: packages, ffmpeg, a build. Plain JavaScript for Node 20,
// because the project's own Node 24 comes with the packages.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, "node_modules", ".bin");
/** Node 24 of the npm package `node`. */
export const node = join(bin, "node");

/**
 * How the hub's Node is started. Little of what the hub makes lives long: more room for young objects, which V8 would
 * take while the hub loads, costs 25 MB for ever and spares no time. Source maps would cost 4 MB and a part of each
 * start; who follows a stack trace finds the source beside the readable built file, or sets NODE_OPTIONS.
 */
export const hubNodeOptions = ["--max-semi-space-size=2"];

const say = (text) => process.stderr.write(`${text}\n`);

/** Ends the process with what is wrong and what to do. */
export function stop(text) {
  say(text);
  process.exit(1);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...options });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`;
  return { ok: result.status === 0, output, missing: result.error?.code === "ENOENT" };
}

const packageFolders = () => readdirSync(join(root, "packages")).map((name) => join(root, "packages", name));

/** Runs `work` unless its result is there and was made from exactly this state; the state is kept in `.cache/`. */
function once(name, state, isThere, work) {
  const stamp = join(root, ".cache", name);
  if (isThere() && existsSync(stamp) && readFileSync(stamp, "utf8") === state) return;
  rmSync(stamp, { force: true });
  work();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, state);
}

function hashOf(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update(existsSync(file) ? readFileSync(file) : "");
  return hash.digest("hex");
}

export function checkNode() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20)
    stop(
      `Ocelli needs Node 20 or newer to start; this is ${process.version}. Install a newer Node and try again.`,
    );
}

export function installPackages() {
  const manifests = [
    join(root, "package.json"),
    join(root, "package-lock.json"),
    ...packageFolders().map((folder) => join(folder, "package.json")),
  ];
  const isThere = () => existsSync(node);
  once("installed", hashOf(manifests), isThere, () => {
    say("Installing npm packages (first start only) ...");
    const result = run("npm", ["ci", "--loglevel=error", "--no-fund", "--no-audit"]);
    if (!result.ok || !isThere()) {
      stop(
        `${result.output}\nInstalling the npm packages failed. Check the network and the disk, then run: npm ci`,
      );
    }
  });
}

/** Installs Debian packages when that is possible without asking; otherwise says how. */
export function installSystemPackages(packages, what) {
  const command = `apt-get install -y --no-install-recommends ${packages.join(" ")}`;
  if (process.getuid?.() !== 0 || run("apt-get", ["--version"]).missing) {
    stop(`${what} is missing. Install it with:\n\n  sudo ${command}\n\nand start again.`);
  }
  say(`Installing ${what} with apt ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  let result = run("apt-get", command.split(" ").slice(1), { env });
  if (!result.ok) {
    run("apt-get", ["update"], { env });
    result = run("apt-get", command.split(" ").slice(1), { env });
  }
  if (!result.ok) stop(`${result.output}\nInstalling ${what} failed. Try by hand: ${command}`);
}

/** Whether a command is on the path: running it would make each start wait for it. */
function isInstalled(command) {
  const places = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return places.some((folder) => existsSync(join(folder, command)));
}

export function installFfmpeg() {
  if (!isInstalled("ffmpeg") || !isInstalled("ffprobe")) installSystemPackages(["ffmpeg"], "ffmpeg");
}

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return entry.name === "node_modules" || entry.name === "dist" ? [] : sources(path);
    return /\.(ts|json)$/.test(entry.name) && !entry.name.endsWith(".tsbuildinfo") ? [path] : [];
  });
}

export function build() {
  const files = [
    join(root, "tsconfig.base.json"),
    join(root, "tsconfig.json"),
    ...sources(join(root, "packages")),
  ];
  const newest = files.map((file) => `${file} ${statSync(file).mtimeMs}`).join("\n");
  const state = createHash("sha256").update(newest).digest("hex");
  const isThere = () => packageFolders().every((folder) => existsSync(join(folder, "dist")));
  once("built", state, isThere, () => {
    say("Building ...");
    const result = run(join(bin, "tsc"), ["-b"]);
    if (!result.ok) stop(`${result.output}\nThe build failed.`);
  });
}

/** Tools of the test suites: what proves that each is there, and the Debian packages that bring it. */
const testTools = [
  {
    what: "Chromium, for the tests of the page",
    there: () => existsSync("/usr/bin/chromium"),
    packages: ["chromium"],
  },
  {
    what: "openssl, for the certificates of the tests of TLS",
    there: () => run("openssl", ["version"]).ok,
    packages: ["openssl"],
  },
  {
    what: "GStreamer's RTSP server for Debian's python3, for the tests of network cameras",
    there: () =>
      run("/usr/bin/python3", [
        "-c",
        "import gi; gi.require_version('GstRtspServer','1.0'); from gi.repository import GstRtspServer",
      ]).ok &&
      run("gst-inspect-1.0", ["x264enc"]).ok &&
      run("gst-inspect-1.0", ["x265enc"]).ok,
    packages: [
      "python3-gi",
      "gir1.2-gst-rtsp-server-1.0",
      "gstreamer1.0-tools",
      "gstreamer1.0-plugins-base",
      "gstreamer1.0-plugins-good",
      "gstreamer1.0-plugins-bad",
      "gstreamer1.0-plugins-ugly",
    ],
  },
  {
    what: "ip, for the tests of searches in a network of their own",
    there: () => run("sh", ["-c", "PATH=$PATH:/usr/sbin:/sbin; ip -V && unshare --version"]).ok,
    packages: ["iproute2", "util-linux"],
  },
  {
    what: "a C compiler and the kernel's headers, for the tests of what V4L2 structures look like",
    there: () => existsSync("/usr/bin/gcc") && existsSync("/usr/include/linux/videodev2.h"),
    packages: ["gcc", "libc6-dev", "linux-libc-dev"],
  },
  {
    what: "chrony, for the tests of the clock",
    there: () => existsSync("/usr/sbin/chronyd"),
    packages: ["chrony"],
  },
  {
    what: "WebSockets for Debian's python3, for the tests with clients of other make",
    there: () => run("/usr/bin/python3", ["-c", "import websockets"]).ok,
    packages: ["python3-websockets"],
  },
  {
    what: "Prometheus' parser for Debian's python3, for the tests of the metrics",
    there: () => run("/usr/bin/python3", ["-c", "import prometheus_client"]).ok,
    packages: ["python3-prometheus-client"],
  },
];

/** Installs what the tests use, when that is possible without asking; returns what stays missing, in words. */
export function installTestTools() {
  const absent = testTools.filter((tool) => !tool.there());
  if (absent.length > 0 && process.getuid?.() === 0) {
    console.log(`Installing test tools with apt: ${absent.flatMap((tool) => tool.packages).join(" ")}`);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    run("apt-get", ["update"], { env });
    run("apt-get", ["install", "-y", "--no-install-recommends", ...absent.flatMap((tool) => tool.packages)], {
      env,
    });
  }
  return absent
    .filter((tool) => !tool.there())
    .map((tool) => `${tool.what} (apt-get install ${tool.packages.join(" ")})`);
}
