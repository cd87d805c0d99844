/** Goal: tables of groups equal maps whatever collides, grow without losing, and keep to their limit. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { firstInOrder, GroupTable, KeyTable } from "../../../src/collector/query/group_table.ts";
import { ExactSums } from "../../../src/collector/query/exact_sums.ts";
import { makeColumns } from "../../../src/collector/rows.ts";

const ROWS = 2_048;

test("GroupTable: keys that share all words but one, and slots, stay apart while it grows", () => {
  for (const [wordCount, changing] of [[1, 0], [2, 0], [2, 1], [3, 0], [3, 1], [3, 2]]) {
    const table = new GroupTable(wordCount, 1_000_000);
    const columns = makeColumns(ROWS);
    columns.counters[1].fill(1);
    const rows = Uint32Array.from({ length: ROWS }, (_row, index) => index);
    const expected = new Map<number, number>();
    for (let block = 0; block < 40; block++) {
      const words = Array.from({ length: wordCount }, () => new Uint32Array(ROWS).fill(7));
      for (let index = 0; index < ROWS; index++) {
        // Most keys come twice; numbers of addresses are dense, as these are.
        const word = (block * ROWS + index) % 50_000;
        words[changing][index] = word;
        expected.set(word, (expected.get(word) ?? 0) + 1);
      }
      table.add(words, columns, rows, ROWS);
    }
    assert.equal(table.count, expected.size);
    for (let group = 0; group < table.count; group++) {
      const count = expected.get(table.keys.key(group)[changing])!;
      assert.equal(table.rows(group), count);
      assert.equal(table.values(group)[1], BigInt(count));
    }
  }
});

test("KeyTable: takes groups up to its limit and no more; known ones are still found", () => {
  for (const limit of [0, 1, 5]) {
    const table = new KeyTable(1, limit);
    const word = [Uint32Array.from({ length: 10 }, (_word, index) => index)];
    const groups = Array.from({ length: 10 }, (_group, index) => table.groupAt(word, index));
    assert.deepEqual(groups, Array.from({ length: 10 }, (_group, n) => n < limit ? n : -1));
    assert.equal(table.count, limit);
    if (limit > 0) assert.equal(table.groupAt(word, 0), 0);
  }
});

test("KeyTable: finds what is there and makes nothing of what is not, before and after it grows", () => {
  const table = new KeyTable(2, 100_000);
  const word = [new Uint32Array(1), new Uint32Array(1)];
  const set = (first: number, second: number) => {
    word[0][0] = first;
    word[1][0] = second;
    return word;
  };
  for (let key = 0; key < 10_000; key++) {
    assert.equal(table.findAt(set(7, key), 0), -1);
    assert.equal(table.groupAt(set(7, key), 0), key);
  }
  for (let key = 0; key < 10_000; key++) assert.equal(table.findAt(set(7, key), 0), key);
  assert.equal(table.findAt(set(8, 0), 0), -1);
  assert.equal(table.count, 10_000);
});

test("GroupTable: counts rows that found no room, and writes each row's group", () => {
  const table = new GroupTable(1, 2);
  const columns = makeColumns(4);
  const groups = new Int32Array(4);
  table.add([Uint32Array.from([5, 6, 7, 5])], columns, Uint32Array.from([0, 1, 2, 3]), 4, groups);
  assert.deepEqual([...groups], [0, 1, -1, 0]);
  assert.equal(table.refusedRows, 1);
});

test("firstInOrder: equals sorting and cutting", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 60 }), fc.nat(70), (values, limit) => {
      const isBefore = (a: number, b: number) =>
        values[a] !== values[b] ? values[a] > values[b] : a < b;
      const all = values.map((_value, index) => index).sort((a, b) => isBefore(a, b) ? -1 : 1);
      assert.deepEqual(firstInOrder(values.length, limit, isBefore), all.slice(0, limit));
    }),
    { numRuns: 500, seed: 14 },
  );
});

test("ExactSums: equal bigints around 2^53, whatever stands in which counter", () => {
  const near = fc.oneof(
    fc.bigInt(0n, 3n),
    fc.bigInt(2n ** 53n - 3n, 2n ** 53n + 3n),
    fc.bigInt(2n ** 51n, 2n ** 51n + 3n),
    fc.constant(2n ** 64n - 1n),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(near, near, near, near), { maxLength: 12 }), (rows) => {
      const columns = makeColumns(rows.length);
      const expected = [0n, 0n, 0n, 0n];
      for (const [row, counters] of rows.entries()) {
        for (const [counter, value] of counters.entries()) {
          expected[counter] += value;
          columns.counters[counter][row] = Number(value);
          if (value > Number.MAX_SAFE_INTEGER) columns.beyond.set(row * 4 + counter, value);
        }
      }
      const sums = new ExactSums(1);
      sums.grow(3);
      for (let row = 0; row < rows.length; row++) sums.add(1, columns, row);
      assert.deepEqual([...sums.values(1)], expected);
      assert.deepEqual([...sums.values(0)], [0n, 0n, 0n, 0n]);
    }),
    { numRuns: 500, seed: 15 },
  );
});
