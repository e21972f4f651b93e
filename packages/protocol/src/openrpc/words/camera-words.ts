import type { Words } from "./contract.ts";

/** Cameras, their settings and controls. */
export const cameraWords: Words = {
  get_camera_list: {
    summary: "All cameras, by number, also those that are known and absent.",
  },
  get_camera_status: {
    summary: "One camera, with more detail.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_camera_capabilities: {
    summary: "Formats, sizes and rates one camera has.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
  },
  get_camera_settings: {
    summary: "Extension: the settings of a camera, and the mode they give.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
    exampleAnswer: { format: "MJPG" },
  },
  set_camera_settings: {
    summary:
      "Extension: changes settings for good. What is left out stays, `auto` goes back to the default, the same call again changes nothing. A new mode holds from the next start of the capture: at once when nobody uses the camera.",
    params: {
      device: "the camera",
      name: "for people",
      format: "FourCC, such as MJPG; must be one the camera has",
      resolution: "`WIDTHxHEIGHT`; must be one the camera has",
      fps: "frames a second, or `auto`; must be a rate the camera has",
      record_codec: "`copy` records what the camera gives, `h264` the rendition for browsers",
      continuous_recording:
        "the hub keeps a recording running, also after a restart; one that is stopped is followed by the next",
      pre_roll: "seconds that recordings begin early, for which the capture is kept running; 0 for none",
    },
    example: { device: "camera0", name: "Door" },
    errors: ["unsupported"],
    exampleAnswer: { format: "MJPG" },
  },
  get_camera_controls: {
    summary:
      "Extension: exposure, focus and whatever else the driver of a USB camera lets be turned, with its values now.",
    params: {
      device: "the camera",
    },
    example: { device: "camera0" },
    errors: ["unsupported", "camera_disconnected"],
  },
  set_camera_control: {
    summary:
      "Extension: sets one control and answers what the driver made of it. It holds until the camera is unplugged.",
    params: {
      device: "the camera",
      control: "its name, as in the list",
      value: "a whole number, true or false, or the name of a menu entry; nothing for a button",
    },
    example: { device: "camera0", control: "brightness", value: 128 },
    errors: ["unsupported", "camera_disconnected", "camera_busy"],
  },
};
