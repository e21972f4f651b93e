/** Content of the DecoderConfigDescriptor (ISO/IEC 14496-1, 7.2.6.6) inside an `esds`, as a view. */
export function findDecoderConfig(descriptors: Buffer): Buffer | undefined {
  let at = 0;
  while (at + 2 <= descriptors.length) {
    const tag = descriptors[at++];
    let length = 0;
    for (let i = 0; i < 4; i++) {
      const byte = descriptors[at++] ?? 0;
      length = (length << 7) | (byte & 0x7f);
      if ((byte & 0x80) === 0) break;
    }
    if (tag === 4) return descriptors.subarray(at, at + length);
    if (tag === 3) {
      // ES_Descriptor: id, flags, and optional fields the flags announce; its children follow.
      const flags = descriptors[at + 2] ?? 0;
      at += 3;
      if (flags & 0x80) at += 2;
      if (flags & 0x40) at += 1 + (descriptors[at] ?? 0);
      if (flags & 0x20) at += 2;
    } else at += length;
  }
  return undefined;
}
