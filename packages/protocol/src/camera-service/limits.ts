/** Numbers of the transport that both ends keep. */

export const maxMessageBytes = 1024 * 1024;
export const maxBatchMembers = 100;
/** Where the service listens. */
export const webSocketPath = "/ws";

export const closeCodes = {
  goingAway: 1001,
  policy: 1008,
  tooBig: 1009,
  /** Too many connections, or a client that does not read. */
  tryAgainLater: 1013,
} as const;
