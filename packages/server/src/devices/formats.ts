/**
 * How ffmpeg's V4L2 input names the pixel formats it can read, and which of them need no encoding. Facts: the table
 * in ffmpeg's libavdevice/v4l2-common.c. It has no HEVC: a camera's HEVC cannot be captured this way.
 */

interface CaptureFormat {
  /** Value of `-input_format`. */
  readonly inputFormat: string;
  /** Encoded already: recorded and shown by stream copy. */
  readonly encoded: boolean;
}

const captureFormats: Readonly<Record<string, CaptureFormat>> = {
  MJPG: { inputFormat: "mjpeg", encoded: true },
  JPEG: { inputFormat: "mjpeg", encoded: true },
  H264: { inputFormat: "h264", encoded: true },
  YUYV: { inputFormat: "yuyv422", encoded: false },
  UYVY: { inputFormat: "uyvy422", encoded: false },
  YU12: { inputFormat: "yuv420p", encoded: false },
  YV12: { inputFormat: "yuv420p", encoded: false },
  "422P": { inputFormat: "yuv422p", encoded: false },
  "411P": { inputFormat: "yuv411p", encoded: false },
  YUV9: { inputFormat: "yuv410p", encoded: false },
  NV12: { inputFormat: "nv12", encoded: false },
  GREY: { inputFormat: "gray", encoded: false },
  "Y16 ": { inputFormat: "gray16le", encoded: false },
  RGBO: { inputFormat: "rgb555le", encoded: false },
  RGBP: { inputFormat: "rgb565le", encoded: false },
  BGR3: { inputFormat: "bgr24", encoded: false },
  RGB3: { inputFormat: "rgb24", encoded: false },
  RGB4: { inputFormat: "0rgb", encoded: false },
  BGR4: { inputFormat: "bgr0", encoded: false },
  BA81: { inputFormat: "bayer_bggr8", encoded: false },
  GBRG: { inputFormat: "bayer_gbrg8", encoded: false },
  GRBG: { inputFormat: "bayer_grbg8", encoded: false },
  RGGB: { inputFormat: "bayer_rggb8", encoded: false },
};

/** `undefined` when ffmpeg cannot capture the format. */
export function captureFormat(fourcc: string): CaptureFormat | undefined {
  return Object.hasOwn(captureFormats, fourcc) ? captureFormats[fourcc] : undefined;
}
