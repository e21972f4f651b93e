/** Where files may be sent: to the hosts the operator named, and nowhere else. Nobody who reaches a MultiCam port is known. */
import { OcelliError } from "@ocelli/protocol";
import type { UploadTarget } from "../contract.ts";
import { objectUrl } from "./s3.ts";

export interface AllowedAddresses {
  /** `bucket.example.org`, `*.amazonaws.com`. */
  readonly hosts: readonly string[];
  /** Of another make of S3; its host is allowed to targets with credentials. */
  readonly s3Endpoint?: string | undefined;
}

/** @throws OcelliError `invalid_params`, `permission_denied` */
export function addressOf(target: UploadTarget, { hosts, s3Endpoint }: AllowedAddresses): URL {
  const given = target.kind === "presigned" ? target.uploadUrl : objectUrl(target.target, s3Endpoint);
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new OcelliError(
      "invalid_params",
      "uploadUrl must be an http or https address without a user name.",
    );
  }
  const isOwn = target.kind === "s3" && s3Endpoint !== undefined;
  if (isOwn || hosts.some((host) => matches(url.hostname, host))) return url;
  throw new OcelliError(
    "permission_denied",
    `Uploads to ${url.hostname} are not allowed. The hub's operator can add it to multicam.uploadHosts.`,
    { details: { host: url.hostname } },
  );
}

/** The address without what gives access. */
export function shownAddress(url: string): string {
  return url.split("?", 1)[0] ?? "";
}

function matches(host: string, pattern: string): boolean {
  const name = host.toLowerCase();
  const wanted = pattern.toLowerCase();
  return wanted.startsWith("*.") ? name.endsWith(wanted.slice(1)) : name === wanted;
}
