/**
 * How a recording is opened that others may have made: devices send what they like under the name of an MP4. A playlist
 * would have ffmpeg read other files of this machine, and show them as that recording.
 */

/** What recordings are, and what devices send as such; none of these names another file. */
const containers = "mov,matroska,mpegts";

/** What stands before `-i` and a file of the library. */
export const mediaFileArgs: readonly string[] = [
  ...["-protocol_whitelist", "file", "-format_whitelist", containers],
];
