/** Numbers both sides of MultiCam agree on, under the names of the published packages (spec section 12). */

export const TCP_PORT = 8080;
export const SERVICE_TYPE = "_multicam._tcp.local.";
/** Asked only where somebody configured it: Ocelli asks no public server by itself. */
export const NTP_SERVER = "pool.ntp.org";
export const NTP_PORT = 123;
/** Seconds: an answer that took longer says too little about the time. */
export const MAX_ACCEPTABLE_RTT = 0.5;
/** Seconds from the command to the common start. */
export const SYNC_DELAY = 3.0;
/** Seconds. */
export const COMMAND_TIMEOUT = 60.0;
/** Seconds without a byte, not in total. */
export const DOWNLOAD_STALL_TIMEOUT = 600.0;
/** Bytes. */
export const DOWNLOAD_CHUNK_SIZE = 8192;
export const FILE_ID_FORMAT = "{deviceId}_{timestamp}";

/** Instance names of mDNS begin with it. */
export const INSTANCE_PREFIX = "multiCam-";
/** A later start than this is a scheduled one, seconds (spec section 6.1). */
export const SCHEDULE_THRESHOLD = 0.01;
/** Larger commands and file headers are refused, bytes. */
export const MAX_MESSAGE_BYTES = 2 ** 20;
/** What every known device reads of a command, bytes: a longer one is cut by some (spec section 2.1). */
export const MAX_COMMAND_BYTES = 4095;
/** What every known controller reads of a reply in one go, bytes (spec section 2.2). */
export const MAX_REPLY_BYTES = 4095;

/** The id a device gives the recording it starts at `unixMs`. */
export function generateFileId(deviceId: string, unixMs: number): string {
  return `${deviceId}_${Math.round(unixMs)}`;
}

/** A file's id: its name without the last extension (spec section 8). */
export function fileIdOf(fileName: string): string {
  return fileName.replace(/\.(mp4|mov|zip|mkv)$/i, "");
}
