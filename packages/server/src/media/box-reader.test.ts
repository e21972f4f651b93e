import { describe, expect, it, vi } from "vitest";
import { box, u32, u64 } from "./box-builder.ts";
import { type Box, BoxReader, boxesIn, childBoxes, findBox, joinAdjacent, requireBox } from "./box-reader.ts";
import { random } from "./testing/random.ts";

const large = (type: string, content: Buffer): Buffer =>
  Buffer.concat([u32(1), Buffer.from(type), u64(content.length + 16), content]);

const stream = Buffer.concat([
  box("ftyp", Buffer.from("isomiso5")),
  box("free"),
  large("mdat", Buffer.from("a box with a size of 64 bits")),
  box("moof", Buffer.alloc(40, 1)),
  box("mdat", Buffer.alloc(5000, 2)),
  box("moof", Buffer.alloc(3, 3)),
  box("mdat"),
  box("\xa9too", Buffer.alloc(1)),
]);
const types = ["ftyp", "free", "mdat", "moof", "mdat", "moof", "mdat", "\xa9too"];

function readAll(reader: BoxReader, bytes: Buffer, chunk: (left: number) => number): Box[] {
  const boxes: Box[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = Math.max(1, chunk(bytes.length - at));
    boxes.push(...reader.push(Buffer.from(bytes.subarray(at, at + size))));
    at += size;
  }
  return boxes;
}

describe("BoxReader", () => {
  it.each([
    ["byte by byte", () => 1],
    ["in chunks of 7", () => 7],
    ["in chunks of 64", () => 64],
    ["all at once", (left: number) => left],
  ])("gives the same boxes %s", (_, chunk) => {
    for (const options of [{}, { joinNext: "moof" }]) {
      const reader = new BoxReader(options);
      const boxes = readAll(reader, stream, chunk);
      expect(boxes.map((found) => found.type)).toEqual(types);
      expect(Buffer.concat(boxes.map((found) => found.bytes))).toEqual(stream);
      for (const found of boxes)
        expect(stream.subarray(found.offset)).toSatisfy((rest: Buffer) => rest.indexOf(found.bytes) === 0);
      expect(boxes[2]).toMatchObject({ headerBytes: 16 });
      expect(reader.pendingBytes).toBe(0);
    }
  });

  it("gives the same boxes for any chunking", () => {
    const next = random(5);
    for (let i = 0; i < 300; i++) {
      const boxes = readAll(new BoxReader({ joinNext: "moof" }), stream, () => Math.ceil(next() ** 3 * 3000));
      expect(Buffer.concat(boxes.map((found) => found.bytes))).toEqual(stream);
      for (const [at, found] of boxes.entries()) {
        if (found.type !== "moof") continue;
        const mdat = boxes[at + 1];
        // Adjacent in memory: the view over both is no copy.
        expect(mdat?.bytes.buffer).toBe(found.bytes.buffer);
        expect(joinAdjacent(found.bytes, mdat?.bytes ?? Buffer.alloc(0)).buffer).toBe(found.bytes.buffer);
      }
    }
  });

  it("does not copy a box that lies in one chunk", () => {
    const boxes = new BoxReader().push(stream);
    for (const found of boxes) expect(found.bytes.buffer).toBe(stream.buffer);
  });

  it("counts what waits for the rest of its box", () => {
    const reader = new BoxReader({ joinNext: "moof" });
    const moof = box("moof", Buffer.alloc(92));
    expect(reader.push(moof)).toEqual([]);
    expect(reader.pendingBytes).toBe(100);
    reader.push(box("mdat", Buffer.alloc(100)).subarray(0, 50));
    expect(reader.pendingBytes).toBe(150);
  });

  it.each<[string, Buffer, string]>([
    [
      "size 0, which means until the end of the file",
      Buffer.from([0, 0, 0, 0, ...Buffer.from("mdat")]),
      "0 bytes",
    ],
    ["a size less than the header", Buffer.from([0, 0, 0, 7, ...Buffer.from("mdat")]), "7 bytes"],
    ["a 64-bit size less than the header", Buffer.concat([u32(1), Buffer.from("mdat"), u64(15)]), "15 bytes"],
    [
      "a 64-bit size beyond 2^53",
      Buffer.concat([u32(1), Buffer.from("mdat"), Buffer.alloc(8, 0xff)]),
      "more than",
    ],
    ["a size beyond the bound", box("mdat", Buffer.alloc(2000)), "2008 bytes"],
    ["a type that is no text", Buffer.from([0, 0, 0, 8, 1, 2, 3, 4]), "0000000801020304"],
    ["plain text", Buffer.from("HTTP/1.1 200 OK"), "at byte 8"],
  ])("refuses %s, and stays refused", (_, bytes, message) => {
    for (const split of [false, true]) {
      const reader = new BoxReader({ maxBoxBytes: 1000 });
      const before = box("free");
      const push = () => readAll(reader, Buffer.concat([before, bytes]), (left) => (split ? 1 : left));
      expect(push).toThrow(
        expect.objectContaining({ code: "media_malformed", message: expect.stringContaining(message) }),
      );
      expect(() => reader.push(before)).toThrow(expect.objectContaining({ code: "media_malformed" }));
    }
  });

  it("copies each byte at most once, whatever the chunks", () => {
    const copy = vi.spyOn(Buffer.prototype, "copy");
    try {
      const content = box("mdat", Buffer.alloc(300_000));
      for (const size of [1, 1000, 65_536]) {
        copy.mockClear();
        readAll(new BoxReader(), content, () => size);
        // `copy` returns how many bytes it copied.
        const copied = copy.mock.results.reduce((sum, result) => sum + Number(result.value), 0);
        expect(copied).toBeLessThanOrEqual(content.length);
      }
    } finally {
      copy.mockRestore();
    }
  });

  it("throws only its own error at 10,000 random byte strings", () => {
    const next = random(6);
    for (let i = 0; i < 10_000; i++) {
      const bytes = Buffer.from(
        Array.from({ length: Math.floor(next() * 80) }, () => Math.floor(next() * 256)),
      );
      // Half of them begin like a box.
      if (next() < 0.5 && bytes.length >= 8) {
        bytes.writeUInt32BE(Math.floor(next() * 100), 0);
        bytes.write("moof", 4, "latin1");
      }
      try {
        readAll(new BoxReader({ maxBoxBytes: 4096 }), bytes, () => Math.ceil(next() * 40));
      } catch (error) {
        expect(error).toMatchObject({ code: "media_malformed" });
      }
    }
  });
});

describe("walking inside a box", () => {
  const moov: Box = {
    type: "moov",
    offset: 0,
    headerBytes: 8,
    bytes: box("moov", box("mvhd"), box("trak", box("mdia", box("hdlr", Buffer.from("x"))))),
  };

  it("finds boxes along a path", () => {
    expect(boxesIn(moov).map((found) => found.type)).toEqual(["mvhd", "trak"]);
    expect(findBox(moov, "trak", "mdia", "hdlr")?.bytes).toHaveLength(9);
    expect(findBox(moov, "trak", "minf", "hdlr")).toBeUndefined();
    expect(() => requireBox(moov, "trak", "minf")).toThrow("no trak/minf inside");
  });

  it("refuses children that do not fill their parent", () => {
    for (const cut of [1, 5, 9]) {
      expect(() => childBoxes(moov.bytes.subarray(0, moov.bytes.length - cut), 8)).toThrow(
        expect.objectContaining({ code: "media_malformed" }),
      );
    }
  });
});
