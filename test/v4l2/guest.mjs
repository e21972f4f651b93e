/**
 * Runs a command inside the V4L2 test guest: a QEMU machine with a kernel that has vivid and
 * v4l2loopback, the host's file system as a copy-on-write root, and nothing else. See README.md.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { prepareGuest, repoRoot } from "./setup.mjs";

// Emulated even where there is /dev/kvm: a host that is itself a virtual machine may offer one that hangs.
// Output goes through a virtio port, as the serial line is slow; the kernel's messages go there.
const machine = [
  "-accel tcg,thread=multi -cpu max -machine q35 -nodefaults -no-user-config -display none -no-reboot",
  "-device virtio-serial-pci -chardev stdio,id=out,signal=off -device virtserialport,chardev=out",
].flatMap((line) => line.split(" "));

/**
 * @typedef {object} GuestOptions
 * @property {string[]} command program and arguments; the working folder is the repository
 * @property {Record<string, string>} [env] added to PATH, HOME and LANG
 * @property {string[]} [modules] kernel modules loaded beforehand, of those the guest has
 * @property {number} timeoutMs from power-on
 * @property {number} [memoryMb]
 * @property {number} [smp] processors
 * @property {(line: string) => void} [onLine] gets every line of output as it comes
 * @property {string} [shareDir] a host folder, writable at /mnt/share in the guest
 */

/**
 * @typedef {object} GuestResult
 * @property {number} exitCode
 * @property {string} output standard output and standard error
 * @property {{ bootMs: number, runMs: number, totalMs: number }} timings until the command starts, while it runs, all
 */

/**
 * Rejects when the guest does not come up or does not finish in time; a command that fails is a
 * result like any other.
 * @param {GuestOptions} options
 * @returns {Promise<GuestResult>}
 */
export async function runInGuest(options) {
  const { env = {}, modules = [], timeoutMs, memoryMb = 1536, smp = 2, onLine, shareDir } = options;
  const { kernel, initramfs } = await prepareGuest();
  const job = await mkdtemp(join(tmpdir(), "ocelli-guest-"));
  try {
    await writeFile(join(job, "command.sh"), script(options.command, env, modules));
    if (`${repoRoot}/`.startsWith("/tmp/")) await writeFile(join(job, "keep-tmp"), "");
    const kernelLog = join(job, "kernel.log");
    const args = [
      ...machine,
      ...["-smp", String(smp), "-m", String(memoryMb), "-kernel", kernel, "-initrd", initramfs],
      ...["-append", `console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable${shareDir ? " share" : ""}`],
      ...["-serial", `file:${kernelLog}`],
      ...share("root", "/", true),
      ...share("job", job, true),
      ...(shareDir ? share("share", shareDir, false) : []),
    ];
    const started = performance.now();
    // The guest dies with this process, however that ends.
    const command = ["--pdeathsig", "KILL", "qemu-system-x86_64", ...args];
    // Standard input is a pipe, too: at its end QEMU would take the port for closed.
    const qemu = spawn("setpriv", command, { stdio: "pipe" });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      qemu.kill("SIGKILL");
    }, timeoutMs);
    let complaints = "";
    qemu.stderr.on("data", (data) => (complaints += data));

    let output = "";
    let ready = 0;
    let ended = 0;
    let exitCode = -1;
    createInterface({ input: qemu.stdout, crlfDelay: Infinity }).on("line", (line) => {
      if (!ready) {
        if (line === "@@guest-start") ready = performance.now();
        return;
      }
      const exit = /^(.*)@@guest-exit (\d+)$/.exec(line);
      const text = exit ? exit[1] : line;
      if (text || !exit) {
        output += `${text}\n`;
        onLine?.(text ?? "");
      }
      if (exit) {
        ended = performance.now();
        exitCode = Number(exit[2]);
        setTimeout(() => qemu.kill("SIGKILL"), 3000).unref();
      }
    });
    await new Promise((resolve, reject) => qemu.once("error", reject).once("close", resolve));
    clearTimeout(timer);
    if (ended) {
      const bootMs = Math.round(ready - started);
      const runMs = Math.round(ended - ready);
      return {
        exitCode,
        output,
        timings: { bootMs, runMs, totalMs: Math.round(performance.now() - started) },
      };
    }
    const log = await readFile(kernelLog, "utf8").catch(() => "");
    const what = timedOut ? `not done within ${timeoutMs} ms` : "stopped early";
    throw new Error(`guest ${what}\n${complaints}${tail(log)}${tail(output)}`);
  } finally {
    await rm(job, { recursive: true, force: true });
  }
}

/** @param {string} tag @param {string} path @param {boolean} readonly */
function share(tag, path, readonly) {
  const escaped = path.replaceAll(",", ",,");
  const access = readonly ? ",readonly=on" : "";
  return ["-virtfs", `local,path=${escaped},mount_tag=${tag},security_model=none,multidevs=remap${access}`];
}

/** @param {string[]} command @param {Record<string, string>} env @param {string[]} modules */
function script(command, env, modules) {
  const path = [
    dirname(process.execPath),
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
  ];
  const all = { PATH: path.join(delimiter), HOME: "/root", LANG: "C.UTF-8", ...env };
  return [
    ...Object.entries(all).map(([name, value]) => `export ${name}=${quote(value)}`),
    ...(modules.length ? [`modprobe -a ${modules.map(quote).join(" ")} || exit 125`] : []),
    `cd ${quote(repoRoot)} || exit 125`,
    `exec ${command.map(quote).join(" ")}`,
    "",
  ].join("\n");
}

/** @param {string} text */
function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** @param {string} text */
function tail(text) {
  return text.split("\n").slice(-40).join("\n");
}
