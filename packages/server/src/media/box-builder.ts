/** Builds small ISO base media boxes. Media bytes never pass through here. */

export function u8(...values: readonly number[]): Buffer {
  return Buffer.from(values);
}

export function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, i * 2);
  return bytes;
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, i * 4);
  return bytes;
}

export function u64(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeBigInt64BE(BigInt(value), i * 8);
  return bytes;
}

export function ascii(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export function box(type: string, ...content: readonly Buffer[]): Buffer {
  let size = 8;
  for (const part of content) size += part.length;
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeUInt32BE(size, 0);
  bytes.write(type, 4, "latin1");
  let at = 8;
  for (const part of content) at += part.copy(bytes, at);
  return bytes;
}

/** A box with version and flags. */
export function fullBox(type: string, version: number, flags: number, ...content: readonly Buffer[]): Buffer {
  return box(type, u32(((version << 24) | flags) >>> 0), ...content);
}
