import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { CameraClient } from "@ocelli/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MadeCertificate, makeAuthority, makeCertificate } from "../harness/certificates.ts";
import { chromiumMustSkip, launchChromium } from "../harness/chromium.ts";
import { adminKey, type RunningHub, root, startHub, until, virtualCameras } from "../harness/hub.ts";

// TLS of the running hub, looked at with curl, openssl and the client.

const run = promisify(execFile);
let folder: string;
let authority: MadeCertificate;
let served: MadeCertificate;
let hub: RunningHub;
/** The value of each hub in this file: a camera that needs no device. */
const cameras = virtualCameras({ size: "320x240", fps: 10 });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ocelli-tls-"));
  authority = makeAuthority(folder);
  const made = makeCertificate(folder, "first", authority);
  // As certbot keeps them: a folder of its own.
  mkdirSync(join(folder, "live"));
  served = { certFile: join(folder, "live/cert.pem"), keyFile: join(folder, "live/key.pem") };
  install(made);
  hub = await startHub({
    env: { ...cameras, OCELLI_TLS_CERT_FILE: served.certFile, OCELLI_TLS_KEY_FILE: served.keyFile },
  });
});
afterAll(async () => {
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Replaces the files the hub serves, each at once. */
function install({ certFile, keyFile }: MadeCertificate): void {
  for (const [from, to] of [
    [keyFile, served.keyFile],
    [certFile, served.certFile],
  ] as const) {
    cpSync(from, `${to}.new`);
    renameSync(`${to}.new`, to);
  }
}

/** Who the hub says it is to a new connection. */
function nameServed(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: "127.0.0.1", port: hub.port, ca: readFileSync(authority.certFile) },
      () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).subject);
        socket.destroy();
      },
    );
    socket.on("error", reject);
  });
}

const curl = (path: string, ...more: string[]) =>
  run("curl", ["-sS", "--cacert", authority.certFile, ...more, `${hub.url}${path}`]);

/** Ends by itself when the handshake is done or refused. */
function handshake(...options: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${hub.port}`, ...options]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  child.stdin.end();
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
}

describe("a hub with a certificate", () => {
  it("is served to curl that trusts the authority, and to no other", async () => {
    const { stdout } = await curl("/health/live");
    expect(JSON.parse(stdout)).toMatchObject({ alive: true });
    const refused = await run("curl", ["-sS", `${hub.url}/health/live`]).catch((error) => error);
    expect(refused.code).toBe(60);
    expect((await curl("/")).stdout).toContain("<html");
  });

  it("says https in the address it prints, and nothing of http", () => {
    const text = hub.output.join("\n");
    expect(text).toContain(`Address   https://127.0.0.1:${hub.port}/`);
    expect(text).not.toContain("http://127.0.0.1");
  });

  it("is found ready by the check of the container", async () => {
    const check = (port: number) =>
      run(join(root, "scripts/serve.sh"), ["--is-ready"], {
        env: { PATH: process.env.PATH, OCELLI_LISTEN: `127.0.0.1:${port}` },
      });
    await check(hub.port);
    await expect(check(1)).rejects.toMatchObject({ code: 1 });
  });

  it("speaks TLS 1.2 and 1.3, not 1.1", async () => {
    const tls12 = await handshake("-tls1_2", "-CAfile", authority.certFile);
    expect(tls12.output).toContain("Verification: OK");
    const tls13 = await handshake("-tls1_3", "-CAfile", authority.certFile);
    expect(tls13.output).toContain("TLSv1.3");
    // Level 0 lets openssl itself offer the old protocol, so that the refusal is the hub's.
    const tls11 = await handshake("-tls1_1", "-cipher", "ALL:@SECLEVEL=0");
    expect(tls11.code).not.toBe(0);
    expect(tls11.output).toMatch(/alert protocol version/);
  });

  it("serves the client: calls, links that say https, downloads", async () => {
    const options = {
      ...{ host: "127.0.0.1", port: hub.port, useSsl: true, apiKey: adminKey, logger: null },
      authType: "api_key" as const,
    };
    await using client = new CameraClient({ ...options, ca: readFileSync(authority.certFile) });
    await client.connect();
    await client.takeSnapshot("camera100", "secure.jpg");
    const to = join(folder, "secure.jpg");
    await client.downloadFile("snapshots", "secure.jpg", to);
    expect(readFileSync(to).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    // What the client has verified: the digest the hub tells.
    const headers = (await curl("/files/snapshots/secure.jpg", "-I", "-H", `X-API-Key: ${adminKey}`)).stdout;
    const digest = createHash("sha256").update(readFileSync(to)).digest("base64");
    expect(headers.toLowerCase()).toContain(`repr-digest: sha-256=:${digest}:`.toLowerCase());
    const { stream_url } = await client.call("get_stream_url", { device: "camera100" });
    expect(stream_url).toMatch(new RegExp(`^https://127\\.0\\.0\\.1:${hub.port}/live/`));
    const picture = await run(
      "curl",
      ["-sS", "--cacert", authority.certFile, "-m", "2", String(stream_url)],
      {
        encoding: "buffer",
      },
    ).catch((error) => error);
    expect(picture.stdout.includes(Buffer.from([0xff, 0xd8]))).toBe(true);

    await using distrustful = new CameraClient({ ...options, maxRetries: 1 });
    await expect(distrustful.connect()).rejects.toThrow(/certificate/);
  });

  it.skipIf(chromiumMustSkip())("shows its page in a browser", async () => {
    const browser = await launchChromium();
    try {
      // The browser keeps authorities in a store of its own; that the page works is the question here.
      const page = await browser.newPage({ ignoreHTTPSErrors: true });
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.goto(`${hub.url}/`);
      await page.getByLabel("API key").fill(adminKey);
      await page.getByRole("button", { name: "Show cameras" }).click();
      const card = page.locator("article[data-camera=camera100]");
      await card.locator(".badge.live").waitFor();
      const frames = () =>
        card
          .locator("video")
          .evaluate((node) => (node as HTMLVideoElement).getVideoPlaybackQuality().totalVideoFrames);
      const first = await frames();
      await expect.poll(frames).toBeGreaterThan(first);
      expect(problems).toEqual([]);
    } finally {
      await browser.close();
    }
  });

  it("takes up a new certificate without cutting a connection, and keeps it when the next one is broken", async () => {
    await using client = new CameraClient({
      ...{ host: "127.0.0.1", port: hub.port, useSsl: true, apiKey: adminKey, logger: null },
      ...{ authType: "api_key", ca: readFileSync(authority.certFile), autoReconnect: false },
    });
    await client.connect();
    let lost = 0;
    client.setConnectionLostCallback(() => void lost++);
    expect(await nameServed()).toBe("CN=first");

    install(makeCertificate(folder, "second", authority));
    await until("the new certificate is served", async () => (await nameServed()) === "CN=second");

    // By the signal, and a file that no longer fits the key.
    cpSync(makeCertificate(folder, "third", authority).certFile, `${served.certFile}.new`);
    renameSync(`${served.certFile}.new`, served.certFile);
    hub.process.kill("SIGHUP");
    const refusal = /the old one stays/;
    await until("the broken one is refused", () => hub.output.some((line) => refusal.test(line)));
    expect(hub.output.find((line) => refusal.test(line))).toContain("does not belong to the certificate");
    expect(await nameServed()).toBe("CN=second");

    install({ certFile: join(folder, "third.crt"), keyFile: join(folder, "third.key") });
    hub.process.kill("SIGHUP");
    await until("the third one is served", async () => (await nameServed()) === "CN=third");
    expect(await client.ping()).toBe("pong");
    expect(lost).toBe(0);
  });
});

describe("a hub that cannot use its certificate", () => {
  const start = (env: Record<string, string>) => {
    const dataDir = mkdtempSync(join(folder, "data-"));
    const main = join(root, "packages/server/dist/main.js");
    const all = { PATH: process.env.PATH, OCELLI_LISTEN: "127.0.0.1:0", OCELLI_DATA_DIR: dataDir, ...env };
    try {
      execFileSync(process.execPath, [main], { env: all, stdio: "pipe" });
    } catch (error) {
      return error as { status: number; stderr: Buffer };
    }
    throw new Error("the hub ended without an error");
  };

  it.each([
    [
      "a missing file",
      () => ({ cert: join(folder, "nowhere.pem"), key: served.keyFile }),
      /nowhere\.pem \(tls\.certFile\) cannot be read: ENOENT/,
    ],
    [
      "a file that is no certificate",
      () => ({ cert: garbage(), key: served.keyFile }),
      /garbage\.pem \(tls\.certFile\) is no PEM certificate/,
    ],
    [
      "a key that is none",
      () => ({ cert: served.certFile, key: garbage() }),
      /garbage\.pem \(tls\.keyFile\) is no PEM private key/,
    ],
    [
      "the key of another",
      () => ({ cert: join(folder, "first.crt"), key: authority.keyFile }),
      /authority\.key \(tls\.keyFile\) does not belong to the certificate .*first\.crt/,
    ],
  ])("says so of %s", (_what, files, message) => {
    const { cert, key } = files();
    const { status, stderr } = start({ OCELLI_TLS_CERT_FILE: cert, OCELLI_TLS_KEY_FILE: key });
    expect(status).toBe(2);
    expect(String(stderr)).toMatch(message);
  });

  it("says so of one half", () => {
    const { status, stderr } = start({ OCELLI_TLS_CERT_FILE: served.certFile });
    expect(status).toBe(2);
    expect(String(stderr)).toContain("tls.certFile and tls.keyFile are needed together");
  });
});

function garbage(): string {
  const file = join(folder, "garbage.pem");
  writeFileSync(file, "no certificate\n");
  return file;
}
