/** The driver of MultiCam devices, loaded with the first device that takes part: most hubs never have one. */
import type { DeviceDriverOptions } from "./device-member.ts";
import type { MemberDriver } from "./members.ts";

type ClosableDriver = MemberDriver & { close(): Promise<void> };

/** As `deviceDriver`, whose words hold. */
export function deviceDriverWhenNeeded(options: DeviceDriverOptions): ClosableDriver {
  let loaded: Promise<ClosableDriver> | undefined;
  const driver = (): Promise<ClosableDriver> => {
    loaded ??= import("./device-member.ts").then(({ deviceDriver }) => deviceDriver(options));
    return loaded;
  };
  return {
    arm: async (session, member, signal) => (await driver()).arm(session, member, signal),
    // It has been told true time, which has not changed.
    rearm: () => undefined,
    // What a device has done meanwhile it tells when it is stopped.
    resume: () => ({}),
    stop: async (session, member, note) => (await driver()).stop(session, member, note),
    cancel: async (session, member) => (await driver()).cancel(session, member),
    close: async () => (await loaded)?.close(),
  };
}
