import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { missingTools } from "../../test/v4l2/setup.mjs";
import type { GuestHotplug } from "../guest-hotplug.ts";
import { hotplugHere } from "../lib/hotplug-here.ts";
import { runBenchInGuest } from "../lib/in-guest.ts";
import type { Section } from "../section.ts";

const exec = promisify(execFile);

/**
 * From the moment a camera's node appears to the notification at a WebSocket client. Real drivers are only to be had in
 * the guest of the V4L2 tests, whose processor is emulated in software: there `node -e 0` tells how slow it is.
 */
export const hotplug: Section = {
  name: "hotplug",
  about: "a camera's node appears, a client is told; here, and with a real driver in the V4L2 guest",
  async run({ report, quick, folder }) {
    const here = await hotplugHere(folder, quick ? 10 : 40);
    report.figure({
      what: "node appears, the hub's event (this machine, the driver's answer played)",
      unit: "ms",
      values: here.told,
      against: { what: "the event of fs.watch alone", values: here.watched },
      goal: 20,
    });
    const missing = missingTools();
    if (missing.length > 0) return report.skip(missing.join("; "));
    const host: number[] = [];
    for (let run = 0; run < (quick ? 2 : 5); run++) {
      const startedAt = performance.now();
      await exec(process.execPath, ["-e", "0"]);
      host.push(performance.now() - startedAt);
    }
    const { result: guest } = await runBenchInGuest<GuestHotplug>(
      "guest-hotplug.ts",
      quick ? 3 : 15,
      folder,
      180_000,
    );
    report.figure({
      what: "node appears, a client is told (real driver, emulated processor)",
      unit: "ms",
      values: guest.appeared,
      against: { what: "the event of fs.watch alone, in another process there", values: guest.watched },
    });
    report.figure({
      what: "node goes, a client is told (real driver, emulated processor)",
      unit: "ms",
      values: guest.gone,
    });
    report.figure({
      what: "node -e 0 (emulated processor)",
      unit: "ms",
      values: guest.node,
      against: { what: "node -e 0 on this machine", values: host },
    });
  },
};
