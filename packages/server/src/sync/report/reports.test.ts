import { expect, it } from "vitest";
import type { MediaEntry } from "../../library/contract.ts";
import type { SyncSession } from "../contract.ts";
import { Reports } from "./reports.ts";

const t0 = 1_700_000_000_000_000;

function session(id: string, more: Partial<SyncSession> = {}): SyncSession {
  return {
    ...{ id, groupId: "g", name: id, startAtUs: t0, state: "completed", createdAtUs: t0 },
    clock: { synchronised: true, source: "chrony", offsetUs: 0 },
    members: [
      {
        ...{ key: "camera0", name: "Door", state: "completed" },
        member: { kind: "camera", cameraId: "camera0" },
        files: [`${id}.mp4`],
      },
    ],
    ...more,
  };
}

/** Files whose reading waits until it is let on. */
function slowFiles() {
  const begun: string[] = [];
  const letOn: (() => void)[] = [];
  const reports = new Reports({
    library: {
      get: (_kind, filename) =>
        ({
          filename,
          path: filename,
          fps: 10,
          timeSource: "kernel",
          clockSteps: [],
        }) as unknown as MediaEntry,
    },
    clock: { wallUs: () => t0 },
    async *frames(path, signal) {
      begun.push(path);
      await new Promise<void>((resolve, reject) => {
        letOn.push(resolve);
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
      for (let i = 0; i < 10; i++) yield { capturedAtUs: t0 + i * 100_000, mediaTimeUs: i * 100_000 };
    },
  });
  const reading = (count: number) => expect.poll(() => begun.length, { timeout: 10_000 }).toBe(count);
  return { reports, begun, letOn, reading };
}

it("a report is made once for all who ask while it is made", async () => {
  const { reports, begun, letOn, reading } = slowFiles();
  // Sessions that have ended come from the database: each time another object.
  const asked = Array.from({ length: 50 }, () => reports.of(session("one")));
  await reading(1);
  letOn[0]?.();
  const made = await Promise.all(asked);
  expect(new Set(made).size).toBe(1);
  expect(made[0]?.members[0]).toMatchObject({ framesReceived: 10 });
  expect(begun).toEqual(["one.mp4"]);
  const later = reports.of(session("one"));
  await reading(2);
  letOn[1]?.();
  expect(await later).not.toBe(made[0]);
});

it("a report begun while the session recorded is not that of the whole", async () => {
  const { reports, begun, letOn, reading } = slowFiles();
  const early = reports.of(session("one", { state: "recording" }));
  const whole = reports.of(session("one"));
  await reading(2);
  for (const go of letOn) go();
  expect((await early).session.state).toBe("recording");
  expect((await whole).session.state).toBe("completed");
  expect(begun).toHaveLength(2);
});

it("two are made at a time, the others wait in order", async () => {
  const { reports, begun, letOn, reading } = slowFiles();
  const ids = ["a", "b", "c", "d", "e"];
  const asked = ids.map((id) => reports.of(session(id)));
  await reading(2);
  for (let done = 0; done < ids.length; done++) {
    expect(begun).toEqual(ids.slice(0, done + 2).map((id) => `${id}.mp4`));
    letOn[done]?.();
    await asked[done];
    await reading(Math.min(ids.length, done + 3));
  }
});

it("those under way and those that wait are given up when the hub closes", async () => {
  const { reports, begun, reading } = slowFiles();
  const outcomes = Promise.allSettled(["a", "b", "c"].map((id) => reports.of(session(id))));
  await reading(2);
  const reason = new Error("closing");
  await reports.close(reason);
  expect(await outcomes).toEqual(Array(3).fill({ status: "rejected", reason }));
  expect(begun).toHaveLength(2);
});
