/** A process of its own that says what a service says: ready, alive, stopping; then it blocks its event loop. */
import { pino } from "pino";
import { SystemClock } from "../../clock/system-clock.ts";
import { ServiceNotifier } from "../service-notifier.ts";

const clock = new SystemClock();
const notifier = new ServiceNotifier({ clock, log: pino({ level: "silent" }) });
notifier.status("starting\nREADY=0");
notifier.ready("serving");
await clock.sleep(600);
notifier.status("blocked");
const until = clock.monoUs() + 600_000;
while (clock.monoUs() < until);
notifier.status("free");
notifier.stopping(30_000);
notifier.close();
clock.close();
