/** Goal: what is complete, declared lost, missing or silent is told apart, and the share is what its definition says. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { Completeness, shareOf } from "../../../src/collector/query/completeness.ts";
import {
  difference,
  intersection,
  type Interval,
  joined,
  lengthMs,
} from "../../../src/collector/query/intervals.ts";
import type { ProcessState, StoredGap } from "../../../src/collector/store.ts";
import { writeReport } from "../../../src/netlog/mod.ts";
import { NO_COUNTS } from "../../../src/netlog/mod.ts";
import { COMPLETE_LAG_MS, SILENT_COUNTED_MS } from "../../../src/limits.ts";
import { classSums, MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { askStore, baseOf, rowOf, START_MS, START_NS, windowOf } from "./query_support.ts";

const S = 1_000;
const ns = (ms: number) => START_NS + BigInt(ms) * 1_000_000n;

function processOf(more: Partial<ProcessState> = {}): ProcessState {
  return {
    stream: 1,
    procId: 7,
    firstSeq: 1,
    lastSeq: 20,
    received: 20,
    missing: [],
    firstStartNs: ns(0),
    lastEndNs: ns(100 * S),
    reportJson: null,
    lastReceivedMs: START_MS,
    ...more,
  };
}

function gapOf(more: Partial<StoredGap> = {}): StoredGap {
  return {
    stream: 1,
    entry: 1,
    receivedMs: 0,
    cause: "full",
    procId: 7,
    firstSeq: 5,
    lastSeq: 6,
    entries: 2,
    startNs: ns(20 * S),
    endNs: ns(30 * S),
    sums: null,
    offered: false,
    ...more,
  };
}

const HOLE = { firstSeq: 5, lastSeq: 6, afterNs: ns(20 * S), beforeNs: ns(30 * S) };
const RANGE = { fromMs: START_MS, toMs: START_MS + 100 * S };
const LATER = START_MS + 1_000 * S;

function timesOf(processes: ProcessState[], gaps: StoredGap[] = [], range = RANGE, nowMs = LATER) {
  return new Completeness(processes, gaps).times(1, range, nowMs);
}

test("completeness: numbers without holes prove the time between complete, idle or not", () => {
  const times = timesOf([processOf()]);
  assert.equal(times.completeMs, 100 * S);
  assert.equal(shareOf(times), 1);
});

test("completeness: a hole that nobody declared is missing, one that a gap record declares is a gap", () => {
  const hole = timesOf([processOf({ missing: [HOLE] })]);
  assert.deepEqual([hole.completeMs, hole.missingMs, hole.gapMs], [90 * S, 10 * S, 0]);
  assert.equal(shareOf(hole), 0.9);
  const declared = timesOf([processOf({ missing: [HOLE] })], [gapOf()]);
  assert.deepEqual([declared.completeMs, declared.missingMs, declared.gapMs], [90 * S, 0, 10 * S]);
  const half = new Completeness([processOf({ missing: [HOLE] })], [
    gapOf({ lastSeq: 5, entries: 1 }),
  ]);
  assert.deepEqual(
    half.timeline(1).missing.map(({ firstSeq, lastSeq, entries }) => [firstSeq, lastSeq, entries]),
    [[6, 6, 1]],
  );
  const others = timesOf([processOf({ missing: [HOLE] })], [gapOf({ procId: 8 })]);
  assert.equal(others.missingMs, 10 * S, "another process's numbers explain nothing");
});

test("completeness: an offered entry that did arrive is no gap, one that did not is", () => {
  const offered = gapOf({ offered: true });
  assert.equal(timesOf([processOf()], [offered]).gapMs, 0);
  assert.equal(timesOf([processOf({ missing: [HOLE] })], [offered]).gapMs, 10 * S);
  assert.equal(timesOf([processOf()], [gapOf()]).gapMs, 10 * S, "not offered: never sent");
  const beyond = { firstSeq: 21, lastSeq: 21, entries: 1, offered: true };
  assert.equal(timesOf([processOf()], [gapOf(beyond)]).gapMs, 10 * S, "beyond the last that came");
});

test("completeness: a process that began before its first entry here misses the entries before", () => {
  const completeness = new Completeness([processOf({ firstSeq: 3 })], []);
  assert.deepEqual(completeness.timeline(1).missing.map(({ entries }) => entries), [2]);
  assert.equal(new Completeness([processOf({ firstSeq: 1 })], []).timeline(1).missing.length, 0);
});

test("completeness: parts of one window that are missing make all of it missing", () => {
  const part = { firstSeq: 5, lastSeq: 5, afterNs: ns(25 * S), beforeNs: ns(20 * S) };
  assert.equal(timesOf([processOf({ missing: [part] })]).missingMs, 5 * S);
});

test("completeness: silence counts for an hour, then the node is taken for gone; the newest moments are not expected yet", () => {
  const dayMs = 86_400 * S;
  const range = { fromMs: START_MS, toMs: START_MS + dayMs };
  const times = timesOf([processOf()], [], range, START_MS + 2 * dayMs);
  assert.equal(times.silentMs, SILENT_COUNTED_MS);
  const young = timesOf([processOf()], [], range, START_MS + 100 * S + COMPLETE_LAG_MS);
  assert.equal(shareOf(young), 1);
  const older = timesOf([processOf()], [], range, START_MS + 101 * S + COMPLETE_LAG_MS);
  assert.equal(older.silentMs, 1 * S);
  const restarted = processOf({ procId: 8, firstStartNs: ns(150 * S), lastEndNs: ns(200 * S) });
  const both = timesOf([processOf(), restarted], [], {
    fromMs: START_MS,
    toMs: START_MS + 200 * S,
  });
  assert.deepEqual([both.completeMs, both.silentMs], [150 * S, 50 * S]);
});

test("completeness: a report vouches for idle time; before the first word and without any nothing is expected", () => {
  const reportJson = writeReport({
    nodeId: "a",
    startNs: ns(0),
    endNs: ns(160 * S),
    windows: 32,
    messages: 20,
    rows: 20,
    foldedRows: 0,
    traffic: {},
    tun: null,
    sock: null,
    stale: NO_COUNTS,
    drops: {},
    lost: {},
    waitingEntries: 0,
  });
  const range = { fromMs: START_MS - 500 * S, toMs: START_MS + 160 * S };
  const times = timesOf([processOf({ reportJson })], [], range);
  assert.deepEqual([times.completeMs, times.expectedMs], [160 * S, 160 * S]);
  assert.equal(shareOf(new Completeness([], []).times(1, RANGE, LATER)), null);
});

test("completeness: states are disjoint and make up what is vouched for, over random holes and gaps", () => {
  const seconds = fc.nat(120);
  const hole = fc.record({ at: fc.integer({ min: 2, max: 18 }), from: seconds, to: seconds })
    .map(({ at, from, to }) => ({
      firstSeq: at,
      lastSeq: at,
      afterNs: ns(from * S),
      beforeNs: ns(to * S),
    }));
  const gap = fc.record({ at: fc.nat(20), from: seconds, to: seconds, offered: fc.boolean() }).map(
    ({ at, from, to, offered }) =>
      gapOf({ firstSeq: at, lastSeq: at + 1, startNs: ns(from * S), endNs: ns(to * S), offered }),
  );
  fc.assert(
    fc.property(
      fc.array(hole, { maxLength: 4 }),
      fc.array(gap, { maxLength: 4 }),
      (missing, gaps) => {
        const range = { fromMs: START_MS - 10 * S, toMs: START_MS + 200 * S };
        const completeness = new Completeness([processOf({ missing })], gaps);
        const { intervals, vouched } = completeness.timeline(1);
        const { completeMs, gapMs, missingMs, silentMs, expectedMs } = completeness.times(
          1,
          range,
          LATER,
        );
        assert.equal(completeMs + gapMs + missingMs, lengthMs(vouched));
        assert.equal(completeMs + gapMs + missingMs + silentMs, expectedMs);
        const states = Object.values(intervals);
        for (const [index, a] of states.entries()) {
          for (const b of states.slice(index + 1)) assert.equal(lengthMs(intersection(a, b)), 0);
        }
      },
    ),
    { numRuns: 300, seed: 8 },
  );
});

test("intervals: join, cut and take away as sets of seconds do", () => {
  const intervals = fc.array(
    fc.tuple(fc.nat(30), fc.nat(8)).map(([fromMs, length]): Interval => ({
      fromMs,
      toMs: fromMs + length,
    })),
    { maxLength: 5 },
  );
  const units = (list: readonly Interval[]) => {
    const set = new Set<number>();
    for (const { fromMs, toMs } of list) for (let at = fromMs; at < toMs; at++) set.add(at);
    return set;
  };
  fc.assert(
    fc.property(intervals, intervals, (a, b) => {
      const [unitsA, unitsB] = [units(a), units(b)];
      assert.deepEqual([...units(joined(a))].sort(), [...unitsA].sort());
      assert.equal(
        lengthMs(intersection(joined(a), joined(b))),
        [...unitsA].filter((at) => unitsB.has(at)).length,
      );
      assert.equal(
        lengthMs(difference(joined(a), joined(b))),
        [...unitsA].filter((at) => !unitsB.has(at)).length,
      );
    }),
    { numRuns: 300, seed: 9 },
  );
});

// ---- What answers say -----------------------------------------------------------------------------------------------

function lawOf(change: (sums: bigint) => bigint, isHoled = false) {
  const reader = new MemoryStoreReader();
  reader.addStream();
  for (const index of [0, 1, 2, 3]) {
    if (!isHoled || index !== 1) reader.add(windowOf(index, [rowOf()]));
  }
  const traffic = {
    txPackets: Number(change(4n)),
    txBytes: 400,
    rxPackets: 8,
    rxBytes: 800,
  };
  const text = writeReport({
    nodeId: "id1",
    startNs: START_NS + 1n,
    endNs: START_NS + 20_000_000_000n,
    windows: 4,
    messages: 4,
    rows: 4,
    foldedRows: 0,
    traffic: { virtual: traffic },
    tun: traffic,
    sock: null,
    stale: NO_COUNTS,
    drops: {},
    lost: {},
    waitingEntries: 0,
  });
  const entry = `{"logtail":{"proc_id":1,"proc_seq":5},${text.slice(1)}`;
  reader.addReport(1, 1, 5, entry);
  const { value } = askStore(reader, { kind: "nodes", ...baseOf(), hasChecks: true });
  return value.nodes[0].streams[0].processes[0].law;
}

test("law of reports: kept where messages say the same, broken where they do not, missing where entries are", () => {
  assert.deepEqual(lawOf((sum) => sum), { state: "kept" });
  assert.equal(lawOf((sum) => sum + 1n).state, "broken");
  assert.equal(lawOf((sum) => sum - 1n).state, "broken");
  const missing = lawOf((sum) => sum, true);
  assert.equal(missing.state, "missing");
  // What was in the message that is missing, to the byte.
  assert.deepEqual(missing.difference.virtual, {
    txPackets: 1,
    txBytes: 100,
    rxPackets: 2,
    rxBytes: 200,
  });
});

test("gaps: declared ones with their exact loss and missing entries, newest first; answers count them", () => {
  const reader = new MemoryStoreReader();
  reader.addStream();
  for (const index of [0, 1, 4, 5, 8]) reader.add(windowOf(index, [rowOf()]));
  const lost = { txPackets: 2n ** 60n, txBytes: 1n, rxPackets: 0n, rxBytes: 0n };
  reader.addGap(
    1,
    gapOf({
      procId: 1,
      firstSeq: 3,
      lastSeq: 4,
      startNs: ns(10 * S),
      endNs: ns(20 * S),
      sums: classSums("subnet", lost),
    }),
  );
  const { value } = askStore(reader, { kind: "gaps", ...baseOf(), limit: 10 });
  assert.deepEqual(
    value.gaps.map((
      { kind, firstSeq, lastSeq }: { kind: string; firstSeq: number; lastSeq: number },
    ) => [kind, firstSeq, lastSeq]),
    [
      ["missing", 7, 8],
      ["declared", 3, 4],
    ],
  );
  assert.equal(value.gaps[1].sums.subnet.txPackets, 2n ** 60n);
  assert.deepEqual([value.completeness.gaps, value.completeness.missing], [1, 2]);
  const one = askStore(reader, { kind: "gaps", ...baseOf(), limit: 1 }).value;
  assert.deepEqual(one.truncated, ["gaps"]);
});
