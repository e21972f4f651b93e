// `npm run test:deploy`: what deploy/ promises, in a fresh Debian: the unit and the rules are valid, the Dockerfile
// makes an image that runs, install.sh makes a service that systemd keeps alive. About three minutes, as root.
// Last line: `N passed, N failed`.

import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildImage } from "./dockerfile.mjs";
import {
  childOf,
  debian,
  networkEnv,
  repository,
  run,
  runBeside,
  runInside,
  startInside,
  until,
} from "./root.mjs";
import { boot, shortenWatchdog } from "./service.mjs";

const tools = {
  debootstrap: "debootstrap",
  "systemd-nspawn": "systemd-container",
  "systemd-analyze": "systemd",
  shellcheck: "shellcheck",
  ip: "iproute2",
};
const isMissing = (name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0;

function missingTools() {
  if (process.getuid() !== 0) return ["root"];
  if (spawnSync("unshare", ["--mount", "--pid", "--net", "--fork", "true"]).status !== 0)
    return ["the right to make namespaces"];
  const absent = Object.keys(tools).filter(isMissing);
  if (absent.length > 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    spawnSync("apt-get", ["update", "-qq"], { env });
    spawnSync("apt-get", ["install", "-y", "--no-install-recommends", ...absent.map((name) => tools[name])], {
      env,
    });
  }
  return absent.filter(isMissing);
}

const missing = missingTools();
if (missing.length > 0) {
  console.log(`skipped: the deployment in a fresh Debian (missing: ${missing.join(", ")})`);
  console.log("0 passed, 0 failed, 1 skipped");
  process.exit(process.env.CI === "true" ? 1 : 0);
}

let passed = 0;
let failed = 0;
/** @returns whether it passed, since some steps are useless without the one before */
async function step(name, work) {
  const startedAt = Date.now();
  try {
    await work();
    passed++;
    console.log(`ok   ${name} (${((Date.now() - startedAt) / 1000).toFixed(0)} s)`);
    return true;
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error.message}`);
    return false;
  }
}
function holds(what, condition) {
  if (!condition) throw new Error(what);
}
function equal(what, given, wanted) {
  holds(
    `${what} is ${JSON.stringify(given)}, not ${JSON.stringify(wanted)}`,
    JSON.stringify(given) === JSON.stringify(wanted),
  );
}

// On a disk, not on a small tmpfs; nothing of it may be left.
const work = mkdtempSync("/var/tmp/ocelli-deploy-");
const deploy = join(repository, "deploy");
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));
/** The user ocelli of the systems below gets in, too. */
run("chmod", ["755", work]);

await step("the scripts have no faults that shellcheck finds", () => {
  const scripts = readdirSync(deploy).filter((name) => name.endsWith(".sh"));
  run("shellcheck", [...scripts.map((name) => join(deploy, name)), join(repository, "scripts/serve.sh")]);
});

await step("the unit is valid, and its sandbox scores well", () => {
  const unit = join(work, "ocelli.service");
  const text = readFileSync(join(deploy, "ocelli.service"), "utf8");
  // systemd-analyze wants to see the program; the real one is looked at in the booted system below.
  writeFileSync(unit, text.replace(/^ExecStart=.*$/m, "ExecStart=/bin/true"));
  const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" });
  equal("systemd-analyze verify", [status, `${stdout}${stderr}`], [0, ""]);
  run("systemd-analyze", ["security", "--offline=true", "--threshold=30", unit]);
});

let image;
const built = await step("the Dockerfile builds", () => {
  image = buildImage(debian(), work);
});

if (built) {
  const [builder, runtime] = image.stages;
  await step("the image holds what runs and no tools of the build", () => {
    const sources = ["-name", "*.ts", "-not", "-name", "*.d.ts", "-not", "-path", "*/node_modules/*"];
    equal("sources in the image", run("find", [join(runtime, "opt/ocelli"), ...sources]), "");
    for (const name of ["typescript", "vitest", "@biomejs"]) {
      holds(`${name} is in the image`, !readdirSync(join(runtime, "opt/ocelli/node_modules")).includes(name));
    }
  });

  await step("the container serves a camera, is healthy, stops cleanly", async () => {
    const env = { ...image.env, OCELLI_LISTEN: "0.0.0.0:8002" };
    const container = startInside(runtime, image.entrypoint, {
      env,
      user: image.user,
      workdir: image.workdir,
    });
    try {
      const pid = await until("process 1", () => childOf(container.child.pid), 10_000);
      const beside = (...command) => runBeside(pid, command, { env, user: image.user });
      await until("the container is healthy", () => beside(...image.health) === "");
      equal("mode of the key", statSync(join(runtime, "data/admin-key")).mode & 0o777, 0o600);
      const taken = JSON.parse(beside("ocelli", "--json", "snapshot", "camera100"));
      const picture = readFileSync(join(runtime, "data/snapshots", taken.filename));
      equal("the first bytes of the picture", picture.subarray(0, 3).toString("hex"), "ffd8ff");
      beside("ocelli", "record", "start", "camera100", "--filename", "stopped");
      const report = JSON.parse(beside("ocelli", "--json", "doctor"));
      equal(
        "the doctor's problems",
        report.findings.filter((one) => one.status === "problem"),
        [],
      );
      holds(
        "the doctor sees the hub",
        report.findings.some((one) => /running hub \(process 1\)/.test(one.message)),
      );
      process.kill(Number(pid), "SIGTERM");
      equal("the exit code", await container.exited, 0);
      const recording = join(runtime, "data/recordings/stopped.mp4");
      run("ffprobe", ["-v", "error", recording]);
    } catch (error) {
      throw new Error(`${error.message}\n${container.output().split("\n").slice(-10).join("\n")}`);
    } finally {
      container.child.kill("SIGKILL");
      await container.exited;
    }
  });
  rmSync(runtime, { recursive: true, force: true });

  const machine = join(work, "machine");
  const installed = await step("install.sh installs the service", () => {
    run("mv", [builder, machine]);
    const env = { ...networkEnv(machine), DEBIAN_FRONTEND: "noninteractive" };
    const packages =
      "apt-get update -qq && apt-get install -qq -y --no-install-recommends systemd systemd-sysv udev dbus";
    runInside(machine, ["sh", "-c", packages], { env });
    runInside(machine, ["/src/deploy/install.sh"], { env });
    runInside(machine, ["udevadm", "verify", "/etc/udev/rules.d/70-ocelli.rules"]);
    runInside(machine, ["systemd-analyze", "verify", "/etc/systemd/system/ocelli.service"]);
    equal("the settings' secrets", statSync(join(machine, "etc/ocelli/ocelli.env")).mode & 0o777, 0o600);
    shortenWatchdog(machine);
  });

  if (installed) {
    const system = await boot(machine);
    const active = async (what, more = () => true) =>
      await until(what, () => {
        const now = system.show("ActiveState", "MainPID", "NRestarts", "StatusText", "Result");
        if (now.ActiveState !== "active") throw new Error(`${JSON.stringify(now)}\n${journal()}`);
        return more(now) && now;
      });
    const journal = () =>
      system.ask("journalctl", "-u", "ocelli.service", "-n", "8", "--no-pager", "-o", "cat");
    try {
      let state;
      const up = await step(
        "the service is ready when it says so, at the next boot, under its old names too",
        async () => {
          state = await active("the service is active");
          holds(`the status text is ${state.StatusText}`, /camera/.test(state.StatusText));
          system.ask("/opt/ocelli/scripts/serve.sh", "--is-ready");
          for (const name of ["camera-service", "webcam-service", "websocket-jsonrpc"]) {
            equal(name, system.ask("systemctl", "is-active", name).trim(), "active");
          }
          equal(
            "the doctor",
            system.ask(...as("doctor", "--config", "/etc/ocelli/ocelli.yaml")).includes("PROBLEM"),
            false,
          );
          const taken = system.ask(...as("snapshot", "camera100"));
          holds(taken, taken.startsWith("camera100_"));
        },
      );
      if (up) {
        await step("it runs as its user, in its sandbox", () => {
          const status = system.ask("cat", `/proc/${state.MainPID}/status`);
          const of = (name) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1];
          const id = system.ask("id", "-u", "ocelli").trim();
          equal("user", of("Uid").split(/\s+/)[0], id);
          const video = system.ask("getent", "group", "video").split(":")[2];
          holds("it is in the group video", of("Groups").split(" ").includes(video));
          equal("capabilities", of("CapBnd"), "0000000000000000");
          equal("no new privileges, system call filter", [of("NoNewPrivs"), of("Seccomp")], ["1", "2"]);
        });

        await step("a hub that is killed is started again", async () => {
          system.ask("sh", "-c", `kill -9 ${state.MainPID}`);
          state = await active("a new process", (now) => now.MainPID !== state.MainPID);
        });

        await step("a hub that gives no sign of life is started again", async () => {
          system.ask("sh", "-c", `kill -STOP ${state.MainPID}`);
          state = await active("a new process", (now) => now.MainPID !== state.MainPID);
          holds(journal(), /watchdog/i.test(system.ask("journalctl", "-u", "ocelli.service", "--no-pager")));
        });

        await step("it stays alive while it is well", async () => {
          await new Promise((resolve) => setTimeout(resolve, 6000));
          equal("the process", (await active("still active")).MainPID, state.MainPID);
        });

        await step("it takes a certificate and a log folder, and a new certificate by a reload", async () => {
          giveCertificate(machine, "first");
          const settings = "tls: { certFile: /etc/ocelli/tls/cert.pem, keyFile: /etc/ocelli/tls/key.pem }\n";
          appendFileSync(
            join(machine, "etc/ocelli/ocelli.yaml"),
            `${settings}log: { folder: /var/log/ocelli }\n`,
          );
          // The starts above must not count.
          system.ask("systemctl", "reset-failed", "ocelli.service");
          system.ask("systemctl", "restart", "ocelli.service");
          state = await active("active with a certificate");
          system.ask("/opt/ocelli/scripts/serve.sh", "--is-ready");
          equal("the certificate", servedSubject(system), "CN = first");
          const report = system.ask(...as("doctor", "--config", "/etc/ocelli/ocelli.yaml"));
          holds(report, !report.includes("PROBLEM"));
          holds("no log", /the hub is ready/.test(system.ask("cat", "/var/log/ocelli/ocelli.log")));
          equal("mode of the logs", statSync(join(machine, "var/log/ocelli")).mode & 0o777, 0o750);

          giveCertificate(machine, "second");
          system.ask("systemctl", "reload", "ocelli.service");
          await until("the new certificate", () => servedSubject(system) === "CN = second");
          equal("the process", (await active("still active")).MainPID, state.MainPID);
        });

        await step("it stops cleanly, and leaves no ffmpeg", () => {
          const overTls = ["--url", "https://127.0.0.1:8002", "--ca", "/etc/ocelli/tls/cert.pem"];
          system.ask(...as(...overTls, "record", "start", "camera100", "--filename", "stopped"));
          system.ask("systemctl", "stop", "ocelli.service");
          const { ActiveState, Result } = system.show("ActiveState", "Result");
          equal("state and result", [ActiveState, Result], ["inactive", "success"]);
          const processes = system.ask("sh", "-c", "cat /proc/[0-9]*/comm");
          holds("an ffmpeg is left", !/ffmpeg/.test(processes));
          run("ffprobe", ["-v", "error", join(machine, "var/lib/ocelli/recordings/stopped.mp4")]);
        });

        await step("a wrong setting is not tried again and again", async () => {
          writeFileSync(join(machine, "etc/ocelli/ocelli.env"), "OCELLI_LISTNE=0.0.0.0:1\n");
          // The starts above must not count.
          system.ask("systemctl", "reset-failed", "ocelli.service");
          try {
            system.ask("systemctl", "start", "ocelli.service");
          } catch {
            // The start fails, as it should.
          }
          const now = await until("failed", () => {
            const seen = system.show("ActiveState", "ExecMainStatus", "NRestarts");
            return seen.ActiveState === "failed" && seen;
          });
          equal("exit code and restarts", [now.ExecMainStatus, now.NRestarts], ["2", "0"]);
          holds("the journal names it", /OCELLI_LISTNE/.test(journal()));
        });
      }
    } finally {
      await system.shutDown();
    }
    await step("it can be removed, and its data stays", () => {
      runInside(machine, ["/src/deploy/install.sh", "--remove"]);
      holds("the recordings are gone", readdirSync(join(machine, "var/lib/ocelli")).includes("recordings"));
      for (const gone of ["opt/ocelli", "usr/local/bin/ocelli"]) {
        holds(`${gone} is there`, spawnSync("test", ["-e", join(machine, gone)]).status !== 0);
      }
    });
  }
}

/** A certificate for 127.0.0.1, as docs/deployment.md has it lie there. */
function giveCertificate(machine, name) {
  const folder = join(machine, "etc/ocelli/tls");
  mkdirSync(folder, { recursive: true });
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  run("openssl", [
    ...[
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "825",
    ],
    ...["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
  ]);
  runInside(machine, ["chgrp", "ocelli", "/etc/ocelli/tls/key.pem"]);
  run("chmod", ["640", key]);
}

function servedSubject(system) {
  const ask =
    "openssl s_client -connect 127.0.0.1:8002 </dev/null 2>/dev/null | openssl x509 -noout -subject";
  return system
    .ask("sh", "-c", ask)
    .trim()
    .replace(/^subject=/, "")
    .replace("CN=", "CN = ");
}

/** The ocelli command, run as the service's user. */
function as(...command) {
  return [
    "setpriv",
    "--reuid",
    "ocelli",
    "--regid",
    "ocelli",
    "--init-groups",
    "--",
    "ocelli",
    "--data-dir",
    "/var/lib/ocelli",
    ...command,
  ];
}

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
