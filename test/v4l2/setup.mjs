/**
 * Prepares what the V4L2 test guest needs: QEMU and small tools through apt, a kernel and an
 * initramfs in `.cache/v4l2-guest/`. Debian's kernel is unpacked there, not installed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, realpathSync } from "node:fs";
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const exec = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));

/** The repository, and the working folder of commands in the guest. */
export const repoRoot = resolve(here, "../..");

const cache = join(repoRoot, ".cache/v4l2-guest");
const initScript = join(here, "init.sh");
const patchFile = join(here, "v4l2loopback.patch");

/** One module for each loopback camera, so that they come and go one by one. */
const loopbacks = [0, 1, 2, 3].map((slot) => `v4l2loopback_${slot}`);

/** The kernel modules that the guest has, besides those they depend on. */
const modules = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "vivid", ...loopbacks];

/** Programs used on the host or, from the host's file system, in the guest, and their Debian packages. */
const tools = new Map([
  ["qemu-system-x86_64", "qemu-system-x86"],
  ["modprobe", "kmod"],
  ["v4l2-ctl", "v4l-utils"],
  ["ffmpeg", "ffmpeg"],
  ["cpio", "cpio"],
  ["gcc", "gcc"],
  ["make", "make"],
  ["patch", "patch"],
  ["xz", "xz-utils"],
  ["setpriv", "util-linux"],
]);

/**
 * What keeps the guest from being prepared on this machine, one reason a line; empty when it can be.
 * @returns {string[]}
 */
export function missingTools() {
  if (process.platform !== "linux" || process.arch !== "x64") return ["needs Linux on x86-64"];
  if (process.getuid?.() === 0 && find("apt-get")) return [];
  const reasons = missing().map((tool) => `${tool} is missing, and this is not root with apt`);
  if (!existsSync(paths().initramfs) && !find("apt-get")) reasons.push("needs apt to fetch Debian's kernel");
  return reasons;
}

/** @type {Promise<{ kernel: string, initramfs: string }> | undefined} */
let prepared;

/**
 * Installs and builds what is not there yet; quick when everything is.
 * @returns {Promise<{ kernel: string, initramfs: string }>} paths of the two files to boot
 */
export function prepareGuest() {
  prepared ??= prepare();
  return prepared;
}

async function prepare() {
  const reasons = missingTools();
  if (reasons.length) throw new Error(`cannot prepare the V4L2 guest: ${reasons.join("; ")}`);
  const { base, kernel, initramfs } = paths();
  const packages = missing().map((tool) => tools.get(tool) ?? tool);
  if (packages.length) {
    progress(`installing ${packages.join(", ")}`);
    await apt("install", "-y", "--no-install-recommends", ...packages);
  }
  await mkdir(cache, { recursive: true });
  if (!existsSync(kernel)) await intoPlace(base, buildBase);
  if (!existsSync(initramfs)) await intoPlace(dirname(initramfs), buildInitramfs);
  return { kernel, initramfs };
}

/** Named after what they are made from, so that a change here makes new ones. */
function paths() {
  const contents = modules.join() + readFileSync(patchFile, "utf8");
  const base = join(cache, `kernel-${digest(contents)}`);
  const initramfs = join(
    cache,
    `initramfs-${digest(contents + readFileSync(initScript, "utf8"))}`,
    "initramfs",
  );
  return { base, kernel: join(base, "vmlinux"), initramfs };
}

/**
 * Makes a folder elsewhere and renames it, so that it is complete when it is there and concurrent
 * runs do not meet.
 * @param {string} folder @param {(work: string) => Promise<void>} build
 */
async function intoPlace(folder, build) {
  const work = await mkdtemp(join(cache, "work-"));
  try {
    await build(work);
    await rename(work, folder).catch((error) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Makes `vmlinux` and `root/`, the initramfs without its init: busybox and the modules.
 * @param {string} work
 */
async function buildBase(work) {
  progress("fetching kernel, headers, v4l2loopback and busybox");
  const packages = await kernelPackages().catch(() => apt("update").then(kernelPackages));
  const version = (packages[0] ?? "").slice("linux-image-".length);
  const debs = join(work, "debs");
  const tree = join(work, "tree");
  await mkdir(debs);
  const names = [...packages, "v4l2loopback-dkms", "busybox-static"];
  await exec("apt-get", ["-o", "APT::Sandbox::User=root", "download", ...names], { cwd: debs });
  for (const deb of await readdir(debs)) await exec("dpkg-deb", ["-x", join(debs, deb), tree]);

  progress(`building v4l2loopback for ${version}`);
  const sources = join(tree, "usr/src");
  const source = join(
    sources,
    (await readdir(sources)).find((name) => name.startsWith("v4l2loopback-")) ?? "",
  );
  await exec("patch", ["-p1", "-i", patchFile], { cwd: source });
  await writeFile(join(source, "Kbuild"), loopbacks.map((name) => `obj-m += ${name}.o\n`).join(""));
  for (const name of loopbacks) await writeFile(join(source, `${name}.c`), '#include "v4l2loopback.c"\n');
  const common = join(sources, `linux-headers-${version.replace(/-amd64$/, "-common")}/Makefile`);
  await exec("make", [
    "-j2",
    "-C",
    join(sources, `linux-headers-${version}`),
    "-f",
    common,
    `M=${source}`,
    "modules",
  ]);
  const moduleTree = join("lib/modules", version);
  for (const name of loopbacks)
    await cp(join(source, `${name}.ko`), join(tree, moduleTree, "updates", `${name}.ko`));

  const root = join(work, "root");
  await mkdir(join(root, "bin"), { recursive: true });
  await copyFile(join(tree, "bin/busybox"), join(root, "bin/busybox"));
  await exec("depmod", ["-b", tree, version], { env: adminEnv() });
  const files = new Set(["modules.builtin", "modules.builtin.modinfo", "modules.order"]);
  for (const module of modules) {
    const { stdout } = await exec("modprobe", ["-d", tree, "-S", version, "--show-depends", module], {
      env: adminEnv(),
    });
    for (const [, path] of stdout.matchAll(/^insmod (\S+)/gm))
      files.add(relative(join(tree, moduleTree), path ?? ""));
  }
  for (const file of files) await cp(join(tree, moduleTree, file), join(root, moduleTree, file));
  await exec("depmod", ["-b", root, version], { env: adminEnv() });
  await unpackKernel(join(tree, "boot", `vmlinuz-${version}`), join(work, "vmlinux"));
  await rm(debs, { recursive: true });
  await rm(tree, { recursive: true });
}

/**
 * The ELF image inside, which QEMU boots directly; emulated, the kernel takes seconds to unpack itself.
 * @param {string} packed @param {string} unpacked
 */
async function unpackKernel(packed, unpacked) {
  const start = (await readFile(packed)).indexOf("\xfd7zXZ\0", 0, "latin1");
  const command = 'tail -c +"$1" "$2" | xz -dc --single-stream > "$3"';
  await exec("sh", ["-c", command, "sh", String(start + 1), packed, unpacked]);
}

/** @param {string} work */
async function buildInitramfs(work) {
  progress("making the initramfs");
  const root = join(work, "root");
  await cp(join(paths().base, "root"), root, { recursive: true });
  await copyFile(initScript, join(root, "init"));
  // Not compressed: QEMU hands it over faster than the guest unpacks it.
  await exec("sh", ["-c", "find . | cpio --quiet -o -H newc -R 0:0 > ../initramfs"], { cwd: root });
  await rm(root, { recursive: true });
}

/** The current kernel's package, first, and those needed to build a module for it. */
async function kernelPackages() {
  const [image = ""] = await dependencies("linux-image-amd64", /^linux-image-/);
  const headers = image.replace("linux-image-", "linux-headers-");
  return [image, headers, ...(await dependencies(headers, /^linux-(headers|kbuild)-/))];
}

/** @param {string} name @param {RegExp} pattern */
async function dependencies(name, pattern) {
  const { stdout } = await exec("apt-cache", ["depends", "--important", name]);
  const found = [...stdout.matchAll(/Depends: (\S+)/g)]
    .map((match) => match[1] ?? "")
    .filter((other) => pattern.test(other));
  if (!found.length) throw new Error(`apt knows no ${pattern} for ${name}`);
  return found;
}

/** @param {string[]} args @returns {Promise<unknown>} */
async function apt(...args) {
  const command = () =>
    exec("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=300", ...args], { env: adminEnv() });
  if (args[0] === "update") return command();
  return command().catch(() => apt("update").then(command));
}

function missing() {
  return [...tools.keys()].filter((tool) => !find(tool));
}

/** @param {string} program */
function find(program) {
  return adminEnv()
    .PATH.split(delimiter)
    .some((folder) => isExecutable(join(folder, program)));
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** With the folders that an ordinary user's PATH lacks. */
function adminEnv() {
  return { ...process.env, DEBIAN_FRONTEND: "noninteractive", PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
}

/** @param {string} text */
function digest(text) {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** @param {string} text */
function progress(text) {
  process.stderr.write(`v4l2 guest: ${text}\n`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { kernel, initramfs } = await prepareGuest();
  console.log(`${kernel}\n${initramfs}`);
}
