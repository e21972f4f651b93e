import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../clock/fake-clock.ts";
import { ServiceNotifier } from "./service-notifier.ts";
import type { Systemd } from "./systemd.ts";

const log = pino({ level: "silent" });

/** The manager's end of the socket, of independent make: prints each datagram with the sender's pid. */
const manager = `
import json, os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(sys.argv[1])
print(json.dumps("listening"), flush=True)
while True:
    data, control, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(12))
    pid = struct.unpack("iii", control[0][2])[0]
    print(json.dumps({"pid": pid, "text": data.decode()}), flush=True)
`;

describe("a service, to a manager on a real socket", () => {
  let folder: string;
  let receiver: ChildProcess;
  let lines: AsyncIterator<string>;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ocelli-notify-"));
    const python = spawn("/usr/bin/python3", ["-c", manager, join(folder, "notify")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    receiver = python;
    lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('"listening"');
  });
  afterEach(async () => {
    receiver.kill();
    if (receiver.exitCode === null && receiver.signalCode === null) await once(receiver, "exit");
    rmSync(folder, { recursive: true, force: true });
  });

  it("says ready, alive and stopping, and nothing while its event loop is blocked", async () => {
    const child = spawn(
      process.execPath,
      ["--no-warnings", "--conditions=source", join(import.meta.dirname, "testing/notifying-child.ts")],
      {
        env: { PATH: process.env.PATH, NOTIFY_SOCKET: join(folder, "notify"), WATCHDOG_USEC: "400000" },
        stdio: ["ignore", "inherit", "inherit"],
      },
    );
    const received: string[] = [];
    while (!received.at(-1)?.startsWith("STOPPING=1")) {
      const { pid, text } = JSON.parse((await lines.next()).value);
      expect(pid).toBe(child.pid);
      received.push(text);
    }
    expect(received.slice(0, 3)).toEqual([
      "STATUS=starting READY=0",
      "READY=1\nSTATUS=serving",
      "WATCHDOG=1",
    ]);
    expect(received.filter((text) => text === "WATCHDOG=1").length).toBeGreaterThan(2);
    expect(received.indexOf("STATUS=free")).toBe(received.indexOf("STATUS=blocked") + 1);
    expect(received.at(-1)).toBe("STOPPING=1\nSTATUS=Finishing recordings\nEXTEND_TIMEOUT_USEC=30000000");
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
  });
});

class Recorder implements Systemd {
  readonly sent: string[] = [];
  readonly #periodUs: number | undefined;

  constructor(periodUs: number | undefined) {
    this.#periodUs = periodUs;
  }

  notify(state: string): number {
    this.sent.push(state);
    return 1;
  }

  watchdogUs(): number | undefined {
    return this.#periodUs;
  }
}

/** Ticks come when the test says, however late. */
class SlowClock {
  readonly #clock = new FakeClock();
  tick: () => void = () => {};
  intervalMs = 0;
  stopped = false;

  monoUs(): number {
    return this.#clock.monoUs();
  }

  every(intervalMs: number, callback: () => void): () => void {
    this.intervalMs = intervalMs;
    this.tick = callback;
    return () => {
      this.stopped = true;
    };
  }

  tickAfter(ms: number): void {
    this.#clock.advance(ms);
    this.tick();
  }
}

describe("ServiceNotifier", () => {
  const env = { NOTIFY_SOCKET: "/run/notify" };
  const make = (systemd: Recorder, clock = new SlowClock()) => {
    const notifier = new ServiceNotifier({ clock, log, env, load: () => systemd });
    notifier.ready("serving");
    return { notifier, clock };
  };

  it("does nothing without a service manager, not even load libsystemd", () => {
    const notifier = new ServiceNotifier({
      clock: new FakeClock(),
      log,
      env: {},
      load: () => {
        throw new Error("loaded");
      },
    });
    expect(notifier.active).toBe(false);
    notifier.ready("serving");
    notifier.stopping(1000);
    notifier.close();
  });

  it("runs on, and says so, when libsystemd is missing", () => {
    const said: string[] = [];
    const listening = pino({}, { write: (line: string) => void said.push(line) });
    const load = () => {
      throw new Error("no such file");
    };
    const notifier = new ServiceNotifier({ clock: new FakeClock(), log: listening, env, load });
    expect(notifier.active).toBe(false);
    expect(said.join()).toContain("apt-get install libsystemd0");
    notifier.ready("serving");
  });

  it("gives no signs of life when nobody asked for them", () => {
    const systemd = new Recorder(undefined);
    const { clock } = make(systemd);
    expect(systemd.sent).toEqual(["READY=1\nSTATUS=serving"]);
    expect(clock.intervalMs).toBe(0);
  });

  it("gives four signs in a period, also when one comes late", () => {
    const systemd = new Recorder(4_000_000);
    const { clock } = make(systemd);
    expect(clock.intervalMs).toBe(1000);
    systemd.sent.length = 0;
    for (const ms of [1000, 1900, 2500, 1000]) clock.tickAfter(ms);
    expect(systemd.sent).toHaveLength(4);
  });

  it("holds signs back while the event loop stays far too slow, and gives them again when it is not", () => {
    const systemd = new Recorder(4_000_000);
    const { clock } = make(systemd);
    systemd.sent.length = 0;
    for (const ms of [2500, 2500, 2500]) clock.tickAfter(ms);
    expect(systemd.sent).toHaveLength(1);
    clock.tickAfter(1000);
    expect(systemd.sent).toHaveLength(2);
  });

  it("goes on giving signs while stopping, until it is closed", () => {
    const systemd = new Recorder(4_000_000);
    const { notifier, clock } = make(systemd);
    notifier.stopping(30_000);
    clock.tickAfter(1000);
    expect(systemd.sent.at(-1)).toBe("WATCHDOG=1");
    expect(clock.stopped).toBe(false);
    notifier.close();
    notifier.close();
    expect(clock.stopped).toBe(true);
  });
});
