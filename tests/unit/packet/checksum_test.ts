/**
 * Goal: every way to sum gives what the definition says, wherever the bytes lie, and touches nothing else. Method:
 * twin of 16-bit words over random ranges, poisoned surroundings, and the extremes of carries.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type BufferSums,
  createSums,
  fold,
  negate,
  pseudoHeaderSum,
  ScriptSums,
  SUM_BYTES_MAX,
  sumBytes,
  updateChecksum,
} from "../../../src/packet/checksum.ts";
import { wasmMemory } from "../../../src/packet/checksum_wasm.ts";
import { pseudoHeaderTwin, sumTwin } from "../../reference/checksum_twin.ts";
import { transportPacket } from "./transport_packets.ts";

const SEED = 5;
/** A buffer does not start where its memory does: addresses must not be mixed up. */
const START = 40;
const BUFFER_BYTES = SUM_BYTES_MAX * 2 + 1024;

function buffer(memory: ArrayBufferLike) {
  return {
    bytes: new Uint8Array(memory, START, BUFFER_BYTES),
    view: new DataView(memory, START, BUFFER_BYTES),
  };
}

const inWasm = buffer(wasmMemory(START + BUFFER_BYTES));
const inScript = buffer(new ArrayBuffer(START + BUFFER_BYTES));
const SUMS: readonly { sums: BufferSums; bytes: Uint8Array }[] = [
  { sums: createSums(inWasm), bytes: inWasm.bytes },
  { sums: createSums(inScript), bytes: inScript.bytes },
];

test("createSums() takes machine code for memory of wasmMemory(), TypeScript for all other", () => {
  assert.deepEqual(SUMS.map(({ sums }) => sums.name), ["webassembly", "script"]);
  assert.equal(wasmMemory(1).byteLength, 65_536);
  assert.equal(wasmMemory(65_537).byteLength, 131_072);
});

test("BufferSums.sum() and copy() equal the definition at any offset and length", () => {
  const content = fc.tuple(
    fc.uint8Array({ maxLength: 300, size: "max" }),
    fc.nat(70),
    fc.integer({ min: 0, max: 255 }),
  );
  for (const { sums, bytes } of SUMS) {
    fc.assert(
      fc.property(content, ([range, offset, poison]) => {
        bytes.fill(poison, 0, 1024);
        bytes.set(range, offset);
        const expected = sumTwin(range);
        assert.equal(sums.sum(offset, range.length), expected);
        assert.equal(sums.copy(offset, range.length, 501), expected);
        const after = bytes.slice(0, 1024);
        assert.deepEqual(after.subarray(501, 501 + range.length), range);
        after.fill(poison, 501, 501 + range.length);
        after.fill(poison, offset, offset + range.length);
        assert.ok(after.every((byte) => byte === poison), "bytes around are as they were");
      }),
      { seed: SEED, numRuns: 1_000 },
    );
  }
});

test("BufferSums.sum() holds the carries of the longest range", () => {
  for (const { sums, bytes } of SUMS) {
    bytes.fill(255);
    for (const length of [SUM_BYTES_MAX - 1, SUM_BYTES_MAX]) {
      assert.equal(sums.sum(1, length), length % 2 === 0 ? 0xffff : 0xff00, sums.name);
      assert.equal(sums.copy(0, length, SUM_BYTES_MAX), sums.sum(0, length), sums.name);
    }
    bytes.fill(0);
    assert.equal(sums.sum(0, SUM_BYTES_MAX), 0, "0 stands for bytes that are all 0");
    bytes[SUM_BYTES_MAX - 1] = 1;
    assert.equal(sums.sum(0, SUM_BYTES_MAX), 1);
    assert.equal(sums.sum(1, SUM_BYTES_MAX), 0x100);
  }
});

test("BufferSums.sum() ends around the carry of a carry", () => {
  const carry = [0xff, 0xff, 1, 0];
  const ranges = [
    [0xff, 0xff, ...carry],
    [0xff, 0xff, ...new Array<number>(14).fill(0), ...carry],
    [0xff, 0xff, ...new Array<number>(62).fill(0), ...carry],
  ];
  for (const { sums, bytes } of SUMS) {
    for (const range of ranges) {
      bytes.set(range);
      assert.equal(sumTwin(range), 0x100);
      assert.equal(sums.sum(0, range.length), 0x100, sums.name);
    }
  }
});

test("ScriptSums throws where DataView does: outside of the buffer", () => {
  const sums = new ScriptSums(inScript);
  assert.throws(() => sums.sum(BUFFER_BYTES - 10, 11), RangeError);
  assert.equal(sums.sum(BUFFER_BYTES - 10, 10), 0);
});

test("fold() ends around the carry, both sides of each limit", () => {
  const cases = [
    [0, 0],
    [0xffff, 0xffff],
    [0x10000, 1],
    [0x1fffe, 0xffff],
    [0x1ffff, 1],
    [0xffff0000, 0xffff],
    [0xffffffff, 0xffff],
  ];
  for (const [sum, expected] of cases) assert.equal(fold(sum), expected, sum.toString(16));
});

test("updateChecksum() equals a checksum made anew", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 20, maxLength: 20, size: "max" }),
      fc.nat(9),
      fc.nat(0xffff),
      (header, word, value) => {
        const view = new DataView(header.buffer);
        header[0] = 0x45;
        const before = negate(sumTwin(header));
        const old = view.getUint16(word * 2);
        if (word === 0) value |= 0x4500;
        view.setUint16(word * 2, value);
        assert.equal(updateChecksum(before, old, value), negate(sumTwin(header)));
      },
    ),
    { seed: SEED, numRuns: 2_000 },
  );
  // The example of RFC 1624 §4: the answer is 0, not 0xffff.
  assert.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0);
});

test("pseudoHeaderSum() sums what the definition lists, for both families", () => {
  for (const version of [4, 6] as const) {
    for (const proto of [6, 17] as const) {
      for (const length of [0, 8, 1400, 0xffff]) {
        const { bytes } = transportPacket({ version, proto, src: 255 });
        const view = new DataView(bytes.buffer);
        assert.equal(
          pseudoHeaderSum(view, 0, version, proto, length),
          sumTwin(pseudoHeaderTwin(bytes, proto, length)),
        );
      }
    }
  }
});

test("sumBytes() of a packet and its pseudo header is 0xffff iff its checksum is right", () => {
  const packet = transportPacket({ payload: [1, 2, 3] });
  const view = new DataView(packet.bytes.buffer);
  const length = packet.bytes.length - packet.transport;
  const sum = () =>
    fold(pseudoHeaderSum(view, 0, 4, 6, length) + sumBytes(view, packet.transport, length));
  assert.equal(sum(), 0xffff);
  packet.bytes[packet.bytes.length - 1] ^= 1;
  assert.notEqual(sum(), 0xffff);
});
