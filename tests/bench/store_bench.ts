/**
 * What does the collector's store cost a row, and how long do queries take? Budgets: commit well under 2 us a row, so that
 * HTTP and JSON find room beside it at 150,000 rows/s on two cores; roll-up queries p95 < 100 ms at 10 M raw rows; < 300 MB.
 *
 * Traffic: 20 nodes; each window of 5 s has about 29 rows a node, drawn from 600 pairs of destination and port that a node
 * has in an hour (a few of them most of the time), source ports new each time; 10 M rows are then one day. A commit has
 * 2,000 rows. The other variant is what one would do first: dictionary ids, one row of SQL for each row, no index but its
 * key. Both write durably (WAL, synchronous FULL); their order is flipped by the last argument.
 *
 *     deno run -A tests/bench/store_bench.ts [rows] [commit rows] [sql first: 1]
 *     bun --no-install tests/bench/store_bench.ts
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { makeColumns, type RowColumns } from "../../src/collector/rows.ts";
import type { IngestBatch, MessageEntry, ScanRange } from "../../src/collector/store.ts";
import { openSqliteReader, openSqliteWriter } from "../../src/collector/sqlite/mod.ts";
import { CLASS_NAMES } from "../../src/counters.ts";
import { NO_SUMS } from "../../src/logtail/mod.ts";
import { openZstd } from "../../src/platform/mod.ts";

/** What is measured, by name; ms, bytes or counts as the name says. */
export type Measurements = Record<string, number>;

const NODES = 20;
const WINDOW_ROWS = 29;
const WINDOW_MS = 5_000;
const PAIRS = 600;
const HOSTS = 5_000;
const START_MS = Date.UTC(2026, 0, 5);

/** Numbers in an order that is the same in every run. */
function makeRandom(): (below: number) => number {
  let state = 12345;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor((state >>> 0) * below / 2 ** 32);
  };
}

/** Addresses by number, as words: nodes first, then hosts. */
function addressWords(number: number): Uint32Array {
  return new Uint32Array([0, 0, 0xffff, (number < NODES ? 0x64400000 : 0x0a000000) + number]);
}

/** How long so many rows are about: 20 nodes with all their windows. */
export function spanMsOf(rows: number): number {
  return Math.ceil(rows / (NODES * WINDOW_ROWS)) * WINDOW_MS;
}

/** Rows and messages of commits, one after another. */
export class Traffic {
  readonly #random = makeRandom();
  #window = 0;
  #node = 0;
  readonly #numbers: readonly number[];
  readonly #startMs: number;
  readonly #seqs = new Uint32Array(NODES);

  /** @param numbers Dictionary numbers of NODES + HOSTS addresses. @param startMs On the grid of windows. */
  constructor(numbers: readonly number[], startMs = START_MS) {
    this.#numbers = numbers;
    this.#startMs = startMs;
  }

  get endMs(): number {
    return this.#startMs + (this.#window + 1) * WINDOW_MS;
  }

  next(rows: number): IngestBatch {
    const columns = makeColumns(rows);
    const entries: MessageEntry[] = [];
    while (columns.count < rows) {
      entries.push(this.#message(columns, Math.min(WINDOW_ROWS, rows - columns.count)));
      this.#node = (this.#node + 1) % NODES;
      if (this.#node === 0) this.#window++;
    }
    return { receivedMs: this.endMs, entries, columns, bodyBytes: new Map() };
  }

  #message(columns: RowColumns, rowCount: number): MessageEntry {
    const firstRow = columns.count;
    const hour = Math.floor(this.#window / 720);
    const sums: Record<string, Record<string, bigint>> = {};
    for (let row = 0; row < rowCount; row++) this.#row(columns, hour);
    for (const [code, name] of CLASS_NAMES.entries()) {
      const of = (counter: number) => {
        let sum = 0;
        for (let row = firstRow; row < columns.count; row++) {
          if (columns.classCode[row] === code) sum += columns.counters[counter][row];
        }
        return BigInt(sum);
      };
      sums[name] = { txPackets: of(0), txBytes: of(1), rxPackets: of(2), rxBytes: of(3) };
    }
    const endNs = BigInt(this.endMs) * 1_000_000n;
    return {
      kind: "message",
      stream: this.#node + 1,
      procId: 1,
      procSeq: ++this.#seqs[this.#node],
      clientTimeNs: endNs,
      startNs: endNs - 4_999_999_999n,
      endNs,
      lengthMs: WINDOW_MS,
      firstRow,
      rowCount,
      sums: sums as unknown as typeof NO_SUMS,
      nodeId: `n${this.#node}CNTRL`,
      nodeName: `node${this.#node}`,
      restJson: `{"nodeId":"n${this.#node}CNTRL","start":"2026-01-05T00:00:00.000000001Z",` +
        `"end":"2026-01-05T00:00:05Z","srcNode":{"nodeId":"n${this.#node}CNTRL","name":"node"},` +
        `"logtail":{"client_time":"2026-01-05T00:00:05Z","proc_seq":${this.#window}}}`,
    };
  }

  #row(columns: RowColumns, hour: number): void {
    const at = columns.count++;
    const random = this.#random;
    // The square makes a few pairs most of the traffic.
    const drawn = random(PAIRS);
    const pair = Math.floor(drawn * drawn / PAIRS);
    const classCode = [0, 0, 1, 2, 4][pair % 5];
    const isPeer = classCode === 0 || classCode === 4;
    const host = (pair * 7919 + hour * 31 + this.#node * 104_729) % HOSTS;
    columns.stream[at] = this.#node + 1;
    columns.classCode[at] = classCode;
    columns.proto[at] = classCode === 4 ? 0 : pair % 4 === 0 ? 17 : 6;
    columns.src[at] = this.#numbers[this.#node];
    columns.dst[at] = this.#numbers[isPeer ? pair % NODES : NODES + host];
    columns.srcPort[at] = classCode === 4 ? 0 : 32_768 + random(28_000);
    columns.dstPort[at] = classCode === 4 ? 0 : [443, 53, 80, 22, 5432, 8080][pair % 6];
    const packets = 1 + random(1 + random(200));
    columns.counters[0][at] = packets;
    columns.counters[1][at] = packets * (60 + random(600));
    columns.counters[2][at] = packets + random(20);
    columns.counters[3][at] = packets * (60 + random(1_340));
  }
}

/** What something took. CPU time says more where others share the machine; it leaves out the waits for the disk. */
interface Spent {
  readonly wallMs: number;
  readonly cpuMs: number;
}

function timed(run: () => void): Spent {
  const startMs = performance.now();
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return { wallMs: performance.now() - startMs, cpuMs: (user + system) / 1_000 };
}

/** Sums of what repeated calls took. */
class Meter {
  wallMs = 0;
  cpuMs = 0;
  worstMs = 0;

  add(run: () => void): void {
    const { wallMs, cpuMs } = timed(run);
    this.wallMs += wallMs;
    this.cpuMs += cpuMs;
    this.worstMs = Math.max(this.worstMs, cpuMs);
  }
}

function megabytes(): number {
  return process.memoryUsage().rss / 1e6;
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, values.length * share | 0)];
}

/** Writes, opens again after a kill, reads. */
export async function measureStore(
  folder: string,
  rows: number,
  commitRows: number,
): Promise<Measurements> {
  const path = join(folder, "flows.db");
  const zstd = await openZstd();
  const result: Measurements = {};
  let store = openSqliteWriter(path, { zstd });
  for (let node = 0; node < NODES; node++) {
    store.adopt("c", String(node).padStart(64, "0"), START_MS);
  }
  const numbers = Array.from(
    { length: NODES + HOSTS },
    (_, number) => store.addressOfWords(addressWords(number), 0, 4),
  );
  const traffic = new Traffic(numbers);
  const making = new Meter();
  const commits = new Meter();
  const maintenance = new Meter();
  for (let written = 0; written < rows; written += commitRows) {
    let batch: IngestBatch;
    making.add(() => batch = traffic.next(commitRows));
    commits.add(() => store.commit(batch));
    maintenance.add(() => store.maintain(traffic.endMs));
  }
  result["commit, CPU us/row"] = commits.cpuMs * 1_000 / rows;
  result["maintain, CPU us/row"] = maintenance.cpuMs * 1_000 / rows;
  result["worst maintain, CPU ms"] = maintenance.worstMs;
  result["commit and maintain, wall us/row"] = (commits.wallMs + maintenance.wallMs) * 1_000 / rows;
  result["rows/s by wall"] = rows / (commits.wallMs + maintenance.wallMs) * 1_000;
  result["rows/s by CPU"] = rows / (commits.cpuMs + maintenance.cpuMs) * 1_000;
  result["bytes/row on disk"] = store.sizeBytes() / rows;
  result["RSS MB, writer"] = megabytes();
  const opening = timed(() => {
    store.close();
    store = openSqliteWriter(path, { zstd });
  });
  result["close and open, CPU ms"] = opening.cpuMs;
  measureReading(path, traffic.endMs, result);
  store.close();
  return result;
}

function measureReading(path: string, endMs: number, result: Measurements): void {
  const reader = openSqliteReader(path);
  let checksum = 0;
  let visited = 0;
  /** Bytes by destination: what a page asks for. */
  const group = (range: ScanRange) => {
    const byDst = new Float64Array(NODES + HOSTS + 2);
    visited = 0;
    reader.scan(range, ({ columns, first, count }) => {
      const { dst, counters } = columns;
      for (let row = first; row < first + count; row++) {
        byDst[dst[row]] += counters[1][row] + counters[3][row];
      }
      visited += count;
    });
    checksum += byDst[5];
  };
  const HOUR_MS = 3_600_000;
  const raw = timed(() => group({ fromMs: 0, toMs: endMs, tier: "raw" }));
  result["raw scan, M rows/s of CPU"] = visited / raw.cpuMs / 1_000;
  result["RSS MB after it"] = megabytes();
  const queries: readonly [string, () => void][] = [
    ["day, hours", () => group({ fromMs: endMs - 24 * HOUR_MS, toMs: endMs, tier: "hour" })],
    ["day, sum", () => group({ fromMs: endMs - 24 * HOUR_MS, toMs: endMs, tier: "sum" })],
    ["6 h, minutes", () => group({ fromMs: endMs - 6 * HOUR_MS, toMs: endMs, tier: "minute" })],
    ["1 h, minutes", () => group({ fromMs: endMs - HOUR_MS, toMs: endMs, tier: "minute" })],
    ["5 min, raw", () => group({ fromMs: endMs - HOUR_MS / 12, toMs: endMs, tier: "raw" })],
    ["totals 1 h, windows", () => totals(HOUR_MS, "window")],
    ["totals 1 h, windows, 1 stream", () => totals(HOUR_MS, "window", [1])],
    ["totals day, minutes", () => totals(24 * HOUR_MS, "minute")],
    ["totals day, hours", () => totals(24 * HOUR_MS, "hour")],
  ];
  const totals = (ms: number, step: "window" | "minute" | "hour", streams?: number[]) => {
    const query = { fromMs: endMs - ms, toMs: endMs, step };
    checksum += reader.totals(streams === undefined ? query : { ...query, streams }).length;
  };
  for (const [name, run] of queries) {
    const first = timed(run);
    const times = Array.from({ length: 20 }, () => timed(run));
    const cpu = times.map(({ cpuMs }) => cpuMs);
    result[`${name}: first, CPU ms`] = first.cpuMs;
    result[`${name}: p50, CPU ms`] = quantile(cpu, 0.5);
    result[`${name}: p95, CPU ms`] = quantile(cpu, 0.95);
    result[`${name}: p95, wall ms`] = quantile(times.map(({ wallMs }) => wallMs), 0.95);
  }
  result["RSS MB, writer and reader"] = megabytes();
  result["checksum"] = checksum;
  reader.close();
}

/** The straightforward way: a row of SQL for each row. */
export function measureSql(folder: string, rows: number, commitRows: number): Measurements {
  const path = join(folder, "rows.db");
  const database = new DatabaseSync(path);
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" +
      "CREATE TABLE row (end_ms INTEGER, seq INTEGER, stream INTEGER, class INTEGER, proto INTEGER," +
      " flags INTEGER, src INTEGER, dst INTEGER, sport INTEGER, dport INTEGER, tx_packets INTEGER," +
      " tx_bytes INTEGER, rx_packets INTEGER, rx_bytes INTEGER, PRIMARY KEY (end_ms, seq))" +
      " STRICT, WITHOUT ROWID",
  );
  const insert = database.prepare(
    "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const traffic = new Traffic(Array.from({ length: NODES + HOSTS }, (_, number) => number + 1));
  let seq = 0;
  const commits = new Meter();
  for (let written = 0; written < rows; written += commitRows) {
    const { entries, columns: c } = traffic.next(commitRows);
    commits.add(() => {
      database.exec("BEGIN IMMEDIATE");
      for (const entry of entries) {
        const { endNs, firstRow, rowCount } = entry as MessageEntry;
        const endMs = Number(endNs / 1_000_000n);
        for (let row = firstRow; row < firstRow + rowCount; row++) {
          insert.run(
            endMs,
            seq++,
            c.stream[row],
            c.classCode[row],
            c.proto[row],
            c.flags[row],
            c.src[row],
            c.dst[row],
            c.srcPort[row],
            c.dstPort[row],
            ...c.counters.map((counter) => counter[row]),
          );
        }
      }
      database.exec("COMMIT");
    });
  }
  const scan = timed(() =>
    database.prepare(
      "SELECT dst, sum(tx_bytes + rx_bytes) FROM row GROUP BY dst ORDER BY 2 DESC LIMIT 10",
    ).all()
  );
  database.close();
  return {
    "commit without roll-ups, CPU us/row": commits.cpuMs * 1_000 / rows,
    "rows/s by wall": rows / commits.wallMs * 1_000,
    "rows/s by CPU": rows / commits.cpuMs * 1_000,
    "bytes/row on disk": statSync(path).size / rows,
    "group by dst, M rows/s of CPU": rows / scan.cpuMs / 1_000,
  };
}

async function main(): Promise<void> {
  const [rows = 2_000_000, commitRows = 2_000, isSqlFirst = 0] = process.argv.slice(2).map(Number);
  const folder = mkdtempSync(join(tmpdir(), "tunlog-bench-"));
  const variants = [
    ["columns in blobs", () => measureStore(folder, rows, commitRows)],
    ["a row of SQL each", () => measureSql(folder, Math.min(rows, 2_000_000), commitRows)],
  ] as const;
  try {
    for (const [name, measure] of isSqlFirst === 1 ? variants.toReversed() : variants) {
      console.log(`\n${name}: ${rows} rows, ${commitRows} a commit`);
      for (const [what, value] of Object.entries(await measure())) {
        console.log(`  ${what.padEnd(40)} ${value < 100 ? value.toFixed(3) : Math.round(value)}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) await main();
