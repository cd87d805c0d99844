/**
 * What does the flow log cost the data plane: how much slower is a tunnel that sends windows of 5 s to a collector on
 * the same machine than one that writes nothing down? Budget: 2 %.
 *
 *     deno run -A tests/bench/flow_log_cost_bench.ts [--quick] [--rounds N] [--seconds N] [--measure tcp|udp64]…
 *
 * Mix: one TCP stream, and IPv4 packets of 64 bytes as fast as iperf3 can send them. Three tunnels of ours on Deno
 * stand at once, an idle one costs nothing: `on` logs at its sending end, `off` and `off again` do not; the last two
 * differ by noise alone, and tell how much of it there is. They are measured in turn, in an order that is flipped
 * each round, `on` between the two others and compared with their mean, so that what changes evenly during a round
 * cancels out. All three count flows, as every node does: what counting itself costs, tun_forward_bench.ts says
 * (`uncounted`). Beside the rate stands what a packet costs the sending node in CPU time, packets being those of both
 * directions as a wire would carry them, which the kernel counts: the thread that carries packets alone and all
 * threads together. Where others use the machine, rates say little, and CPU time still says something. Each sample is
 * as long as a window, so that one is taken, encoded, spooled and uploaded in it. Needs root, wg, ip, tc, ping and
 * iperf3.
 *
 * Out: a table of medians with p10 and p90 of the samples and of the rounds' costs, how much was uploaded, and all
 * samples as JSON.
 */
import { join } from "node:path";
import process from "node:process";
import { type LogSink, startLogSink } from "../system/support/log_sink.ts";
import { type Lab, withLab } from "../system/support/namespaces.ts";
import { makeWire } from "../system/support/pairs.ts";
import { cannotRun } from "../system/support/runtimes.ts";
import { cpuTimeNs } from "../system/support/usage.ts";
import { type Ready, startContender } from "./support/contenders.ts";
import { datagramsReceived, HEADER_BYTES, type Load, runLoad } from "./support/loads.ts";
import { announce, loadText } from "./support/machine.ts";
import { type BenchOptions, parseBenchOptions } from "./support/options.ts";
import { spanCells, writeResults } from "./support/report.ts";
import { orderOf, summarize } from "./support/statistics.ts";

const CONTENDERS = ["off", "on", "off again"] as const;
type Contender = (typeof CONTENDERS)[number];

interface Measure {
  readonly name: string;
  /** Of the rate. */
  readonly unit: "Gbit/s" | "kpps";
  readonly load: Load;
}

/** Deno's name for the threads of workers. */
const CARRIER = /^worker-/;
const MEASURES = {
  tcp: { name: "TCP, 1 stream", unit: "Gbit/s", load: {} },
  udp64: {
    name: "UDP, 64 B packets",
    unit: "kpps",
    load: { udp: { payloadBytes: 64 - HEADER_BYTES, bitsPerSecond: 0 } },
  },
} as const satisfies Record<string, Measure>;
type MeasureName = keyof typeof MEASURES;

/** One run of iperf3, and the sending node's CPU time for it. */
interface Sample {
  readonly rate: number;
  /** Of the thread that carries packets, us a packet. */
  readonly carrierUs: number;
  /** Of all threads. */
  readonly allUs: number;
}

/** One round of one measure. */
type Round = Readonly<Record<Contender, Sample>>;

/** A tunnel that stands ready to be measured. */
interface Logged {
  readonly ready: Ready;
  /** null = nothing is written down. */
  readonly sink: LogSink | null;
}

/** Sets up one tunnel. */
async function prepare(lab: Lab, contender: Contender): Promise<Logged> {
  const wire = makeWire(lab);
  const sink = contender === "on" ? await startLogSink(wire.left) : null;
  const flowLog = sink === null
    ? ["Output = none"]
    : [`Collector = ${sink.url}`, `StateDirectory = ${join(lab.directory, "state")}`];
  const ready = await startContender(lab, "deno", { wire, config: { left: { flowLog } } });
  return { ready, sink };
}

async function sample({ ready }: Logged, what: Measure, seconds: number): Promise<Sample> {
  const pid = ready.left.pid!;
  const before = [cpuTimeNs(pid, CARRIER), cpuTimeNs(pid)] as const;
  const { iperf, sendingUs } = await runLoad(ready, what.load, seconds);
  const carrierPart = (cpuTimeNs(pid, CARRIER) - before[0]) / (cpuTimeNs(pid) - before[1]);
  return {
    rate: what.unit === "kpps"
      ? datagramsReceived(iperf) / iperf.seconds / 1e3
      : iperf.bitsPerSecond / 1e9,
    carrierUs: sendingUs! * carrierPart,
    allUs: sendingUs!,
  };
}

/** Measures everything. @returns Rounds by measure, and the number of uploads. */
async function measure(
  { measures, rounds, seconds }: BenchOptions<Contender, MeasureName>,
): Promise<{ samples: Map<MeasureName, Round[]>; uploads: number }> {
  const samples = new Map<MeasureName, Round[]>(measures.map((name) => [name, []]));
  let uploads = 0;
  await withLab(async (lab) => {
    const tunnels = new Map<Contender, Logged>();
    for (const contender of CONTENDERS) tunnels.set(contender, await prepare(lab, contender));
    for (let round = 0; round < rounds; round++) {
      for (const name of measures) {
        const { name: title, unit } = MEASURES[name];
        const taken: Partial<Record<Contender, Sample>> = {};
        for (const contender of orderOf(CONTENDERS, round)) {
          taken[contender] = await sample(tunnels.get(contender)!, MEASURES[name], seconds);
        }
        samples.get(name)!.push(taken as Round);
        const text = CONTENDERS.map((each) => `${each} ${taken[each]!.rate.toFixed(3)}`);
        console.error(`round ${round + 1}: ${title}: ${text.join(", ")} ${unit}`);
      }
    }
    uploads = tunnels.get("on")!.sink!.requests().length;
  });
  return { samples, uploads };
}

/** What is compared, and how much more of it, in %, a contender costs than what it is compared with. */
const COLUMNS = [
  {
    unit: ({ unit }: Measure) => unit as string,
    value: ({ rate }: Sample) => rate,
    cost: (value: number, base: number) => 100 * (1 - value / base),
  },
  {
    unit: () => "us a packet, carrying thread",
    value: ({ carrierUs }: Sample) => carrierUs,
    cost: moreThan,
  },
  { unit: () => "us a packet, all threads", value: ({ allUs }: Sample) => allUs, cost: moreThan },
] as const;

function moreThan(value: number, base: number): number {
  return 100 * (value / base - 1);
}

/** What a contender is compared with in one round: `on` with the mean of both others. */
function baseOf(contender: Contender, round: Round, value: (sample: Sample) => number): number {
  const off = value(round.off);
  return contender === "on" ? (off + value(round["off again"])) / 2 : off;
}

function table(samples: ReadonlyMap<MeasureName, readonly Round[]>): string {
  const lines = [
    "| measure | flow log | median | p10 … p90 | unit | cost in % | p10 … p90 |",
    "| --- | --- | ---: | ---: | --- | ---: | ---: |",
  ];
  for (const [name, rounds] of samples) {
    const what = MEASURES[name];
    for (const { unit, value, cost } of COLUMNS) {
      for (const contender of CONTENDERS) {
        const values = rounds.map((round) => value(round[contender]));
        const costs = rounds.map((round) =>
          cost(value(round[contender]), baseOf(contender, round, value))
        );
        const costCells = contender === "off" ? " | " : spanCells(summarize(costs), 1);
        const cells = [
          what.name,
          contender,
          spanCells(summarize(values), 3),
          unit(what),
          costCells,
        ];
        lines.push(`| ${cells.join(" | ")} |`);
      }
    }
  }
  return lines.join("\n");
}

async function main(): Promise<number> {
  const options = parseBenchOptions<Contender, MeasureName>(process.argv.slice(2), {
    name: "flow-log-cost",
    contenders: CONTENDERS,
    measures: ["tcp", "udp64"],
    rounds: 7,
    seconds: 5,
  });
  const obstacle = cannotRun("iperf3", "tc");
  if (obstacle !== false) {
    console.error(`Cannot measure: ${obstacle}`);
    return 1;
  }
  const machine = announce(["deno", "iperf3"], options);
  const { samples, uploads } = await measure(options);
  console.log(table(samples));
  console.log(`\n${uploads} uploads; load at end: ${loadText()}`);
  writeResults(options.jsonPath, {
    machine,
    options,
    rounds: Object.fromEntries(samples),
    uploads,
  });
  return 0;
}

if (import.meta.main) process.exitCode = await main();
