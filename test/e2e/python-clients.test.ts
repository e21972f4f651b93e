import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { makeAuthority, makeCertificate } from "../harness/certificates.ts";
import { adminKey, type RunningHub, root, startHub, virtualCameras } from "../harness/hub.ts";

// Clients in Python, written from the documents of the older systems alone, run against the hub. Each prints a line per check.

const env = virtualCameras({ size: "320x240", fps: 25 });

interface Outcome {
  readonly code: number | null;
  readonly passed: number;
  /** Failed checks, and what went to stderr. */
  readonly complaints: string[];
}

async function runClient(name: string, args: string[], onLine?: (line: string) => void): Promise<Outcome> {
  const child = spawn("/usr/bin/python3", ["-B", join(root, "test/clients", name), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 90_000);
  let passed = 0;
  const complaints: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith("ok: ")) passed++;
    else if (line.startsWith("FAIL: ")) complaints.push(line);
    onLine?.(line);
  });
  createInterface({ input: child.stderr }).on("line", (line) => complaints.push(line));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(timer);
  return { code, passed, complaints };
}

const cameraService = (hub: RunningHub, ...args: string[]) => [
  "--host",
  "127.0.0.1",
  "--port",
  String(hub.port),
  "--key",
  adminKey,
  ...args,
];

it.each([
  ["the guide's spellings", ["--names", "guide"]],
  ["the spellings of shipped clients", ["--names", "wire"]],
  ["an API key in a header", ["--sign-in", "header"]],
  ["a bearer token in a header", ["--sign-in", "header", "--auth-type", "jwt"]],
])(
  "serves the camera service's client: %s",
  async (_, args) => {
    await using hub = await startHub({ env });
    await using rpc = await hub.rpc();
    let ended: Promise<unknown> | undefined;
    const outcome = await runClient(
      "camera_service_client.py",
      cameraService(hub, "--wait-for-loss", "--expect-name", "Front door", ...args),
      (line) => {
        if (line === "waiting for the camera to be named")
          void rpc.call("set_camera_settings", { device: "camera100", name: "Front door" });
        if (line === "waiting for the end of the service") ended = hub.end();
      },
    );
    await ended;
    expect(outcome).toMatchObject({ complaints: [], code: 0 });
    expect(outcome.passed).toBeGreaterThanOrEqual(50);
  },
  120_000,
);

it("serves the camera service's client over TLS", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ocelli-python-tls-"));
  try {
    const authority = makeAuthority(folder);
    const { certFile, keyFile } = makeCertificate(folder, "hub", authority);
    await using hub = await startHub({
      env: { ...env, OCELLI_TLS_CERT_FILE: certFile, OCELLI_TLS_KEY_FILE: keyFile },
    });
    const args = cameraService(hub, "--ca", authority.certFile);
    const outcome = await runClient("camera_service_client.py", args);
    expect(outcome).toMatchObject({ complaints: [], code: 0 });
    expect(outcome.passed).toBeGreaterThanOrEqual(50);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

it.each(["call", "header"])(
  "serves the camera service's client with a JSON web token, by %s",
  async (how) => {
    await using hub = await startHub({ env });
    await using rpc = await hub.rpc();
    const { token } = await rpc.call<{ token: string }>("create_token", { role: "operator", ttl: 3600 });
    const args = ["--host", "127.0.0.1", "--port", String(hub.port), "--key", token];
    const outcome = await runClient("camera_service_client.py", [
      ...args,
      "--auth-type",
      "jwt",
      "--sign-in",
      how,
    ]);
    expect(outcome).toMatchObject({ complaints: [], code: 0 });
    expect(outcome.passed).toBeGreaterThanOrEqual(50);
  },
  120_000,
);

it("is there again for the camera service's client, which connects from its callback", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ocelli-python-again-"));
  try {
    await using first = await startHub({ env, dataDir });
    const listen = `127.0.0.1:${first.port}`;
    let second: Promise<RunningHub> | undefined;
    const outcome = await runClient(
      "camera_service_client.py",
      cameraService(first, "--wait-for-loss", "--reconnect"),
      (line) => {
        if (line === "waiting for the end of the service") {
          second = first.end().then(() => startHub({ env: { ...env, OCELLI_LISTEN: listen }, dataDir }));
        }
      },
    );
    await using _second = await second;
    expect(outcome).toMatchObject({ complaints: [], code: 0 });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 120_000);

it("serves the hotplug server's client, which knows no keys", async () => {
  await using hub = await startHub({ env: { ...env, OCELLI_ANONYMOUS_ENABLED: "true" } });
  const uri = ["--uri", `ws://127.0.0.1:${hub.port}/ws`];
  const full = await runClient("hotplug_client.py", uri);
  expect(full).toMatchObject({ complaints: [], code: 0 });
  expect(full.passed).toBeGreaterThanOrEqual(24);
  expect(await runClient("hotplug_client.py", [...uri, "--simple"])).toEqual({
    code: 0,
    passed: 2,
    complaints: [],
  });
  expect(await runClient("hotplug_client.py", [...uri, "--monitor", "--duration", "3"])).toMatchObject({
    code: 0,
    complaints: [],
  });
});

it("notices a client that is not let in", async () => {
  await using hub = await startHub({ env });
  const outcome = await runClient("hotplug_client.py", [
    "--uri",
    `ws://127.0.0.1:${hub.port}/ws`,
    "--monitor",
    "--duration",
    "2",
  ]);
  expect(outcome).toEqual({ code: 1, passed: 0, complaints: ["FAIL: 0 notifications in 2.0 s (saw '')"] });
});
