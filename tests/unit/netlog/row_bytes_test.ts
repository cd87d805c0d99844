/** Goal: bytes written fast are those of the slow writer. Method: digits at every length; random rows; poison around. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Connection, COUNT_MAX, LISTS, toCount } from "../../../src/netlog/mod.ts";
import {
  AddressBytes,
  closeRow,
  LIST_OPENING_BYTES,
  openRow,
  ROW_BYTES_MAX,
  writeComma,
  writeCountMembers,
  writeEndName,
  writeNumber,
} from "../../../src/netlog/row_bytes.ts";
import { LIST_OPENINGS, writeConnection } from "../../../src/netlog/schema.ts";
import { parseAddressPort } from "../../../src/packet/mod.ts";
import { anyEnd } from "./support.ts";

const SEED = 38;
const POISON = 0xa5;
const decoder = new TextDecoder();

/** Runs a writer in the middle of poison. @returns What it wrote. */
function written(write: (output: Uint8Array, at: number) => number): string {
  const output = new Uint8Array(ROW_BYTES_MAX + 20).fill(POISON);
  const end = write(output, 10);
  assert.ok(output.subarray(0, 10).every((byte) => byte === POISON), "in front");
  assert.ok(output.subarray(end).every((byte) => byte === POISON), "behind");
  return decoder.decode(output.subarray(10, end));
}

test("writeNumber() writes safe integers of every length", () => {
  const values = [0, Number.MAX_SAFE_INTEGER, 2 ** 31, 2 ** 32, 2 ** 32 - 1];
  for (let power = 1; power <= 1e15; power *= 10) {
    values.push(power - 1, power, power + 1, 9 * power);
  }
  for (const value of values.filter(Number.isSafeInteger)) {
    assert.equal(written((output, at) => writeNumber(output, at, value)), String(value));
  }
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(53), (value, shift) => {
      const number = Math.floor(value / 2 ** shift);
      assert.equal(written((output, at) => writeNumber(output, at, number)), String(number));
    }),
    { seed: SEED, numRuns: 3_000 },
  );
});

/** Writes one connection as message.ts does. */
function writeFast(output: Uint8Array, start: number, connection: Connection): number {
  const bytes = new AddressBytes();
  bytes.begin(3);
  let at = openRow(output, start, connection.proto);
  for (const [number, end] of [connection.src, connection.dst].entries()) {
    if (end === "") continue;
    const { addressWords, family, port } = parseAddressPort(end)!;
    at = writeEndName(output, at, number === 0);
    at = writeComma(output, bytes.write(output, at, number + 1, addressWords, 0, family, port));
  }
  const { txPackets, txBytes, rxPackets, rxBytes, folded } = connection;
  at = writeCountMembers(output, at, txPackets, txBytes, rxPackets, rxBytes);
  return closeRow(output, start, at, folded);
}

const anyCount = fc.oneof(
  fc.constantFrom(0n, COUNT_MAX, 2n ** 53n),
  fc.bigInt({ min: 0n, max: COUNT_MAX }),
  fc.nat().map(BigInt),
).map(toCount);

test("rows written fast equal writeConnection()", () => {
  fc.assert(
    fc.property(
      fc.record({
        proto: fc.nat(255),
        src: anyEnd,
        dst: anyEnd,
        txPackets: anyCount,
        txBytes: anyCount,
        rxPackets: anyCount,
        rxBytes: anyCount,
        folded: fc.boolean(),
      }),
      (connection) => {
        assert.equal(
          written((output, at) => writeFast(output, at, connection)),
          writeConnection(connection),
        );
      },
    ),
    { seed: SEED, numRuns: 2_000 },
  );
});

test("ROW_BYTES_MAX is the longest row, to the byte", () => {
  const end = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
  const counts = {
    txPackets: COUNT_MAX,
    txBytes: COUNT_MAX,
    rxPackets: COUNT_MAX,
    rxBytes: COUNT_MAX,
  };
  const longest = { proto: 255, src: end, dst: end, ...counts, folded: true };
  const text = written((output, at) => writeFast(output, at, longest));
  assert.equal(text.length, ROW_BYTES_MAX);
  assert.equal(text, writeConnection(longest));
});

test("a row of nothing is an empty object", () => {
  const counts = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
  const nothing = { proto: 0, src: "", dst: "", ...counts, folded: false };
  for (const name of ["folded", "txPackets", "txBytes", "rxPackets", "rxBytes"]) {
    const row = name === "folded" ? nothing : { ...nothing, [name]: 0n };
    assert.equal(written((output, at) => writeFast(output, at, row)), "{}");
  }
});

test("AddressBytes writes thousands of addresses from memory, and forgets them with begin()", () => {
  const bytes = new AddressBytes();
  const count = 6_000;
  for (const round of [0, 1]) {
    bytes.begin(count);
    for (let number = 1; number < count; number++) {
      const isV6 = number % 2 === 0;
      const words = isV6
        ? Uint32Array.of(0x20010db8, round + 1, number, 0xffffffff)
        : Uint32Array.of(0, 0, 0xffff, 0x0a000000 + round * 0x10000 + number);
      const expected = isV6
        ? `"[2001:db8:0:${round + 1}:0:${number.toString(16)}:ffff:ffff]:${number}"`
        : `"10.${round}.${number >> 8}.${number & 255}:${number}"`;
      for (let times = 0; times < 2; times++) {
        const text = written((output, at) =>
          bytes.write(output, at, number, words, 0, isV6 ? 6 : 4, number)
        );
        assert.equal(text, expected);
        // It was remembered: the words are not read again.
        words.fill(0);
      }
    }
    // The first ones are still there after memory has grown.
    const first = written((output, at) => bytes.write(output, at, 1, new Uint32Array(4), 0, 4, 1));
    assert.equal(first, `"10.${round}.0.1:1"`);
  }
});

test("LIST_OPENING_BYTES are LIST_OPENINGS in the order of LISTS", () => {
  assert.deepEqual(
    LIST_OPENING_BYTES.map((bytes) => decoder.decode(bytes)),
    LISTS.map((list) => LIST_OPENINGS[list]),
  );
});
