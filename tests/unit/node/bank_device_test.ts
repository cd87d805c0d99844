/**
 * Goal: what eight data-plane threads count reaches the device's visitor once, also when they answer late, have ended, or
 * die in the middle of a hand-over. Method: real banks in one thread under virtual time, writers that answer when told;
 * SPEC's cases M-2 and S-2 as fixed interleavings.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createBanks, FlowReader, FlowWriter } from "../../../src/flow/mod.ts";
import { FLOWS_MAX_MIN } from "../../../src/limits.ts";
import { Logger, type StatisticsRow } from "../../../src/netlog/mod.ts";
import { BankDevice } from "../../../src/node/bank_device.ts";
import { MemoryClock } from "../../../src/platform/memory.ts";
import { advance, runUntilIdle, settle } from "../../support/virtual_time.ts";
import { addSums, keyOf, nameOf, noSums, SECRET, type Sums, swapped } from "../flow/support.ts";
import { add, listSums, MemorySink } from "../netlog/logger_support.ts";

const WRITERS = 8;

/** A data plane of several threads that look at the hand-over when they are told to. */
class DataPlane {
  readonly clock = new MemoryClock();
  readonly writers: FlowWriter[] = [];
  readonly device: BankDevice;
  wakes = 0;
  /** What wake() does. */
  onWake = () => this.handOver();

  constructor(writers = WRITERS, flowsMax = FLOWS_MAX_MIN) {
    const readers = Array.from({ length: writers }, () => {
      const memory = createBanks(flowsMax, SECRET);
      this.writers.push(new FlowWriter(memory, () => this.device.counting()));
      return new FlowReader(memory);
    });
    const wake = () => {
      this.wakes++;
      this.onWake();
    };
    this.device = new BankDevice({ readers, timers: this.clock, hashSecret: SECRET, wake });
  }

  handOver(): void {
    for (const writer of this.writers) writer.handOver();
  }

  /** Extracts into a list of rows by name. */
  async extract(into: Map<string, Sums>): Promise<void> {
    await this.device.extractStatistics((row) => {
      const name = row.other ? "other" : nameOf(row.key);
      const sums = into.get(name) ?? noSums();
      addSums(sums, { ...noSums(), ...sumsOf(row) });
      into.set(name, sums);
    });
  }
}

function sumsOf({ txPackets, txBytes, rxPackets, rxBytes }: StatisticsRow): Sums {
  return { txPackets, txBytes, rxPackets, rxBytes };
}

function sumMap(rows: Map<string, Sums>): Sums {
  const sums = noSums();
  for (const row of rows.values()) addSums(sums, row);
  return sums;
}

test("extractStatistics() makes one row of what all threads counted of one flow", async () => {
  const plane = new DataPlane(2);
  plane.writers[0].countTx(keyOf({}), 1, 100, 0);
  plane.writers[1].countTx(keyOf({}), 2, 250, 0);
  plane.writers[1].countRx(swapped(keyOf({})), 3, 30, 0);
  const rows: Sums[] = [];
  await plane.device.extractStatistics((row) => void rows.push(sumsOf(row)));
  assert.deepEqual(rows, [
    { txPackets: 3, txBytes: 350, rxPackets: 3, rxBytes: 30 },
  ]);
  assert.deepEqual(plane.device.statisticsTotals(), {
    txPackets: 3,
    txBytes: 350,
    rxPackets: 3,
    rxBytes: 30,
  });
});

test("extractStatistics() wakes nobody when nothing was counted, and asks only who counted", async () => {
  const plane = new DataPlane();
  const rows = new Map<string, Sums>();
  await plane.extract(rows);
  assert.deepEqual([plane.wakes, rows.size], [0, 0]);
  plane.writers[3].countTx(keyOf({}), 1, 1, 0);
  // The others would never answer: they have no reason to.
  plane.onWake = () => plane.writers[3].handOver();
  await plane.extract(rows);
  assert.deepEqual([plane.wakes, rows.size], [1, 1]);
  assert.equal(plane.clock.nextDueMs, Infinity);
});

test("extractStatistics() waits for threads that answer late, each at its time", async () => {
  const plane = new DataPlane();
  plane.onWake = () => {};
  for (const [index, writer] of plane.writers.entries()) {
    writer.countTx(keyOf({ src: index }), 1, 10, 0);
  }
  const rows = new Map<string, Sums>();
  let isDone = false;
  const done = plane.extract(rows).then(() => isDone = true);
  for (const writer of plane.writers) {
    await advance(plane.clock, 3);
    await settle();
    assert.equal(isDone, false);
    assert.equal(rows.size, 0);
    // What is counted until the answer belongs to this window.
    writer.countTx(keyOf({ src: 99 }), 1, 10, 0);
    writer.handOver();
    writer.countTx(keyOf({ src: 100 }), 1, 10, 0);
  }
  await advance(plane.clock, 1);
  await done;
  assert.equal(rows.get(nameOf(keyOf({ src: 99 })))?.txPackets, WRITERS);
  assert.equal(rows.has(nameOf(keyOf({ src: 100 }))), false);
  assert.equal(sumMap(rows).txPackets, 2 * WRITERS);
  assert.equal(plane.clock.nextDueMs, Infinity);
});

test("extractStatistics() takes what threads that have ended counted, without an answer", async () => {
  const plane = new DataPlane();
  plane.onWake = () => {};
  for (const writer of plane.writers) writer.countTx(keyOf({}), 1, 10, 0);
  plane.device.writersEnded();
  const rows = new Map<string, Sums>();
  await plane.extract(rows);
  assert.equal(sumMap(rows).txPackets, WRITERS);
  // And nothing twice.
  await plane.extract(rows);
  assert.equal(sumMap(rows).txPackets, WRITERS);
});

test("extractStatistics() does not hang when threads die while it waits for them", async () => {
  const plane = new DataPlane();
  plane.onWake = () => {};
  for (const writer of plane.writers) writer.countTx(keyOf({}), 1, 10, 0);
  const rows = new Map<string, Sums>();
  const done = plane.extract(rows);
  await advance(plane.clock, 50);
  // Half have answered, and counted on, when all die.
  for (const writer of plane.writers.slice(4)) {
    writer.handOver();
    writer.countRx(keyOf({}), 1, 7, 0);
  }
  plane.device.writersEnded();
  await runUntilIdle(plane.clock);
  await done;
  assert.deepEqual(sumMap(rows), { ...noSums(), txPackets: WRITERS, txBytes: 10 * WRITERS });
  await plane.extract(rows);
  assert.deepEqual(sumMap(rows), {
    txPackets: WRITERS,
    txBytes: 10 * WRITERS,
    rxPackets: 4,
    rxBytes: 28,
  });
});

test("onCounting() tells of the first count into an empty bank, once, and nobody when nobody listens", async () => {
  const plane = new DataPlane(2);
  let told = 0;
  plane.writers[0].countTx(keyOf({}), 1, 1, 0);
  plane.device.onCounting(() => told++);
  await plane.extract(new Map());
  plane.writers[0].countTx(keyOf({}), 1, 1, 0);
  plane.writers[0].countTx(keyOf({ src: 2 }), 1, 1, 0);
  assert.equal(told, 1);
  plane.writers[1].countTx(keyOf({}), 1, 1, 0);
  assert.equal(told, 2);
  plane.device.onCounting(null);
  await plane.extract(new Map());
  plane.writers[0].countTx(keyOf({}), 1, 1, 0);
  assert.equal(told, 2);
});

// ---- Conservation ---------------------------------------------------------------------------------------------------

type Step =
  | { readonly kind: "count"; readonly writer: number; readonly flow: number; readonly tx: boolean }
  | { readonly kind: "extract" | "wait" | "handOver"; readonly writer: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("count" as const),
      writer: fc.nat(WRITERS - 1),
      // More flows than a bank has rows for.
      flow: fc.oneof(fc.nat(3), fc.nat(200)),
      tx: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("extract" as const, "wait" as const, "handOver" as const),
      writer: fc.nat(WRITERS - 1),
    }),
  },
);

test("BankDevice hands over each count once, whenever threads answer and end", async () => {
  let extractions = 0;
  const scenario = fc.array(anyStep, { maxLength: 300, size: "max" });
  await fc.assert(
    fc.asyncProperty(scenario, fc.boolean(), async (steps, endsEarly) => {
      const plane = new DataPlane();
      plane.onWake = () => {};
      const rows = new Map<string, Sums>();
      const expected = noSums();
      let pending: Promise<void> | null = null;
      for (const step of steps) {
        if (step.kind === "count") {
          const key = keyOf({ src: step.flow });
          const bytes = 40 + step.flow;
          if (step.tx) plane.writers[step.writer].countTx(key, 1, bytes, 0);
          else plane.writers[step.writer].countRx(swapped(key), 1, bytes, 0);
          addSums(
            expected,
            step.tx
              ? { ...noSums(), txPackets: 1, txBytes: bytes }
              : { ...noSums(), rxPackets: 1, rxBytes: bytes },
          );
        } else if (step.kind === "handOver") {
          for (const writer of plane.writers.slice(step.writer / 2)) writer.handOver();
        } else if (step.kind === "wait") await advance(plane.clock, 2);
        else if (pending === null) {
          extractions++;
          pending = plane.extract(rows).then(() => {
            pending = null;
          });
        }
        await settle();
      }
      if (!endsEarly) plane.handOver();
      plane.device.writersEnded();
      await runUntilIdle(plane.clock);
      await pending;
      await plane.extract(rows);
      await plane.extract(rows);
      assert.deepEqual(sumMap(rows), expected);
      assert.deepEqual(plane.device.statisticsTotals(), expected);
    }),
    { seed: 7, numRuns: 60 },
  );
  assert.ok(extractions > 200, `${extractions}`);
});

/** The same numbers in every run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

/** Counts 1,000 packets as SPEC's M-2 has them by each thread, mixed, with `between` after each. */
async function countMixed(
  plane: DataPlane,
  between: (packet: number) => Promise<void>,
): Promise<Map<string, Sums>> {
  const random = randomOf(8);
  const expected = new Map<string, Sums>();
  for (let packet = 0; packet < 1_000 * WRITERS; packet++) {
    const key = keyOf({
      proto: random(2) === 0 ? 6 : 17,
      ...{ src: random(16), dst: random(16), srcPort: random(16), dstPort: random(16) },
    });
    const isTx = random(2) === 0;
    const bytes = 64 + random(1_024);
    const writer = plane.writers[random(WRITERS)];
    if (isTx) writer.countTx(key, 1, bytes, 0);
    else writer.countRx(swapped(key), 1, bytes, 0);
    const sums = expected.get(nameOf(key)) ?? noSums();
    addSums(sums, {
      ...noSums(),
      ...(isTx ? { txPackets: 1, txBytes: bytes } : { rxPackets: 1, rxBytes: bytes }),
    });
    expected.set(nameOf(key), sums);
    if (random(3) === 0) plane.writers[random(WRITERS)].handOver();
    await between(packet);
  }
  return expected;
}

test("BankDevice: merged extractions equal what was counted, row by row (S-2)", async () => {
  const plane = new DataPlane(WRITERS, 4_096);
  const merged = new Map<string, Sums>();
  const expected = await countMixed(plane, async (packet) => {
    if (packet % 700 === 0) await plane.extract(merged);
  });
  plane.device.writersEnded();
  await plane.extract(merged);
  const sorted = (rows: Map<string, Sums>) => [...rows].sort(([a], [b]) => a < b ? -1 : 1);
  assert.deepEqual(sorted(merged), sorted(expected));
});

test("Logger over BankDevice: windows of 10 ms lose nothing under eight writers (M-2)", async () => {
  const plane = new DataPlane();
  const sink = new MemorySink(plane.clock);
  const warnings: string[] = [];
  const logger = new Logger({
    clock: plane.clock,
    timers: plane.clock,
    hashSecret: SECRET,
    warn: (message) => void warnings.push(message),
    exitPolicy: { mode: "full" },
    periodMs: 10,
  });
  await logger.startup({ name: "wg0", tun: plane.device, sink });
  const expected = await countMixed(plane, async (packet) => {
    if (packet % 240 === 0) await advance(plane.clock, 3);
  });
  plane.device.writersEnded();
  await logger.shutdown();
  const { messages } = sink;
  assert.ok(sink.windows.length >= 10, `${sink.windows.length}`);
  // A bank's rows and its folded ones, and "other".
  const rowsMax = WRITERS * (FLOWS_MAX_MIN + FLOWS_MAX_MIN / 16 + 1);
  for (const { startNs, endNs, exit, virtual, subnet, physical } of messages) {
    assert.ok(startNs <= endNs);
    assert.ok(exit.length >= 1 && exit.length <= rowsMax);
    assert.equal(virtual.length + subnet.length + physical.length, 0);
  }
  assert.deepEqual(listSums(messages).exit, add([sumMap(expected)]));
  assert.deepEqual(add([plane.device.statisticsTotals()]), add([sumMap(expected)]));
  assert.ok(messages.some(({ exit }) => exit.some(({ folded }) => folded)));
  assert.deepEqual(warnings, []);
});
