/**
 * Question: what does it cost to ask a filter of one row? Budget: 10 ns, so that 10 M rows take 100 ms; reading them
 * from a store costs some 300.
 *
 * Rows: 1 M, over 100 k addresses and 1 k nodes, 40 % virtual, half of them TCP, ports as servers and clients have them.
 * Two forms: `narrowing` (the compiler's), `closures` (filter_variants.ts), whose order is changed each round.
 *
 *   deno run -A tests/bench/filter_bench.ts [rounds]
 *   bun --no-install tests/bench/filter_bench.ts
 */
import process from "node:process";
import {
  addId,
  compileFilter,
  type FilterColumns,
  type FilterResolver,
  makeIdSet,
  parseFilter,
} from "../../src/collector/mod.ts";
import { compileToClosures } from "./filter_variants.ts";

/** Typical filters, and three that are large. */
export const FILTERS: readonly string[] = [
  "tcp",
  "class subnet and dst net 10.0.0.0/8 and dport 443",
  "dst net 10.0.0.0/8 and dport 443 and class subnet",
  "host 10.0.0.1",
  "net 10.0.0.0/8",
  "node web-* and not class physical and rx bytes > 1M",
  "port 53 or port in (80, 443, 8000-8100)",
  "rate > 4Mbit",
  "(class virtual or class subnet) and (tcp or udp) and not (dport 22 or dport 53) and bytes > 1k",
  "tcp or dport 53 or src net 10.0.0.0/8 or bytes > 1M",
  Array.from({ length: 40 }, (_, n) => `dport ${n * 7 + 1}`).join(" or "),
];

const COMPILERS = { narrowing: compileFilter, closures: compileToClosures } as const;

/** One line of the result. */
export interface Measurement {
  readonly filter: string;
  readonly form: keyof typeof COMPILERS;
  /** ns per row, one for each round, sorted. */
  readonly nsPerRow: readonly number[];
  readonly selected: number;
  /** Of the rows' numbers: the same for both forms, on every machine and runtime. */
  readonly checksum: number;
}

const ADDRESSES = 100_000;
const NODES = 1_000;

function makeRandom(): (below: number) => number {
  let state = 12345;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor((state >>> 0) * below / 2 ** 32);
  };
}

/** Columns of `count` rows, the same in every run. */
export function makeColumns(count: number): FilterColumns {
  const random = makeRandom();
  const classes = [0, 0, 0, 0, 1, 1, 2, 2, 3, 4];
  const protos = [6, 6, 6, 6, 6, 17, 17, 17, 1, 58];
  const servers = [443, 443, 80, 53, 22, 8080];
  const columns: FilterColumns = {
    stream: new Uint32Array(count),
    classCode: new Uint8Array(count),
    proto: new Uint8Array(count),
    flags: new Uint8Array(count),
    src: new Uint32Array(count),
    dst: new Uint32Array(count),
    srcPort: new Uint16Array(count),
    dstPort: new Uint16Array(count),
    counters: [
      new Float64Array(count),
      new Float64Array(count),
      new Float64Array(count),
      new Float64Array(count),
    ],
  };
  const [txPackets, txBytes, rxPackets, rxBytes] = columns.counters;
  for (let row = 0; row < count; row++) {
    columns.stream[row] = random(NODES);
    columns.classCode[row] = classes[random(10)];
    columns.proto[row] = protos[random(10)];
    columns.flags[row] = random(100) === 0 ? 1 : 0;
    columns.src[row] = random(ADDRESSES);
    columns.dst[row] = random(ADDRESSES);
    columns.srcPort[row] = 32_768 + random(28_000);
    columns.dstPort[row] = servers[random(6)];
    txPackets[row] = random(2_000);
    txBytes[row] = txPackets[row] * 700;
    rxPackets[row] = random(4_000);
    rxBytes[row] = rxPackets[row] * 900;
  }
  return columns;
}

/** Every tenth address lies in a prefix with less than all bits, one in any other; every tenth node has the name. */
const RESOLVER: FilterResolver = {
  addressesWithin: ([prefix]) => everyTenth(prefix.prefixBits < 32 ? ADDRESSES : 10),
  addressesOfNodes: () => everyTenth(ADDRESSES),
  streamsOfNodes: () => everyTenth(NODES),
};

function everyTenth(count: number): Uint8Array {
  const set = makeIdSet(count);
  for (let id = 7; id < count; id += 10) addId(set, id);
  return set;
}

/** Measures one filter in both forms. */
export function measure(text: string, columns: FilterColumns, rounds: number): Measurement[] {
  const result = parseFilter(text);
  if (!result.ok) throw new RangeError(result.problem.message);
  const count = columns.proto.length;
  const output = new Uint32Array(count);
  const subjects = (Object.keys(COMPILERS) as Measurement["form"][]).map((form) => ({
    filter: text,
    form,
    select: COMPILERS[form](result.filter, RESOLVER),
    nsPerRow: [] as number[],
    selected: 0,
    checksum: 0,
  }));
  // The first two rounds warm the code; they are not counted.
  for (let round = -2; round < rounds; round++) {
    const ordered = round % 2 === 0 ? subjects : subjects.toReversed();
    for (const subject of ordered) {
      const startMs = performance.now();
      subject.selected = subject.select(columns, { first: 0, count, windowMs: 5_000 }, output);
      const ms = performance.now() - startMs;
      if (round >= 0) subject.nsPerRow.push(ms * 1e6 / count);
      if (round < rounds - 1) continue;
      for (let index = 0; index < subject.selected; index++) {
        subject.checksum = (Math.imul(subject.checksum, 31) + output[index]) | 0;
      }
    }
  }
  return subjects.map(({ filter, form, nsPerRow, selected, checksum }) => ({
    filter,
    form,
    nsPerRow: nsPerRow.toSorted((a, b) => a - b),
    selected,
    checksum,
  }));
}

function main(): void {
  const rounds = Number(process.argv[2] ?? 15);
  const columns = makeColumns(1_000_000);
  const runtime = process.versions.bun === undefined ? "Deno" : "Bun";
  console.log(`filter, ns per row (${runtime}); median (p10 - p90)`);
  for (const filter of FILTERS) {
    console.log(filter.length > 100 ? `${filter.slice(0, 97)}...` : filter);
    for (const { form, nsPerRow, selected, checksum } of measure(filter, columns, rounds)) {
      const at = (part: number) => nsPerRow[Math.round((rounds - 1) * part)].toFixed(2);
      console.log(
        `  ${form.padEnd(9)} ${at(0.5).padStart(6)}  (${at(0.1)} - ${at(0.9)})  ` +
          `${selected} rows, checksum ${checksum}`,
      );
    }
  }
}

if (import.meta.main) main();
