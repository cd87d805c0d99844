/** Goal: no answer looks like "nothing happened" where rows are no longer kept; over the twin, and over SQLite after retention. */
import { test } from "node:test";
import assert from "node:assert/strict";
import type { FlowsQuestion, SeriesQuestion } from "../../../src/collector/query/question.ts";
import { openSqliteReader } from "../../../src/collector/sqlite/mod.ts";
import type { StoreReader } from "../../../src/collector/store.ts";
import { ORPHAN_KEPT_MS } from "../../../src/limits.ts";
import { makeBatch } from "../../support/store_batches.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { type Scene, scene } from "./store_support.ts";
import {
  askStore,
  baseOf,
  filterOf,
  type Found,
  HOUR_MS,
  MINUTE_MS,
  rowOf,
  START_MS,
  topOf,
  windowOf,
} from "./query_support.ts";

const DAY_MS = 24 * HOUR_MS;
/** Windows of 5 s, one row of 100 bytes sent and 200 received each: ten minutes of them from START_MS on. */
const WINDOWS = 120;
const TEN = 10 * MINUTE_MS;

function logOf(streams = 1): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  for (let stream = 1; stream <= streams; stream++) {
    reader.addStream();
    for (let index = 0; index < WINDOWS; index++) {
      reader.add(windowOf(index, [rowOf()], { stream, procId: stream }));
    }
  }
  return reader;
}

const range = { fromMs: START_MS, toMs: START_MS + TEN };

function seriesOf(more: Partial<SeriesQuestion> = {}): SeriesQuestion {
  return {
    kind: "series",
    ...baseOf({ range }),
    by: "class",
    stepMs: 0,
    limit: 2,
    order: "bytes",
    tier: "auto",
    netBits4: 24,
    netBits6: 48,
    ...more,
  };
}

function flowsOf(more: Partial<FlowsQuestion> = {}): FlowsQuestion {
  const base = baseOf({ range });
  return { kind: "flows", ...base, limit: 1_000, isNewestFirst: true, cursor: null, ...more };
}

const CONNECTION = {
  node: "node1",
  proto: 6,
  src: "100.64.0.1",
  srcPort: 40_000,
  dst: "100.64.0.2",
  dstPort: 443,
};

function ok({ status, value }: { status: number; value: Found }): Found {
  assert.equal(status, 200, value.error?.message);
  return value;
}

/** Time as answers write it. */
function text(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
}

test("top: sums that raw no longer holds come from minutes, then from hours, whole and said so", () => {
  const reader = logOf();
  const short = { ...baseOf({ range: { fromMs: START_MS, toMs: START_MS + 4 * MINUTE_MS } }) };
  for (const by of [["dst"], ["class"]] as const) {
    const question = topOf({ ...short, by });
    reader.forget({ rawMs: 0, minuteMs: 0 });
    const before = ok(askStore(reader, question));
    assert.deepEqual([before.notes, before.total.txBytes], [[], 4_800]);
    assert.ok(!("keptFrom" in before.completeness));
    reader.forget({ rawMs: START_MS + 5_000 });
    const byMinute = ok(askStore(reader, question));
    assert.match(byMinute.tier, /minute$/);
    assert.equal(byMinute.total.txBytes, 4_800);
    assert.match(
      byMinute.notes[0],
      /^Single windows up to 2026-01-05T10:00:05Z are no longer kept/,
    );
    assert.equal(byMinute.completeness.share, 1);
    assert.ok(!("keptFrom" in byMinute.completeness));
    reader.forget({ minuteMs: START_MS + MINUTE_MS });
    const byHour = ok(askStore(reader, question));
    assert.match(byHour.tier, /hour$/);
    assert.deepEqual(byHour.range, { from: text(START_MS), to: text(START_MS + HOUR_MS) });
    assert.equal(byHour.total.txBytes, 12_000);
  }
});

test("top: what only windows tell is told of the time that is kept: sums, average, rates and share", () => {
  const reader = logOf();
  const half = START_MS + TEN / 2;
  // The log goes on, so that all of the range is expected.
  const question = topOf({ ...baseOf({ range }), by: ["sport"], hasRates: true });
  const whole = ok(askStore(reader, question));
  reader.forget({ rawMs: half });
  const value = ok(askStore(reader, question));
  assert.deepEqual([whole.total.txBytes, value.total.txBytes], [12_000, 6_000]);
  assert.deepEqual(value.range, { from: text(START_MS), to: text(START_MS + TEN) });
  const rates = ({ averageBitsPerSecond, percentile95BitsPerSecond }: Found) => [
    averageBitsPerSecond,
    percentile95BitsPerSecond,
  ];
  assert.deepEqual(rates(value.groups[0]), rates(whole.groups[0]));
  assert.deepEqual(rates(value.groups[0]), [480, 480]);
  assert.ok(Math.abs(value.completeness.share - 0.5) < 1e-6, `${value.completeness.share}`);
  assert.equal(value.completeness.keptFrom, text(half));
  // That is the store's doing, not the node's.
  assert.equal(value.completeness.nodesIncomplete, 0);
  assert.match(value.notes[0], /what is told is of the time behind$/);
  // Time that is gone is no idle time: of 120 buckets less than 95 of 100 would be left.
  reader.forget({ rawMs: START_MS + TEN - 25_000 });
  assert.deepEqual(rates(ok(askStore(reader, question)).groups[0]), [480, 480]);
  reader.forget({ rawMs: START_MS + DAY_MS });
  const none = ok(askStore(reader, question));
  assert.deepEqual([none.groups, none.completeness.share], [[], 0]);
  assert.equal(none.completeness.keptFrom, text(START_MS + TEN));
});

test("series: an open step becomes what is kept; one that was asked for is null where nothing is kept", () => {
  const reader = logOf();
  const tx = (value: Found) => value.series[0].txBytes;
  reader.forget({ rawMs: START_MS + TEN / 2 });
  const open = ok(askStore(reader, seriesOf()));
  assert.deepEqual([open.stepMs, tx(open)], [MINUTE_MS, Array(10).fill(1_200)]);
  assert.deepEqual(open.notes, [
    "Steps of 5 s are no longer kept for all of the range: they are of 60 s instead",
  ]);
  const asked = ok(askStore(reader, seriesOf({ stepMs: 60_000 / 4 })));
  assert.deepEqual(tx(asked), [...Array(20).fill(null), ...Array(20).fill(300)]);
  assert.deepEqual(asked.series[1].txBytes, [...Array(20).fill(null), ...Array(20).fill(0)]);
  assert.deepEqual(asked.shares.slice(18, 22).map(Math.round), [0, 0, 1, 1]);
  assert.equal(asked.completeness.keptFrom, text(START_MS + TEN / 2));
  assert.equal(asked.notes.length, 1);
  reader.forget({ rawMs: START_MS + TEN / 2 + 5_000 });
  const cut = ok(askStore(reader, seriesOf({ stepMs: 15_000 })));
  assert.equal(tx(cut)[20], 200, "what is left of a step that was cut, beside its share");
  assert.equal(Math.round(cut.shares[20] * 3), 2);
  reader.forget({ minuteMs: START_MS + TEN });
  const hours = ok(askStore(reader, seriesOf()));
  assert.deepEqual([hours.stepMs, tx(hours)], [HOUR_MS, [12_000]]);
  const minutes = ok(askStore(reader, seriesOf({ stepMs: MINUTE_MS, by: "dst", tier: "minute" })));
  assert.deepEqual(minutes.series, []);
  assert.deepEqual(minutes.rest.txBytes, Array(10).fill(null));
  // No roll-up tells source ports, so no step helps.
  const ports = ok(askStore(reader, seriesOf({ filter: filterOf("sport 40000") })));
  assert.deepEqual([ports.stepMs, tx(ports)[60], tx(ports)[61]], [5_000, null, 100]);
  // Where all is gone the least step stays.
  reader.forget({
    rawMs: START_MS + DAY_MS,
    minuteMs: START_MS + DAY_MS,
    hourMs: START_MS + DAY_MS,
  });
  const gone = ok(askStore(reader, seriesOf()));
  assert.deepEqual([gone.stepMs, gone.notes.length], [5_000, 1]);
  assert.deepEqual(tx(gone), Array(120).fill(null));
});

test("flows, connection, explain: pages say that windows are gone, and where sums are", () => {
  const reader = logOf();
  const half = START_MS + TEN / 2;
  const base = baseOf({ range });
  const questions = [
    flowsOf(),
    { kind: "connection", ...base, connection: CONNECTION, limit: 1_000 },
    { kind: "explain", ...base, connection: CONNECTION, limit: 1_000 },
  ] as const;
  for (const question of questions) {
    reader.forget({ rawMs: START_MS, hourMs: 0 });
    const all = ok(askStore(reader, question));
    assert.deepEqual([all.flows.length, all.notes], [WINDOWS, []], question.kind);
    assert.ok(!("keptFrom" in all.completeness));
    reader.forget({ rawMs: half });
    const value = ok(askStore(reader, question));
    assert.equal(value.flows.length, WINDOWS / 2);
    assert.deepEqual(value.notes, [
      `Single windows up to ${text(half)} are no longer kept: sums of that time can be asked for`,
    ]);
    assert.equal(value.completeness.keptFrom, text(half));
    assert.ok(value.completeness.share < 0.51);
    reader.forget({ minuteMs: half, hourMs: half });
    assert.match(ok(askStore(reader, question)).notes[0], /no longer kept$/);
    reader.forget({ minuteMs: 0 });
  }
  const { notes, completeness } = ok(askStore(reader, { kind: "gaps", ...base, limit: 5 }));
  assert.deepEqual([notes, completeness.share, completeness.keptFrom], [undefined, 1, undefined]);
});

test("reconcile: windows of one end that are gone are no loss", () => {
  const reader = logOf(0);
  for (
    const [stream, src, dst] of [[1, "100.64.0.1", "100.64.0.2"], [
      2,
      "100.64.0.2",
      "100.64.0.1",
    ]] as const
  ) {
    reader.addStream();
    for (let index = 0; index < WINDOWS; index++) {
      const ports = stream === 1 ? [40_000, 443] : [443, 40_000];
      const counters = [2n, 200n, 2n, 200n] as const;
      const row = rowOf({ src, dst, srcPort: ports[0], dstPort: ports[1], counters });
      const rest = { srcNode: undefined, nodeId: `id${stream}`, virtualTraffic: [] };
      reader.add(windowOf(index, [row], { stream, procId: stream }), {
        ...rest,
        srcNode: { nodeId: `id${stream}`, name: `node${stream}`, addresses: [src] },
        dstNodes: [{ nodeId: `id${3 - stream}`, name: `node${3 - stream}`, addresses: [dst] }],
      });
    }
  }
  const question = {
    kind: "reconcile",
    ...baseOf({ range }),
    skewMs: 2_000,
    transitMs: 1_000,
    limit: 10,
    hasAll: true,
  } as const;
  const whole = ok(askStore(reader, question));
  assert.equal(whole.pairs.length, 1);
  assert.equal(whole.alarms, 0);
  // The twin forgets both ends' alike; of stream 2 something more is gone, as after its adoption.
  for (const lostMs of [TEN / 2, TEN / 2 + 2_500, TEN - 20_000, TEN]) {
    reader.forgetOrphan(2, START_MS + lostMs);
    const value = ok(askStore(reader, question));
    assert.equal(value.alarms, 0, `${lostMs}`);
    assert.match(value.notes[0], /^Removed before somebody adopted/);
  }
  // What came late of stream 1 may be there still when stream 2's of the same time is gone by age.
  const own = reader.keptSince;
  for (const lostMs of [TEN / 2, TEN / 2 + 2_500, TEN - 20_000, TEN]) {
    reader.forgetOrphan(2, START_MS + lostMs);
    const rawMs = START_MS + lostMs;
    reader.keptSince = () => ({ rawMs, minuteMs: 0, hourMs: 0, orphans: new Map() });
    assert.equal(ok(askStore(reader, question)).alarms, 0, `${lostMs}`);
  }
  reader.keptSince = own;
  reader.forgetOrphan(2, 0);
  for (const lostMs of [TEN / 2, TEN]) {
    reader.forget({ rawMs: START_MS + lostMs });
    const value = ok(askStore(reader, question));
    assert.equal(value.alarms, 0);
    assert.equal(value.completeness.keptFrom, text(START_MS + lostMs));
    assert.match(value.notes[0], /are no longer kept/);
  }
});

test("streams that lost rows as orphans: their time is not complete, by whatever tier", () => {
  const reader = logOf(2);
  reader.forgetOrphan(2, START_MS + TEN / 2);
  for (const by of [["dst"], ["node"]] as const) {
    const value = ok(askStore(reader, topOf({ ...baseOf({ range }), by })));
    assert.ok(Math.abs(value.completeness.share - 0.75) < 1e-6, `${value.completeness.share}`);
    assert.deepEqual(value.notes, [
      `Removed before somebody adopted the log it stood in: rows of node2 up to ${
        text(START_MS + TEN / 2)
      }`,
    ]);
  }
  const only = seriesOf({ stepMs: MINUTE_MS, filter: filterOf("node node2") });
  const value = ok(askStore(reader, only));
  assert.deepEqual(value.series[0].txBytes, [...Array(5).fill(null), ...Array(5).fill(1_200)]);
  assert.equal(value.notes.length, 1);
  const other = ok(askStore(reader, { ...only, filter: filterOf("node node1") }));
  assert.deepEqual([other.notes, other.completeness.share], [[], 1]);
});

// ---- SQLite ---------------------------------------------------------------------------------------------------------

/** A log of ten minutes, rolled up. */
function fill(s: Scene, rows = [rowOf()]): void {
  const stream = s.adopted("a");
  for (let index = 0; index < WINDOWS; index++) {
    const endMs = START_MS + (index + 1) * 5_000;
    s.store.commit(makeBatch(s.store, endMs, [windowOf(index, rows, { stream })]));
  }
  s.settle(START_MS + TEN + MINUTE_MS);
  s.settle(START_MS + 4 * HOUR_MS);
}

/** What four questions say: their tiers, bytes sent, and whether anything is said. */
function asked(reader: StoreReader, nowMs: number): Found {
  const base = baseOf({ range, nowMs });
  const top = ok(askStore(reader, topOf({ ...base, by: ["dst"] })));
  const series = ok(askStore(reader, seriesOf({ ...base })));
  const ports = ok(askStore(reader, seriesOf({ ...base, by: "sport" })));
  const flows = ok(askStore(reader, flowsOf(base)));
  return { top, series, ports, flows };
}

const sum = (values: (number | null)[]) =>
  values.reduce<number>((all, each) => all + (each ?? 0), 0);

test(
  "SQLite, by age: ten minutes of two weeks, of two months and of two years ago",
  scene((s) => {
    fill(s);
    const reader = openSqliteReader(s.path);
    const fresh = asked(reader, START_MS + DAY_MS);
    assert.deepEqual([fresh.series.stepMs, sum(fresh.series.series[0].txBytes)], [5_000, 12_000]);
    assert.deepEqual([fresh.top.notes, fresh.flows.notes, fresh.series.notes], [[], [], []]);
    for (
      const [days, tier, stepMs, bytes] of [
        [14, /minute$/, MINUTE_MS, 12_000],
        [60, /hour$/, HOUR_MS, 12_000],
      ] as const
    ) {
      s.settle(START_MS + days * DAY_MS);
      const { top, series, ports, flows } = asked(reader, START_MS + days * DAY_MS);
      assert.match(top.tier, tier);
      assert.equal(top.total.txBytes, bytes);
      assert.equal(series.stepMs, stepMs);
      assert.equal(sum(series.series[0].txBytes), bytes);
      assert.ok(!("keptFrom" in top.completeness) && !("keptFrom" in series.completeness));
      assert.equal(series.notes.length, 1);
      assert.deepEqual([ports.series, ports.notes.length, ports.completeness.share], [[], 1, 0]);
      assert.ok(ports.rest.txBytes.every((each: unknown) => each === null));
      assert.deepEqual([flows.flows, flows.completeness.share], [[], 0]);
      assert.match(flows.notes[0], /sums of that time can be asked for$/);
      assert.equal(flows.completeness.keptFrom, text(START_MS + TEN));
    }
    // What processes said has gone with the hours: nothing is known, and that is what is said.
    s.settle(START_MS + 730 * DAY_MS);
    const { top, series, flows } = asked(reader, START_MS + 730 * DAY_MS);
    assert.ok(series.series[0].txBytes.every((each: unknown) => each === null));
    for (const { notes, completeness } of [top, series, flows]) {
      assert.equal(notes.length > 0, true);
      assert.equal(completeness.share, null);
      assert.ok("keptFrom" in completeness);
    }
    reader.close();
  }),
);

test(
  "SQLite, by size: sums stay whole while any tier has them, and are said to be less when none has",
  scene((s) => {
    const rows = Array.from(
      { length: 400 },
      (_, n) =>
        rowOf({
          srcPort: 1_000 + n * 7,
          dstPort: n,
          counters: [BigInt(n), BigInt(n * 7_919), 1n, 2n],
        }),
    );
    fill(s, rows);
    s.reopen();
    const before = s.store.sizeBytes();
    const nowMs = START_MS + DAY_MS;
    const whole = ok(askStore(s.reader, topOf({ ...baseOf({ range }), by: ["dst"] })));
    const seen = new Set<string>();
    for (let share = 1; share >= 0; share -= 1 / 32) {
      s.reopen({ kept: { bytesMax: Math.max(1, before * share) } });
      s.settle(nowMs);
      const { rawMs, minuteMs, hourMs } = s.reader.keptSince();
      const { top, series, flows } = asked(s.reader, nowMs);
      const isKept = Math.min(rawMs, minuteMs, hourMs) <= START_MS;
      if (isKept) {
        assert.equal(top.total.txBytes, whole.total.txBytes);
        assert.equal(sum(series.series[0].txBytes), whole.total.txBytes);
        assert.ok(!("keptFrom" in top.completeness));
      } else {
        assert.ok("keptFrom" in top.completeness);
        assert.notDeepEqual([top.notes, series.notes], [[], []]);
        assert.ok(top.completeness.share < 1);
      }
      assert.equal(flows.notes.length, rawMs > START_MS ? 1 : 0);
      seen.add(isKept ? top.tier : "none");
    }
    assert.deepEqual([...seen], ["minute", "hour", "none"]);
  }),
);

test(
  "SQLite: an orphan that is adopted late does not look idle before",
  scene((s) => {
    const { number: stream } = s.store.stream("c", "b".repeat(64), START_MS);
    for (const [index, receivedMs] of [[0, START_MS], [1, START_MS + ORPHAN_KEPT_MS]] as const) {
      s.store.commit(makeBatch(s.store, receivedMs, [windowOf(index, [rowOf()], { stream })]));
    }
    const nowMs = START_MS + ORPHAN_KEPT_MS + 1;
    s.settle(nowMs);
    s.store.adopt("c", "b".repeat(64), nowMs);
    s.settle(nowMs + 4 * HOUR_MS);
    const wish = { ...baseOf({ range: { fromMs: START_MS, toMs: START_MS + 10_000 } }), nowMs };
    const value = ok(askStore(s.reader, seriesOf({ ...wish, stepMs: 5_000 })));
    assert.deepEqual(value.series[0].txBytes, [null, 100]);
    assert.ok(Math.abs(value.completeness.share - 0.5) < 1e-6);
    assert.match(value.notes[0], /^Removed before somebody adopted/);
  }),
);

test("rate: a filter by rate on single windows is of their true length", () => {
  const reader = logOf();
  // 300 bytes in 5 s are 480 bit/s.
  for (
    const [filter, count] of [
      ["rate >= 480", 120],
      ["rate <= 480", 120],
      ["rate > 480", 0],
      ["rate < 480", 0],
    ] as const
  ) {
    const value = ok(askStore(reader, flowsOf({ filter: filterOf(filter) })));
    assert.equal(value.flows.length, count, filter);
    const top = ok(askStore(reader, topOf({ ...baseOf({ range }), filter: filterOf(filter) })));
    assert.equal(top.total.rows, count, filter);
  }
});
