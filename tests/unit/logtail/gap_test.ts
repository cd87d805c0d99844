/**
 * Goal: a gap record says exactly what was lost. Method: golden texts, parse(write(x)) = x, laws of merging (nothing is lost
 * by it), and the longest record there can be.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { CLASS_NAMES, type ClassName, type ClassSums } from "../../../src/counters.ts";
import { GAP_RANGES_MAX, MESSAGE_BYTES_MAX } from "../../../src/limits.ts";
import { BATCH_ENTRIES_MAX } from "../../../src/logtail/batch.ts";
import { entryLine } from "../../../src/logtail/entry.ts";
import {
  addLost,
  addSums,
  GAP_CAUSES,
  gapSummary,
  gapText,
  type LostRange,
  NO_SUMS,
  parseGap,
  sumLost,
} from "../../../src/logtail/gap.ts";

const START_NS = 1_767_225_600_000_000_000n;

const ONE: LostRange = {
  cause: "full",
  procId: 7,
  firstSeq: 3,
  lastSeq: 5,
  entries: 3,
  startNs: START_NS,
  endNs: START_NS + 14_999_999_999n,
  sums: {
    ...NO_SUMS,
    virtual: { txPackets: 1n, txBytes: 60n, rxPackets: 0n, rxBytes: 0n },
    physical: { txPackets: 0n, txBytes: 0n, rxPackets: 2n, rxBytes: 2n ** 64n + 1n },
  },
  offered: false,
};

function sumsArbitrary(max: bigint): fc.Arbitrary<ClassSums> {
  const count = fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max }));
  const traffic = fc.record(
    { txPackets: count, txBytes: count, rxPackets: count, rxBytes: count },
    { noNullPrototype: true },
  );
  return fc.record(
    Object.fromEntries(CLASS_NAMES.map((name) => [name, traffic])) as Record<
      ClassName,
      typeof traffic
    >,
    { noNullPrototype: true },
  );
}

/** Ranges as a spool adds them: one entry, or something unknown. */
const RANGE: fc.Arbitrary<LostRange> = fc.record({
  cause: fc.constantFrom(...GAP_CAUSES),
  procId: fc.constantFrom(0, 1, 2, 4_294_967_295),
  seq: fc.oneof(fc.nat(9), fc.constant(Number.MAX_SAFE_INTEGER)),
  startNs: fc.bigInt({ min: 0n, max: START_NS * 2n }),
  lengthNs: fc.bigInt({ min: 0n, max: 60_000_000_000n }),
  sums: fc.option(sumsArbitrary(2n ** 70n), { freq: 6 }),
  offered: fc.boolean(),
}).map(({ cause, procId, seq, startNs, lengthNs, sums, offered }) => {
  const number = procId === 0 ? 0 : seq;
  return {
    ...{ cause, procId, firstSeq: number, lastSeq: number, entries: sums === null ? 0 : 1 },
    ...{ startNs, endNs: startNs + lengthNs, sums, offered },
  };
});

test("gapText() leaves out what is zero", () => {
  const range = `{"cause":"full","procId":7,"firstSeq":3,"lastSeq":5,"entries":3,` +
    `"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:14.999999999Z",` +
    `"traffic":{"virtual":{"txPkts":1,"txBytes":60},` +
    `"physical":{"rxPkts":2,"rxBytes":18446744073709551617}}}`;
  assert.equal(
    gapText([ONE]),
    `{"gap":{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:14.999999999Z","entries":3,` +
      `"traffic":{"virtual":{"txPkts":1,"txBytes":60},` +
      `"physical":{"rxPkts":2,"rxBytes":18446744073709551617}},"lost":[${range}]}}`,
  );
});

test("gapText() calls unknown what is unknown, and sums up the rest", () => {
  const killed: LostRange = {
    ...ONE,
    ...{ cause: "killed", firstSeq: 0, lastSeq: 0, entries: 0, sums: null },
    startNs: START_NS - 5_000_000_000n,
  };
  const { gap } = JSON.parse(gapText([ONE, killed, { ...ONE, sums: NO_SUMS, offered: true }]));
  assert.equal(gap.start, "2025-12-31T23:59:55Z");
  assert.equal(gap.entries, 6);
  assert.equal(gap.unknown, true);
  assert.deepEqual(gap.traffic.virtual, { txPkts: 1, txBytes: 60 });
  assert.deepEqual(Object.keys(gap.lost[1]), ["cause", "procId", "start", "end", "unknown"]);
  assert.equal(gap.lost[2].offered, true);
  assert.equal(gap.lost[2].traffic, undefined);
});

test("parseGap() reads what gapText() wrote, sums beyond 2^64 too", () => {
  fc.assert(
    fc.property(fc.array(RANGE, { minLength: 1, maxLength: 20 }), (ranges) => {
      assert.deepEqual(parseGap(gapText(ranges)), ranges);
    }),
    { numRuns: 300, seed: 2 },
  );
});

test("parseGap() reads a whole entry with its metadata", () => {
  const line = entryLine(gapText([ONE]), { clientTimeNs: START_NS, procId: 9, procSeq: 1 });
  assert.deepEqual(parseGap(line), [ONE]);
});

test("parseGap() refuses what is no gap record", () => {
  const text = gapText([ONE]);
  const cases = [
    "",
    "{}",
    `{"gap":{}}`,
    `{"gap":{"lost":{}}}`,
    `{"gap":{"lost":[1]}}`,
    text.replace(`"cause":"full"`, `"cause":"else"`),
    text.replaceAll(`"start":"2026`, `"start":"x`),
    text.replaceAll(`"end":"2026-01-01T00`, `"end":"2026-01-01T25`),
    text.replaceAll(`"txPkts":1`, `"txPkts":1.5`),
    text.replaceAll(`"txPkts":1`, `"txPkts":-1`),
    text.replaceAll(`"txPkts":1`, `"txPkts":"1"`),
    text.replace(`"procId":7`, `"procId":null1`),
  ];
  for (const wrong of cases) {
    assert.notEqual(wrong, text);
    assert.throws(() => parseGap(wrong), SyntaxError, wrong);
  }
});

test("addLost() merges neighbours of one kind, and nothing else while there is room", () => {
  const next = { ...ONE, firstSeq: 6, lastSeq: 6, entries: 1, endNs: ONE.endNs + 5n };
  const [merged, ...more] = addLost([ONE], next);
  assert.deepEqual(more, []);
  assert.deepEqual([merged.firstSeq, merged.lastSeq, merged.entries], [3, 6, 4]);
  assert.deepEqual([merged.startNs, merged.endNs], [ONE.startNs, next.endNs]);
  assert.deepEqual(merged.sums, addSums(ONE.sums!, ONE.sums!));
  const others: LostRange[] = [
    { ...next, firstSeq: 7, lastSeq: 7 },
    { ...next, cause: "memory" },
    { ...next, procId: 8 },
    { ...next, offered: true },
    { ...next, sums: null },
  ];
  for (const other of others) assert.deepEqual(addLost([ONE], other), [ONE, other]);
  const unnamed = { ...ONE, procId: 0, firstSeq: 0, lastSeq: 0 };
  assert.equal(addLost([unnamed], { ...unnamed, firstSeq: 1 }).length, 2);
});

test("addLost() loses no entry, packet, byte, window or cause's certainty, however little room there is", () => {
  let merges = 0;
  fc.assert(
    fc.property(
      fc.array(RANGE, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 2, max: 8 }),
      (ranges, rangesMax) => {
        const kept = ranges.reduce<LostRange[]>((all, range) => addLost(all, range, rangesMax), []);
        assert.ok(kept.length <= rangesMax);
        if (kept.length < ranges.length) merges++;
        const all = sumLost(ranges);
        assert.deepEqual(sumLost(kept), all);
        const known = (list: readonly LostRange[]) => sumLost(list.filter((r) => r.sums !== null));
        assert.deepEqual(known(kept), known(ranges), "known sums stay apart from unknown ones");
        for (const range of ranges) {
          const covers = kept.some((other) =>
            other.startNs <= range.startNs && range.endNs <= other.endNs &&
            (other.sums === null) === (range.sums === null) && (other.offered || !range.offered)
          );
          assert.ok(covers, "each is within one that is kept");
        }
      },
    ),
    { numRuns: 300, seed: 3 },
  );
  assert.ok(merges > 100);
});

test("addLost() keeps offered entries single as long as there is room", () => {
  const range = (seq: number, offered: boolean): LostRange => ({
    ...{ ...ONE, firstSeq: seq, lastSeq: seq, entries: 1, offered },
  });
  let ranges: LostRange[] = [];
  for (let seq = 0; seq < BATCH_ENTRIES_MAX; seq++) ranges = addLost(ranges, range(seq, true));
  assert.equal(ranges.length, BATCH_ENTRIES_MAX, "all entries of one batch fit");
  // Then come losses of another kind, with holes between; they merge with one another first.
  for (let count = 0; count < 100; count++) {
    ranges = addLost(ranges, range(1_000 + 2 * count, false));
  }
  assert.equal(ranges.length, GAP_RANGES_MAX);
  assert.equal(ranges.filter(({ offered }) => offered).length, BATCH_ENTRIES_MAX);
});

test("a gap record fits an entry: GAP_RANGES_MAX ranges of the longest numbers, and its metadata", () => {
  // A sum of 2^20 entries of 2^64 each has 26 digits.
  const most = 2n ** 84n - 1n;
  const traffic = { txPackets: most, txBytes: most, rxPackets: most, rxBytes: most };
  const range: LostRange = {
    ...{ cause: "tooLarge", procId: 4_294_967_295, firstSeq: 2 ** 53 - 2, lastSeq: 2 ** 53 - 2 },
    ...{ entries: 2 ** 53 - 1, startNs: START_NS + 111_111_111n, endNs: START_NS + 111_111_111n },
    sums: Object.fromEntries(CLASS_NAMES.map((name) => [name, traffic])) as Record<
      ClassName,
      typeof traffic
    >,
    offered: true,
  };
  const line = entryLine(gapText(Array(GAP_RANGES_MAX).fill(range)), {
    clientTimeNs: START_NS + 111_111_111n,
    procId: 4_294_967_295,
    procSeq: 2 ** 53 - 1,
  });
  assert.ok(line.length <= MESSAGE_BYTES_MAX, `${line.length} bytes`);
  assert.ok(line.includes(`"gap"`));
  assert.ok(BATCH_ENTRIES_MAX < GAP_RANGES_MAX);
});

test("gapSummary() says how much and why, in the order of the causes", () => {
  assert.equal(
    gapSummary([{ ...ONE, cause: "memory" }, ONE]),
    "lost 6 entries with 6 packets: full, memory",
  );
  assert.equal(
    gapSummary([{ ...ONE, cause: "killed", entries: 0, sums: null }]),
    "lost at least 0 entries with 0 packets: killed",
  );
});
