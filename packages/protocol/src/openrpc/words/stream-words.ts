import type { Words } from "./contract.ts";

/** Live streams, and streams of others. */
export const streamWords: Words = {
  get_streams: {
    summary: "The live pictures there are, one for each camera.",
  },
  start_streaming: {
    summary:
      "Keeps a camera running for `auto_close_after`, so that viewers get a picture at once. Asking again begins the time anew.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
    errors: ["camera_disconnected", "camera_busy", "capture_failed", "ffmpeg_failed", "start_timeout"],
  },
  stop_streaming: {
    summary: "Lets the camera go before that. Viewers and recordings keep theirs.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_stream_url: {
    summary: "The address of the live picture, good for five minutes. Starts nothing by itself.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_stream_status: {
    summary: "Whether a camera gives pictures now, to how many, and how many it gave.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  discover_external_streams: {
    summary:
      "Searches the network for cameras, in the ways the configuration of the hub allows (`discovery`). Without any: error `unsupported`. Nothing found becomes a camera by itself.",
    params: {
      skydio_enabled: "look for Skydio drones in `discovery.skydio.networks`; true otherwise",
      generic_enabled: "try usual RTSP addresses in `discovery.generic.networks`; false otherwise",
      force_rescan: "search anew even if the same was searched within the last 10 seconds",
      include_offline: "also what was found earlier and is not there now, with `status` `ERROR`",
      onvif_enabled: "extension: ask for ONVIF cameras; true otherwise",
    },
    example: {},
    errors: ["unsupported"],
  },
  add_external_stream: {
    summary:
      "Opens a stream of the network and, if it gives pictures, makes it a camera that stays, also after a restart of the hub. The same URL again changes its name, options, user and password. User and password of the URL are never shown again.",
    params: {
      stream_url:
        "`rtsp://`, `rtsps://`, `http://` or `https://`; user and password as in `rtsp://user:password@host/path`",
      stream_name: "for people; the host otherwise",
      stream_type: "`generic_rtsp` otherwise",
      transport: "extension: of RTSP; `tcp` otherwise",
      audio: "extension: whether its sound is taken along; true otherwise",
    },
    example: { stream_url: "rtsp://192.168.1.20/stream1", stream_name: "Door" },
    errors: ["capture_failed", "unsupported", "rate_limited", "storage_failed", "ffmpeg_missing"],
  },
  remove_external_stream: {
    summary:
      "Takes an added stream and its camera away; recordings stay. Cameras of the configuration are removed there.",
    params: {
      stream_url: "as it was added, with or without user and password",
      force: "extension: also while it is recorded, ending the recording first; refused otherwise",
    },
    example: { stream_url: "rtsp://192.168.1.20/stream1" },
    errors: ["file_not_found", "unsupported", "already_recording", "storage_failed"],
  },
  get_external_streams: {
    summary: "Added streams, and those that searches found and nobody added.",
  },
  set_discovery_interval: {
    summary: "How often the network is searched by itself. Kept over restarts.",
    params: { scan_interval: "seconds; 0: only on demand" },
    example: { scan_interval: 0 },
    errors: ["unsupported"],
  },
};
