import { describe, expect, it } from "vitest";
import {
  AuthenticationError,
  CameraClient,
  type CameraClientOptions,
  CameraNotFoundError,
  CameraServiceError,
  MediaMTXError,
  ValidationError,
} from "./node/index.ts";
import { type Script, ScriptedServer } from "./testing/scripted-server.ts";

// The client against what servers of the three generations send, shape by shape.

const options = { host: "127.0.0.1", maxRetries: 1, autoReconnect: false, logger: null } as const;

async function withServer(
  script: Script,
  work: (client: CameraClient, server: ScriptedServer) => Promise<void>,
  more: CameraClientOptions = {},
  prepare: (server: ScriptedServer) => void = () => {},
): Promise<void> {
  await using server = await ScriptedServer.start(script);
  prepare(server);
  await using client = new CameraClient({ ...options, port: server.port, ...more });
  await client.connect();
  await work(client, server);
}

describe("a server of the earliest generation", () => {
  const supported = ["ping", "echo", "get_camera_list", "capture_snapshot", "start_recording"];
  const script: Script = {
    get_supported_methods: { result: supported },
    get_camera_list: {
      result: {
        cameras: [
          { device: "/dev/video0", status: "CONNECTED", resolution: "640x480", fps: 30, capabilities: null },
          {
            device: "/dev/video1",
            status: "DISCONNECTED",
            resolution: null,
            fps: null,
            capabilities: { formats: ["YUYV", "MJPG"] },
          },
        ],
        total: 2,
        connected: 1,
      },
    },
    get_camera_status: ({ params }) => ({
      result: { device: params.device, status: "UNKNOWN", message: "Device not found in registry" },
    }),
    capture_snapshot: ({ params }) => ({
      result: {
        snapshot_id: "s1",
        filename: "s1.jpeg",
        device: params.device,
        timestamp: "2025-01-15T14:30:00",
      },
    }),
    start_recording: ({ params }) =>
      params.filename === undefined
        ? { error: { code: -32602, message: "Invalid params: filename is required" } }
        : {
            result: {
              filename: params.filename,
              device: params.device,
              resolution: "640x480",
              started_at: "2025-01-15T14:30:00Z",
              duration: params.duration,
            },
          },
    stop_recording: ({ params }) =>
      Object.keys(params).length > 0
        ? { error: { code: -32602, message: "Invalid params: takes no parameters" } }
        : { result: { recording_id: "r1", status: "stopped", filename: "x.mp4", stopped_at: "…" } },
  };

  it("is open: a credential is offered in vain, a welcome comes first", () =>
    withServer(
      script,
      async (client, server) => {
        expect(server.requests.map(({ method }) => method)).toEqual(["authenticate", "ping"]);
        const [first, second] = await client.getCameraList();
        expect(first).toEqual({
          devicePath: "/dev/video0",
          name: "Camera /dev/video0",
          capabilities: [],
          status: "CONNECTED",
          streamUrl: null,
          resolution: "640x480",
          fps: 30,
        });
        expect(second).toMatchObject({ capabilities: ["YUYV", "MJPG"], resolution: null, fps: null });
      },
      { authToken: "t" },
      (server) => {
        server.greeting = { jsonrpc: "2.0", method: "server_welcome", params: { server: "x" } };
      },
    ));

  it("says UNKNOWN of a camera it does not know", () =>
    withServer(script, async (client) => {
      await expect(client.getCameraStatus("/dev/video9")).rejects.toThrow(CameraNotFoundError);
    }));

  it("takes snapshots under its own name for it", () =>
    withServer(script, async (client, server) => {
      expect(await client.takeSnapshot("/dev/video0", "x.jpg")).toMatchObject({ filename: "s1.jpeg" });
      expect(server.asked("capture_snapshot")[0]?.params).toEqual({
        device: "/dev/video0",
        filename: "x.jpg",
      });
    }));

  it("is given the file name it requires, and stopped without a camera", () =>
    withServer(script, async (client, server) => {
      const recording = await client.startRecording("/dev/video0", 60);
      expect(recording).toEqual({
        devicePath: "/dev/video0",
        recordingId: recording.filename,
        filename: expect.stringMatching(/^video0_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.mp4$/),
        startTime: Date.parse("2025-01-15T14:30:00Z") / 1000,
        duration: 60,
        status: "active",
      });
      expect(await client.stopRecording("/dev/video0")).toMatchObject({ filename: "x.mp4" });
      expect(server.asked("get_supported_methods")).toHaveLength(1);
    }));

  it("tells failures as a result with nothing but an error, and errors encoded twice", () =>
    withServer(
      {
        ...script,
        stop_recording: { result: { error: "No recording in progress" } },
        echo: ({ id }) =>
          JSON.stringify(
            JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32602, message: "Invalid params" } }),
          ),
      },
      async (client) => {
        await expect(client.stopRecording("/dev/video0")).rejects.toThrow(
          new MediaMTXError("Stop recording failed: No recording in progress"),
        );
        await expect(client.call("echo")).rejects.toThrow(ValidationError);
      },
    ));
});

describe("a server of the middle generation", () => {
  const script: Script = {
    authenticate: ({ params }) =>
      params.token === "good"
        ? { result: { authenticated: true, role: "operator" } }
        : { result: { authenticated: false, error: "Invalid or expired JWT token" } },
    get_camera_list: {
      result: {
        cameras: [
          {
            device: "/dev/video0",
            status: "CONNECTED",
            name: "Camera 0",
            streams: { rtsp: "rtsp://h:8554/camera0" },
            capabilities: ["snapshot"],
          },
        ],
        total: 1,
        connected: 1,
      },
    },
  };

  it("is given the token in both spellings, and on the upgrade", () =>
    withServer(
      script,
      async (client, server) => {
        expect(server.asked("authenticate")[0]?.params).toEqual({
          token: "good",
          auth_token: "good",
          auth_type: "jwt",
        });
        expect(server.upgrades[0]?.headers.authorization).toBe("Bearer good");
        expect(client.session).toMatchObject({ role: "operator" });
        expect((await client.getCameraList())[0]).toMatchObject({
          name: "Camera 0",
          capabilities: ["snapshot"],
          streamUrl: "rtsp://h:8554/camera0",
        });
      },
      { authToken: "good" },
    ));

  it("refuses a token inside the result, and is not asked again", async () => {
    await using server = await ScriptedServer.start(script);
    const client = new CameraClient({ ...options, port: server.port, maxRetries: 3, authToken: "bad" });
    await expect(client.connect()).rejects.toMatchObject({
      name: "AuthenticationError",
      message: "Invalid or expired JWT token",
    });
    expect(server.upgrades).toHaveLength(1);
  });

  it.each([
    [
      "take_snapshot",
      { result: { status: "FAILED", error: "ffmpeg ended", filename: "" } },
      MediaMTXError,
      "Snapshot failed: ffmpeg ended",
    ],
    [
      "take_snapshot",
      { result: { success: false, error: "Camera not found: /dev/video0" } },
      CameraNotFoundError,
      "Camera not found: /dev/video0",
    ],
    [
      "start_recording",
      { result: { success: false, error: "disk full", error_code: -1010 } },
      MediaMTXError,
      "Recording failed: disk full",
    ],
    [
      "start_recording",
      { error: { code: -1006, message: "Camera is currently recording" }, result: null },
      MediaMTXError,
      "Camera is currently recording",
    ],
    [
      "stop_recording",
      { error: { code: -32003, message: "Insufficient permissions" } },
      CameraServiceError,
      "Insufficient permissions",
    ],
    [
      "stop_recording",
      { error: { code: -32004, message: "Camera not found: x" } },
      CameraNotFoundError,
      "Camera not found: x",
    ],
    [
      "take_snapshot",
      { error: { code: -32001, message: "Authentication required" } },
      AuthenticationError,
      "Authentication required",
    ],
  ])("%s answered with %j", (method, answer, type, message) =>
    withServer({ ...script, [method]: answer }, async (client) => {
      const call =
        method === "take_snapshot"
          ? client.takeSnapshot("/dev/video0")
          : method === "start_recording"
            ? client.startRecording("/dev/video0")
            : client.stopRecording("/dev/video0");
      const error = await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(CameraServiceError);
      expect(error).toMatchObject({ name: type.name, message });
    }),
  );

  it("never sends success, nor a nested recording", () =>
    withServer(
      {
        ...script,
        start_recording: {
          result: {
            device: "/dev/video0",
            session_id: "abc",
            filename: "f.mp4",
            status: "STARTED",
            start_time: "2025-01-15T14:30:00Z",
            duration: null,
          },
        },
        take_snapshot: {
          result: { device: "/dev/video0", filename: "a.jpg", status: "completed", file_size: 5 },
        },
        get_camera_status: { result: null },
      },
      async (client) => {
        expect(await client.startRecording("/dev/video0")).toEqual({
          devicePath: "/dev/video0",
          recordingId: "abc",
          filename: "f.mp4",
          startTime: 1736951400,
          duration: null,
          status: "active",
        });
        expect(await client.takeSnapshot("/dev/video0")).toMatchObject({ file_size: 5 });
        await expect(client.getCameraStatus("/dev/video0")).rejects.toThrow("Camera not found: /dev/video0");
      },
    ));

  it("tells flat notifications, which callbacks get with the nested object", () =>
    withServer(script, async (client, server) => {
      const cameras = client.events("camera_status_update");
      const seen: unknown[] = [];
      client.setCameraStatusCallback((params) => seen.push(params));
      client.setRecordingStatusCallback((params) => seen.push(params));
      server.tell("camera_status_update", { device: "/dev/video0", status: "CONNECTED", name: "C" });
      server.tell("recording_status_update", {
        device: "/dev/video0",
        status: "STOPPED",
        filename: "f.mp4",
        duration: 3,
      });
      await client.ping();
      expect(seen).toEqual([
        expect.objectContaining({
          status: "CONNECTED",
          camera: expect.objectContaining({ device_path: "/dev/video0", name: "C", status: "CONNECTED" }),
        }),
        expect.objectContaining({
          status: "STOPPED",
          recording: expect.objectContaining({
            device_path: "/dev/video0",
            filename: "f.mp4",
            status: "completed",
          }),
        }),
      ]);
      expect((await cameras.next()).value).toMatchObject({ device: "/dev/video0" });
    }));
});

describe("a server of the latest generation", () => {
  const script: Script = {
    authenticate: ({ params }) =>
      params.auth_token === "good"
        ? { result: { authenticated: true, role: "viewer", permissions: [], expires_at: "", session_id: "" } }
        : {
            error: {
              code: -32001,
              message: "Authentication failed or token expired",
              data: { reason: "auth_failed" },
            },
          },
    get_camera_list: {
      result: {
        cameras: [
          { device: "camera0", status: "CONNECTED", name: "Cam", streams: { rtsp: "rtsp://x", hls: "h" } },
        ],
        total: 1,
        connected: 1,
      },
      metadata: { processing_time_ms: 1 },
    },
    get_camera_status: ({ params }) =>
      params.device === "camera0"
        ? { result: { device: "camera0", status: "CONNECTED", capabilities: { formats: ["YUYV"] } } }
        : /^camera/.test(String(params.device))
          ? { error: { code: -32010, message: "Not found", data: { resource: "camera" } } }
          : { error: { code: -32602, message: "Invalid parameters", data: { param: "device" } } },
    get_recording_info: { error: { code: -32010, message: "Not found", data: { resource: "recording" } } },
    start_recording: { error: { code: -32050, message: "Dependency failed" } },
    take_snapshot: { error: { code: -32020, message: "Invalid state" } },
  };

  it("is spoken to with its own names for cameras", () =>
    withServer(script, async (client, server) => {
      // Learnt from the list, which is asked for when a name is refused.
      expect(await client.getCameraStatus("/dev/video0")).toMatchObject({
        devicePath: "camera0",
        capabilities: ["YUYV"],
        name: "Camera camera0",
      });
      await client.getCameraStatus("/dev/video0");
      expect(server.requests.map(({ params }) => params.device).filter(Boolean)).toEqual([
        "/dev/video0",
        "camera0",
        "camera0",
      ]);
      await expect(client.getCameraStatus("/dev/video7")).rejects.toThrow(ValidationError);
      await expect(client.getCameraStatus("camera7")).rejects.toThrow(CameraNotFoundError);
      expect(server.asked("get_camera_list")).toHaveLength(1);
    }));

  it("refuses a token with an error", async () => {
    await using server = await ScriptedServer.start(script);
    const client = new CameraClient({ ...options, port: server.port, apiKey: "bad" });
    await expect(client.connect()).rejects.toThrow(AuthenticationError);
    expect(server.upgrades[0]?.headers["x-api-key"]).toBe("bad");
  });

  it("means the camera, a file or its parts by the same numbers", () =>
    withServer(script, async (client) => {
      await expect(client.api.getRecordingInfo({ filename: "x" })).rejects.toMatchObject({
        name: "MediaMTXError",
        code: -32010,
        condition: "file_not_found",
      });
      await expect(client.startRecording("camera0")).rejects.toThrow(MediaMTXError);
      await expect(client.takeSnapshot("camera0")).rejects.toThrow(MediaMTXError);
    }));

  it.each([
    [-32002, "Permission denied", "permission_denied"],
    [-32002, "Rate limit exceeded", "rate_limited"],
    [-32003, "Insufficient permissions", "permission_denied"],
    [-32040, "Rate limited", "rate_limited"],
    [-32603, "Internal error", "internal"],
    [-32601, "Method not found: x", "method_not_found"],
  ])("%i %s is %s", (code, message, condition) =>
    withServer({ get_metrics: { error: { code, message } } }, async (client) => {
      await expect(client.call("get_metrics")).rejects.toMatchObject({
        name: "CameraServiceError",
        code,
        condition,
        message,
      });
    }),
  );
});
