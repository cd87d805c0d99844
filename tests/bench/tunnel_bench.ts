/**
 * How fast is a tunnel of ours, on Deno and on Bun, beside Debian's wireguard-go on the same machine in the same run?
 *
 *     deno run -A tests/bench/tunnel_bench.ts [--quick] [--rounds N] [--seconds N] [--only NAME] [--json FILE]
 *
 * Budget: no slower than wireguard-go. Mix: one TCP stream, eight TCP streams, UDP of 1300 bytes and IPv4 packets of 64
 * bytes, both as fast as iperf3 can send them. Each implementation has a pair of namespaces and both ends of its
 * tunnel; all stand at once (an idle tunnel costs nothing) and are measured in turn, in an order that is flipped each
 * round. `direct` is the wire without a tunnel. Needs root, wireguard-go, wg, ip, ping and iperf3.
 *
 * Out: machine and versions, a table of medians with p10 and p90 and the median of each round's ratio to wireguard-go.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { runSync } from "../system/support/command.ts";
import { type Lab, type Namespace, withLab } from "../system/support/namespaces.ts";
import { INNER, OUTER, startPair } from "../system/support/pairs.ts";
import { cannotRun } from "../system/support/runtimes.ts";
import {
  iperf,
  type IperfOptions,
  startIperfServer,
  waitForPing,
} from "../system/support/traffic.ts";
import type { Implementation } from "../system/support/tunnels.ts";

/** What is measured; `direct` is no tunnel at all. */
type Contender = Implementation | "direct";

interface Measure {
  readonly name: string;
  readonly unit: string;
  readonly options: IperfOptions;
  readonly value: (result: Awaited<ReturnType<typeof iperf>>) => number;
}

interface Row {
  readonly measure: string;
  readonly unit: string;
  readonly contender: Contender;
  readonly samples: readonly number[];
  readonly p10: number;
  readonly median: number;
  readonly p90: number;
  /** Median over the rounds of own value / wireguard-go's. null = wireguard-go was not measured. */
  readonly ratio: number | null;
}

/** IPv4 and UDP headers in a 64-byte packet. */
const HEADER_BYTES = 28;
const BASE = "wireguard-go";

const gigabits = (result: { readonly bitsPerSecond: number }) => result.bitsPerSecond / 1e9;
const MEASURES: readonly Measure[] = [
  { name: "TCP, 1 stream", unit: "Gbit/s", options: {}, value: gigabits },
  { name: "TCP, 8 streams", unit: "Gbit/s", options: { streams: 8 }, value: gigabits },
  {
    name: "UDP, 1300 B",
    unit: "Gbit/s",
    options: { udp: { payloadBytes: 1300, bitsPerSecond: 0 } },
    value: gigabits,
  },
  {
    name: "UDP, 64 B packets",
    unit: "kpps",
    options: { udp: { payloadBytes: 64 - HEADER_BYTES, bitsPerSecond: 0 } },
    value: (result) => (result.datagramsSent - result.datagramsLost) / result.seconds / 1e3,
  },
];

/** A pair that stands ready to be measured. */
interface Ready {
  readonly client: Namespace;
  readonly address: string;
}

async function prepare(lab: Lab, contender: Contender): Promise<Ready> {
  const implementation = contender === "direct" ? BASE : contender;
  const { left, right } = await startPair(lab, { left: implementation, right: implementation });
  await waitForPing(left.namespace, INNER.right[4]);
  const address = contender === "direct" ? OUTER.right[4] : INNER.right[4];
  await startIperfServer(right.namespace, address);
  return { client: left.namespace, address };
}

function quantile(sorted: readonly number[], part: number): number {
  const position = (sorted.length - 1) * part;
  const low = Math.floor(position);
  const high = Math.ceil(position);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (position - low);
}

function ascending(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

/** Measures everything; samples by measure and contender, one a round. */
async function measure(
  contenders: readonly Contender[],
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<Row[]> {
  const samples = new Map<string, number[]>();
  const key = (what: Measure, contender: Contender) => `${what.name}|${contender}`;
  await withLab(async (lab) => {
    const ready = new Map<Contender, Ready>();
    for (const contender of contenders) ready.set(contender, await prepare(lab, contender));
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? contenders : contenders.toReversed();
      for (const what of MEASURES) {
        for (const contender of order) {
          const { client, address } = ready.get(contender)!;
          const value = what.value(await iperf(client, address, { ...what.options, seconds }));
          samples.set(key(what, contender), [...samples.get(key(what, contender)) ?? [], value]);
          console.error(
            `round ${round + 1}: ${what.name}, ${contender}: ${value.toFixed(3)} ${what.unit}`,
          );
        }
      }
    }
  });
  return MEASURES.flatMap((what) => {
    const base = samples.get(key(what, BASE));
    return contenders.map((contender) =>
      row(what, contender, samples.get(key(what, contender))!, base)
    );
  });
}

function row(
  what: Measure,
  contender: Contender,
  samples: readonly number[],
  base: readonly number[] | undefined,
): Row {
  const sorted = ascending(samples);
  const ratios = base === undefined
    ? null
    : ascending(samples.map((value, round) => value / base[round]!));
  return {
    measure: what.name,
    unit: what.unit,
    contender,
    samples,
    p10: quantile(sorted, 0.1),
    median: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    ratio: ratios === null ? null : quantile(ratios, 0.5),
  };
}

/** Says on what the numbers were made: they mean nothing without. */
function machine(): Record<string, string> {
  const version = (...argv: string[]) => runSync(argv).stdout.trim().split("\n")[0] ?? "";
  const load = readFileSync("/proc/loadavg", "utf8").trim();
  return {
    cpu: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores`,
    kernel: release(),
    "load at start": load,
    deno: version("deno", "--version"),
    bun: version("bun", "--version"),
    "wireguard-go": version("wireguard-go", "--version"),
    iperf3: version("iperf3", "--version"),
    "congestion control": version("sysctl", "-n", "net.ipv4.tcp_congestion_control"),
  };
}

function table(rows: readonly Row[]): string {
  const lines = [
    "| measure | tunnel | median | p10 … p90 | unit | of wireguard-go |",
    "| --- | --- | ---: | ---: | --- | ---: |",
  ];
  for (const { measure, contender, median, p10, p90, unit, ratio } of rows) {
    const digits = unit === "kpps" ? 1 : 2;
    const share = ratio === null ? "" : ratio.toFixed(2);
    const span = `${p10.toFixed(digits)} … ${p90.toFixed(digits)}`;
    lines.push(
      `| ${measure} | ${contender} | ${median.toFixed(digits)} | ${span} | ${unit} | ${share} |`,
    );
  }
  return lines.join("\n");
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string", multiple: true },
      json: { type: "string" },
    },
  });
  const obstacle = cannotRun("wireguard-go", "iperf3");
  if (obstacle !== false) {
    console.error(`Cannot measure: ${obstacle}`);
    return 1;
  }
  const all: readonly Contender[] = ["direct", BASE, "deno", "bun"];
  const contenders = values.only === undefined
    ? all
    : all.filter((contender) => values.only!.includes(contender));
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  const seconds = Number(values.seconds ?? (values.quick ? 1 : 3));
  const facts = machine();
  for (const [name, value] of Object.entries(facts)) console.log(`${name}: ${value}`);
  console.log(`${rounds} rounds of ${seconds} s each, order flipped each round\n`);
  const rows = await measure(contenders, { rounds, seconds });
  console.log(table(rows));
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ machine: facts, rounds, seconds, rows })}\n`);
  }
  return 0;
}

process.exitCode = await main();
