/**
 * What does the flow log cost the data plane: how much slower is a tunnel that sends windows of 5 s to a collector on the same
 * machine than one that writes nothing down? Budget: 2 %.
 *
 *     deno run -A tests/bench/flow_log_cost_bench.ts [--quick] [--rounds N] [--seconds N]
 *
 * Mix: one TCP stream, and IPv4 packets of 64 bytes as fast as iperf3 can send them. Three tunnels of ours on Deno stand at
 * once, an idle one costs nothing: `on` logs at its sending end, `off` and `off again` do not; the last two differ by noise alone,
 * and tell how much of it there is. They are measured in turn, in an order that is flipped each round; the cost of a round is
 * 1 - on / off. Beside the rate stands what a packet costs the sending node in CPU time, the thread that carries packets alone and
 * all threads together: where others use the machine, rates say little, and CPU time still says something. Each sample is longer than a window, so that a window is taken, encoded, spooled and uploaded in it. Needs root,
 * wg, ip, ping and iperf3.
 *
 * Out: a table of medians with p10 and p90 of the samples and of the rounds' costs, and how much was uploaded.
 */
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type LogSink, startLogSink } from "../system/support/log_sink.ts";
import { type Lab, withLab } from "../system/support/namespaces.ts";
import { INNER, makeWire, startPair } from "../system/support/pairs.ts";
import { cannotRun } from "../system/support/runtimes.ts";
import {
  iperf,
  type IperfOptions,
  startIperfServer,
  waitForPing,
} from "../system/support/traffic.ts";
import type { Tunnel } from "../system/support/tunnels.ts";
import { cpuTimeNs } from "../system/support/usage.ts";

const CONTENDERS = ["off", "on", "off again"] as const;
type Contender = (typeof CONTENDERS)[number];

interface Measure {
  readonly name: string;
  /** Of the rate. */
  readonly unit: string;
  readonly options: IperfOptions;
  readonly value: (result: Awaited<ReturnType<typeof iperf>>) => number;
}

/** Deno's name for the threads of workers. */
const CARRIER = /^worker-/;
/** IPv4 and UDP headers in a 64-byte packet. */
const HEADER_BYTES = 28;
const MEASURES: readonly Measure[] = [
  {
    name: "TCP, 1 stream",
    unit: "Gbit/s",
    options: {},
    value: ({ bitsPerSecond }) => bitsPerSecond / 1e9,
  },
  {
    name: "UDP, 64 B packets",
    unit: "kpps",
    options: { udp: { payloadBytes: 64 - HEADER_BYTES, bitsPerSecond: 0 } },
    value: ({ datagramsSent, datagramsLost, seconds }) =>
      (datagramsSent - datagramsLost) / seconds / 1e3,
  },
];

/** One run of iperf3, and the sending node's CPU time for it. */
interface Sample {
  readonly rate: number;
  /** Of the thread that carries packets. */
  readonly carrierNsPerPacket: number;
  /** Of all threads. */
  readonly nsPerPacket: number;
}

/** One round of one measure. */
type Round = Readonly<Record<Contender, Sample>>;

/** A tunnel that stands ready to be measured. */
interface Ready {
  readonly sender: Tunnel;
  /** null = nothing is written down. */
  readonly sink: LogSink | null;
}

/** Sets up one tunnel. */
async function prepare(lab: Lab, contender: Contender): Promise<Ready> {
  const wire = makeWire(lab);
  const sink = contender === "on" ? await startLogSink(wire.left) : null;
  const state = join(lab.directory, "state");
  const flowLog = sink === null
    ? ["Output = none"]
    : [`Collector = ${sink.url}`, `StateDirectory = ${state}`];
  const options = { left: "deno", right: "deno", config: { left: { flowLog } } } as const;
  const { left, right } = await startPair(lab, options, wire);
  await waitForPing(left.namespace, INNER.right[4]);
  await startIperfServer(right.namespace, INNER.right[4]);
  return { sender: left, sink };
}

function packetsOf({ namespace, name }: Tunnel): number {
  const [{ stats64: { rx, tx } }] = namespace.ipJson("-s", "link", "show", "dev", name);
  return rx.packets + tx.packets;
}

async function sample({ sender }: Ready, what: Measure, seconds: number): Promise<Sample> {
  const { pid } = sender.process;
  const read = () => [packetsOf(sender), cpuTimeNs(pid, CARRIER), cpuTimeNs(pid)] as const;
  const before = read();
  const options = { ...what.options, seconds };
  const result = await iperf(sender.namespace, INNER.right[4], options);
  const [packets, carrierNs, allNs] = read().map((value, index) => value - before[index]!) as [
    number,
    number,
    number,
  ];
  return {
    rate: what.value(result),
    carrierNsPerPacket: carrierNs / packets,
    nsPerPacket: allNs / packets,
  };
}

/** Measures everything. @returns Rounds by measure, and the number of uploads. */
async function measure(
  rounds: number,
  seconds: number,
): Promise<{ samples: Map<Measure, Round[]>; uploads: number }> {
  const samples = new Map<Measure, Round[]>(MEASURES.map((what) => [what, []]));
  let uploads = 0;
  await withLab(async (lab) => {
    const ready = new Map<Contender, Ready>();
    for (const contender of CONTENDERS) ready.set(contender, await prepare(lab, contender));
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? CONTENDERS : CONTENDERS.toReversed();
      for (const what of MEASURES) {
        const round: Partial<Record<Contender, Sample>> = {};
        for (const contender of order) {
          round[contender] = await sample(ready.get(contender)!, what, seconds);
        }
        samples.get(what)!.push(round as Round);
        const text = order.map((name) => `${name} ${round[name]!.rate.toFixed(3)}`).join(", ");
        console.error(`${what.name}: ${text} ${what.unit}`);
      }
    }
    uploads = ready.get("on")!.sink!.requests().length;
  });
  return { samples, uploads };
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * part;
  const low = Math.floor(position);
  return sorted[low]! + (sorted[Math.ceil(position)]! - sorted[low]!) * (position - low);
}

function spanText(values: readonly number[], digits: number): string {
  const text = (part: number) => quantile(values, part).toFixed(digits);
  return `${text(0.5)} | ${text(0.1)} … ${text(0.9)}`;
}

/** What is compared, and how much more of it, in %, a contender costs than `off`. */
const COLUMNS = [
  {
    unit: ({ unit }: Measure) => unit,
    digits: 3,
    value: ({ rate }: Sample) => rate,
    cost: (value: number, off: number) => 100 * (1 - value / off),
  },
  {
    unit: () => "ns a packet, carrying thread",
    digits: 0,
    value: ({ carrierNsPerPacket }: Sample) => carrierNsPerPacket,
    cost: moreThan,
  },
  {
    unit: () => "ns a packet, all threads",
    digits: 0,
    value: ({ nsPerPacket }: Sample) => nsPerPacket,
    cost: moreThan,
  },
] as const;

function moreThan(value: number, off: number): number {
  return 100 * (value / off - 1);
}

function table(samples: Map<Measure, Round[]>): string {
  const lines = [
    "| measure | flow log | median | p10 … p90 | unit | cost in % | p10 … p90 |",
    "| --- | --- | ---: | ---: | --- | ---: | ---: |",
  ];
  for (const [what, rounds] of samples) {
    for (const { unit, digits, value, cost } of COLUMNS) {
      for (const contender of CONTENDERS) {
        const values = rounds.map((round) => value(round[contender]));
        const costs = rounds.map((round) => cost(value(round[contender]), value(round.off)));
        const costText = contender === "off" ? " | " : spanText(costs, 1);
        const cells = [what.name, contender, spanText(values, digits), unit(what), costText];
        lines.push(`| ${cells.join(" | ")} |`);
      }
    }
  }
  return lines.join("\n");
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      seconds: { type: "string" },
    },
  });
  const obstacle = cannotRun("iperf3");
  if (obstacle !== false) {
    console.error(`Cannot measure: ${obstacle}`);
    return 1;
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 9));
  const seconds = Number(values.seconds ?? (values.quick ? 1 : 6));
  const load = loadavg()[0]!.toFixed(1);
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Linux ${release()}, load ${load}`);
  console.log(`${rounds} rounds of ${seconds} s each, order flipped each round\n`);
  const { samples, uploads } = await measure(rounds, seconds);
  console.log(table(samples));
  console.log(`\n${uploads} uploads`);
  return 0;
}

process.exitCode = await main();
