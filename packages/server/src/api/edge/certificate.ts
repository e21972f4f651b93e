/**
 * The certificate the hub shows: reads and judges the files, and reads them again when asked to or when they
 * change. Whoever serves with it is told; a new one that cannot be used is logged and the old one stays.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname } from "node:path";
import { createSecureContext } from "node:tls";
import { messageOf, OcelliError } from "@ocelli/protocol";
import type { Clock } from "../../clock/clock.ts";
import type { Log } from "../../log/log.ts";

export interface CertificateFiles {
  /** PEM: the hub's certificate, then those that lead to its authority. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
  /** PEM: certificates that lead to the authority, when `certFile` holds the hub's own only. */
  readonly caFile?: string | undefined;
}

export interface CertificateOptions {
  readonly files: CertificateFiles;
  readonly clock: Clock;
  readonly log: Log;
  /** A renewal writes several files; they are read this long after the last change. Default 500. */
  readonly settleMs?: number;
  /** The files are also read this often, for changes no event tells of (network file systems). Default 60,000. */
  readonly recheckMs?: number;
}

/** For `https.createServer` and `setSecureContext`. */
export interface SecureSettings {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: "TLSv1.2";
}

export class Certificate {
  readonly #options: CertificateOptions;
  readonly #listeners = new Set<(settings: SecureSettings) => void>();
  readonly #watchers: FSWatcher[] = [];
  readonly #stopRecheck: () => void;
  #settings: SecureSettings;
  #refused: string | undefined;
  #cancelSettle: (() => void) | undefined;

  /** @throws OcelliError `config_invalid` naming the file */
  constructor(options: CertificateOptions) {
    const { files, clock, recheckMs = 60_000 } = options;
    this.#options = options;
    this.#settings = readCertificate(files);
    this.#tell("TLS certificate");
    // The folders, since a renewal replaces files and links rather than writing into them.
    for (const folder of new Set(filesOf(files).map((file) => dirname(file)))) this.#watch(folder);
    this.#stopRecheck = clock.every(recheckMs, () => this.reload());
  }

  /** What is served now. */
  get settings(): SecureSettings {
    return this.#settings;
  }

  onChange(listener: (settings: SecureSettings) => void): void {
    this.#listeners.add(listener);
  }

  /** Reads the files; never throws. Open connections go on with what they were begun with. */
  reload(): void {
    const { files, log } = this.#options;
    let found: SecureSettings;
    try {
      found = readCertificate(files);
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== this.#refused)
        log.error({ reason }, "the new TLS certificate cannot be used; the old one stays");
      this.#refused = reason;
      return;
    }
    this.#refused = undefined;
    if (found.cert === this.#settings.cert && found.key === this.#settings.key) return;
    this.#settings = found;
    this.#tell("new TLS certificate");
    for (const listener of this.#listeners) listener(found);
  }

  /** Idempotent. */
  close(): void {
    this.#stopRecheck();
    this.#cancelSettle?.();
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }

  #watch(folder: string): void {
    const { clock, log, settleMs = 500 } = this.#options;
    const failed = (error: unknown): void =>
      log.warn(
        { folder, reason: messageOf(error) },
        "changes of the TLS certificate are not told; it is looked at every minute",
      );
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        this.#cancelSettle?.();
        this.#cancelSettle = clock.after(settleMs, () => this.reload());
      });
      watcher.on("error", failed);
      this.#watchers.push(watcher);
    } catch (error) {
      failed(error);
    }
  }

  #tell(what: string): void {
    const { clock, log } = this.#options;
    const { subject, subjectAltName, validTo, validToDate, fingerprint256 } = new X509Certificate(
      this.#settings.cert,
    );
    log.info({ subject, names: subjectAltName, validTo, fingerprint256 }, what);
    if (validToDate.getTime() * 1000 < clock.wallUs())
      log.warn({ validTo }, "the TLS certificate has expired: clients will refuse it; renew it");
  }
}

function filesOf({ certFile, keyFile, caFile }: CertificateFiles): string[] {
  return [certFile, keyFile, ...(caFile === undefined ? [] : [caFile])];
}

/**
 * Reads and judges the files.
 * @throws OcelliError `config_invalid` naming the file
 */
export function readCertificate({ certFile, keyFile, caFile }: CertificateFiles): SecureSettings {
  const own = textOf(certFile, "tls.certFile");
  const certificate = judged(
    "tls.certFile",
    certFile,
    "is no PEM certificate",
    () => new X509Certificate(own),
  );
  const key = textOf(keyFile, "tls.keyFile");
  const privateKey: KeyObject = judged(
    "tls.keyFile",
    keyFile,
    key.includes("ENCRYPTED") ? "has a passphrase; store the key without one" : "is no PEM private key",
    () => createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw refusal(
      `The key ${keyFile} (tls.keyFile) does not belong to the certificate ${certFile} (tls.certFile). Name the two files that were made together; the hub's own certificate comes first in its file.`,
      [certFile, keyFile],
    );
  }
  const more = caFile === undefined ? "" : `\n${textOf(caFile, "tls.caFile")}`;
  if (caFile !== undefined)
    judged("tls.caFile", caFile, "is no PEM certificate", () => new X509Certificate(more));
  const settings: SecureSettings = { cert: `${own}${more}`, key, minVersion: "TLSv1.2" };
  judged("tls.certFile", certFile, "cannot be served", () => createSecureContext(settings));
  return settings;
}

function textOf(file: string, setting: string): string {
  return judged(setting, file, "cannot be read", () => readFileSync(file, "utf8"));
}

function judged<T>(setting: string, file: string, failure: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw refusal(`${file} (${setting}) ${failure}: ${messageOf(error)}.`, [file], error);
  }
}

function refusal(text: string, files: readonly string[], cause?: unknown): OcelliError {
  return new OcelliError("config_invalid", text, { details: { files }, cause });
}
