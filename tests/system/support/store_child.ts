/**
 * Commits to a store as fast as it can until it is killed, and says what has been acknowledged; or checks what is there.
 *
 *     store_child.ts commit PATH ROUND      prints `ROUND BATCH` after each commit that has returned
 *     store_child.ts check PATH             reads `ROUND BATCH` of the last acknowledged commits on standard input
 *
 * Batch n of a round holds two messages, of two streams, with numbers n * 2 + 1 and n * 2 + 2 of process ROUND, so that what
 * is there says which batches are. Every third batch repeats the one before.
 */
import assert from "node:assert/strict";
import { readFileSync, writeSync } from "node:fs";
import process from "node:process";
import {
  openSqliteReader,
  openSqliteWriter,
  type SqliteReader,
} from "../../../src/collector/sqlite/mod.ts";
import { makeColumns, type RowColumns } from "../../../src/collector/rows.ts";
import type { IngestBatch, MessageEntry, StoreWriter } from "../../../src/collector/store.ts";
import { CLASS_NAMES } from "../../../src/counters.ts";
import { NO_SUMS } from "../../../src/logtail/mod.ts";
import { openZstd } from "../../../src/platform/mod.ts";
import { addTo, type TwinSums } from "../../reference/store_twin.ts";
import { EVER, totalSums } from "../../support/store_batches.ts";

const START_MS = Date.UTC(2026, 0, 5, 10, 0);
const ROWS = 200;

/** Batch `batch` of a round: all of it follows from the two numbers. */
function makeRows(store: StoreWriter, streams: readonly number[], round: number, batch: number) {
  const columns = makeColumns(ROWS * 2);
  columns.count = ROWS * 2;
  for (let row = 0; row < columns.count; row++) {
    columns.stream[row] = streams[row < ROWS ? 0 : 1];
    columns.classCode[row] = row % CLASS_NAMES.length;
    columns.proto[row] = 6;
    columns.src[row] = store.address(`10.0.0.${row % 7}`);
    columns.dst[row] = store.address(`10.${round}.${batch % 200}.${row % 11}`);
    columns.dstPort[row] = row % 3;
    for (const [index, counter] of columns.counters.entries()) {
      counter[row] = 1 + (row * 31 + batch * 17 + round + index) % 1_000;
    }
  }
  return columns;
}

function sumsOfRows(columns: RowColumns, first: number, count: number) {
  const sums: Record<string, unknown> = { ...NO_SUMS };
  for (const [code, name] of CLASS_NAMES.entries()) {
    const of = (counter: number) => {
      let sum = 0;
      for (let row = first; row < first + count; row++) {
        if (columns.classCode[row] === code) sum += columns.counters[counter][row];
      }
      return BigInt(sum);
    };
    sums[name] = { txPackets: of(0), txBytes: of(1), rxPackets: of(2), rxBytes: of(3) };
  }
  return sums as typeof NO_SUMS;
}

function makeBatch(store: StoreWriter, streams: readonly number[], round: number, batch: number) {
  const columns = makeRows(store, streams, round, batch);
  // Four hours of windows, so that there is something to merge.
  const endNs = BigInt(START_MS + round * 240_000 + batch * 5_000) * 1_000_000n;
  const entries = streams.map((stream, index): MessageEntry => ({
    kind: "message",
    stream,
    procId: round + 1,
    procSeq: batch * 2 + index + 1,
    clientTimeNs: endNs,
    startNs: endNs - 4_999_999_999n,
    endNs,
    lengthMs: 5_000,
    firstRow: index * ROWS,
    rowCount: ROWS,
    sums: sumsOfRows(columns, index * ROWS, ROWS),
    nodeId: "",
    nodeName: "",
    restJson: "{}",
  }));
  const receivedMs = START_MS + round * 240_000 + batch * 5_000;
  return { receivedMs, entries, columns, bodyBytes: new Map() } satisfies IngestBatch;
}

async function commit(path: string, round: number): Promise<void> {
  const store = openSqliteWriter(path, { zstd: await openZstd() });
  const streams = ["a", "b"].map((digit) => store.adopt("c", digit.repeat(64), START_MS).number);
  for (let batch = 0;; batch++) {
    const made = makeBatch(store, streams, round, batch);
    store.commit(made);
    if (batch % 3 === 2) store.commit(makeBatch(store, streams, round, batch - 1));
    writeSync(1, `${round} ${batch}\n`);
    // Twelve batches to a minute: roll-ups and merges are always near.
    store.maintain(made.receivedMs);
  }
}

/** Sums by bucket and key, as text. */
function scanTier(reader: SqliteReader, tier: "raw" | "minute" | "hour", lengthMs: number) {
  const sums: TwinSums = new Map();
  reader.scan({ ...EVER, tier }, ({ endMs, columns, first, count }) => {
    const bucket = Math.ceil(endMs / lengthMs) * lengthMs;
    for (let row = first; row < first + count; row++) {
      const key = [bucket, columns.stream[row], columns.classCode[row], columns.proto[row]].join() +
        `,${columns.src[row]},${columns.dst[row]},${columns.dstPort[row]}`;
      addTo(sums, key, columns.counters.map((counter) => BigInt(counter[row])));
    }
  });
  return sums;
}

function totalsAt(sums: TwinSums, lengthMs: number): TwinSums {
  const result: TwinSums = new Map();
  for (const [key, values] of sums) {
    const [endMs, ...rest] = key.split(" ");
    addTo(result, [Math.ceil(Number(endMs) / lengthMs) * lengthMs, ...rest].join(" "), values);
  }
  return result;
}

/** Roll-ups equal raw rows, and raw rows are those of the acknowledged batches and at most one more a round. */
async function check(path: string): Promise<void> {
  openSqliteWriter(path, { zstd: await openZstd() }).close();
  const reader = openSqliteReader(path);
  for (const [tier, lengthMs] of [["minute", 60_000], ["hour", 3_600_000]] as const) {
    assert.deepEqual(scanTier(reader, tier, lengthMs), scanTier(reader, "raw", lengthMs));
    assert.deepEqual(totalSums(reader, tier), totalsAt(totalSums(reader, "window"), lengthMs));
  }
  const acknowledged = readFileSync(0, "utf8").trim().split("\n").map((line) =>
    line.split(" ").map(Number)
  );
  const states = reader.processes();
  let batches = 0;
  for (const [round, last] of acknowledged) {
    for (const [index, stream] of reader.streams().entries()) {
      const state = states.find((one) => one.stream === stream.number && one.procId === round + 1);
      assert.ok(state !== undefined && state.lastSeq >= last * 2 + index + 1, `round ${round}`);
      assert.ok(state.lastSeq <= last * 2 + index + 3, `round ${round} has too much`);
      assert.equal(
        state.received * 2,
        state.lastSeq + 1 - index,
        `round ${round} has gaps or doubles`,
      );
    }
    batches += last + 1;
  }
  let rows = 0;
  reader.scan({ ...EVER, tier: "raw" }, ({ count }) => rows += count);
  assert.ok(rows >= batches * ROWS * 2 && rows <= (batches + acknowledged.length) * ROWS * 2);
  console.log(`checked ${batches} batches, ${rows} rows`);
  reader.close();
}

const [command, path, round] = process.argv.slice(2);
if (command === "commit") await commit(path, Number(round));
else await check(path);
