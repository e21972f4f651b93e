import { describe, expect, it } from "vitest";
import type { SyncSession } from "./contract.ts";
import { sessionMetadata } from "./session-metadata.ts";

const member = (key: string, name: string, files: string[]): SyncSession["members"][number] => ({
  ...{ key, name, files, state: "completed" },
  member: { kind: "camera", cameraId: key },
});

const session: SyncSession = {
  ...{ id: "s", groupId: "g", name: "lab", state: "completed", createdAtUs: 0 },
  startAtUs: 1_736_951_405_250_000,
  clock: { synchronised: true, source: "sntp", offsetUs: 1_500_000 },
  members: [
    member("camera0", "Door", ["a.mp4", "a_part2.mp4"]),
    member("camera1", "Door", ["b.mp4"]),
    member("camera2", "Yard", []),
    member("10.0.0.7:8080", "Pixel", ["c.mp4"]),
  ],
};

describe("metadata of a session", () => {
  it("says when it was in true UTC, and which file is whose", () => {
    expect(sessionMetadata(session, 330)).toEqual({
      session_name: "lab",
      collector_name: "Unknown",
      task: null,
      time_collected: "2025-01-15T14:30:06.750+00:00",
      local_timezone_offset: "+05:30",
      // Two of one name are told apart by their ids; what has no file is left out.
      files: { camera0: "a.mp4", camera1: "b.mp4", Pixel: "c.mp4" },
    });
    expect(sessionMetadata(session, -210).local_timezone_offset).toBe("-03:30");
  });
});
