/** Debian packages that the hub is compared with. */
import { spawnSync } from "node:child_process";

/**
 * Installs them where that is possible without asking.
 * @returns what is missing, in words, or `undefined`
 */
export function installed(packages: readonly string[], isThere: () => boolean): string | undefined {
  if (isThere()) return undefined;
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  if (process.getuid?.() === 0) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    if (spawnSync("apt-get", install, { env }).status !== 0) {
      spawnSync("apt-get", ["update"], { env });
      spawnSync("apt-get", install, { env });
    }
  }
  return isThere() ? undefined : `${packages.join(" and ")} not installed: apt-get ${install.join(" ")}`;
}
