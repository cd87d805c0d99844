/**
 * Goal: whatever the order of counts, flips and readings, each count is in exactly one window's rows. Method: random
 * histories against a Map model in one thread (fast-check commands), then a writer and a reader in two threads whose
 * sums must be equal to the packet.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { createBanks, FlowReader, FlowWriter } from "../../../src/flow/mod.ts";
import { FLOWS_MAX_MIN } from "../../../src/limits.ts";
import {
  addSums,
  copyRow,
  keyOf,
  nameOf,
  noSums,
  type Row,
  SECRET,
  sumRows,
  type Sums,
  swapped,
  takeRows,
} from "./support.ts";

interface Real {
  readonly writer: FlowWriter;
  readonly reader: FlowReader;
}

/** What the banks should hold: the window being counted, the one that was left, and all that was read. */
class Model {
  counting = new Map<string, Sums>();
  left: Map<string, Sums> | null = null;
  /** A flip was asked for and not yet answered. */
  pending = false;
  firsts = 0;
  firstsSeen = 0;
  readonly all = noSums();
  rowsRead = 0;
}

class Count implements fc.Command<Model, Real> {
  constructor(
    readonly flow: Parameters<typeof keyOf>[0],
    readonly isTx: boolean,
    readonly packets: number,
    readonly bytes: number,
  ) {}
  check = () => true;
  run(model: Model, { writer }: Real): void {
    const key = keyOf(this.flow);
    const { packets, bytes } = this;
    if (model.counting.size === 0) model.firsts++;
    const sums = model.counting.get(nameOf(key)) ?? noSums();
    const delta = this.isTx
      ? { ...noSums(), txPackets: packets, txBytes: bytes }
      : { ...noSums(), rxPackets: packets, rxBytes: bytes };
    addSums(sums, delta);
    addSums(model.all, delta);
    model.counting.set(nameOf(key), sums);
    if (this.isTx) writer.countTx(key, packets, bytes, 0);
    else writer.countRx(swapped(key), packets, bytes, 0);
    assert.equal(model.firstsSeen, model.firsts);
  }
  toString = () => `Count(${JSON.stringify(this.flow)}, ${this.isTx}, ${this.packets})`;
}

class HandOver implements fc.Command<Model, Real> {
  check = () => true;
  run(model: Model, { writer, reader }: Real): void {
    if (model.pending) {
      model.pending = false;
      model.left = model.counting;
      model.counting = new Map();
    }
    writer.handOver();
    assert.equal(reader.acknowledged(), true);
  }
  toString = () => "HandOver()";
}

class Flip implements fc.Command<Model, Real> {
  check = () => true;
  run(model: Model, { reader }: Real): void {
    if (model.pending || model.left !== null) {
      assert.throws(() => reader.flip(), /not been cleared/);
      return;
    }
    assert.equal(reader.activeIsEmpty, model.counting.size === 0);
    model.pending = true;
    reader.flip();
    assert.equal(reader.acknowledged(), false);
  }
  toString = () => "Flip()";
}

class Read implements fc.Command<Model, Real> {
  check = () => true;
  run(model: Model, { reader }: Real): void {
    const rows: Row[] = [];
    if (model.left === null) {
      assert.throws(() => reader.forEachRow(() => {}), /has not left/);
      assert.throws(() => reader.clear(), /has not left/);
      return;
    }
    reader.forEachRow((row) => rows.push(copyRow(row)));
    assert.deepEqual(
      rows.map(({ name, txPackets, txBytes, rxPackets, rxBytes }) => [
        name,
        { txPackets, txBytes, rxPackets, rxBytes },
      ]),
      [...model.left],
    );
    model.rowsRead += rows.length;
    model.left = null;
    reader.clear();
  }
  toString = () => "Read()";
}

test("banks equal a Map per window over random histories", () => {
  const flow = fc.record({
    proto: fc.constantFrom(0, 1, 6, 17),
    src: fc.nat({ max: 1 }),
    dstPort: fc.nat({ max: 2 }),
    srcV6: fc.boolean(),
    dstV6: fc.boolean(),
  });
  const commands = [
    fc.tuple(flow, fc.boolean(), fc.integer({ min: 1, max: 50 }), fc.nat({ max: 70_000 })).map((
      args,
    ) => new Count(...args)),
    fc.constant(new HandOver()),
    fc.constant(new Flip()),
    fc.constant(new Read()),
  ];
  let rowsRead = 0;
  fc.assert(
    fc.property(fc.commands(commands, { maxCommands: 200, size: "max" }), (history) => {
      const model = new Model();
      const memory = createBanks(FLOWS_MAX_MIN * 2, SECRET);
      const real = {
        writer: new FlowWriter(memory, () => model.firstsSeen++),
        reader: new FlowReader(memory),
      };
      fc.modelRun(() => ({ model, real }), history);
      assert.deepEqual(real.reader.totals(), model.all);
      rowsRead += model.rowsRead;
    }),
    { seed: 20260104, numRuns: 300 },
  );
  assert.ok(rowsRead > 3_000, `${rowsRead}`);
});

test("banks conserve every count while they overflow, window after window", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.array(fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 9 }), fc.boolean()), {
          minLength: 100,
          maxLength: 400,
        }),
        { minLength: 3, maxLength: 5 },
      ),
      (windows) => {
        const memory = createBanks(FLOWS_MAX_MIN, SECRET);
        const writer = new FlowWriter(memory);
        const reader = new FlowReader(memory);
        for (const window of windows) {
          const sums = noSums();
          for (const [dstPort, dst, isTx] of window) {
            const key = keyOf({ dst, dstPort });
            if (isTx) writer.countTx(key, 1, dstPort, 0);
            else writer.countRx(swapped(key), 2, dst, 0);
            addSums(
              sums,
              isTx
                ? { ...noSums(), txPackets: 1, txBytes: dstPort }
                : { ...noSums(), rxPackets: 2, rxBytes: dst },
            );
          }
          assert.deepEqual(sumRows(takeRows(reader, writer)), sums);
        }
      },
    ),
    { seed: 20260105, numRuns: 50 },
  );
});

test("FlowReader.flipForEndedWriter takes what a writer left that will never answer", () => {
  const memory = createBanks(FLOWS_MAX_MIN, SECRET);
  const writer = new FlowWriter(memory);
  const reader = new FlowReader(memory);
  const read = () => {
    const rows: Row[] = [];
    reader.forEachRow((row) => rows.push(copyRow(row)));
    reader.clear();
    return sumRows(rows).txPackets;
  };
  writer.countTx(keyOf({}), 5, 1, 0);
  reader.flip();
  assert.equal(reader.acknowledged(), false);
  reader.flipForEndedWriter();
  assert.equal(read(), 5);
  // A second writer on the same memory goes on where the reader is.
  const next = new FlowWriter(memory);
  next.countTx(keyOf({}), 7, 1, 0);
  reader.flipForEndedWriter();
  assert.equal(read(), 7);
});

test("banks lose and double nothing between two threads", async () => {
  const packets = 100_000;
  const memory = createBanks(1_024, SECRET);
  const reader = new FlowReader(memory);
  const rows = noSums();
  let windows = 0;
  let windowsWithRows = 0;
  const take = () => {
    const before = rows.txPackets + rows.rxPackets;
    reader.forEachRow((row) => addSums(rows, row));
    reader.clear();
    windows++;
    if (rows.txPackets + rows.rxPackets > before) windowsWithRows++;
  };
  const worker = new Worker(new URL("./banks_worker.ts", import.meta.url), {
    workerData: { memory, packets },
  });
  const answer: { counted: Sums | null } = { counted: null };
  const ended = new Promise<void>((resolve, reject) => {
    worker.on("message", (sums: Sums) => {
      answer.counted = sums;
      resolve();
    });
    worker.on("error", reject);
  });
  while (answer.counted === null) {
    reader.flip();
    while (!reader.acknowledged() && answer.counted === null) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (reader.acknowledged()) take();
  }
  await ended;
  await worker.terminate();
  // The last flip may be unanswered, and its window unread.
  for (let last = 0; last < 2; last++) {
    reader.flipForEndedWriter();
    take();
  }
  assert.deepEqual(rows, answer.counted);
  assert.deepEqual(reader.totals(), answer.counted);
  assert.equal(rows.txPackets + rows.rxPackets, packets * 2);
  assert.ok(windowsWithRows >= 3, `${windowsWithRows} of ${windows} windows had rows`);
});
