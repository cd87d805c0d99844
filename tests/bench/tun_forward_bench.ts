/**
 * How near does TypeScript come to C: TCP forwarded between two TUN devices by tun_forward.ts, on Deno and on Bun,
 * against tun_forward.c? Budget: 0.95 of C's rate, and 2 % of CPU time for decoding and counting.
 *
 *     deno run -A tests/bench/tun_forward_bench.ts [--quick] [--rounds N] [--seconds N]
 *         [--only NAME]… [--measure NAME]…
 *
 * Mix: one TCP stream of iperf3, in super-packets, from one namespace to another; then pings on the idle devices.
 * Each forwarder has a pair of namespaces; all stand at once (an idle one costs nothing) and are measured in turn, in
 * an order that is flipped each round. Beside the rate stands the forwarder's CPU time a packet, segments counted:
 * where others use the machine, rates say little. It holds all that the kernel does within its reads and writes: the
 * same for all, and most of it. `uncounted` is the forwarder on Deno without decoding and counting, which shows what
 * those cost. Needs root, gcc, ip, tc, ping and iperf3.
 *
 * Out: machine and versions, a table with ratios to C, all samples as JSON. At the end every forwarder's counts must
 * be the kernel's, as segments and as super-packets, and the sums over its flows those; otherwise the exit code is 1.
 */
import { join } from "node:path";
import process from "node:process";
import { READ_BYTES_MAX, READ_PACKETS_MAX } from "../../src/limits.ts";
import type { Child } from "../system/support/command.ts";
import { type Lab, type Namespace, withLab } from "../system/support/namespaces.ts";
import { cannotRun, OWN_RUNTIME, ROOT } from "../system/support/runtimes.ts";
import { iperf, startIperfServer } from "../system/support/traffic.ts";
import { cpuTimeNs } from "../system/support/usage.ts";
import { type Aim, aimTable } from "./support/aims.ts";
import { buildC } from "./support/build_c.ts";
import { linkCounts } from "./support/link_counts.ts";
import { announce, loadText, putBunOnPath } from "./support/machine.ts";
import { parseBenchOptions } from "./support/options.ts";
import { pingTimes } from "./support/pings.ts";
import { type ResultMeasure, resultRows, resultTable, writeResults } from "./support/report.ts";
import { orderOf, quantile, Samples } from "./support/statistics.ts";
import type { ForwardCounts, ForwardReport } from "./tun_forward.ts";

/** `uncounted` is Deno without decoding and counting. */
const CONTENDERS = ["c", "deno", "bun", "uncounted"] as const;
type Contender = (typeof CONTENDERS)[number];
const BASE: Contender = "c";
const MEASURES = ["tcp", "ping"] as const;

const RATE: ResultMeasure = { name: "TCP, 1 stream", unit: "Gbit/s", digits: 2 };
const CPU: ResultMeasure = { name: "TCP, CPU time", unit: "ns a packet", digits: 0 };
const PING: ResultMeasure = { name: "ping, p50", unit: "us", digits: 1 };
const SHOWN = [RATE, CPU, PING] as const;

const AIMS: readonly Aim[] = [
  {
    ...{ measure: RATE.name, of: BASE, bound: "at least", value: 0.95 },
    contenders: ["deno", "bun"],
  },
  {
    ...{ measure: CPU.name, of: "uncounted", bound: "at most", value: 1.02 },
    contenders: ["deno"],
  },
];

const ADDRESS = { left: "10.78.0.1", right: "10.78.0.2" } as const;
const MTU_BYTES = 1_420;
const PINGS = { count: 200, intervalMs: 2 } as const;

/** A forwarder that stands ready to be measured: A in the left namespace, B in the right one. */
interface Ready {
  readonly left: Namespace;
  readonly right: Namespace;
  readonly deviceA: string;
  readonly deviceB: string;
  readonly process: Child;
}

function commandOf(contender: Contender, cPath: string): string[] {
  const script = join(ROOT, "tests/bench/tun_forward.ts");
  switch (contender) {
    case "c":
      return [cPath];
    case "deno":
    case "uncounted":
      return [OWN_RUNTIME === "deno" ? process.execPath : "deno", "run", "-A", "--quiet", script];
    case "bun":
      return ["bun", "run", "--no-install", script];
  }
}

async function prepare(lab: Lab, contender: Contender, cPath: string): Promise<Ready> {
  const left = lab.namespace("left");
  const right = lab.namespace("right");
  const deviceA = lab.interfaceName();
  const deviceB = lab.interfaceName();
  const way = contender === "uncounted" ? ["uncounted"] : [];
  const child = left.spawn([...commandOf(contender, cPath), deviceA, deviceB, ...way]);
  await child.waitForOutput(/^ready$/m);
  // A device keeps its owner when it moves, so one process stands between two namespaces.
  left.ip(`link set ${deviceB} netns ${right.name}`);
  for (
    const [namespace, name, address] of [
      [left, deviceA, ADDRESS.left],
      [right, deviceB, ADDRESS.right],
    ] as const
  ) {
    // What IPv6 sends as soon as one device is up finds the other one down.
    namespace.sysctl(`net.ipv6.conf.${name}.disable_ipv6=1`);
    namespace.ip(
      `link set ${name} addrgenmode none mtu ${MTU_BYTES} up`,
      `address add ${address}/24 dev ${name}`,
    );
  }
  await startIperfServer(right, ADDRESS.right);
  return { left, right, deviceA, deviceB, process: child };
}

async function sampleTcp(ready: Ready, seconds: number): Promise<{ rate: number; cpu: number }> {
  const packets = () =>
    linkCounts(ready.left, ready.deviceA).segments.packets +
    linkCounts(ready.right, ready.deviceB).segments.packets;
  const packetsBefore = packets();
  const cpuBefore = cpuTimeNs(ready.process.pid);
  const { bitsPerSecond } = await iperf(ready.left, ADDRESS.right, { seconds });
  const cpuNs = cpuTimeNs(ready.process.pid) - cpuBefore;
  return { rate: bitsPerSecond / 1e9, cpu: cpuNs / (packets() - packetsBefore) };
}

/** Compares what a forwarder counted with what the kernel did. @returns What differs, none = all is exact. */
async function audit(contender: Contender, ready: Ready): Promise<string[]> {
  const kernel = {
    a: linkCounts(ready.left, ready.deviceA),
    b: linkCounts(ready.right, ready.deviceB),
  };
  ready.process.writeLine("end");
  const { stdout } = await ready.process.waitForEnd();
  const own: ForwardReport = JSON.parse(stdout.trim().split("\n").at(-1)!);
  const differences: string[] = [];
  const compare = (what: string, counted: number, wanted: number) => {
    if (counted !== wanted) differences.push(`${contender}: ${what} ${counted}, not ${wanted}`);
  };
  for (const side of ["a", "b"] as const) {
    const counts: ForwardCounts = own[side];
    const { segments, reads, dropped } = kernel[side];
    compare(`${side}: dropped by the device`, dropped, 0);
    const isCounted = contender !== "uncounted";
    compare(`${side}: packets`, counts.packets, isCounted ? segments.packets : 0);
    compare(`${side}: bytes`, counts.bytes, isCounted ? segments.bytes : 0);
    compare(`${side}: reads`, counts.reads, reads.packets);
    compare(`${side}: bytes read`, counts.readBytes, reads.bytes);
    compare(`${side}: undecodable`, counts.undecodable, 0);
    compare(`${side}: writes failed`, counts.writeFailed, 0);
  }
  compare("packets of all flows", own.flowPackets, own.a.packets + own.b.packets);
  compare("bytes of all flows", own.flowBytes, own.a.bytes + own.b.bytes);
  const { packets, reads } = own.a;
  console.log(
    `${contender}: ${packets + own.b.packets} packets in ${reads + own.b.reads} reads, ` +
      `${own.flows} flows: ${differences.length === 0 ? "as the kernel counts" : "WRONG"}`,
  );
  return differences;
}

/** Measures everything, in turns. @returns The samples, and what was counted wrongly. */
async function measure(
  options: {
    readonly contenders: readonly Contender[];
    readonly measures: readonly string[];
    readonly rounds: number;
    readonly seconds: number;
  },
): Promise<{ samples: Samples; differences: string[] }> {
  const samples = new Samples();
  const differences: string[] = [];
  await withLab(async (lab) => {
    // With the limits of the data plane, so that a turn is as long in both languages.
    const cPath = buildC(lab.directory, "tun_forward", { READ_PACKETS_MAX, READ_BYTES_MAX });
    const ready = new Map<Contender, Ready>();
    for (const contender of options.contenders) {
      ready.set(contender, await prepare(lab, contender, cPath));
      // The first run of each is not counted: it compiles.
      await iperf(ready.get(contender)!.left, ADDRESS.right, { seconds: 1 });
    }
    for (let round = 0; round < options.rounds; round++) {
      for (const contender of orderOf(options.contenders, round)) {
        if (!options.measures.includes("tcp")) break;
        const { rate, cpu } = await sampleTcp(ready.get(contender)!, options.seconds);
        samples.add(RATE.name, contender, rate);
        samples.add(CPU.name, contender, cpu);
        console.error(`round ${round + 1}: ${contender}: ${rate.toFixed(2)} ${RATE.unit}`);
      }
      for (const contender of orderOf(options.contenders, round)) {
        if (!options.measures.includes("ping")) break;
        const { timesUs } = await pingTimes(ready.get(contender)!.left, ADDRESS.right, PINGS);
        samples.add(PING.name, contender, quantile(timesUs, 0.5));
      }
    }
    for (const contender of options.contenders) {
      differences.push(...await audit(contender, ready.get(contender)!));
    }
  });
  return { samples, differences };
}

async function main(): Promise<number> {
  const options = parseBenchOptions(process.argv.slice(2), {
    name: "tun-forward",
    contenders: CONTENDERS,
    measures: MEASURES,
    rounds: 15,
    seconds: 1,
  });
  const obstacle = cannotRun("iperf3", "gcc", "tc");
  if (obstacle !== false) {
    console.error(`Cannot measure: ${obstacle}`);
    return 1;
  }
  putBunOnPath();
  const machine = announce(["gcc", "deno", "bun", "iperf3"], options);
  const { samples, differences } = await measure(options);
  const rows = resultRows(samples, SHOWN, options.contenders, BASE);
  console.log(`\n${resultTable(rows, SHOWN, BASE)}`);
  console.log(`\n${aimTable(AIMS, samples, ["deno", "bun"])}\n\nload at end: ${loadText()}`);
  for (const difference of differences) console.error(difference);
  writeResults(options.jsonPath, { machine, options, rows, differences });
  return differences.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
