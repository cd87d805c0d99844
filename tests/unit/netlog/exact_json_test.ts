/** Goal: integers of any size are read exactly, all else as JSON.parse does. Method: both sides of 2^53; random values. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseExactJson } from "../../../src/netlog/mod.ts";

const SEED = 36;

test("parseExactJson() makes a bigint of an integer beyond 2^53 - 1, and of nothing else", () => {
  const cases: Record<string, unknown> = {
    "9007199254740991": 9007199254740991,
    "9007199254740992": 9007199254740992n,
    "9007199254740993": 9007199254740993n,
    "-9007199254740991": -9007199254740991,
    "-9007199254740993": -9007199254740993n,
    "18446744073709551615": 18446744073709551615n,
    "340282366920938463463374607431768211456": 340282366920938463463374607431768211456n,
    "1234567890123456.5": 1234567890123456.5,
    "12345678901234567.0": 12345678901234567.0,
    "1e20": 1e20,
    "9007199254740993e0": 9007199254740992,
    "0.1234567890123456789": 0.12345678901234568,
    '"9007199254740993"': "9007199254740993",
    "[9007199254740993,1,true,null]": [9007199254740993n, 1, true, null],
    '{"a":{"b":[18446744073709551615]}}': { a: { b: [18446744073709551615n] } },
  };
  for (const [text, expected] of Object.entries(cases)) {
    assert.deepEqual(parseExactJson(text), expected, text);
    assert.deepEqual(parseExactJson(` \n\t\r${text} `), expected);
  }
});

test("parseExactJson() keeps a member named __proto__ a member", () => {
  for (const number of ["1", "9007199254740993"]) {
    const value = parseExactJson(`{"__proto__":{"txPkts":${number}}}`) as Record<string, unknown>;
    assert.ok(Object.hasOwn(value, "__proto__"));
    assert.equal(value.txPkts, undefined);
  }
});

test("parseExactJson() throws a SyntaxError at whatever is not JSON, with many digits or without", () => {
  const texts = [
    "",
    " ",
    "{",
    "[1,]",
    '{"a":1,}',
    "{a:1}",
    "01",
    "+1",
    "1.",
    ".5",
    "nul",
    '"',
    '"\n"',
    "1 2",
    "NaN",
  ];
  for (const text of texts) {
    assert.throws(() => parseExactJson(text), SyntaxError, text);
    assert.throws(() => parseExactJson(`[9007199254740993,${text || "]"}`), SyntaxError, text);
  }
  assert.throws(() => parseExactJson("009007199254740993"), SyntaxError);
});

test("parseExactJson() throws nothing but a SyntaxError at what nests too deep", () => {
  const depth = 300_000;
  for (const inner of ["1", "9007199254740993"]) {
    let isRead = false;
    try {
      parseExactJson("[".repeat(depth) + inner + "]".repeat(depth));
      isRead = true;
    } catch (error) {
      assert.ok(error instanceof SyntaxError);
    }
    // The function that revives calls itself for each level.
    if (inner !== "1") assert.ok(!isRead, "no engine has so much stack");
  }
});

test("parseExactJson() gives what JSON.parse gives, whatever the value", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      // Beside a number with many digits the slower way is taken.
      const [found, big] = parseExactJson(`[${text},9007199254740993]`) as unknown[];
      assert.equal(big, 9007199254740993n);
      const expected = JSON.parse(
        text,
        (_, each) =>
          typeof each === "number" && Number.isInteger(each) && !Number.isSafeInteger(each) &&
            /^-?\d+$/.test(String(each))
            ? BigInt(String(each))
            : each,
      );
      assert.deepEqual(found, expected);
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});

test("parseExactJson() reads back any integer", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), (integer) => {
      assert.equal(BigInt(parseExactJson(String(integer)) as number | bigint), integer);
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});
