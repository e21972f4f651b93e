import { describe, expect, it } from "vitest";
import { box } from "./box-builder.ts";
import { boxBody, childBoxes } from "./box-reader.ts";
import { SampleTable, type TableSample } from "./sample-table.ts";

/** Content of the tables as numbers of 32 bits, version and flags left out. */
function tables(table: SampleTable): Record<string, { version: number; values: number[] }> {
  const children = childBoxes(table.build(box("stsd")), 8);
  return Object.fromEntries(
    children
      .filter((child) => child.type !== "stsd")
      .map((child) => {
        const body = boxBody(child, 4);
        const values = Array.from({ length: body.length / 4 - 1 }, (_, i) => body.readUInt32BE(4 + i * 4));
        return [child.type, { version: body[0] ?? 0, values }];
      }),
  );
}

const sample = (dts: number, pts = dts, keyframe = true, size = 100): TableSample => ({
  dts,
  pts,
  duration: 10,
  size,
  keyframe,
});

describe("SampleTable", () => {
  it("lets a sample last until the next one and the last one as long as it says", () => {
    const table = new SampleTable();
    table.addChunk(1000, [sample(5), sample(15)]);
    table.addChunk(2000, [sample(40, 40, true, 300)]);
    expect(tables(table)).toEqual({
      stts: { version: 0, values: [3, 1, 10, 1, 25, 1, 10] },
      stsc: { version: 0, values: [2, 1, 2, 1, 2, 1, 1] },
      stsz: { version: 0, values: [0, 3, 100, 100, 300] },
      stco: { version: 0, values: [2, 1000, 2000] },
    });
    expect(table).toMatchObject({ count: 3, firstDts: 5, lastDts: 40, mediaDuration: 45, endPts: 50 });
  });

  it("lists keyframes only where some samples are none", () => {
    const table = new SampleTable();
    table.addChunk(0, [sample(0), sample(1), sample(2, 2, false), sample(3)]);
    expect(tables(table).stss).toEqual({ version: 0, values: [3, 1, 2, 4] });
  });

  it("keeps composition offsets in runs, signed only where needed", () => {
    const table = new SampleTable();
    table.addChunk(0, [sample(0, 20), sample(10, 30), sample(20, 20, false)]);
    expect(tables(table).ctts).toEqual({ version: 0, values: [2, 2, 20, 1, 0] });
    table.addChunk(0, [sample(30, 28, false)]);
    expect(tables(table).ctts).toEqual({ version: 1, values: [3, 2, 20, 1, 0, 1, 0xfffffffe] });
  });

  it("uses 64-bit offsets beyond 4 GiB", () => {
    const table = new SampleTable();
    table.addChunk(0xffffffff, [sample(0)]);
    expect(tables(table).stco?.values).toEqual([1, 0xffffffff]);
    table.addChunk(0x1_0000_0010, [sample(10)]);
    expect(tables(table).co64?.values).toEqual([2, 0, 0xffffffff, 1, 0x10]);
  });
});
