/**
 * How fast are questions? Budgets: 10 M rows/s through groups in memory; last hour and last day of a store of 10 M raw rows
 * through roll-ups p95 < 100 ms.
 *
 * Traffic of store_bench.ts: 20 nodes, 29 rows a node and window, 600 pairs of destination and port a node and hour. Groups
 * in memory: 1 M rows in parts of 8,192, by class (in cache), by dst and dport (some thousand groups), by src, dst and sport
 * (nearly one group a row, out of cache). Questions to the store are asked in turn; the first round, which decodes and fills
 * the reader's cache, is shown apart.
 *
 *     deno run -A tests/bench/query_bench.ts [rows] [rounds]
 *     bun --no-install tests/bench/query_bench.ts
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Answerer, openSqliteReader, openSqliteWriter } from "../../src/collector/mod.ts";
import { parseFilter } from "../../src/collector/mod.ts";
import { KeyWriter } from "../../src/collector/query/dimensions.ts";
import { GroupTable } from "../../src/collector/query/group_table.ts";
import { NodeBook } from "../../src/collector/query/node_book.ts";
import type { Dimension, Question } from "../../src/collector/query/question.ts";
import type { StoreReader } from "../../src/collector/store.ts";
import { openZstd } from "../../src/platform/mod.ts";
import { MemoryStoreReader } from "../support/memory_store_reader.ts";
import { Traffic } from "./store_bench.ts";

const NODES = 20;
const HOSTS = 5_000;
const COMMIT_ROWS = 8_192;
const HOUR_MS = 3_600_000;

/** Rows per second by dimensions, the best of `rounds`. */
export function measureGroups(rows: number, rounds: number): Record<string, number> {
  const reader = new MemoryStoreReader();
  const traffic = new Traffic(Array.from({ length: NODES + HOSTS }, (_value, index) => index + 1));
  const parts = Array.from(
    { length: Math.ceil(rows / COMMIT_ROWS) },
    () => traffic.next(COMMIT_ROWS).columns,
  );
  const all = Uint32Array.from({ length: COMMIT_ROWS }, (_value, index) => index);
  const nets = { netBits4: 24, netBits6: 48 };
  const results: Record<string, number> = {};
  const wanted: Dimension[][] = [["class"], ["dst", "dport"], ["src", "dst", "sport"], ["host"]];
  for (const by of wanted) {
    const keys = new KeyWriter(by, reader, new NodeBook(reader, []), nets);
    let best = 0;
    for (let round = 0; round < rounds; round++) {
      const startMs = performance.now();
      const table = new GroupTable(by.length, 4_000_000);
      for (const columns of parts) {
        const part = { startMs: 0, endMs: 5_000, columns, rows: all, count: columns.count };
        keys.forEachBlock(part, (block) => {
          table.add(block.words, columns, block.rows, block.count);
        });
      }
      best = Math.max(best, parts.length * COMMIT_ROWS * 1_000 / (performance.now() - startMs));
    }
    results[by.join(",")] = best;
  }
  return results;
}

/** One question's times. */
export interface QueryTimes {
  readonly name: string;
  readonly tier: string;
  readonly rowsRead: number;
  readonly firstMs: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  /** CPU time of the whole process, which says more where others share the machine. */
  readonly p95CpuMs: number;
}

/** Builds a store of so many rows and asks it. */
export async function measureQueries(rows: number, rounds: number): Promise<QueryTimes[]> {
  const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tunlog-query-"));
  const path = join(folder, "flows.db");
  try {
    const endMs = await fillStore(path, rows);
    const reader = openSqliteReader(path);
    const times = askAll(reader, endMs, rounds);
    reader.close();
    return times;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Builds a store. @param startMs Of its log; default: that of the traffic. @returns End of the newest window. */
export async function fillStore(path: string, rows: number, startMs?: number): Promise<number> {
  const store = openSqliteWriter(path, { zstd: await openZstd() });
  const numbers: number[] = [];
  for (let number = 0; number < NODES + HOSTS; number++) {
    const word = (number < NODES ? 0x64400000 : 0x0a000000) + number;
    numbers.push(store.addressOfWords(new Uint32Array([0, 0, 0xffff, word]), 0, 4));
  }
  const traffic = new Traffic(numbers, startMs);
  for (let node = 0; node < NODES; node++) {
    store.adopt("bench", (node + 1).toString(16).padStart(64, "0"), 1);
  }
  for (let written = 0; written < rows; written += COMMIT_ROWS) {
    store.commit(traffic.next(COMMIT_ROWS));
    while (store.maintain(traffic.endMs));
  }
  const { endMs } = traffic;
  store.close();
  return endMs;
}

function askAll(reader: StoreReader, endMs: number, rounds: number): QueryTimes[] {
  const answerer = new Answerer(reader, () => performance.now());
  return questions(endMs).map(([name, question]) => {
    const times: number[] = [];
    const cpuTimes: number[] = [];
    let tier = "";
    let rowsRead = 0;
    for (let round = 0; round <= rounds; round++) {
      const startMs = performance.now();
      const startCpu = process.cpuUsage();
      const { status, text } = answerer.answer(question);
      times.push(performance.now() - startMs);
      const { user, system } = process.cpuUsage(startCpu);
      if (round > 0) cpuTimes.push((user + system) / 1_000);
      if (status !== 200) throw new Error(`${name}: ${text}`);
      tier = /"tier":"([^"]+)"/.exec(text)?.[1] ?? "";
      rowsRead = Number(/"rowsRead":(\d+)/.exec(text)?.[1] ?? 0);
    }
    const [firstMs, ...rest] = times;
    return {
      name,
      tier,
      rowsRead,
      firstMs,
      medianMs: quantile(rest, 0.5),
      p95Ms: quantile(rest, 0.95),
      p95CpuMs: quantile(cpuTimes, 0.95),
    };
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function filterOf(text: string) {
  const result = parseFilter(text);
  if (!result.ok) throw new Error(result.problem.message);
  return result.filter;
}

function questions(endMs: number): [string, Question][] {
  const base = (hours: number, text = "") => ({
    range: { fromMs: endMs - hours * HOUR_MS, toMs: endMs },
    filter: filterOf(text),
    hasOrphans: false,
    nowMs: endMs + 20_000,
    timeMs: 60_000,
    netBits4: 24,
    netBits6: 48,
    order: "bytes" as const,
    tier: "auto" as const,
  });
  const top = (hours: number, by: readonly Dimension[], text = ""): Question => {
    return { kind: "top", ...base(hours, text), by, limit: 20, hasFlows: false, hasRates: false };
  };
  const series = (hours: number, by: Dimension): Question => {
    return { kind: "series", ...base(hours), by, stepMs: 0, limit: 10 };
  };
  const filter = "class subnet and dport 443";
  return [
    ["hour: series by class", series(1, "class")],
    ["hour: top src,dst", top(1, ["src", "dst"])],
    ["hour: top dst,dport, filtered", top(1, ["dst", "dport"], filter)],
    ["hour: series by dport", series(1, "dport")],
    ["day: series by class", series(24, "class")],
    ["day: top node,class", top(24, ["node", "class"])],
    ["day: top src,dst", top(24, ["src", "dst"])],
    ["day: top dst,dport, filtered", top(24, ["dst", "dport"], filter)],
    ["flows: newest 100", {
      kind: "flows",
      ...base(24),
      limit: 100,
      isNewestFirst: true,
      cursor: null,
    }],
    ["5 min: top sport (raw)", top(1 / 12, ["sport"])],
  ];
}

/** Whether this file is the program. */
if (import.meta.main) {
  const rows = Number(process.argv[2] ?? 10_000_000);
  const rounds = Number(process.argv[3] ?? 20);
  for (const [by, perSecond] of Object.entries(measureGroups(Math.min(rows, 1_000_000), 5))) {
    console.log(`groups by ${by.padEnd(16)} ${(perSecond / 1e6).toFixed(1)} M rows/s`);
  }
  console.log(`\nstore of ${rows} rows, ms: first, median, p95, p95 CPU`);
  for (const found of await measureQueries(rows, rounds)) {
    const { name, tier, rowsRead, firstMs, medianMs, p95Ms, p95CpuMs } = found;
    const times = [firstMs, medianMs, p95Ms, p95CpuMs].map((ms) => ms.toFixed(1).padStart(8)).join(
      "",
    );
    console.log(`${name.padEnd(32)} ${tier.padEnd(14)} ${String(rowsRead).padStart(9)} ${times}`);
  }
}
