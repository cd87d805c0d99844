/** Goal: sums by class are exact and never mixed up. Method: one number of its own in every place. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { CLASS_NAMES } from "../../../src/counters.ts";
import { CLASS, ClassTotals } from "../../../src/netlog/mod.ts";

/** Sums that differ in every member of every class. */
function distinctTotals(): ClassTotals {
  const totals = new ClassTotals();
  for (const [code, sum] of totals.byClass.entries()) {
    const first = 10 ** code;
    sum.add(first, 2 * first, 3 * first, 4 * first);
  }
  totals.other.add(5, 6, 7, 8);
  totals.rows = 9;
  totals.foldedRows = 2;
  return totals;
}

test("CLASS and CLASS_NAMES name the same numbers", () => {
  assert.deepEqual(CLASS_NAMES.map((name) => CLASS[name.toUpperCase() as keyof typeof CLASS]), [
    0,
    1,
    2,
    3,
    4,
  ]);
});

test("of() gives the sums of the class named", () => {
  const totals = distinctTotals();
  for (const [code, name] of CLASS_NAMES.entries()) {
    assert.equal(totals.of(name).txPackets, 10 ** code);
    assert.equal(totals.of(name), totals.byClass[code]);
  }
});

test("tunnel() is the sum of all classes but the physical one", () => {
  assert.deepEqual(distinctTotals().tunnel(), {
    txPackets: 1_111,
    txBytes: 2_222,
    rxPackets: 3_333,
    rxBytes: 4_444,
  });
});

test("sums() gives every class by name, as bigints, exact beyond 2^53", () => {
  const totals = distinctTotals();
  totals.of("exit").addCounts({
    txPackets: 2n ** 64n - 1n,
    txBytes: 0,
    rxPackets: Number.MAX_SAFE_INTEGER,
    rxBytes: 2n ** 53n,
  });
  assert.deepEqual(totals.sums(), {
    virtual: { txPackets: 1n, txBytes: 2n, rxPackets: 3n, rxBytes: 4n },
    subnet: { txPackets: 10n, txBytes: 20n, rxPackets: 30n, rxBytes: 40n },
    exit: {
      txPackets: 2n ** 64n - 1n + 100n,
      txBytes: 200n,
      rxPackets: 2n ** 53n - 1n + 300n,
      rxBytes: 2n ** 53n + 400n,
    },
    unknown: { txPackets: 1_000n, txBytes: 2_000n, rxPackets: 3_000n, rxBytes: 4_000n },
    physical: { txPackets: 10_000n, txBytes: 20_000n, rxPackets: 30_000n, rxBytes: 40_000n },
  });
});

test("sums() is a copy: what is added later does not change it", () => {
  const totals = distinctTotals();
  const sums = totals.sums();
  totals.of("virtual").add(1, 1, 1, 1);
  assert.equal(sums.virtual.txPackets, 1n);
});

test("addTotals() adds every class, the rest and both numbers of rows", () => {
  const totals = distinctTotals();
  totals.addTotals(distinctTotals());
  assert.deepEqual(totals.tunnel(), {
    txPackets: 2_222,
    txBytes: 4_444,
    rxPackets: 6_666,
    rxBytes: 8_888,
  });
  assert.equal(totals.of("physical").rxBytes, 80_000);
  assert.deepEqual(totals.other.value(), {
    txPackets: 10,
    txBytes: 12,
    rxPackets: 14,
    rxBytes: 16,
  });
  assert.deepEqual([totals.rows, totals.foldedRows], [18, 4]);
});
