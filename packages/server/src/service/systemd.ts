/**
 * The two functions of libsystemd that a service needs, sd_notify(3) and sd_watchdog_enabled(3), called through
 * koffi. They read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment of the process themselves.
 */
import koffi from "koffi";

export interface Systemd {
  /** Sends assignments such as `READY=1`, one a line. Returns a positive number, or 0 (nobody listens), or a negative errno. */
  notify(state: string): number;
  /** How often this very process must give a sign of life, microseconds; `undefined` when nobody watches it. */
  watchdogUs(): number | undefined;
}

/** @throws Error when libsystemd is not installed */
export function loadSystemd(): Systemd {
  // The name with the version: the plain one comes only with the development package.
  const library = koffi.load("libsystemd.so.0");
  const notify = library.func("int sd_notify(int unset_environment, const char *state)");
  const watchdogEnabled = library.func(
    "int sd_watchdog_enabled(int unset_environment, _Out_ uint64_t *usec)",
  );
  return {
    notify: (state) => Number(notify(0, state)),
    watchdogUs() {
      const out: [number | bigint] = [0];
      return Number(watchdogEnabled(0, out)) > 0 ? Number(out[0]) : undefined;
    },
  };
}
