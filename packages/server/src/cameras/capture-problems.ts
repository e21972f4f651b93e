/**
 * Why a capture failed, from the last words of its ffmpeg: a stable code, and what to do. A pure table; the texts are
 * those of ffmpeg's V4L2, RTSP and HTTP inputs (5.1 to 7) with the C library's names of errors.
 */

export const captureProblemCodes = [
  "camera_busy",
  "permission_denied",
  "usb_bandwidth",
  "device_gone",
  "driver_error",
  "mode_refused",
  "not_a_camera",
  "login_refused",
  "stream_not_found",
  "connection_refused",
  "host_unknown",
  "unreachable",
  "no_frames",
  "capture_failed",
] as const;
export type CaptureProblemCode = (typeof captureProblemCodes)[number];

export interface CaptureProblem {
  readonly code: CaptureProblemCode;
  readonly message: string;
}

interface Rule {
  readonly code: CaptureProblemCode;
  readonly pattern: RegExp;
  /** `subject` is the node of a local camera, its name otherwise. */
  readonly words: (subject: string, remote: boolean) => string;
}

const isLocal = /ioctl\(VIDIOC_|v4l2|\/dev\/video/i;

/** The first that fits decides. */
const localRules: readonly Rule[] = [
  {
    code: "usb_bandwidth",
    pattern: /VIDIOC_STREAMON\S*: No space left on device/i,
    words: (subject) =>
      `The USB bus has no bandwidth left for ${subject}. Use a smaller size, a lower rate or MJPG, stop another camera on the same bus, or plug this one into another USB controller (lsusb -t shows them).`,
  },
  {
    code: "camera_busy",
    pattern: /Device or resource busy|EBUSY/i,
    words: (subject) =>
      `${subject} is in use by another program. Close that program; the camera is then used by itself.`,
  },
  {
    code: "permission_denied",
    pattern: /(Cannot open video device .*|\/dev\/video\d+): (Permission denied|Operation not permitted)/i,
    words: (subject) =>
      `The hub may not open ${subject}. Add its user to the group video (sudo usermod -aG video USER) and restart it.`,
  },
  {
    code: "device_gone",
    pattern: /No such device|(Cannot open video device .*|\/dev\/video\d+): No such file/i,
    words: (subject) => `${subject} went away while it was used. Check its cable and its power.`,
  },
  {
    code: "not_a_camera",
    pattern:
      /Inappropriate ioctl for device|Not a video capture device|does not support the streaming I\/O method/i,
    words: (subject) => `${subject} gives no video this hub can read.`,
  },
  {
    code: "mode_refused",
    pattern:
      /VIDIOC_(S_FMT|S_PARM|TRY_FMT)\S*: |Cannot find a proper format|The V4L2 driver changed the (pixel format|video) from/i,
    words: (subject) => `${subject} refuses the mode it was asked for. Choose another size, rate or format.`,
  },
  {
    code: "driver_error",
    pattern:
      /VIDIOC_\w+\S*: (Input\/output error|Protocol error|Broken pipe|Connection timed out|Value too large|Cannot allocate memory|Invalid argument|Bad address|Remote I\/O error|Resource temporarily unavailable)|\/dev\/video\d+: (Input\/output error|Protocol error)|Dequeued v4l2 buffer contains corrupted data/i,
    words: (subject) =>
      `The driver of ${subject} failed. Unplug the camera and plug it in again; if it stays, look at dmesg and try another cable or port.`,
  },
];

const networkRules: readonly Rule[] = [
  {
    code: "login_refused",
    pattern: /401 Unauthorized|403 Forbidden|authorization failed|access denied/i,
    words: (subject) => `${subject} refuses the login. Check the user name and password in its URL.`,
  },
  {
    code: "stream_not_found",
    pattern: /404 (Stream )?Not Found|454 Session Not Found/i,
    words: (subject) => `${subject} has no such stream. Check the path in its URL.`,
  },
  {
    code: "connection_refused",
    pattern: /Connection refused/i,
    words: (subject) =>
      `${subject} refuses the connection. Check its address and port, and that its server runs.`,
  },
  {
    code: "host_unknown",
    pattern: /Failed to resolve hostname|Name or service not known|Temporary failure in name resolution/i,
    words: (subject) => `The host name of ${subject} is not known. Check the name in its URL and the DNS.`,
  },
  {
    code: "unreachable",
    pattern: /No route to host|Network is unreachable|Connection timed out|Operation timed out/i,
    words: (subject) => `${subject} cannot be reached. Check that it is switched on and in this network.`,
  },
];

const noFrames: Rule = {
  code: "no_frames",
  pattern: /\bno (first )?frame for [\d.]+ s|gave no frame within/,
  words: (subject, remote) =>
    remote
      ? `${subject} gives no frames. Check its address, port, path and password.`
      : `${subject} was opened and gives no frames.`,
};

/**
 * @param lines the error's own text and the last lines of stderr, in any order; secrets masked already
 * @param remote an RTSP or HTTP camera
 */
export function captureProblem(
  message: string,
  lines: readonly string[],
  subject: string,
  remote: boolean,
): CaptureProblem {
  const all = [message, ...lines];
  const rules = remote
    ? networkRules
    : all.some((line) => isLocal.test(line))
      ? localRules
      : [...localRules, ...networkRules];
  for (const { code, pattern, words } of [...rules, noFrames]) {
    if (all.some((line) => pattern.test(line)))
      return { code, message: `${words(subject, remote)} (${message})` };
  }
  return {
    code: "capture_failed",
    message: remote ? `${message}. Check its address, port, path and password.` : message,
  };
}
