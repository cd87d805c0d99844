/**
 * Goal: netlink's framing is its own inverse, and no bytes make a reader throw or look outside; address text has one
 * reading. Method: properties and the limits' both sides.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  MessageWriter,
  parseAttributes,
  parseMessages,
  viewBytes,
} from "../../../src/platform/netlink/message.ts";
import { formatAddress, parseAddress, parsePrefix } from "../../../src/platform/netlink/text.ts";
import { hex, hexText } from "../../support/hex.ts";

/** Sequence 1 and port 0. */
const SEQUENCE = "01 00 00 00  00 00 00 00";

test("parseMessages() refuses a length that is too small or leads outside", () => {
  assert.throws(() => parseMessages(hex(`0f 00 00 00 | 03 00 | 02 00 | ${SEQUENCE}`)), RangeError);
  assert.throws(() => parseMessages(hex(`11 00 00 00 | 03 00 | 02 00 | ${SEQUENCE}`)), RangeError);
  assert.deepEqual(parseMessages(hex("00 00 00")), []);
});

test("parseAttributes() reads back what MessageWriter wrote, however long and nested", () => {
  const attribute = fc.tuple(
    fc.integer({ min: 1, max: 0x3fff }),
    fc.uint8Array({ maxLength: 700, size: "max" }),
  );
  const attributes = fc.uniqueArray(attribute, { maxLength: 6, selector: ([type]) => type });
  let grown = 0;
  fc.assert(
    fc.property(attributes, (list) => {
      const writer = new MessageWriter().begin(99, 7, 5).u8(1, 2).u16(3).u32(4);
      writer.nested(
        77 | 0x8000,
        () => list.forEach(([type, bytes]) => writer.attribute(type, bytes)),
      );
      const whole = writer.finish();
      if (whole.length > 1024) grown++;
      const messages = parseMessages(whole);
      assert.equal(messages.length, 1);
      const { type, flags, sequence, body } = messages[0]!;
      assert.deepEqual([type, flags, sequence], [99, 7, 5]);
      assert.equal(hexText(viewBytes(body).slice(0, 8)), "01 02 03 00 04 00 00 00");
      const read = parseAttributes(parseAttributes(body, 8).get(77)!, 0);
      assert.equal(read.size, list.length);
      for (const [kind, bytes] of list) {
        // One line each: the difference of two byte arrays takes seconds to print.
        assert.equal(hexText(viewBytes(read.get(kind)!)), hexText(bytes));
      }
    }),
    { seed: 1, numRuns: 200, endOnFailure: true },
  );
  assert.ok(grown > 50, `the buffer grew only ${grown} times`);
});

test("parseAttributes() never throws and never reads outside its message", () => {
  // Small numbers make lengths that fit now and then; any bytes hardly ever do.
  const bytesNearAttributes = fc.oneof(
    fc.uint8Array({ maxLength: 64, size: "max" }),
    fc.uint8Array({ max: 12, maxLength: 64, size: "max" }),
    fc.array(fc.constantFrom(0, 0, 4, 8), { maxLength: 64, size: "max" }).map((bytes) =>
      Uint8Array.from(bytes)
    ),
  );
  let found = 0;
  fc.assert(
    fc.property(bytesNearAttributes, fc.nat(12), (bytes, offset) => {
      const read = (poison: number) => {
        const around = new Uint8Array(bytes.length + 16).fill(poison);
        around.set(bytes, 8);
        const body = new DataView(around.buffer, 8, bytes.length);
        return [...parseAttributes(body, offset)].map((
          [type, view],
        ) => [type, hexText(viewBytes(view))]);
      };
      const attributes = read(0);
      found += attributes.length;
      assert.deepEqual(read(0xff), attributes);
    }),
    { seed: 2, numRuns: 2000 },
  );
  assert.ok(found > 20, `only ${found} attributes were found`);
});

test("MessageWriter.nested() refuses what 16 bits of length cannot say", () => {
  const write = (length: number) =>
    new MessageWriter().begin(1, 0, 1).attribute(1, new Uint8Array(length));
  write(65_531);
  assert.throws(() => write(65_532), RangeError);
});

test("parseAddress() and parsePrefix() refuse what has two readings", () => {
  for (const text of ["", "1", "10.0.0", "010.0.0.1", "10.0.0.256", "::1%eth0", "fe80::1%2", "x"]) {
    assert.throws(() => parseAddress(text), TypeError, text);
  }
  for (
    const text of [
      "10.0.0.1",
      "10.0.0.1/",
      "10.0.0.1/33",
      "::/129",
      "::/-1",
      "::/1.0",
      "/8",
      "::/ 8",
    ]
  ) {
    assert.throws(() => parsePrefix(text), TypeError, text);
  }
  assert.deepEqual(parsePrefix("10.0.0.1/32").prefixBits, 32);
  assert.deepEqual(parsePrefix("::/128").prefixBits, 128);
  assert.deepEqual(parsePrefix("::/0").prefixBits, 0);
});

test("formatAddress() writes RFC 5952 text, IPv4-mapped in dotted form", () => {
  const texts = ["10.0.0.1", "::", "::1", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "::ffff:1.2.3.4"];
  for (const text of texts) assert.equal(formatAddress(parseAddress(text)), text);
});
