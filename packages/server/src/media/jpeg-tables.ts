/**
 * The typical Huffman tables of ISO/IEC 10918-1, annex K.3, as one DHT segment. Motion-JPEG cameras that omit
 * their tables mean these.
 */

const counts = {
  luminanceDc: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
  luminanceAc: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
  chrominanceDc: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
  chrominanceAc: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
};

const dcValues = "000102030405060708090a0b";
const luminanceAcValues =
  "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a" +
  "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394" +
  "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8" +
  "e9eaf1f2f3f4f5f6f7f8f9fa";
const chrominanceAcValues =
  "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a" +
  "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a929394" +
  "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9" +
  "eaf2f3f4f5f6f7f8f9fa";

function table(classAndId: number, lengths: readonly number[], values: string): Buffer {
  return Buffer.concat([Buffer.from([classAndId, ...lengths]), Buffer.from(values, "hex")]);
}

function segment(): Buffer {
  const body = Buffer.concat([
    table(0x00, counts.luminanceDc, dcValues),
    table(0x10, counts.luminanceAc, luminanceAcValues),
    table(0x01, counts.chrominanceDc, dcValues),
    table(0x11, counts.chrominanceAc, chrominanceAcValues),
  ]);
  const length = body.length + 2;
  return Buffer.concat([Buffer.from([0xff, 0xc4, length >> 8, length & 0xff]), body]);
}

/** A complete DHT segment, marker included. */
export const standardHuffmanTables: Buffer = segment();
