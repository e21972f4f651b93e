/** Bytes or JSON that are not MultiCam. What is wrong is in the message; the connection is of no further use. */
export class MultiCamFormatError extends Error {
  readonly code = "multicam_malformed";

  constructor(message: string) {
    super(message);
    this.name = "MultiCamFormatError";
  }
}
