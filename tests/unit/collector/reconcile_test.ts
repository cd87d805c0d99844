/**
 * Goal: bounds of loss always hold the true loss, alarms come with loss and never without, whatever windows, clocks and
 * delays do within the margins. Method: packets between simulated nodes, each with its own clock and window grid.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { ReconcileQuestion } from "../../../src/collector/query/question.ts";
import type { TwinRow } from "../../reference/store_twin.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { askStore, baseOf, filterOf, type Found, rowOf, START_MS } from "./query_support.ts";

const WINDOW_MS = 5_000;
const ADDRESSES = ["100.64.0.1", "100.64.0.2"];
/** The simulation runs longer than the range on both sides. */
const SPAN_MS = 180_000;
const RANGE = { fromMs: START_MS + 30_000, toMs: START_MS + 150_000 };

interface Packet {
  readonly sentMs: number;
  /** null = lost on the way. */
  readonly receivedMs: number | null;
  /** Which of the two sent it. */
  readonly from: 0 | 1;
}

interface World {
  readonly packets: readonly Packet[];
  readonly skewsMs: readonly [number, number];
  /** Where each one's windows begin within the grid. */
  readonly phasesMs: readonly [number, number];
  /** What an end is made to write instead of its rows; absent: the truth. */
  readonly forge?: (end: 0 | 1, row: TwinRow, startMs: number) => TwinRow | null;
  /** Messages that never came, by end and window. */
  readonly isLost?: (end: 0 | 1, window: number) => boolean;
}

function questionOf(more: Partial<ReconcileQuestion> = {}): ReconcileQuestion {
  return {
    kind: "reconcile",
    ...baseOf({ range: RANGE }),
    skewMs: 2_000,
    transitMs: 1_000,
    limit: 100,
    hasAll: true,
    ...more,
  };
}

/** Logs of both ends: what each counted in each of its windows, by its own clock. */
function logOf(world: World): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  reader.addStream();
  reader.addStream();
  for (const end of [0, 1] as const) {
    const offsetMs = START_MS + world.phasesMs[end];
    const windows = Math.floor(SPAN_MS / WINDOW_MS);
    for (let window = 0; window < windows; window++) {
      if (world.isLost?.(end, window)) continue;
      const startMs = offsetMs + window * WINDOW_MS;
      const row = rowOfWindow(world, end, startMs);
      const forged = row === null ? null : world.forge?.(end, row, startMs);
      const rows = [forged === undefined ? row : forged].filter((each) => each !== null);
      reader.add({
        stream: end + 1,
        procId: end + 1,
        procSeq: window + 1,
        clientTimeNs: null,
        startNs: BigInt(startMs) * 1_000_000n + 1n,
        endNs: BigInt(startMs + WINDOW_MS) * 1_000_000n,
        rows,
      }, { srcNode: { nodeId: `id${end + 1}`, addresses: [ADDRESSES[end]] } });
    }
  }
  return reader;
}

function rowOfWindow({ packets, skewsMs }: World, end: 0 | 1, startMs: number): TwinRow | null {
  const isIn = (ms: number | null) =>
    ms !== null && ms + skewsMs[end] > startMs && ms + skewsMs[end] <= startMs + WINDOW_MS;
  const tx = packets.filter(({ from, sentMs }) => from === end && isIn(sentMs)).length;
  const rx = packets.filter(({ from, receivedMs }) => from !== end && isIn(receivedMs)).length;
  if (tx + rx === 0) return null;
  return rowOf({
    src: ADDRESSES[end],
    dst: ADDRESSES[1 - end],
    srcPort: end === 0 ? 40_000 : 443,
    dstPort: end === 0 ? 443 : 40_000,
    counters: [BigInt(tx), BigInt(tx * 100), BigInt(rx), BigInt(rx * 100)],
  });
}

const margin = fc.integer({ min: -2_000, max: 2_000 });
const phase = fc.integer({ min: 0, max: WINDOW_MS - 1 });

/** @param lossPercent Of packets. */
function worldWith(lossPercent: fc.Arbitrary<number>): fc.Arbitrary<World> {
  return fc.record({
    count: fc.integer({ min: 1, max: 400 }),
    seed: fc.nat(),
    lossPercent,
    span: fc.record({ from: fc.nat(SPAN_MS), length: fc.integer({ min: 1, max: SPAN_MS }) }),
    skewsMs: fc.tuple(margin, margin),
    phasesMs: fc.tuple(phase, phase),
  }).map(({ count, seed, lossPercent, span, skewsMs, phasesMs }) => {
    let state = seed | 1;
    const random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    const packets = Array.from({ length: count }, (): Packet => {
      const sentMs = START_MS + span.from + Math.floor(random() * span.length);
      const isLost = random() * 100 < lossPercent;
      const receivedMs = isLost ? null : sentMs + Math.floor(random() * 1_000);
      return { sentMs, receivedMs, from: random() < 0.5 ? 0 : 1 };
    });
    return { packets, skewsMs, phasesMs };
  });
}

test("reconcile: the true loss always lies within the bounds", () => {
  let compared = 0;
  fc.assert(
    fc.property(worldWith(fc.integer({ min: 0, max: 100 })), (world) => {
      const { value } = askStore(logOf(world), questionOf());
      for (const pair of value.pairs) {
        for (const { from, verdict, lostPackets, lostBytes } of pair.directions) {
          if (verdict === "unknown") continue;
          const end = from === "node1" ? 0 : 1;
          // The pair's stretch of true time: the whole range, for both logs go on around it.
          const lost = world.packets.filter((packet) =>
            packet.from === end && packet.receivedMs === null &&
            packet.sentMs > RANGE.fromMs && packet.sentMs <= RANGE.toMs
          ).length;
          assert.ok(lostPackets[0] <= lost && lost <= lostPackets[1], `${lost} in ${lostPackets}`);
          assert.ok(lostBytes[0] <= lost * 100 && lost * 100 <= lostBytes[1]);
          compared++;
        }
      }
    }),
    { numRuns: 150, seed: 6 },
  );
  assert.ok(compared > 150, `only ${compared} bounds were compared`);
});

test("reconcile: no alarm without loss", () => {
  let flows = 0;
  fc.assert(
    fc.property(worldWith(fc.constant(0)), (world) => {
      const { value } = askStore(logOf(world), questionOf());
      assert.equal(value.alarms, 0, "an alarm");
      for (const pair of value.pairs) flows += pair.verdicts.good;
    }),
    { numRuns: 150, seed: 7 },
  );
  assert.ok(flows > 150, `only ${flows} flows were found good`);
});

/** A steady flow both ways, over the whole simulation. */
function steady(lossEvery = Infinity): Packet[] {
  return Array.from({ length: SPAN_MS / 100 }, (_value, index) => ({
    sentMs: START_MS + index * 100,
    receivedMs: index % lossEvery === 0 && lossEvery < Infinity
      ? null
      : START_MS + index * 100 + 30,
    from: (Math.floor(index / 2) % 2) as 0 | 1,
  }));
}

const EVEN = { skewsMs: [1_500, -1_500], phasesMs: [0, 2_500] } as const;

test("reconcile: no alarm without loss where messages are missing anywhere", () => {
  let compared = 0;
  const window = fc.nat(SPAN_MS / WINDOW_MS - 2).map((number) => number + 1);
  const lost = fc.tuple(fc.array(window, { maxLength: 3 }), fc.array(window, { maxLength: 3 }));
  // Long flows, and bursts that may fall next to what is missing.
  const worlds = fc.oneof(
    worldWith(fc.constant(0)),
    fc.tuple(worldWith(fc.constant(0)), fc.nat(SPAN_MS)).map(([world, atMs]) => ({
      ...world,
      packets: world.packets.map((packet, index): Packet => {
        const sentMs = START_MS + atMs + index * 5;
        return { ...packet, sentMs, receivedMs: sentMs + 20 };
      }),
    })),
  );
  fc.assert(
    fc.property(worlds, lost, (world, lost) => {
      const isLost = (end: 0 | 1, number: number) => lost[end].includes(number);
      const { value } = askStore(logOf({ ...world, isLost }), questionOf());
      assert.equal(value.alarms, 0, "an alarm");
      for (const { directions: [{ verdict }], share } of value.pairs) {
        if (verdict !== "unknown" && share < 1) compared++;
      }
    }),
    { numRuns: 400, seed: 13 },
  );
  assert.ok(compared > 100, `only ${compared} worlds had something to compare`);
});

test("reconcile: large loss is alarmed, with bounds that hold it", () => {
  const { value } = askStore(logOf({ packets: steady(2), ...EVEN }), questionOf({ hasAll: false }));
  assert.ok(value.alarms > 0);
  const [{ verdict, lostPackets }] = value.pairs[0].flows;
  assert.equal(verdict, "loss");
  assert.ok(lostPackets[0] > 0);
});

test("reconcile: a flow that lies within the range is exact to the packet", () => {
  const packets = [0, 1, 2, 3].map((index): Packet => ({
    sentMs: START_MS + 90_000 + index * 100,
    receivedMs: index === 2 ? null : START_MS + 90_010 + index * 100,
    from: 0,
  }));
  const { value } = askStore(logOf({ packets, ...EVEN }), questionOf());
  const flow = value.pairs[0].flows.find((found: Found) => found.from === "node1");
  assert.deepEqual(flow.lostPackets, [1, 1]);
  assert.deepEqual(flow.lostBytes, [100, 100]);
  assert.equal(flow.verdict, "loss");
  assert.equal(value.alarms, 1);
});

test("reconcile: an end that leaves out the flow is `withheld`; one that receives more than was sent is `altered`", () => {
  const hidden = logOf({
    packets: steady(),
    ...EVEN,
    forge: (end, row) => end === 1 ? null : row,
  });
  const { value } = askStore(hidden, questionOf({ hasAll: false }));
  const verdicts = value.pairs[0].flows.map(({ from, verdict }: Found) => [from, verdict]);
  // Node 2 received what node 1 sent but says nothing of it: that may be loss. What it sent it hides for certain.
  assert.deepEqual(verdicts.sort(), [["node1", "loss"], ["node2", "withheld"]]);
  const more = logOf({
    packets: steady(),
    ...EVEN,
    forge: (end, row) => {
      const [tx, txBytes, rx, rxBytes] = row.counters;
      return end === 1 ? { ...row, counters: [tx, txBytes, rx * 3n, rxBytes * 3n] } : row;
    },
  });
  const [first] = askStore(more, questionOf({ hasAll: false })).value.pairs[0].flows;
  assert.equal(first.from, "node1");
  assert.equal(first.verdict, "altered");
  assert.ok(first.lostPackets[1] < 0);
});

test("reconcile: where an end is not complete nothing is alarmed", () => {
  const world = { packets: steady(), ...EVEN };
  // Node 2's messages are missing in the whole range, before and after it they came.
  const missing = logOf({
    ...world,
    isLost: (end, window) => end === 1 && window > 2 && window < 33,
  });
  const { value } = askStore(missing, questionOf());
  assert.equal(value.alarms, 0);
  assert.equal(value.pairs[0].directions[0].verdict, "unknown");
  assert.equal(value.pairs[0].directions[0].lostPackets, null);
  // One window alone: the rest of the time is still compared, and in it nothing is lost.
  const one = logOf({ ...world, isLost: (end, window) => end === 1 && window === 18 });
  const cut = askStore(one, questionOf()).value;
  assert.equal(cut.alarms, 0);
  assert.ok(cut.pairs[0].share > 0.5 && cut.pairs[0].share < 1);
  assert.equal(cut.pairs[0].directions[0].verdict, "good");
});

test("reconcile: a filter that only one end's rows match does not make the other silent", () => {
  const reader = logOf({ packets: steady(), ...EVEN });
  for (const text of ["node node1", "src host 100.64.0.2", "dport 443"]) {
    const { value } = askStore(reader, questionOf({ filter: filterOf(text) }));
    assert.equal(value.pairs.length, 1);
    assert.equal(value.alarms, 0, text);
  }
  const none = askStore(reader, questionOf({ filter: filterOf("dport 22") })).value;
  assert.deepEqual(none.pairs, []);
});

test("reconcile: rows without room of their own make the pair unknown", () => {
  const folded = logOf({
    packets: steady(2),
    ...EVEN,
    forge: (end, row, startMs) =>
      end === 1 && startMs > START_MS + 90_000 ? { ...row, folded: true } : row,
  });
  const { value } = askStore(folded, questionOf());
  assert.equal(value.alarms, 0);
  assert.equal(value.pairs[0].directions[0].verdict, "unknown");
});

test("reconcile: of thousands of flows each has its own sums, and a filter leaves those it wants", () => {
  const flows = 6_000;
  const window = { startMs: START_MS + 60_000, endMs: START_MS + 65_000 };
  const reader = new MemoryStoreReader();
  reader.addStream();
  reader.addStream();
  for (const end of [0, 1] as const) {
    for (let at = START_MS; at < START_MS + SPAN_MS; at += WINDOW_MS) {
      const rows = at === window.startMs ? manyRows(end, flows) : [];
      reader.add({
        ...{ stream: end + 1, procId: end + 1, procSeq: (at - START_MS) / WINDOW_MS + 1 },
        ...{ clientTimeNs: null, startNs: BigInt(at) * 1_000_000n + 1n },
        endNs: BigInt(at + WINDOW_MS) * 1_000_000n,
        rows,
      }, { srcNode: { nodeId: `id${end + 1}`, addresses: [ADDRESSES[end]] } });
    }
  }
  const { value } = askStore(reader, questionOf({ limit: 2 * flows }));
  const [pair] = value.pairs;
  assert.equal(pair.flowCount, flows);
  assert.deepEqual(pair.verdicts, { ...NO_VERDICTS, good: 2 * flows - 1, loss: 1 });
  assert.equal(value.alarms, 1);
  assert.deepEqual([pair.flows[0].sport, pair.flows[0].lostPackets], [LOSSY_PORT, [1, 1]]);
  const sums = new Map(
    pair.flows.filter(({ src }: Found) => src === ADDRESSES[0]).map((
      { sport, sentPackets }: Found,
    ) => [sport, sentPackets]),
  );
  for (let port = 1; port <= flows; port++) assert.deepEqual(sums.get(port), [port, port]);
  const filter = filterOf(`port ${LOSSY_PORT}`);
  const [wanted] = askStore(reader, questionOf({ filter })).value.pairs;
  assert.deepEqual([wanted.flowCount, wanted.verdicts.loss], [1, 1]);
});

const NO_VERDICTS = { good: 0, loss: 0, altered: 0, withheld: 0, unknown: 0 };
/** Of whose flow one packet is lost. */
const LOSSY_PORT = 5_999;

/** One row for each port from 1 on: as many packets as the port's number, one back. */
function manyRows(end: 0 | 1, flows: number): TwinRow[] {
  return Array.from({ length: flows }, (_flow, index) => {
    const port = index + 1;
    const sent = BigInt(port);
    const received = port === LOSSY_PORT ? sent - 1n : sent;
    const [tx, rx] = end === 0 ? [sent, 1n] : [1n, received];
    return rowOf({
      ...{ src: ADDRESSES[end], dst: ADDRESSES[1 - end] },
      ...{ srcPort: end === 0 ? port : 443, dstPort: end === 0 ? 443 : port },
      counters: [tx, tx * 100n, rx, rx * 100n],
    });
  });
}
