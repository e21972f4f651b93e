import { OcelliError } from "@ocelli/protocol";
import { describe, expect, it } from "vitest";
import { box, fullBox, u32, u64 } from "./box-builder.ts";
import { boxesIn, childBoxes } from "./box-reader.ts";
import { random } from "./testing/random.ts";
import { readTrafs, type SampleDefaults } from "./track-fragment.ts";

const defaults: SampleDefaults = { duration: 7, size: 8, flags: 9 };
const read = (moof: Buffer) => {
  const [parsed] = childBoxes(moof, 0);
  if (parsed === undefined) throw new Error("no box");
  return readTrafs(parsed, () => defaults);
};

interface Layout {
  readonly tfhdFlags: number;
  readonly trunFlags: number;
  readonly trunVersion: number;
}

/** One sample with the fields that the flags ask for, each of another value. */
function moofOf({ tfhdFlags, trunFlags, trunVersion }: Layout, extra: readonly Buffer[] = []): Buffer {
  const bits = (flags: number, mask: number): number =>
    [...(flags & mask).toString(2)].filter((bit) => bit === "1").length;
  const values = (count: number, from: number): Buffer =>
    u32(...Array.from({ length: count }, (_, i) => from + i));
  const tfhd = fullBox("tfhd", 0, tfhdFlags, u32(1), values(bits(tfhdFlags, 0x3a), 100));
  const tfdt = fullBox("tfdt", 1, 0, u64(123_456_789_012));
  const trun = fullBox("trun", trunVersion, trunFlags, u32(1), values(bits(trunFlags, 0xf05), 0xfffffff0));
  return box("moof", fullBox("mfhd", 0, 0, u32(5)), box("traf", tfhd, tfdt, trun), ...extra);
}

describe("readTrafs", () => {
  // A box more makes it a layout for the general reader.
  const other = [box("free")];

  it("reads the one sample that ffmpeg writes as it reads any", () => {
    let layouts = 0;
    for (const tfhdFlags of [0x20000, 0x20002, 0x20008, 0x20038, 0x2002a, 0x2003a, 0x20]) {
      for (const fields of [0, 0x4, 0x100, 0x200, 0x400, 0x800, 0x305, 0xf00, 0xf05]) {
        for (const trunVersion of [0, 1]) {
          const layout = { tfhdFlags, trunFlags: fields | 0x1, trunVersion };
          expect(read(moofOf(layout))).toEqual(read(moofOf(layout, other)));
          layouts++;
        }
      }
    }
    expect(layouts).toBe(126);
  });

  it("reads fields of any value as it reads any, or refuses them as well", () => {
    const next = random(11);
    const layout = { tfhdFlags: 0x20038, trunFlags: 0xf01, trunVersion: 1 };
    const outcome = (moof: Buffer): unknown => {
      try {
        return read(moof);
      } catch (error) {
        return error instanceof OcelliError ? error.code : error;
      }
    };
    const [moof] = childBoxes(moofOf(layout), 0);
    if (moof === undefined) throw new Error("no box");
    const [mfhd, traf] = boxesIn(moof);
    if (mfhd === undefined || traf === undefined) throw new Error("no traf");
    const inTraf = boxesIn(traf).map(({ offset }) => traf.offset + offset);
    // Sizes and types are another test's: with them the box behind would become part of the one before.
    const headers = [0, mfhd.offset, traf.offset, ...inTraf];
    const fields = Array.from({ length: moof.bytes.length }, (_, at) => at).filter(
      (at) => !headers.some((header) => at >= header && at < header + 8),
    );
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const at = fields[Math.floor(next() * fields.length)] ?? 0;
      const value = next() < 0.5 ? 0 : Math.floor(next() * 256);
      const [plain, longer] = [moofOf(layout), moofOf(layout, other)];
      plain[at] = value;
      longer[at] = value;
      const result = outcome(plain);
      expect(result).toEqual(outcome(longer));
      if (result === "media_malformed") refused++;
    }
    expect(refused).toBeGreaterThan(50);
  });

  it("refuses sizes and types of any value, or finds no samples where there are none", () => {
    const next = random(12);
    const layout = { tfhdFlags: 0x20038, trunFlags: 0xf01, trunVersion: 1 };
    for (let i = 0; i < 3000; i++) {
      const bytes = moofOf(layout);
      bytes[8 + Math.floor(next() * (bytes.length - 8))] = Math.floor(next() * 256);
      try {
        for (const run of read(bytes)) expect(run.samples.length).toBeLessThan(100);
      } catch (error) {
        expect(error).toMatchObject({ code: "media_malformed" });
      }
    }
  });
});
