/** Goal: the checksum is CRC-32C. Method: RFC 3720 §B.4's examples, and a bit-wise twin over all lengths and offsets. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { crc32c } from "../../../src/node/crc32c.ts";

/** One bit at a time, as RFC 3720 §12.1 defines it. */
function twin(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

test("crc32c() gives the sums of RFC 3720 §B.4", () => {
  const cases: [Uint8Array, number][] = [
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
    [Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x113fdb5c],
    [new TextEncoder().encode("123456789"), 0xe3069283],
    [new Uint8Array(0), 0],
  ];
  for (const [bytes, sum] of cases) assert.equal(crc32c(bytes), sum);
});

test("crc32c() equals its twin, in parts too, and reads nothing outside", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300, size: "max" }),
      fc.nat(7),
      fc.nat(300),
      fc.nat(255),
      (bytes, before, cut, poison) => {
        const around = new Uint8Array(bytes.length + before + 9).fill(poison);
        around.set(bytes, before);
        const whole = crc32c(around, before, bytes.length);
        assert.equal(whole, twin(bytes));
        const first = Math.min(cut, bytes.length);
        const part = crc32c(around, before, first);
        assert.equal(crc32c(around, before + first, bytes.length - first, part), whole);
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});

test("crc32c() tells every single flipped bit", () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, index) => index * 37);
  const sum = crc32c(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] ^= 1 << (bit & 7);
    assert.notEqual(crc32c(flipped), sum);
  }
});
