// Goal: every key has exactly one text in each form. Method: round trips of random keys, and texts that are almost one.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  isZeroKey,
  keyFromBase64,
  keyFromHex,
  keyToBase64,
  keyToHex,
} from "../../../src/node/key_text.ts";

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });

test("keyFromBase64() and keyFromHex() are inverses of their writers", () => {
  fc.assert(
    fc.property(key, (bytes) => {
      assert.deepEqual(keyFromBase64(keyToBase64(bytes)), bytes);
      assert.deepEqual(keyFromHex(keyToHex(bytes)), bytes);
      assert.deepEqual(keyFromHex(keyToHex(bytes).toUpperCase()), bytes);
    }),
    { seed: 6 },
  );
});

test("keyFromBase64() takes only the canonical text of 32 bytes", () => {
  const good = keyToBase64(new Uint8Array(32).fill(0xff));
  assert.equal(good, `${"/".repeat(42)}8=`);
  const bad = ["", good.slice(1), `${good} `, ` ${good}`, `${good}=`, `${"/".repeat(42)}9=`];
  bad.push(`${"/".repeat(43)}=`, `${"/".repeat(42)}==`, `${"_".repeat(42)}8=`, "/".repeat(44));
  for (const text of bad) assert.equal(keyFromBase64(text), undefined, text);
});

test("keyFromHex() takes only 64 digits", () => {
  for (
    const text of ["", "0".repeat(63), "0".repeat(65), `${"0".repeat(63)}g`, `0x${"0".repeat(62)}`]
  ) {
    assert.equal(keyFromHex(text), undefined, text);
  }
});

test("isZeroKey() is false as soon as one byte is set", () => {
  assert.ok(isZeroKey(new Uint8Array(32)));
  assert.ok(!isZeroKey(new Uint8Array(32).fill(1, 31)));
});
