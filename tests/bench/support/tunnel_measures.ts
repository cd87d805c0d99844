/**
 * What is measured of a tunnel, each measure by its name on the command line.
 *
 * In: a tunnel that stands. Out: one sample each of one or more lines of the result.
 */
import { allocateNative, openCrypto } from "../../../src/platform/mod.ts";
import { pause } from "../../system/support/wait.ts";
import type { Ready } from "./contenders.ts";
import { datagramsReceived, HEADER_BYTES, type Load, memoryOf, runLoad } from "./loads.ts";
import { searchLossless } from "./lossless.ts";
import { pingTimes } from "./pings.ts";
import type { ResultMeasure } from "./report.ts";
import { quantile } from "./statistics.ts";

/** How long, and how thoroughly. */
export interface MeasureOptions {
  readonly seconds: number;
  readonly quick: boolean;
}

/** Takes one sample. */
export type Add = (line: ResultMeasure, value: number) => void;

/** One measure. */
export interface TunnelMeasure {
  /** Lines of the result, in order. */
  readonly lines: readonly ResultMeasure[];
  readonly run: (ready: Ready, options: MeasureOptions, add: Add) => Promise<void>;
}

const GIGABIT = 1e9;
const MEBIBYTE = 1024 * 1024;
/** Datagrams of the measures of UDP. */
const DATAGRAM_BYTES = 1_300;

/** A load as fast as iperf3 can send it: the rate, and what a packet costs each end in CPU time. */
function throughput(
  name: string,
  unit: "Gbit/s" | "kpps",
  load: Load,
): TunnelMeasure {
  const rate = { name, unit, digits: unit === "kpps" ? 1 : 2 };
  const sending = { name: `${name}: CPU, sending end`, unit: "us a packet", digits: 2 };
  const receiving = { name: `${name}: CPU, receiving end`, unit: "us a packet", digits: 2 };
  return {
    lines: [rate, sending, receiving],
    run: async (ready, { seconds }, add) => {
      const { iperf, sendingUs, receivingUs } = await runLoad(ready, load, seconds);
      const packetsPerSecond = datagramsReceived(iperf) / iperf.seconds;
      add(rate, unit === "kpps" ? packetsPerSecond / 1e3 : iperf.bitsPerSecond / GIGABIT);
      if (sendingUs !== null) add(sending, sendingUs);
      if (receivingUs !== null) add(receiving, receivingUs);
    },
  };
}

const LOSSLESS = { name: "UDP, 1300 B, loss < 0.1 %", unit: "Gbit/s", digits: 2 };

/** The highest rate without loss, in runs of a second. */
const lossless: TunnelMeasure = {
  lines: [LOSSLESS],
  run: async (ready, { quick }, add) => {
    const offer = async (bitsPerSecond: number) => {
      const udp = { payloadBytes: DATAGRAM_BYTES, bitsPerSecond };
      const { iperf } = await runLoad(ready, { udp }, 1);
      return {
        delivered: iperf.bitsPerSecond,
        loss: iperf.datagramsLost / Math.max(1, iperf.datagramsSent),
      };
    };
    // Nobody delivers much more without loss than with it.
    const { delivered } = await offer(0);
    const bounds = { low: delivered / 16, high: delivered * 1.5, steps: quick ? 3 : 6 };
    add(LOSSLESS, await searchLossless(bounds, offer) / GIGABIT);
  },
};

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
  now: { name: `RSS, ${end} end, after load`, unit: "MiB", digits: 0 },
  peak: { name: `RSS, ${end} end, peak`, unit: "MiB", digits: 0 },
}));

/** Resident memory of both ends; what it says depends on the load that came before. */
const memory: TunnelMeasure = {
  lines: MEMORY.flatMap(({ now, peak }) => [now, peak]),
  run: ({ left, right }, _options, add) => {
    for (const [index, { pid }] of [left, right].entries()) {
      if (pid === null) continue;
      const { now, peak } = memoryOf(pid);
      add(MEMORY[index]!.now, now / MEBIBYTE);
      add(MEMORY[index]!.peak, peak / MEBIBYTE);
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
  lossless,
  busy: busyPing,
  memory,
} as const;

/** Name of a measure on the command line. */
export type MeasureName = keyof typeof TUNNEL_MEASURES;

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
