/**
 * By which names the hub is asked for. A page of another site can make its own name point at the hub's address
 * (DNS rebinding); what it then sends bears that name as `Host`, and a name that is not the hub's gets no rights
 * from the network its visitor sits in.
 */
import { isIP } from "node:net";
import { hostname } from "node:os";

/**
 * @param allowedHosts further names: `cam.example.org`, or `*.example.org` for all below it
 * @param machine names of this machine; asked each time, since it may be renamed
 * @returns whether the value of a `Host` header is an address, a name of this machine, or allowed. Clients that
 *   send none are no browsers.
 */
export function ownHosts(
  allowedHosts: readonly string[] = [],
  machine: () => string = hostname,
): (host: string | undefined) => boolean {
  const allowed = allowedHosts.map((name) => name.toLowerCase());
  return (host) => {
    if (host === undefined) return true;
    const name = nameOf(host);
    if (name === undefined) return false;
    if (isIP(name) !== 0) return true;
    const own = machine().toLowerCase();
    return (
      name === "localhost" ||
      name.endsWith(".localhost") ||
      name.endsWith(".local") ||
      name === own ||
      name === own.split(".", 1)[0] ||
      allowed.some((one) => (one.startsWith("*.") ? name.endsWith(one.slice(1)) : name === one))
    );
  };
}

/** Without port, brackets and the dot at the end, in small letters. */
function nameOf(host: string): string | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(host.trim());
  return (found?.[1] ?? found?.[2])?.toLowerCase().replace(/\.$/, "");
}
