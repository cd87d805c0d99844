/**
 * What does a tunnel deliver when it is offered more than it can carry: does the rate stay, or collapse? Budget: at
 * three times saturation at least 0.9 of the best rate.
 *
 *     deno run -A tests/bench/degradation_bench.ts [--quick] [--rounds N] [--seconds N] [--only CONTENDER]…
 *         [--measure udp|udp64]…
 *
 * Mix: UDP of 1300 bytes and IPv4 packets of 64 bytes from iperf3, offered at 10 % to 300 % of saturation, and as
 * fast as iperf3 can send. Saturation is the most that arrived in four tries, one of them as fast as it goes. So that
 * there can be more than enough, both ends of the tunnel and the receiver share the first core, and the sender has
 * the second one to itself; with a single core all share that. What was sent stands beside what was asked for: no
 * sender sends more than its core can. Contenders take turns, in an order that is flipped each round. Needs root,
 * wireguard-go, wg, ip, tc, taskset, ping and iperf3.
 *
 * Out: the curve of medians for each contender, its last points against its best, and all samples as JSON.
 */
import { cpus } from "node:os";
import process from "node:process";
import { mustSync } from "../system/support/command.ts";
import { Namespace, withLab } from "../system/support/namespaces.ts";
import { cannotRun } from "../system/support/runtimes.ts";
import { iperf, type IperfResult } from "../system/support/traffic.ts";
import { buildBinary, type Contender, type Ready, startContender } from "./support/contenders.ts";
import { datagramsReceived, HEADER_BYTES } from "./support/loads.ts";
import { announce, loadText, putBunOnPath } from "./support/machine.ts";
import { type BenchOptions, parseBenchOptions } from "./support/options.ts";
import { spanCells, writeResults } from "./support/report.ts";
import { orderOf, quantile, summarize } from "./support/statistics.ts";

const CONTENDERS: readonly Contender[] = ["wireguard-go", "deno", "bun"];
const PAYLOAD_BYTES = { udp: 1_300, udp64: 64 - HEADER_BYTES } as const;
type MeasureName = keyof typeof PAYLOAD_BYTES;

/** Offered, of saturation. */
const PARTS = [0.1, 0.5, 1, 1.5, 2, 3] as const;
const PARTS_QUICK = [0.5, 1, 3] as const;
/** Offered to find saturation, of what arrives when as much as possible is sent: that may be less than the most. */
const TRIES = [1.5, 2, 3] as const;

/** What came of one offered rate, in datagrams per second. */
export interface Point {
  /** Of saturation; null = as fast as it goes. */
  readonly part: number | null;
  /** 0 = as fast as it goes. */
  readonly asked: number;
  readonly sent: number;
  readonly delivered: number;
}

/** One contender's curve in one round, by what was offered. */
export type Curve = readonly Point[];

/** What one point delivers, of the best of all. @throws {RangeError} If there is no such point. */
export function remaining(curve: Curve, part: number | null): number {
  const point = curve.find((each) => each.part === part);
  if (point === undefined) throw new RangeError(`Cannot find ${part} of saturation in the curve`);
  return point.delivered / Math.max(...curve.map(({ delivered }) => delivered));
}

/** A namespace whose commands keep to one core. */
class PinnedNamespace extends Namespace {
  readonly #core: number;

  constructor({ lab, name }: Namespace, core: number) {
    super(lab, name);
    this.#core = core;
  }

  override argv(argv: readonly string[]): string[] {
    return super.argv(["taskset", "-c", `${this.#core}`, ...argv]);
  }
}

/** Keeps all threads of a process to one core, those to come too. */
function pin(pid: number, core: number): void {
  mustSync(["taskset", "-acp", `${core}`, `${pid}`]);
}

function point(part: number | null, asked: number, result: IperfResult): Point {
  return {
    part,
    asked,
    sent: result.datagramsSent / result.seconds,
    delivered: datagramsReceived(result) / result.seconds,
  };
}

/** Offers one contender all parts of its saturation. */
async function takeCurve(
  ready: Ready,
  name: MeasureName,
  { quick, seconds }: { readonly quick: boolean; readonly seconds: number },
): Promise<Curve> {
  const payloadBytes = PAYLOAD_BYTES[name];
  const client = new PinnedNamespace(ready.left.namespace, Math.min(1, cpus().length - 1));
  const offer = (perSecond: number) => {
    const bitsPerSecond = perSecond * payloadBytes * 8;
    return iperf(client, ready.address, { seconds, udp: { payloadBytes, bitsPerSecond } });
  };
  const flatOut = point(null, 0, await offer(0));
  let saturation = flatOut.delivered;
  for (const part of quick ? [] : TRIES) {
    const asked = flatOut.delivered * part;
    saturation = Math.max(saturation, point(part, asked, await offer(asked)).delivered);
  }
  const curve: Point[] = [];
  for (const part of quick ? PARTS_QUICK : PARTS) {
    const asked = saturation * part;
    curve.push(point(part, asked, await offer(asked)));
  }
  return [...curve, flatOut];
}

/** Measures everything, in turns. @returns Curves by measure and contender, one a round. */
async function measure(
  options: BenchOptions<Contender, MeasureName>,
): Promise<Map<string, Curve[]>> {
  const curves = new Map<string, Curve[]>();
  await withLab(async (lab) => {
    const ready = new Map<Contender, Ready>();
    for (const contender of options.contenders) {
      const pair = await startContender(lab, contender);
      for (const pid of [pair.left.pid, pair.right.pid, pair.server.pid]) {
        if (pid !== null) pin(pid, 0);
      }
      ready.set(contender, pair);
    }
    for (let round = 0; round < options.rounds; round++) {
      for (const name of options.measures) {
        for (const contender of orderOf(options.contenders, round)) {
          const curve = await takeCurve(ready.get(contender)!, name, options);
          const key = `${name}|${contender}`;
          curves.set(key, [...curves.get(key) ?? [], curve]);
          const share = remaining(curve, PARTS.at(-1)!).toFixed(2);
          console.error(`round ${round + 1}: ${name}, ${contender}: ${share} of the best remain`);
        }
      }
    }
  });
  return curves;
}

/** Markdown of the curves: medians over the rounds, kpps. */
function table(curves: ReadonlyMap<string, readonly Curve[]>): string {
  const lines = [
    "| measure, contender | offered | asked, kpps | sent, kpps | delivered, kpps |",
    "| --- | ---: | ---: | ---: | ---: |",
  ];
  for (const [key, rounds] of curves) {
    for (const [index, { part }] of rounds[0]!.entries()) {
      const cell = (value: (point: Point) => number) =>
        (quantile(rounds.map((curve) => value(curve[index]!)), 0.5) / 1e3).toFixed(1);
      const asked = part === null ? "" : cell((p) => p.asked);
      const cells = [asked, cell((p) => p.sent), cell((p) => p.delivered)];
      const name = key.replace("|", ", ");
      lines.push(`| ${name} | ${partText(part)} | ${cells.join(" | ")} |`);
    }
  }
  lines.push(
    "",
    "| measure, contender | offered | delivered, of the best | p10 … p90 |",
    "| --- | ---: | ---: | ---: |",
  );
  for (const [key, rounds] of curves) {
    for (const part of [PARTS.at(-1)!, null]) {
      const share = summarize(rounds.map((curve) => remaining(curve, part)));
      lines.push(`| ${key.replace("|", ", ")} | ${partText(part)} | ${spanCells(share, 2)} |`);
    }
  }
  return lines.join("\n");
}

function partText(part: number | null): string {
  return part === null ? "all it can" : `${(100 * part).toFixed(0)} %`;
}

async function main(): Promise<number> {
  const options = parseBenchOptions<Contender, MeasureName>(process.argv.slice(2), {
    name: "degradation",
    contenders: [...CONTENDERS, "binary"],
    contendersByDefault: CONTENDERS,
    measures: ["udp", "udp64"],
    rounds: 2,
    seconds: 1,
  });
  const obstacle = cannotRun("wireguard-go", "iperf3", "tc", "taskset");
  if (obstacle !== false) {
    console.error(`Cannot measure: ${obstacle}`);
    return 1;
  }
  putBunOnPath();
  if (options.contenders.includes("binary")) buildBinary();
  const machine = announce(["deno", "bun", "wireguard-go", "iperf3"], options);
  const curves = await measure(options);
  console.log(`${table(curves)}\n\nload at end: ${loadText()}`);
  writeResults(options.jsonPath, { machine, options, curves: Object.fromEntries(curves) });
  return 0;
}

if (import.meta.main) process.exitCode = await main();
