/** Text messages as the bytes of a WebSocket: made once, a message may be written to any number of sockets. Pure. */

/** A whole, final, unmasked text frame (RFC 6455, section 5.2), as servers send them. Never changed. */
export type Frame = Buffer;

/** A message that is still text, or made for many already. */
export type Outgoing = string | Frame;

const textOpcode = 0x81;

type Allocate = (size: number) => Buffer;

/** For one client, and written at once: its memory is a piece of a larger block. */
export function textFrame(text: string): Frame {
  return frameIn(Buffer.allocUnsafe, text);
}

/** For many clients: one that does not read keeps this frame waiting, and must not keep the block around it as well. */
export function lastingTextFrame(text: string): Frame {
  return frameIn(Buffer.allocUnsafeSlow, text);
}

/** The same as `textFrame(before + middle + after)`, `middle` being bytes of UTF-8 already. */
export function textFrameAround(before: string, middle: Buffer, after: string): Frame {
  const beforeBytes = Buffer.byteLength(before);
  const length = beforeBytes + middle.length + Buffer.byteLength(after);
  const frame = withHeader(Buffer.allocUnsafe, length);
  let at = frame.length - length;
  frame.write(before, at);
  at += beforeBytes;
  middle.copy(frame, at);
  frame.write(after, at + middle.length);
  return frame;
}

function frameIn(allocate: Allocate, text: string): Frame {
  const length = Buffer.byteLength(text);
  const frame = withHeader(allocate, length);
  frame.write(text, frame.length - length);
  return frame;
}

/** Room for the text is at the end. */
function withHeader(allocate: Allocate, length: number): Frame {
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = allocate(header + length);
  frame[0] = textOpcode;
  if (header === 2) {
    frame[1] = length;
  } else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    // Lengths are far below 2^48.
    frame.writeUInt16BE(0, 2);
    frame.writeUIntBE(length, 4, 6);
  }
  return frame;
}
