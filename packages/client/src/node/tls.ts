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

/** OpenSSL tells of a server without TLS in lines of its own source. */
export function inWords(error: Error): Error {
  if (!/ssl.*(wrong version number|packet length too long|http request)/is.test(error.message)) return error;
  return new Error("what answers there speaks no TLS; leave useSsl off, or check the port", { cause: error });
}

function pem(certificate: string | Uint8Array): string | Buffer {
  return typeof certificate === "string" ? certificate : Buffer.from(certificate);
}
