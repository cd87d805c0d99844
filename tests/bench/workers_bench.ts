/**
 * What do two data-plane workers gain over one, and what does one cost since there may be several?
 *
 *     deno run -A tests/bench/workers_bench.ts [--rounds N] [--seconds N] [--against DIRECTORY]
 *
 * Mix: one TCP stream, eight, UDP of 1300 bytes as fast as iperf3 sends it, and the same in eight flows. Both ends of
 * each tunnel are ours and stand on the same cores. All pairs stand at once and are measured in turn, in an order that
 * is flipped each round. `--against` adds one worker of another checkout of this repository. Needs root and iperf3.
 *
 * Out: medians with p10 and p90 of throughput and of CPU time of both nodes per packet that arrived, each with the median of the
 * rounds' ratios to one worker; memory of both ends.
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { withLab } from "../system/support/namespaces.ts";
import { INNER, type Pair, startPair } from "../system/support/pairs.ts";
import {
  iperf,
  type IperfOptions,
  startIperfServer,
  waitForPing,
} from "../system/support/traffic.ts";
import { cpuTimeNs, residentBytes } from "../system/support/usage.ts";

/** TCP payload of a packet: MTU less IPv4 and TCP headers with timestamps. */
const SEGMENT_BYTES = 1_420 - 20 - 32;
const UDP = { payloadBytes: 1300, bitsPerSecond: 0 };
const MEASURES: readonly (readonly [string, IperfOptions])[] = [
  ["TCP, 1 stream", {}],
  ["TCP, 8 streams", { streams: 8 }],
  ["UDP 1300 B, 1 flow", { udp: UDP }],
  ["UDP 1300 B, 8 flows", { udp: UDP, streams: 8 }],
];

interface Sample {
  readonly gigabits: number;
  /** CPU time of both nodes per packet that iperf3 received, in µs. */
  readonly cpuUs: number;
}

function median(values: readonly number[], part = 0.5): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round((sorted.length - 1) * part)]!;
}

async function sample(pair: Pair, options: IperfOptions): Promise<Sample> {
  const cpuNs = () => cpuTimeNs(pair.left.process.pid) + cpuTimeNs(pair.right.process.pid);
  const cpuBefore = cpuNs();
  const { bitsPerSecond, bytes } = await iperf(pair.left.namespace, INNER.right[4], options);
  const spentNs = cpuNs() - cpuBefore;
  const payloadBytes = options.udp?.payloadBytes ?? SEGMENT_BYTES;
  return { gigabits: bitsPerSecond / 1e9, cpuUs: spentNs / 1e3 / (bytes / payloadBytes) };
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    against: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const samples = new Map<string, Sample[]>();

await withLab(async (lab) => {
  const contenders: { name: string; pair: Pair }[] = [];
  const stand = async (name: string, workers?: number, directory?: string): Promise<void> => {
    const side = workers === undefined ? {} : { workers };
    const prefix = directory === undefined ? undefined : ["env", "-C", directory];
    const pair = await startPair(lab, {
      ...{ left: "deno", right: "deno", initiator: "left", config: { left: side, right: side } },
      ...(prefix && { prefix: { left: prefix, right: prefix } }),
    });
    await waitForPing(pair.left.namespace, INNER.right[4]);
    await startIperfServer(pair.right.namespace, INNER.right[4]);
    contenders.push({ name, pair });
  };
  await stand("1 worker", 1);
  await stand("2 workers", 2);
  if (values.against !== undefined) await stand("other checkout", undefined, values.against);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    for (const [measure, options] of MEASURES) {
      for (const { name, pair } of order) {
        const key = `${measure}|${name}`;
        const taken = await sample(pair, { ...options, seconds });
        samples.set(key, [...samples.get(key) ?? [], taken]);
      }
    }
  }
  for (const { name, pair } of contenders) {
    const megabytes = [pair.left, pair.right].map(({ process: { pid } }) =>
      Math.round(residentBytes(pid) / 1e6)
    );
    console.log(`memory resident of ${name}: ${megabytes.join(" and ")} MB`);
  }
});

console.log(`${cpus()[0]?.model}, ${cpus().length} cores; ${rounds} rounds of ${seconds} s\n`);
console.log(
  "| measure | tunnel | Gbit/s (p10 … p90) | of 1 worker | CPU µs (p10 … p90) | of 1 worker |",
);
console.log("| --- | --- | ---: | ---: | ---: | ---: |");
for (const [key, taken] of samples) {
  const [measure, name] = key.split("|") as [string, string];
  const base = samples.get(`${measure}|1 worker`)!;
  const cells = (["gigabits", "cpuUs"] as const).flatMap((field) => {
    const all = taken.map((each) => each[field]);
    const ratios = all.map((value, round) => value / base[round]![field]);
    const [low, middle, high] = [0.1, 0.5, 0.9].map((part) => median(all, part).toFixed(2));
    return [`${middle} (${low} … ${high})`, median(ratios).toFixed(2)];
  });
  console.log(`| ${measure} | ${name} | ${cells.join(" | ")} |`);
}
