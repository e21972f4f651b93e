/** What a V4L2 device says it can do, in the words of `v4l2-ctl --info`, which older servers passed on. Pure. */

/** Flags of `v4l2_capability`, from linux/videodev2.h, in the order in which they are listed. */
export const capabilityWords: Readonly<Record<string, readonly [flag: number, word: string]>> = {
  V4L2_CAP_VIDEO_CAPTURE: [0x1, "Video Capture"],
  V4L2_CAP_VIDEO_CAPTURE_MPLANE: [0x1000, "Video Capture Multiplanar"],
  V4L2_CAP_VIDEO_OUTPUT: [0x2, "Video Output"],
  V4L2_CAP_VIDEO_OUTPUT_MPLANE: [0x2000, "Video Output Multiplanar"],
  V4L2_CAP_VIDEO_M2M: [0x8000, "Video Memory-to-Memory"],
  V4L2_CAP_VIDEO_M2M_MPLANE: [0x4000, "Video Memory-to-Memory Multiplanar"],
  V4L2_CAP_VIDEO_OVERLAY: [0x4, "Video Overlay"],
  V4L2_CAP_VIDEO_OUTPUT_OVERLAY: [0x200, "Video Output Overlay"],
  V4L2_CAP_VBI_CAPTURE: [0x10, "VBI Capture"],
  V4L2_CAP_VBI_OUTPUT: [0x20, "VBI Output"],
  V4L2_CAP_SLICED_VBI_CAPTURE: [0x40, "Sliced VBI Capture"],
  V4L2_CAP_SLICED_VBI_OUTPUT: [0x80, "Sliced VBI Output"],
  V4L2_CAP_RDS_CAPTURE: [0x100, "RDS Capture"],
  V4L2_CAP_RDS_OUTPUT: [0x800, "RDS Output"],
  V4L2_CAP_SDR_CAPTURE: [0x100000, "SDR Capture"],
  V4L2_CAP_SDR_OUTPUT: [0x400000, "SDR Output"],
  V4L2_CAP_META_CAPTURE: [0x800000, "Metadata Capture"],
  V4L2_CAP_META_OUTPUT: [0x8000000, "Metadata Output"],
  V4L2_CAP_TUNER: [0x10000, "Tuner"],
  V4L2_CAP_TOUCH: [0x10000000, "Touch Device"],
  V4L2_CAP_HW_FREQ_SEEK: [0x400, "HW Frequency Seek"],
  V4L2_CAP_MODULATOR: [0x80000, "Modulator"],
  V4L2_CAP_AUDIO: [0x20000, "Audio"],
  V4L2_CAP_RADIO: [0x40000, "Radio"],
  V4L2_CAP_IO_MC: [0x20000000, "I/O MC"],
  V4L2_CAP_READWRITE: [0x1000000, "Read/Write"],
  V4L2_CAP_STREAMING: [0x4000000, "Streaming"],
  V4L2_CAP_EXT_PIX_FORMAT: [0x200000, "Extended Pix Format"],
  V4L2_CAP_DEVICE_CAPS: [0x80000000, "Device Capabilities"],
};

export function wordsOf(capabilities: number): string[] {
  return Object.values(capabilityWords).flatMap(([flag, word]) =>
    (capabilities & flag) === 0 ? [] : [word],
  );
}

/** `6.1.90` of the kernel's `KERNEL_VERSION(6, 1, 90)`. */
export function versionText(version: number): string {
  return [version >>> 16, (version >>> 8) & 0xff, version & 0xff].join(".");
}
