/**
 * Goal: bodies are framed as SPEC 2.4 says and end at their limits.
 * Method: literal bodies, both sides of each limit, BatchSize held equal to frameBatch over any entries.
 * Where tunlog differs from HEAD on purpose: HEAD looks before each append and may go to twice the limit; here only an
 * entry that is alone may exceed it.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  BATCH_BYTES_MAX,
  BatchSize,
  COMPRESS_BODY_BYTES_MIN,
  COMPRESS_SAVED_BYTES_MIN,
  frameBatch,
} from "../../../src/logtail/mod.ts";

const entry = (text: string) => new TextEncoder().encode(text);

test("frameBatch() joins entries with their newlines by commas in brackets", () => {
  const text = (entries: string[]) => new TextDecoder().decode(frameBatch(entries.map(entry)));
  assert.equal(text([`{"a":1}\n`]), `[{"a":1}\n]`);
  assert.equal(text([`{"a":1}\n`, `{}\n`, `{"é":2}\n`]), `[{"a":1}\n,{}\n,{"é":2}\n]`);
});

test("BatchSize takes up to the limits, and the first entry whatever its length", () => {
  const one = new BatchSize(2, 10);
  assert.ok(one.takes(1_000));
  one.add(4);
  assert.equal(one.bodyBytes, 6);
  assert.ok(one.takes(3));
  assert.ok(!one.takes(4));
  one.add(3);
  assert.equal(one.bodyBytes, 10);
  assert.equal(one.entries, 2);

  const few = new BatchSize(2);
  few.add(3);
  assert.ok(few.takes(3));
  few.add(3);
  assert.ok(!few.takes(3), "entriesMax");
});

test("BatchSize says the length that frameBatch() writes", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 1 }), (entries) => {
      const size = new BatchSize(1_000);
      for (const one of entries) size.add(one.length);
      assert.equal(frameBatch(entries).length, size.bodyBytes);
      assert.equal(size.entries, entries.length);
    }),
    { seed: 8_024, numRuns: 300 },
  );
});

test("limits of bodies are SPEC's: 262144 bytes, over 256, more than 64 saved", () => {
  assert.deepEqual([BATCH_BYTES_MAX, COMPRESS_BODY_BYTES_MIN - 1, COMPRESS_SAVED_BYTES_MIN - 1], [
    262_144,
    256,
    64,
  ]);
});
