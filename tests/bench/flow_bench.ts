/**
 * Question: what does it cost to decode and count one packet, by number of flows? Budget: 45 ns at 60 k flows
 * (1 Mpps = 1000 ns a packet for everything).
 *
 * Traffic: TCP headers in 128 slots that stay in cache, as a batch just read does; each packet belongs to a flow
 * drawn evenly at random, the worst order there is. Writing the flow's number into the packet is part of the loop;
 * the same loop without decode and count is timed too and taken off.
 *
 *   deno run -A tests/bench/flow_bench.ts [rounds] [packets] [variant]
 *   bun --no-install tests/bench/flow_bench.ts
 */
import process from "node:process";
import { FLOWS_MAX_DEFAULT } from "../../src/limits.ts";
import { createBanks, FlowReader, FlowWriter } from "../../src/flow/mod.ts";
import { decode, HASH_SECRET_WORDS, INFO, INFO_WORDS, KEY_WORDS } from "../../src/packet/mod.ts";
import { DenseTable, DirectTable, halfSipHash, multilinear, murmur } from "./flow_variants.ts";

/** What the traffic is made of. */
export type Mix = "v4" | "v6" | "mixed";

/** What counts. */
export interface Counter {
  countTx(key: Uint32Array, packets: number, bytes: number, detail: number): void;
  countRx(key: Uint32Array, packets: number, bytes: number, detail: number): void;
}

/** One line of the result. */
export interface Measurement {
  readonly mix: Mix;
  readonly flows: number;
  /** ns per packet, one for each round, sorted. */
  readonly nsPerPacket: readonly number[];
  /** Of all that was counted: the same on every machine and runtime. */
  readonly checksum: number;
}

const SLOTS = 128;
const SLOT_BYTES = 64;

/** Batch of TCP packets; odd slots are received ones, and IPv6 as the mix says. */
function makePackets(mix: Mix): DataView {
  const view = new DataView(new ArrayBuffer(SLOTS * SLOT_BYTES));
  for (let slot = 0; slot < SLOTS; slot++) {
    const start = slot * SLOT_BYTES;
    if (isV6(mix, slot)) {
      view.setUint32(start, 0x60000000);
      view.setUint16(start + 4, 20);
      view.setUint8(start + 6, 6);
      view.setUint32(start + 8, 0xfd7a115c);
      view.setUint32(start + 24, 0xfd7a115c);
    } else {
      view.setUint8(start, 0x45);
      view.setUint16(start + 2, 40);
      view.setUint8(start + 9, 6);
      view.setUint32(start + (isReceived(slot) ? 16 : 12), 0x64400001);
    }
  }
  return view;
}

function isReceived(slot: number): boolean {
  return (slot & 1) === 1;
}

function isV6(mix: Mix, slot: number): boolean {
  return mix === "v6" || (mix === "mixed" && (slot & 2) === 2);
}

/** Passes `packets` packets of random flows; with no counter it only makes them. @returns Milliseconds. */
function run(
  view: DataView,
  mix: Mix,
  flows: number,
  packets: number,
  counter: Counter | null,
  key: Uint32Array,
  info: Uint32Array,
): number {
  const startMs = performance.now();
  let random = 12345;
  for (let count = 0; count < packets; count++) {
    const slot = count & (SLOTS - 1);
    const start = slot * SLOT_BYTES;
    random = (Math.imul(random, 1664525) + 1013904223) | 0;
    // By the high bits: the low ones of this generator repeat soon.
    let flow = Math.floor((random >>> 0) * flows / 2 ** 32);
    const v6 = isV6(mix, slot);
    // Each flow keeps to one family, so that there are no more of them than said.
    if (mix === "mixed") flow = (flow & ~1) | (v6 ? 1 : 0);
    const received = isReceived(slot);
    // The remote address's last word, and both ports.
    view.setUint32(start + (v6 ? (received ? 20 : 36) : (received ? 12 : 16)), flow);
    view.setUint16(start + (v6 ? 40 : 20) + (received ? 2 : 0), flow);
    if (counter === null) continue;
    const length = v6 ? 60 : 40;
    if (decode(view, start, length, key, info) !== 0) continue;
    if (received) counter.countRx(key, 1, length, info[INFO.DETAIL]);
    else counter.countTx(key, 1, length, info[INFO.DETAIL]);
  }
  return performance.now() - startMs;
}

/** Measures one mix and number of flows on a counter with room for them. */
export function measure(
  mix: Mix,
  flows: number,
  options: { rounds: number; packets: number; counter: Counter; checksum: () => number },
): Measurement {
  const { rounds, packets, counter } = options;
  const view = makePackets(mix);
  const key = new Uint32Array(KEY_WORDS);
  const info = new Uint32Array(INFO_WORDS);
  const nsPerPacket: number[] = [];
  // The first round enters the flows and warms the code; it is not counted.
  for (let round = 0; round <= rounds; round++) {
    const baseMs = run(view, mix, flows, packets, null, key, info);
    const ms = run(view, mix, flows, packets, counter, key, info);
    if (round > 0) nsPerPacket.push((ms - baseMs) * 1e6 / packets);
  }
  nsPerPacket.sort((a, b) => a - b);
  return { mix, flows, nsPerPacket, checksum: options.checksum() };
}

/** The banks as the node uses them, with a checksum over their rows. */
export function bankCounter(flowsMax: number): { counter: Counter; checksum: () => number } {
  const memory = createBanks(
    flowsMax,
    Uint32Array.from({ length: HASH_SECRET_WORDS }, (_, word) => Math.imul(word + 1, 0x9e3779b9)),
  );
  const writer = new FlowWriter(memory);
  const reader = new FlowReader(memory);
  const checksum = () => {
    let sum = 0;
    reader.flip();
    writer.handOver();
    reader.forEachRow((row) => sum += row.srcPort * row.txPackets + row.rxBytes);
    reader.clear();
    return sum;
  };
  return { counter: writer, checksum };
}

/** Counters by name: the banks, and what they were measured against. */
function makeCounter(variant: string, flowsMax: number): ReturnType<typeof bankCounter> {
  const checksum = () => 0;
  switch (variant) {
    case "banks":
      return bankCounter(flowsMax);
    case "multilinear":
      return { counter: new DenseTable(flowsMax, multilinear), checksum };
    case "halfsip":
      return { counter: new DenseTable(flowsMax, halfSipHash), checksum };
    case "murmur":
      return { counter: new DenseTable(flowsMax, murmur), checksum };
    case "direct":
      return { counter: new DirectTable(flowsMax), checksum };
    default:
      throw new RangeError(`No variant "${variant}"`);
  }
}

function main(): void {
  const [rounds = "7", packets = "2000000", variant = "banks"] = process.argv.slice(2);
  const runtime = process.versions.bun === undefined ? "Deno" : "Bun";
  console.log(`decode + count, ns per packet (${variant}, ${runtime}); median (p10 - p90)`);
  for (const mix of ["v4", "v6", "mixed"] as const) {
    for (const flows of [1, 1_000, 10_000, 60_000, 1_000_000]) {
      const result = measure(mix, flows, {
        rounds: Number(rounds),
        packets: Number(packets),
        ...makeCounter(variant, Math.max(FLOWS_MAX_DEFAULT, flows)),
      });
      const ns = result.nsPerPacket;
      const at = (part: number) => ns[Math.round((ns.length - 1) * part)].toFixed(1);
      console.log(
        `${mix.padEnd(5)} ${String(flows).padStart(9)} flows  ${at(0.5).padStart(6)}` +
          `  (${at(0.1)} - ${at(0.9)})  checksum ${result.checksum}`,
      );
    }
  }
}

if (import.meta.main) main();
