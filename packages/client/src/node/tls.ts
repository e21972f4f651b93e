/** Whom to trust. There is no way to trust everybody. */
import type { ConnectionOptions } from "node:tls";

export interface Tls {
  /** PEM; in place of the certificates of the system. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /** The name the certificate must bear. Default: the host. */
  readonly serverName?: string | undefined;
}

export function tlsOptions({
  ca,
  serverName,
}: Tls): Pick<ConnectionOptions, "ca" | "servername" | "rejectUnauthorized"> {
  return {
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: (Array.isArray(ca) ? ca : [ca]).map(pem) }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

function pem(certificate: string | Uint8Array): string | Buffer {
  return typeof certificate === "string" ? certificate : Buffer.from(certificate);
}
