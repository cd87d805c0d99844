/**
 * How fast is a tunnel of ours, on Deno, on Bun and as the single binary, beside Debian's wireguard-go on the same
 * machine in the same run? The aims stand beside each measure below.
 *
 *     deno run -A tests/bench/tunnel_bench.ts [--quick] [--rounds N] [--seconds N]
 *         [--only CONTENDER]… [--measure NAME]… [--json FILE]
 *
 * | --measure | what | aim |
 * | --- | --- | --- |
 * | ping | 200 pings, 10 ms apart, nothing else carried; `direct` is the veth's own | 1.3 of direct and cryptography |
 * | tcp | one TCP stream; with it what a packet costs each end in CPU time | 8 times wireguard-go |
 * | tcp8 | eight TCP streams | 8 times |
 * | udp | UDP of 1300 bytes as fast as iperf3 sends it: what arrives | |
 * | udp64 | IPv4 packets of 64 bytes, the same | 5 times |
 * | bulk64 | the same from udp_load.c, by sendmmsg | |
 * | lossless | UDP of 1300 bytes: the highest rate at which less than 0.1 % is lost, by bisection | 5 times |
 * | bulk | the same from udp_load.c, which sends and receives with UDP_SEGMENT and UDP_GRO | 5 times |
 * | busy | 300 pings beside one TCP stream | p99 at most twice wireguard-go's |
 * | memory | resident memory of both ends behind all that came before it | 120 MB and flow tables |
 *
 * Each contender has a pair of namespaces and both ends of its tunnel; all stand at once (an idle tunnel costs
 * nothing) and are measured in turn, in an order that is flipped each round. `direct` is the wire without a tunnel:
 * what iperf3 and ping themselves can do, and so the most that any tunnel can be of another. CPU time a packet is the
 * steadier number where others use the machine: it holds all threads and what the kernel does in the node's own
 * calls, and packets are those of both directions, as a wire would carry them. Needs root, wireguard-go, wg, ip, tc,
 * ping, iperf3 and, in bulk, gcc.
 *
 * Out: machine and versions, a table of medians with p10 and p90 and of each round's ratio to wireguard-go, the aims
 * beside what was reached, and all samples in tests/out/bench-tunnel.json.
 */
import process from "node:process";
import { banksByteLength } from "../../src/flow/mod.ts";
import { FLOWS_MAX_DEFAULT } from "../../src/limits.ts";
import { withLab } from "../system/support/namespaces.ts";
import { cannotRun } from "../system/support/runtimes.ts";
import { type Aim, aimTable } from "./support/aims.ts";
import { buildC } from "./support/build_c.ts";
import {
  BASE,
  buildBinary,
  type Contender,
  CONTENDERS,
  type Ready,
  startContender,
} from "./support/contenders.ts";
import { announce, loadText, putBunOnPath } from "./support/machine.ts";
import { type BenchOptions, parseBenchOptions } from "./support/options.ts";
import { resultRows, resultTable, spanCells, writeResults } from "./support/report.ts";
import { orderOf, pairedRatios, Samples, summarize } from "./support/statistics.ts";
import {
  type MeasureName,
  NEEDS_GCC,
  pingCryptoUs,
  TUNNEL_MEASURES,
} from "./support/tunnel_measures.ts";

const MEASURE_NAMES = Object.keys(TUNNEL_MEASURES) as MeasureName[];

/** Those of ours. */
const OURS = CONTENDERS.filter((contender) => contender !== "direct" && contender !== BASE);
/** 120 MB, and the flow tables as they are configured. */
const MEMORY_MB = 120 + Math.round(banksByteLength(FLOWS_MAX_DEFAULT) / 1e6);
const AIMS: readonly Aim[] = [
  { measure: "TCP, 1 stream", of: BASE, bound: "at least", value: 8 },
  { measure: "TCP, 8 streams", of: BASE, bound: "at least", value: 8 },
  { measure: "UDP, 1300 B, loss < 0.1 %", of: BASE, bound: "at least", value: 5 },
  { measure: "UDP, 1300 B, in bulk, loss < 0.1 %", of: BASE, bound: "at least", value: 5 },
  { measure: "UDP, 64 B packets", of: BASE, bound: "at least", value: 5 },
  { measure: "UDP, 64 B packets, in bulk", of: BASE, bound: "at least", value: 5 },
  { measure: "ping beside a TCP stream, p99", of: BASE, bound: "at most", value: 2 },
  { measure: "RSS, sending end, peak", of: null, bound: "at most", value: MEMORY_MB },
  { measure: "RSS, receiving end, peak", of: null, bound: "at most", value: MEMORY_MB },
  ...["TCP, 1 stream", "TCP, 8 streams", "UDP, 64 B packets"].map((measure): Aim => ({
    ...{ measure, of: "deno", bound: "at least", value: 0.85 },
    contenders: ["bun", "binary"],
  })),
];

/** Measures everything, in turns; one sample a round of each line. */
async function measure(options: BenchOptions<Contender, MeasureName>): Promise<Samples> {
  const samples = new Samples();
  await withLab(async (lab) => {
    const needsGcc = options.measures.some((name) => NEEDS_GCC.includes(name));
    const udpLoad = needsGcc ? buildC(lab.directory, "udp_load") : "";
    const ready = new Map<Contender, Ready>();
    for (const contender of options.contenders) {
      ready.set(contender, await startContender(lab, contender));
    }
    for (let round = 0; round < options.rounds; round++) {
      for (const name of options.measures) {
        const time = round / (TUNNEL_MEASURES[name].everyRounds ?? 1);
        if (!Number.isInteger(time)) continue;
        for (const contender of orderOf(options.contenders, time)) {
          const shown: string[] = [];
          await TUNNEL_MEASURES[name].run(
            ready.get(contender)!,
            { ...options, udpLoad },
            (line, value) => {
              samples.add(line.name, contender, value);
              shown.push(`${value.toFixed(line.digits)} ${line.unit}`);
            },
          );
          console.error(`round ${round + 1}: ${name}, ${contender}: ${shown.join(", ")}`);
        }
      }
    }
  });
  return samples;
}

/** Idle pings against the veth's own and what cryptography takes. */
function idleLines(samples: Samples, contenders: readonly Contender[]): string[] {
  const name = TUNNEL_MEASURES.ping.lines[0]!.name;
  const direct = samples.of(name, "direct");
  if (direct.length === 0) return [];
  const cryptoUs = pingCryptoUs();
  const least = direct.map((us) => us + cryptoUs);
  return [
    `\nIdle ping, p50, of the veth's and ${cryptoUs.toFixed(1)} us of cryptography:\n`,
    ...contenders.filter((contender) => contender !== "direct").map((contender) => {
      const ratio = summarize(pairedRatios(samples.of(name, contender), least));
      return `- ${contender}: ${spanCells(ratio, 2).replace(" | ", ", ")}`;
    }),
  ];
}

async function main(): Promise<number> {
  const options = parseBenchOptions(process.argv.slice(2), {
    name: "tunnel",
    contenders: CONTENDERS,
    measures: MEASURE_NAMES,
    rounds: 5,
    seconds: 1,
  });
  const compiler = options.measures.some((name) => NEEDS_GCC.includes(name)) ? ["gcc"] : [];
  const obstacle = cannotRun("wireguard-go", "iperf3", "tc", ...compiler);
  if (obstacle !== false) {
    console.error(`Cannot measure: ${obstacle}`);
    return 1;
  }
  putBunOnPath();
  if (options.contenders.includes("binary")) buildBinary();
  const machine = announce(["deno", "bun", "wireguard-go", "iperf3"], options);
  const samples = await measure(options);
  const lines = options.measures.flatMap((name) => TUNNEL_MEASURES[name].lines);
  const rows = resultRows(samples, lines, options.contenders, BASE);
  console.log(resultTable(rows, lines, BASE));
  const ours = OURS.filter((contender) => options.contenders.includes(contender));
  console.log(`\n${aimTable(AIMS, samples, ours)}`);
  for (const line of idleLines(samples, options.contenders)) console.log(line);
  console.log(`\nload at end: ${loadText()}`);
  writeResults(options.jsonPath, { machine, options, rows });
  return 0;
}

if (import.meta.main) process.exitCode = await main();
