import { describe, expect, it } from "vitest";
import { MultiCamFormatError } from "./errors.ts";
import { MessageDecoder, TransferDecoder, type TransferItem, withLength } from "./framing.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function pieces(data: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(data.length / size) }, (_, i) =>
    data.slice(i * size, (i + 1) * size),
  );
}

const nasty = '{"a":"}{\\"\\\\","b":{"c":[{},"\u00fc\ud83d\ude00"]}}';

describe("MessageDecoder", () => {
  it.each([1, 2, 3, 7, 1000])("finds raw and prefixed messages in pieces of %i bytes", (size) => {
    const wire = Buffer.concat([
      bytes(`\r\n ${nasty}\n`),
      withLength('{"command":"HEARTBEAT"}'),
      bytes("\0\0"),
      bytes(nasty),
      bytes(nasty),
      withLength(' {"command":"LIST_FILES"}'),
    ]);
    const decoder = new MessageDecoder();
    const found = pieces(wire, size).flatMap((piece) => decoder.push(piece));
    expect(found).toEqual([
      { mode: "raw", text: nasty },
      { mode: "prefixed", text: '{"command":"HEARTBEAT"}' },
      { mode: "raw", text: nasty },
      { mode: "raw", text: nasty },
      { mode: "prefixed", text: ' {"command":"LIST_FILES"}' },
    ]);
    expect(decoder.pending).toBe(0);
  });

  it("tells a zero byte that is padding from one that begins a length", () => {
    // As a length these four bytes would be 123.
    const decoder = new MessageDecoder();
    expect(decoder.push(bytes('\0\0\0{"a":1}'))).toEqual([{ mode: "raw", text: '{"a":1}' }]);
  });

  it("gives what was complete before it refuses garbage, and then takes nothing more", () => {
    const decoder = new MessageDecoder();
    const seen: string[] = [];
    const read = (): void => {
      for (const { text } of decoder.read(bytes('{"a":1}GET / HTTP/1.1'))) seen.push(text);
    };
    expect(read).toThrow(/neither a JSON object nor a length: 47 45 54/);
    expect(seen).toEqual(['{"a":1}']);
    expect(decoder.push(bytes('{"a":2}'))).toEqual([]);
  });

  it("refuses a message that is too large, before it is complete", () => {
    const raw = new MessageDecoder({ maxBytes: 100 });
    expect(() => raw.push(bytes(`{"a":"${"x".repeat(200)}`))).toThrow(MultiCamFormatError);
    const prefixed = new MessageDecoder({ maxBytes: 100 });
    expect(() => prefixed.push(Uint8Array.of(0, 0, 1, 0, 0x7b))).toThrow(/more than 100 bytes/);
    expect(() => new MessageDecoder().push(Uint8Array.of(1, 0, 0, 0, 0x7b))).toThrow(MultiCamFormatError);
  });

  it("does not copy what waits again with each byte", () => {
    const decoder = new MessageDecoder();
    const text = `{"a":"${"x".repeat(300_000)}"}`;
    const found = pieces(bytes(text), 1).flatMap((piece) => decoder.push(piece));
    expect(found).toEqual([{ mode: "raw", text }]);
  });

  it("keeps what a peer said in prose before it closed", () => {
    const decoder = new MessageDecoder();
    expect(decoder.push(Uint8Array.of(0x20))).toEqual([]);
    expect(decoder.push(bytes('{"half'))).toEqual([]);
    expect(decoder.rest()).toBe('{"half');
  });

  it("raises nothing but its own error, whatever comes", () => {
    let state = 7;
    const random = (): number => {
      state = (state * 1_664_525 + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    for (let round = 0; round < 3000; round++) {
      const decoder = new MessageDecoder({ maxBytes: 4096 });
      const noise = Uint8Array.from({ length: 1 + Math.floor(random() * 60) }, () =>
        random() < 0.4 ? (bytes('{}":\\\0 \n')[Math.floor(random() * 9)] ?? 0) : Math.floor(random() * 256),
      );
      try {
        for (const piece of pieces(noise, 1 + Math.floor(random() * 5))) decoder.push(piece);
      } catch (error) {
        expect(error).toBeInstanceOf(MultiCamFormatError);
      }
      expect(decoder.pending).toBeLessThanOrEqual(4100);
    }
  });
});

function collect(decoder: TransferDecoder, wire: Uint8Array, size: number): TransferItem[] {
  return pieces(wire, size).flatMap((piece) => decoder.push(piece));
}

describe("TransferDecoder", () => {
  it.each([1, 3, 5, 4096])("takes header and file apart in pieces of %i bytes", (size) => {
    const file = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
    const header = '{"fileName":"a.mp4","fileSize":5000}';
    const items = collect(new TransferDecoder(), Buffer.concat([withLength(header), file]), size);
    expect(items[0]).toEqual({ kind: "header", text: header });
    const data = items.slice(1).map((item) => (item.kind === "data" ? item.bytes : new Uint8Array(0)));
    expect(Buffer.concat(data).equals(file)).toBe(true);
  });

  it("knows a reply that is no file", () => {
    const reply = '{"status":"file_not_found","message":"no {such} file"}';
    expect(collect(new TransferDecoder(), bytes(`${reply}\n`), 4)).toEqual([{ kind: "reply", text: reply }]);
  });

  it("refuses an empty and an enormous header", () => {
    expect(() => new TransferDecoder().push(Uint8Array.of(0, 0, 0, 0))).toThrow(/empty/);
    expect(() => new TransferDecoder().push(bytes("not found"))).toThrow(/more than/);
  });
});
