import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import { EventBus } from "../events/bus.ts";
import type { RecordingView } from "../events/catalogue.ts";
import { type Family, oneOf, Tally } from "./families.ts";
import { Metrics } from "./metrics.ts";
import { recordingFamilies } from "./recording-metrics.ts";

let logged: string[];
let metrics: Metrics;
beforeEach(() => {
  logged = [];
  metrics = new Metrics({ version: "1.2.3", log: pino({}, { write: (line) => void logged.push(line) }) });
});

/** The samples of a metric, as lines. */
async function lines(name: string): Promise<string[]> {
  const text = await metrics.text();
  return text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

describe("the registry", () => {
  it("counts requests without taking names from outside", async () => {
    metrics.rpcRequest("ping", "ok", 0.002);
    metrics.rpcRequest("ping", "ok", 0.2);
    metrics.rpcRequest(undefined, "refused", 9);
    // A clock that was read in the wrong order.
    metrics.rpcRequest("ping", "fault", -1);
    expect(await lines("ocelli_rpc_requests_total")).toEqual([
      'ocelli_rpc_requests_total{method="ping",outcome="ok"} 2',
      'ocelli_rpc_requests_total{method="unknown",outcome="refused"} 1',
      'ocelli_rpc_requests_total{method="ping",outcome="fault"} 1',
    ]);
    expect(await lines("ocelli_rpc_request_duration_seconds_count")).toEqual([
      'ocelli_rpc_request_duration_seconds_count{method="ping"} 3',
    ]);
    expect(await lines("ocelli_rpc_request_duration_seconds_sum")).toEqual([
      'ocelli_rpc_request_duration_seconds_sum{method="ping"} 0.202',
    ]);
    metrics.httpRequest("GET", undefined, 404);
    expect(await lines("ocelli_http_requests_total")).toEqual([
      'ocelli_http_requests_total{method="GET",route="none",status="404"} 1',
    ]);
    expect(await lines("ocelli_build_info")).toEqual(['ocelli_build_info{version="1.2.3"} 1']);
  });

  it("reads what others know when asked, and forgets what is gone", async () => {
    let cameras = ["a", "b"];
    const family: Family = {
      ...{ name: "test_state", type: "gauge", help: "A test.", labels: ["camera", "state"] },
      read: () => cameras.flatMap((camera) => oneOf("state", ["on", "off"], "on", { camera })),
    };
    metrics.watch([family]);
    expect(await lines("test_state")).toHaveLength(4);
    cameras = ["b"];
    expect(await lines("test_state")).toEqual([
      'test_state{camera="b",state="on"} 1',
      'test_state{camera="b",state="off"} 0',
    ]);
  });

  it("serves the rest when one part fails or has no number, and says so once", async () => {
    metrics.watch([
      {
        ...{ name: "test_broken_total", type: "counter", help: "A test." },
        read: () => {
          throw new Error("the index is closed");
        },
      },
      { ...{ name: "test_nothing", type: "gauge", help: "A test." }, read: () => [[{}, Number.NaN]] },
      { ...{ name: "test_late", type: "gauge", help: "A test." }, read: async () => [[{}, 7]] },
    ]);
    expect(await lines("test_late")).toEqual(["test_late 7"]);
    expect(await lines("test_late")).toEqual(["test_late 7"]);
    // Not 0, which would be a figure.
    expect([await lines("test_nothing"), await lines("test_broken_total")]).toEqual([[], []]);
    expect(logged).toHaveLength(1);
    expect(JSON.parse(logged[0] ?? "")).toMatchObject({ level: 40, metric: "test_broken_total" });
  });

  it("calls counters, and nothing else, totals", async () => {
    const types = (await metrics.text()).matchAll(/^# TYPE (\S+) (\S+)$/gm);
    const odd = [...types].filter(([, name = "", type]) => name.endsWith("_total") !== (type === "counter"));
    expect(odd.map(([line]) => line)).toEqual([]);
  });

  it("gives the same to two who ask at once", async () => {
    const tally = new Tally(["a"]);
    tally.add("a", 5);
    metrics.watch([
      {
        ...{ name: "test_total", type: "counter", help: "A test.", labels: ["x"] },
        read: async () => tally.samples("x"),
      },
    ]);
    const both = await Promise.all([lines("test_total"), lines("test_total")]);
    expect(both).toEqual([['test_total{x="a"} 5'], ['test_total{x="a"} 5']]);
  });
});

describe("recordings", () => {
  const sinceUs = 1000e6;
  const view = (more: Partial<RecordingView>): RecordingView => ({
    ...{ id: "r1", cameraId: "camera0", filename: "x.mp4", startedAtUs: sinceUs + 1, endedAtUs: undefined },
    ...{ requestedDurationS: undefined, durationS: 0, bytes: 0, frames: 0, format: "mp4" },
    ...{ state: "active", segments: [] },
    ...more,
  });
  let bus: EventBus;
  let active: RecordingView[];
  beforeEach(() => {
    bus = new EventBus(pino({ level: "silent" }));
    active = [];
    metrics.watch(recordingFamilies({ recordings: { active: () => active }, bus, sinceUs }));
  });

  it("are counted while they run, to the last byte, each once", async () => {
    bus.emit("recording.started", { recording: view({ bytes: 100, frames: 1 }) });
    active = [view({ bytes: 500, frames: 10, droppedFrames: 2 })];
    expect(await lines("ocelli_recording_bytes_total")).toEqual([
      'ocelli_recording_bytes_total{camera="camera0"} 500',
    ]);
    bus.emit("recording.progress", { recording: view({ bytes: 600, frames: 12, droppedFrames: 2 }) });
    // It is over, and still in the list for a moment.
    const over = view({ bytes: 700, frames: 14, droppedFrames: 3, state: "completed" });
    active = [over];
    bus.emit("recording.stopped", { recording: over, reason: "requested" });
    expect(await lines("ocelli_recording_bytes_total")).toEqual([
      'ocelli_recording_bytes_total{camera="camera0"} 700',
    ]);
    expect(await lines("ocelli_recording_frames_total")).toEqual([
      'ocelli_recording_frames_total{camera="camera0"} 14',
    ]);
    expect(await lines("ocelli_recording_frames_dropped_total")).toEqual([
      'ocelli_recording_frames_dropped_total{camera="camera0"} 3',
    ]);
    expect(await lines("ocelli_recordings_active")).toEqual([]);
    expect(await lines("ocelli_recordings_ended_total")).toEqual([
      'ocelli_recordings_ended_total{outcome="completed"} 1',
      'ocelli_recordings_ended_total{outcome="failed"} 0',
    ]);
  });

  it("that go on after a restart are counted from there", async () => {
    const earlier = { startedAtUs: sinceUs - 60e6 };
    active = [view({ ...earlier, bytes: 9000, frames: 900 })];
    await metrics.text();
    active = [view({ ...earlier, bytes: 9100, frames: 910 })];
    expect(await lines("ocelli_recording_bytes_total")).toEqual([
      'ocelli_recording_bytes_total{camera="camera0"} 100',
    ]);
  });
});
