/**
 * The machine-readable part of the test pattern: 60 blocks of 16 x 16 pixels at the top left, three rows of twenty,
 * white for 1 and black for 0, most significant bit first:
 *
 * | blocks  | holds                                                                    |
 * |---------|--------------------------------------------------------------------------|
 * | 0 – 7   | sync word 10110010                                                       |
 * | 8 – 27  | frame number since the process started, modulo 2^20                      |
 * | 28 – 53 | wall time at which the frame was made, epoch milliseconds modulo 2^26    |
 * | 54 – 59 | check: (frame number field + time field) modulo 61                       |
 *
 * Blocks are read at their centres against a threshold taken from the sync word, so that they survive JPEG and
 * H.264. The drawing side is a chain of ffmpeg filters; nothing here does I/O.
 */

const blockSize = 16;
const blocksPerRow = 20;
const syncBits = [1, 0, 1, 1, 0, 0, 1, 0] as const;
const frameBits = 20;
const timeBits = 26;
const checkBits = 6;
const checkModulus = 61;
const blockCount = syncBits.length + frameBits + timeBits + checkBits;
const timeModulus = 2 ** timeBits;

export const patternWidth = blocksPerRow * blockSize;
export const patternHeight = Math.ceil(blockCount / blocksPerRow) * blockSize;

export interface DecodedPattern {
  /** Frame number modulo 2^20. */
  readonly frame: number;
  /** Epoch milliseconds modulo 2^26; see `patternTimeMs`. */
  readonly timeField: number;
}

/**
 * ffmpeg filters that draw the blocks. They expect frames whose timestamps are epoch seconds (`t`) and number the
 * frames themselves (`n`).
 */
export function patternFilters(): string {
  const frame = `mod(n,${2 ** frameBits})`;
  const time = `mod(floor(t*1000),${timeModulus})`;
  const check = `mod(${frame}+${time},${checkModulus})`;
  const filters = [`drawbox=x=0:y=0:w=${patternWidth}:h=${patternHeight}:c=black:t=fill`];
  let block = 0;
  const draw = (enable: string): void => {
    const x = (block % blocksPerRow) * blockSize;
    const y = Math.floor(block / blocksPerRow) * blockSize;
    filters.push(`drawbox=x=${x}:y=${y}:w=${blockSize}:h=${blockSize}:c=white:t=fill:enable='${enable}'`);
  };
  const field = (value: string, bits: number): void => {
    for (let bit = bits - 1; bit >= 0; bit--, block++) draw(`mod(floor(${value}/${2 ** bit}),2)`);
  };
  for (const bit of syncBits) {
    if (bit === 1) draw("1");
    block++;
  }
  field(frame, frameBits);
  field(time, timeBits);
  field(check, checkBits);
  return filters.join(",");
}

/**
 * Reads the blocks from 8-bit luma of a decoded frame in its original size.
 * @param pixels rows of `width` bytes, at least `patternHeight` of them
 * @returns `undefined` when the pattern is not there or damaged
 */
export function decodePattern(pixels: Uint8Array, width: number): DecodedPattern | undefined {
  if (width < patternWidth || pixels.length < width * patternHeight) return undefined;
  const levels = Array.from({ length: blockCount }, (_, block) => levelOf(pixels, width, block));
  const ones = syncBits.map((bit, block) => (bit === 1 ? (levels[block] ?? 0) : undefined));
  const zeros = syncBits.map((bit, block) => (bit === 0 ? (levels[block] ?? 0) : undefined));
  const white = mean(ones);
  const black = mean(zeros);
  if (white - black < 64) return undefined;
  const threshold = (white + black) / 2;
  const unsure = (white - black) / 8;
  if (levels.some((level) => Math.abs(level - threshold) < unsure)) return undefined;
  const bits = levels.map((level) => (level > threshold ? 1 : 0));
  if (syncBits.some((bit, block) => bits[block] !== bit)) return undefined;
  let at: number = syncBits.length;
  const field = (length: number): number => {
    const value = bits.slice(at, at + length).reduce<number>((sum, bit) => sum * 2 + bit, 0);
    at += length;
    return value;
  };
  const frame = field(frameBits);
  const timeField = field(timeBits);
  return field(checkBits) === (frame + timeField) % checkModulus ? { frame, timeField } : undefined;
}

/** The full epoch milliseconds of a decoded time, given a moment less than nine hours away. */
export function patternTimeMs(pattern: DecodedPattern, aboutMs: number): number {
  const base = aboutMs - (((aboutMs % timeModulus) + timeModulus) % timeModulus) + pattern.timeField;
  const candidates = [base - timeModulus, base, base + timeModulus];
  return candidates.reduce((best, one) => (Math.abs(one - aboutMs) < Math.abs(best - aboutMs) ? one : best));
}

/** Mean of the middle quarter of a block. */
function levelOf(pixels: Uint8Array, width: number, block: number): number {
  const left = (block % blocksPerRow) * blockSize + blockSize / 4;
  const top = Math.floor(block / blocksPerRow) * blockSize + blockSize / 4;
  let sum = 0;
  for (let y = top; y < top + blockSize / 2; y++) {
    for (let x = left; x < left + blockSize / 2; x++) sum += pixels[y * width + x] ?? 0;
  }
  return sum / (blockSize / 2) ** 2;
}

function mean(values: readonly (number | undefined)[]): number {
  const present = values.filter((value) => value !== undefined);
  return present.reduce((sum, value) => sum + value, 0) / present.length;
}
