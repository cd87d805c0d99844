/**
 * What is measured of a tunnel, each measure by its name on the command line.
 *
 * In: a tunnel that stands. Out: one sample each of one or more lines of the result.
 */
import { allocateNative, openCrypto } from "../../../src/platform/mod.ts";
import { pause } from "../../system/support/wait.ts";
import type { Ready } from "./contenders.ts";
import {
  type Costs,
  datagramsReceived,
  HEADER_BYTES,
  type Load,
  memoryOf,
  runLoad,
  withCosts,
} from "./loads.ts";
import { type Offer, searchLossless } from "./lossless.ts";
import { pingTimes } from "./pings.ts";
import type { ResultMeasure } from "./report.ts";
import { quantile } from "./statistics.ts";
import { runBulk } from "./udp_load.ts";

/** How long, and how thoroughly. */
export interface MeasureOptions {
  readonly seconds: number;
  readonly quick: boolean;
  /** Path of udp_load. Valid iff a measure NEEDS_GCC. */
  readonly udpLoad: string;
}

/** Takes one sample. */
export type Add = (line: ResultMeasure, value: number) => void;

/** One measure. */
export interface TunnelMeasure {
  /** Taken in one round of so many; default: in all. */
  readonly everyRounds?: number;
  /** Lines of the result, in order. */
  readonly lines: readonly ResultMeasure[];
  readonly run: (ready: Ready, options: MeasureOptions, add: Add) => Promise<void>;
}

const GIGABIT = 1e9;
const MEGABYTE = 1e6;
/** Datagrams of the measures of UDP. */
const DATAGRAM_BYTES = 1_300;

/** Lines for what a packet costs each end in CPU time. */
function costLines(
  name: string,
): { readonly lines: ResultMeasure[]; add(add: Add, costs: Costs): void } {
  const sending = { name: `${name}: CPU, sending end`, unit: "us a packet", digits: 2 };
  const receiving = { name: `${name}: CPU, receiving end`, unit: "us a packet", digits: 2 };
  return {
    lines: [sending, receiving],
    add: (add, { sendingUs, receivingUs }) => {
      if (sendingUs !== null) add(sending, sendingUs);
      if (receivingUs !== null) add(receiving, receivingUs);
    },
  };
}

/** A load as fast as iperf3 can send it: the rate, and what a packet costs. */
function throughput(name: string, unit: "Gbit/s" | "kpps", load: Load): TunnelMeasure {
  const rate = { name, unit, digits: unit === "kpps" ? 1 : 2 };
  const cost = costLines(name);
  return {
    lines: [rate, ...cost.lines],
    run: async (ready, { seconds }, add) => {
      const { iperf, ...costs } = await runLoad(ready, load, seconds);
      const packetsPerSecond = datagramsReceived(iperf) / iperf.seconds;
      add(rate, unit === "kpps" ? packetsPerSecond / 1e3 : iperf.bitsPerSecond / GIGABIT);
      cost.add(add, costs);
    },
  };
}

const BULK64 = { name: "UDP, 64 B packets, in bulk", unit: "kpps", digits: 1 };
const BULK64_COST = costLines(BULK64.name);

/** Packets of 64 bytes from a sender that takes little time itself. */
const bulk64: TunnelMeasure = {
  lines: [BULK64, ...BULK64_COST.lines],
  run: async (ready, { seconds, udpLoad }, add) => {
    const load = { payloadBytes: 64 - HEADER_BYTES, datagramsPerSecond: 0, segmented: false };
    const { result, costs } = await withCosts(
      ready,
      () => runBulk(udpLoad, ready, load, seconds),
      ({ received }) => received,
    );
    add(BULK64, result.received / result.seconds / 1e3);
    BULK64_COST.add(add, costs);
  },
};

/** Offers a rate of datagrams of DATAGRAM_BYTES for a moment; 0 = as fast as it goes. */
type Offers = (
  ready: Ready,
  options: MeasureOptions,
) => (bitsPerSecond: number) => Promise<Offer>;

const offerByIperf: Offers = (ready) => async (bitsPerSecond) => {
  const udp = { payloadBytes: DATAGRAM_BYTES, bitsPerSecond };
  const { iperf } = await runLoad(ready, { udp }, 1);
  const { datagramsLost, datagramsSent } = iperf;
  return { delivered: iperf.bitsPerSecond, loss: datagramsLost / Math.max(1, datagramsSent) };
};

/** Of one offer: hundreds of times the buffers on the way. iperf3 knows whole seconds only. */
const BULK_SECONDS = 0.5;

const offerInBulk: Offers = (ready, { udpLoad }) => async (bitsPerSecond) => {
  const bits = DATAGRAM_BYTES * 8;
  const load = { payloadBytes: DATAGRAM_BYTES, datagramsPerSecond: bitsPerSecond / bits };
  const { sent, received, seconds } = await runBulk(
    udpLoad,
    ready,
    { ...load, segmented: true },
    BULK_SECONDS,
  );
  return { delivered: received * bits / seconds, loss: 1 - received / Math.max(1, sent) };
};

/** The highest rate without loss; a search takes ten runs. */
function lossless(name: string, offers: Offers): TunnelMeasure {
  const line = { name, unit: "Gbit/s", digits: 2 };
  return {
    everyRounds: 2,
    lines: [line],
    run: async (ready, options, add) => {
      const offer = offers(ready, options);
      // Nobody delivers much more without loss than with it.
      const { delivered } = await offer(0);
      const steps = options.quick ? 2 : 5;
      const bounds = { low: delivered / 8, high: delivered * 2, steps };
      add(line, await searchLossless(bounds, offer) / GIGABIT);
    },
  };
}

const IDLE_P50 = { name: "ping, idle, p50", unit: "us", digits: 0 };
const IDLE_P99 = { name: "ping, idle, p99", unit: "us", digits: 0 };

/** Pings when nothing else is carried, too seldom for anybody to stay awake between two. */
const idlePing: TunnelMeasure = {
  lines: [IDLE_P50, IDLE_P99],
  run: async ({ left, address }, { quick }, add) => {
    const pings = { count: quick ? 50 : 200, intervalMs: 10 };
    const { timesUs } = await pingTimes(left.namespace, address, pings);
    add(IDLE_P50, quantile(timesUs, 0.5));
    add(IDLE_P99, quantile(timesUs, 0.99));
  },
};

const BUSY_P50 = { name: "ping beside a TCP stream, p50", unit: "us", digits: 0 };
const BUSY_P99 = { name: "ping beside a TCP stream, p99", unit: "us", digits: 0 };
const BUSY_LOST = { name: "ping beside a TCP stream, lost", unit: "%", digits: 1 };
/** The stream runs so long before the first ping and behind the last one. */
const BUSY_EDGE_MS = 500;

/** Pings beside a flow that takes all it can get. */
const busyPing: TunnelMeasure = {
  lines: [BUSY_P50, BUSY_P99, BUSY_LOST],
  run: async (ready, { quick }, add) => {
    const pings = { count: quick ? 100 : 300, intervalMs: 10 };
    const seconds = Math.ceil((pings.count * pings.intervalMs + 2 * BUSY_EDGE_MS) / 1_000);
    const [{ sent, timesUs }] = await Promise.all([
      pause(BUSY_EDGE_MS).then(() => pingTimes(ready.left.namespace, ready.address, pings)),
      runLoad(ready, {}, seconds),
    ]);
    add(BUSY_P50, quantile(timesUs, 0.5));
    add(BUSY_P99, quantile(timesUs, 0.99));
    add(BUSY_LOST, 100 * (1 - timesUs.length / sent));
  },
};

const MEMORY = (["sending", "receiving"] as const).map((end) => ({
  now: { name: `RSS, ${end} end, after load`, unit: "MB", digits: 0 },
  peak: { name: `RSS, ${end} end, peak`, unit: "MB", digits: 0 },
}));

/** Resident memory of both ends; what it says depends on the load that came before. */
const memory: TunnelMeasure = {
  lines: MEMORY.flatMap(({ now, peak }) => [now, peak]),
  run: ({ left, right }, _options, add) => {
    for (const [index, { pid }] of [left, right].entries()) {
      if (pid === null) continue;
      const { now, peak } = memoryOf(pid);
      add(MEMORY[index]!.now, now / MEGABYTE);
      add(MEMORY[index]!.peak, peak / MEGABYTE);
    }
    return Promise.resolve();
  },
};

/** All measures, in the order in which a round takes them. */
export const TUNNEL_MEASURES = {
  ping: idlePing,
  tcp: throughput("TCP, 1 stream", "Gbit/s", {}),
  tcp8: throughput("TCP, 8 streams", "Gbit/s", { streams: 8 }),
  udp: throughput("UDP, 1300 B", "Gbit/s", {
    udp: { payloadBytes: DATAGRAM_BYTES, bitsPerSecond: 0 },
  }),
  udp64: throughput("UDP, 64 B packets", "kpps", {
    udp: { payloadBytes: 64 - HEADER_BYTES, bitsPerSecond: 0 },
  }),
  bulk64,
  lossless: lossless("UDP, 1300 B, loss < 0.1 %", offerByIperf),
  bulk: lossless("UDP, 1300 B, in bulk, loss < 0.1 %", offerInBulk),
  busy: busyPing,
  memory,
} as const;

/** Name of a measure on the command line. */
export type MeasureName = keyof typeof TUNNEL_MEASURES;

/** Measures that need udp_load, so a compiler. */
export const NEEDS_GCC: readonly MeasureName[] = ["bulk64", "bulk"];

/** A ping's bytes as they are sealed: 84 of IP packet, padded. */
const PING_SEALED_BYTES = 96;
const CRYPTO_ROUNDS = 20_000;

/** What a ping's cryptography takes, both ways, in us: sealed twice and opened twice. */
export function pingCryptoUs(): number {
  const buffer = allocateNative(256);
  const key = openCrypto().aeadKey(new Uint8Array(32).fill(7));
  const round = (counter: number) => {
    key.seal(buffer, 0, PING_SEALED_BYTES, counter);
    key.open(buffer, 0, PING_SEALED_BYTES + 16, counter);
  };
  for (let counter = 0; counter < CRYPTO_ROUNDS; counter++) round(counter);
  const startMs = performance.now();
  for (let counter = 0; counter < CRYPTO_ROUNDS; counter++) round(counter);
  const elapsedMs = performance.now() - startMs;
  key.destroy();
  return 2 * elapsedMs * 1e3 / CRYPTO_ROUNDS;
}
