/**
 * Goal: addresses are numbered and rows sorted exactly, at any size and again and again. Method: maps and the language's
 * own sort as twins; sizes at which tables grow and shrink.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { AddressTable, NO_ADDRESS } from "../../../src/netlog/address_table.ts";
import { ExitAddresses } from "../../../src/netlog/exit_addresses.ts";
import { NO_NODES } from "../../../src/netlog/mod.ts";
import { RadixSorter } from "../../../src/netlog/radix.ts";
import {
  HEAD_FOLDED,
  HEAD_OTHER,
  HEAD_PHYSICAL,
  WindowRows,
} from "../../../src/netlog/window_rows.ts";
import { row, SECRET, wordsOf } from "./support.ts";

const SEED = 39;

// ---- AddressTable -------------------------------------------------------------------------------------------------

test("AddressTable numbers addresses from 1 on, in the order they come, and none as 0", () => {
  const table = new AddressTable(SECRET);
  const number = (text: string) => table.number(wordsOf(text), 0, text.includes(":"));
  assert.equal(table.count, 1);
  assert.equal(table.number(new Uint32Array(4), 0, false), NO_ADDRESS);
  assert.equal(number("10.0.0.1"), 1);
  assert.equal(number("0.0.0.0"), 2);
  assert.equal(number("::"), 3);
  assert.equal(number("::ffff:10.0.0.1"), 4, "the IPv6 form is another address");
  assert.equal(number("10.0.0.1"), 1);
  assert.equal(table.count, 5);
  assert.deepEqual([0, 1, 2, 3, 4].map((each) => table.family(each)), [0, 4, 4, 6, 6]);
  assert.deepEqual(table.words.slice(16, 20), wordsOf("::ffff:10.0.0.1"));
});

test("AddressTable tells addresses apart by each word, and reads at its offset alone", () => {
  const table = new AddressTable(SECRET);
  const seen = new Set<number>();
  for (let word = 0; word < 4; word++) {
    const words = new Uint32Array(9).fill(7);
    words[2 + word] = 8;
    seen.add(table.number(words, 2, true));
    words[0] = 9;
    words[6] = 9;
    seen.add(table.number(words, 2, true));
  }
  assert.equal(seen.size, 4);
});

test("AddressTable tells thousands of addresses apart that differ in one word, or in family alone", () => {
  // Many of them meet in one place of the index.
  for (let word = 0; word < 4; word++) {
    const table = new AddressTable(SECRET);
    for (let index = 1; index <= 2_000; index++) {
      const words = Uint32Array.of(1, 2, 0xffff, 4);
      words[word] = Math.imul(index, 0x9e3779b9);
      assert.equal(table.number(words, 0, true), index);
    }
  }
  const table = new AddressTable(SECRET);
  for (let index = 0; index < 20_000; index++) {
    const words = Uint32Array.of(0, 0, 0xffff, index);
    assert.equal(table.number(words, 0, false), index * 2 + 1);
    assert.equal(table.number(words, 0, true), index * 2 + 2);
  }
});

test("AddressTable remembers nothing of the window before", () => {
  // Several tables, so that in some of them each place of the index was in use.
  for (let round = 0; round < 20; round++) {
    const table = new AddressTable(SECRET);
    for (const isReversed of [false, true]) {
      // The other way round, so that an old number is not the new one.
      for (let index = 1; index <= 2_000; index++) {
        const last = round * 500_000 + (isReversed ? 2_001 - index : index);
        assert.equal(table.number(Uint32Array.of(0, 0, 0xffff, last), 0, false), index);
        assert.equal(table.count, index + 1);
      }
      table.clear();
    }
  }
});

test("AddressTable equals a map while it grows, is emptied, and shrinks", () => {
  const table = new AddressTable(SECRET);
  for (const [round, count] of [5_000, 40_000, 10, 3_000].entries()) {
    const numbers = new Map<number, number>();
    for (let index = 0; index < count; index++) {
      const last = Math.imul(index % (count * 3 / 4 | 0), 0x9e3779b9) + round >>> 0;
      const isV6 = index % 2 === 1;
      const words = Uint32Array.of(0, 0, 0xffff, last);
      const number = table.number(words, 0, isV6);
      const key = last * 2 + Number(isV6);
      assert.equal(number, numbers.get(key) ?? numbers.size + 1);
      numbers.set(key, number);
    }
    assert.equal(table.count, numbers.size + 1);
    for (const [key, number] of numbers) {
      assert.equal(table.words[number * 4 + 3], Math.floor(key / 2));
      assert.equal(table.family(number), key % 2 === 1 ? 6 : 4);
    }
    table.clear();
    assert.equal(table.count, 1);
  }
});

test("AddressTable gives memory back after a big window", () => {
  const table = new AddressTable(SECRET);
  const empty = table.words.length;
  for (let index = 0; index < 100_000; index++) {
    table.number(Uint32Array.of(0, 0, 0xffff, index), 0, false);
  }
  assert.ok(table.words.length >= 400_000);
  table.clear();
  assert.equal(table.words.length, empty);
});

// ---- ExitAddresses ------------------------------------------------------------------------------------------------

test("ExitAddresses finds what stands for an address once a window", () => {
  let calls = 0;
  const prf = () => new Uint8Array(32).fill(++calls);
  const table = new AddressTable(SECRET);
  const exit = new ExitAddresses({ mode: "keyed", prf });
  const number = table.number(wordsOf("8.8.8.8"), 0, false);
  exit.begin(table.count, NO_NODES);
  const first = exit.replacement(table, number, false);
  assert.notEqual(first, number);
  assert.equal(calls, 4);
  assert.equal(exit.replacement(table, number, false), first);
  assert.equal(exit.replacement(table, NO_ADDRESS, false), NO_ADDRESS);
  // A new window has new numbers.
  table.clear();
  const other = table.number(wordsOf("9.9.9.9"), 0, false);
  assert.equal(other, number);
  exit.begin(table.count, NO_NODES);
  assert.equal(exit.replacement(table, other, true), other, "a node's own");
});

// ---- RadixSorter --------------------------------------------------------------------------------------------------

/** Numbers that agree in some bytes, so that passes are skipped. */
const anyColumn = (count: number) =>
  fc.tuple(
    fc.constantFrom(0, 0xff, 0xff00, 0xff0000, 0xff000000, 0x1010101, 0xffffffff),
    fc.nat(0xffffffff),
    fc.array(fc.nat(0xffffffff), { minLength: count, maxLength: count }),
  ).map(([mask, base, values]) =>
    Uint32Array.from(values, (value) => (base & ~mask) | (value & mask))
  );

test("RadixSorter.sort() is a stable sort by columns, the last first", () => {
  const sorter = new RadixSorter();
  fc.assert(
    fc.property(
      fc.nat(60).chain((count) =>
        fc.tuple(fc.constant(count), fc.array(anyColumn(count + 3), { maxLength: 3 }))
      ),
      ([count, columns]) => {
        const expected = Array.from({ length: count }, (_, item) => item).sort((a, b) => {
          for (const column of columns.toReversed()) {
            if (column[a] !== column[b]) return column[a] < column[b] ? -1 : 1;
          }
          return a - b;
        });
        assert.deepEqual([...sorter.sort(columns, count).subarray(0, count)], expected);
      },
    ),
    { seed: SEED, numRuns: 1_000 },
  );
});

test("RadixSorter keeps what little memory it has", () => {
  const sorter = new RadixSorter();
  const small = sorter.sort([], 50_000).length;
  assert.equal(sorter.sort([], 1).length, small);
});

test("RadixSorter gives memory back after a big sort", () => {
  const sorter = new RadixSorter();
  // Room for a quarter more than was asked for, and kept while a quarter of it is used.
  const big = sorter.sort([], 400_000).length;
  assert.equal(big, 500_000);
  assert.equal(sorter.sort([], 125_000).length, big);
  assert.ok(sorter.sort([], 124_999).length < big);
  assert.deepEqual([...sorter.sort([Uint32Array.of(3, 1, 2)], 3).subarray(0, 3)], [1, 2, 0]);
});

// ---- WindowRows ---------------------------------------------------------------------------------------------------

test("WindowRows keeps what a reused row said when it was added", () => {
  const table = new AddressTable(SECRET);
  const rows = new WindowRows(table);
  const reused = row({
    proto: 17,
    src: "10.0.0.1:5",
    dst: "[2001:db8::1]:443",
    counts: [1, 2, 3, 4],
  });
  rows.add(reused, false);
  reused.key.fill(0);
  rows.add(row({ src: "10.0.0.1:0", counts: [5, 6, 7, 8], folded: true }), true);
  rows.add(row({ other: true, counts: [1, 0, 0, 0] }), false);
  assert.equal(rows.count, 3);
  assert.deepEqual([...rows.heads.subarray(0, 3)], [
    17,
    HEAD_PHYSICAL | HEAD_FOLDED,
    HEAD_OTHER | HEAD_FOLDED,
  ]);
  assert.deepEqual([...rows.srcs.subarray(0, 3)], [1, 1, 0]);
  assert.deepEqual([...rows.dsts.subarray(0, 3)], [2, 0, 0]);
  assert.deepEqual([...rows.ports.subarray(0, 3)], [(5 << 16) | 443, 0, 0]);
  assert.deepEqual([...rows.counts.subarray(0, 12)], [1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0]);
});

test("WindowRows keeps nothing of the window before", () => {
  const rows = new WindowRows(new AddressTable(SECRET));
  rows.add(row({ proto: 6, src: "10.0.0.1:5", dst: "10.0.0.2:6", counts: [1, 1, 1, 1] }), true);
  rows.clear();
  rows.add(row({ other: true, counts: [1, 0, 0, 0] }), false);
  assert.deepEqual([rows.ports[0], rows.srcs[0], rows.dsts[0]], [0, 0, 0]);
});

test("WindowRows grows, and gives memory back after a big window", () => {
  const table = new AddressTable(SECRET);
  const rows = new WindowRows(table);
  const before = rows.heads.length;
  for (let index = 0; index < 100_000; index++) {
    rows.add(
      row({ proto: 6, src: `10.0.0.1:${index % 65_536}`, counts: [index + 1, 0, 0, 0] }),
      false,
    );
  }
  assert.equal(rows.count, 100_000);
  for (const index of [0, 1_023, 1_024, 65_536, 99_999]) {
    assert.equal(rows.counts[index * 4], index + 1);
    assert.equal(rows.ports[index] >>> 16, index % 65_536);
    assert.deepEqual([rows.heads[index], rows.srcs[index]], [6, 1]);
  }
  rows.clear();
  assert.ok(rows.isEmpty);
  assert.equal(rows.heads.length, before);
});

test("WindowRows keeps what is beyond its room by device", () => {
  const rows = new WindowRows(new AddressTable(SECRET), 1);
  const each = row({ proto: 6, counts: [1, 2, 3, 4] });
  rows.add(each, false);
  assert.ok(rows.beyond(false).isZero && rows.beyond(true).isZero);
  rows.add(each, true);
  rows.add(each, true);
  rows.add(each, false);
  assert.equal(rows.count, 1);
  assert.deepEqual(rows.beyond(true).value(), {
    txPackets: 2,
    txBytes: 4,
    rxPackets: 6,
    rxBytes: 8,
  });
  assert.deepEqual(rows.beyond(false).value(), {
    txPackets: 1,
    txBytes: 2,
    rxPackets: 3,
    rxBytes: 4,
  });
  rows.clear();
  assert.ok(rows.isEmpty && rows.beyond(true).isZero);
});
