/**
 * Goal: addresses are written as RFC 5952 says and read strictly. Method: the RFC's own examples, then properties:
 * parse(text(x)) = x, and what is accepted equals node:net's and ipaddr.js's judgement.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { isIP } from "node:net";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import {
  addressPortText,
  addressText,
  type Family,
  maskPrefix,
  parseAddress,
  parseAddressPort,
  parsePrefix,
  prefixContains,
  prefixText,
} from "../../../src/packet/mod.ts";

const SEED = 20260103;
const u32 = fc.nat({ max: 0xffffffff });
/** IPv6 addresses with many zero groups, mapped ones among them. */
const words6 = fc.oneof(
  fc.array(fc.oneof(fc.constant(0), fc.constantFrom(1, 0x10000, 0x10001, 0xffff), u32), {
    minLength: 4,
    maxLength: 4,
  }),
  u32.map((last) => [0, 0, 0xffff, last]),
);

function text6(groups: string): string {
  const address = parseAddress(groups)!;
  return addressText(address.addressWords, 0, address.family);
}

test("addressText() writes IPv6 as RFC 5952 §4 says", () => {
  const cases: Record<string, string> = {
    "2001:0db8:0:0:0:0:2:1": "2001:db8::2:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "2001:DB8::ABCD": "2001:db8::abcd",
    "0:0:0:0:0:0:0:0": "::",
    "0:0:0:0:0:0:0:1": "::1",
    "1:0:0:0:0:0:0:0": "1::",
    "0:0:1:0:0:0:0:0": "0:0:1::",
    "::ffff:1.2.3.4": "::ffff:1.2.3.4",
    "::FFFF:0:0": "::ffff:0.0.0.0",
    "::1.2.3.4": "::102:304",
    "64:ff9b::1.2.3.4": "64:ff9b::102:304",
    "::fffe:1:2": "::fffe:1:2",
  };
  for (const [input, wanted] of Object.entries(cases)) assert.equal(text6(input), wanted);
});

test("addressPortText() brackets IPv6 and always prints the port", () => {
  const v4 = parseAddress("1.2.3.4")!.addressWords;
  assert.equal(addressPortText(v4, 0, 4, 0), "1.2.3.4:0");
  assert.equal(addressPortText(v4, 0, 6, 80), "[::ffff:1.2.3.4]:80");
  const inside = Uint32Array.of(9, 9, ...parseAddress("fd7a:115c:a1e0::53")!.addressWords);
  assert.equal(addressPortText(inside, 2, 6, 65535), "[fd7a:115c:a1e0::53]:65535");
});

test("addressText() is read back, and by ipaddr.js as the same address", () => {
  fc.assert(
    fc.property(words6, (list) => {
      const words = Uint32Array.from(list);
      const text = addressText(words, 0, 6);
      assert.deepEqual(parseAddress(text), { family: 6, addressWords: words });
      assert.equal(isIP(text), 6);
      const bytes = new DataView(words.buffer);
      list.forEach((word, index) => bytes.setUint32(index * 4, word));
      assert.deepEqual(ipaddr.IPv6.parse(text).toByteArray(), [...new Uint8Array(bytes.buffer)]);
    }),
    { seed: SEED, numRuns: 5_000 },
  );
  fc.assert(
    fc.property(u32, (word) => {
      const words = Uint32Array.of(0, 0, 0xffff, word);
      assert.deepEqual(parseAddress(addressText(words, 0, 4)), { family: 4, addressWords: words });
    }),
    { seed: SEED },
  );
});

test("parseAddress() refuses what two readers could read differently", () => {
  const wrong = [
    ...["", " ", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "0x1.2.3.4"],
    ...["1.2.3.-4", "1.2.3.", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9"],
    ...["1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "12345::"],
    ...["g::", "::1%eth0", "[::1]", "::1.2.3", "1.2.3.4::", "::1.2.3.4:5", "::01.2.3.4"],
    ...["1:2:3:4:5:6:7:1.2.3.4", "fe80::1%", "::-1", "٣.1.1.1", "1e1.1.1.1"],
  ];
  for (const text of wrong) assert.equal(parseAddress(text), null, JSON.stringify(text));
  assert.notEqual(parseAddress("1:2:3:4:5:6:7::"), null);
  assert.notEqual(parseAddress("::2:3:4:5:6:7:8"), null);
  assert.notEqual(parseAddress("1:2:3:4:5:6:1.2.3.4"), null);
});

test("parseAddress() accepts exactly what node:net accepts, zones aside", () => {
  let accepted = 0;
  const piece = fc.constantFrom(
    ...["0", "1", "00", "ff", "ffff", "10000", "1.2.3.4", "255", "256", "", ".", ":", "::", ":"],
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece, { maxLength: 16, size: "max" }).map((pieces) => pieces.join("")),
        fc.array(fc.constantFrom("0", "1", "abcd", "1.2.3.4", ""), { maxLength: 10 })
          .map((groups) => groups.join(":")),
        fc.ipV6(),
        fc.ipV4Extended(),
      ),
      (text) => {
        const family = isIP(text);
        if (family !== 0) accepted++;
        assert.equal(parseAddress(text)?.family ?? 0, family, text);
      },
    ),
    { seed: SEED, numRuns: 20_000 },
  );
  assert.ok(accepted > 3_000, `${accepted}`);
});

test("parsePrefix() reads an address with or without length, and nothing else", () => {
  assert.deepEqual(
    parsePrefix("10.1.2.3/8"),
    { family: 4, addressWords: Uint32Array.of(0, 0, 0xffff, 0x0a010203), prefixBits: 8 },
  );
  for (const [text, bits] of [["1.2.3.4", 32], ["::", 128], ["::/0", 0], ["1.2.3.4/32", 32]]) {
    assert.equal(parsePrefix(String(text))?.prefixBits, bits);
  }
  for (
    const text of ["1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/08", "/8", "1.2.3.4/8/8", "::/-1"]
  ) assert.equal(parsePrefix(text), null, text);
  assert.equal(prefixText(parsePrefix("fd00::1/48")!), "fd00::1/48");
});

test("parseAddressPort() reads endpoints, IPv6 in brackets alone, zones as text", () => {
  assert.deepEqual(parseAddressPort("1.2.3.4:51820"), {
    family: 4,
    addressWords: Uint32Array.of(0, 0, 0xffff, 0x01020304),
    port: 51_820,
    zone: "",
  });
  const local = parseAddressPort("[fe80::1%wlan0.1]:1")!;
  assert.deepEqual([local.family, local.port, local.zone], [6, 1, "wlan0.1"]);
  for (
    const text of [
      ...["1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:080", "::1:80", "[1.2.3.4]:80"],
      ...["[::1]", "[::1]80", "::1]:80", "[::1:80", "host:80", "[::1%]:80", "[::1%a b]:80", ":80"],
    ]
  ) assert.equal(parseAddressPort(text), null, text);
  assert.notEqual(parseAddressPort("1.2.3.4:65535"), null);
});

test("maskPrefix() and prefixContains() equal a comparison bit by bit", () => {
  const family: fc.Arbitrary<Family> = fc.constantFrom(4, 6);
  let inside = 0;
  fc.assert(
    fc.property(
      family,
      words6,
      fc.nat({ max: 128 }),
      fc.nat({ max: 127 }),
      (f, list, bits, flip) => {
        const words = Uint32Array.from(f === 4 ? [0, 0, 0xffff, list[3]] : list);
        const length = f === 4 ? bits % 33 : bits;
        const first = f === 4 ? 96 : 0;
        const prefix = { family: f, addressWords: words, prefixBits: length };
        const bit = first + flip % (128 - first);
        const other = words.slice();
        other[bit >>> 5] ^= 0x80000000 >>> (bit & 31);
        const contained = bit - first >= length;
        if (contained) inside++;
        assert.equal(prefixContains(prefix, Uint32Array.of(7, ...other), 1, f), contained);
        assert.equal(prefixContains(prefix, words, 0, f), true);
        assert.equal(prefixContains(prefix, words, 0, f === 4 ? 6 : 4), false);
        const masked = maskPrefix(prefix);
        const digits = (w: Uint32Array) =>
          Array.from(w, (word) => word.toString(2).padStart(32, "0")).join("");
        const wanted = digits(words).slice(0, first + length).padEnd(128, "0");
        assert.equal(digits(masked.addressWords), wanted);
      },
    ),
    { seed: SEED, numRuns: 5_000 },
  );
  assert.ok(inside > 500 && inside < 4_500, `${inside}`);
});
