/**
 * One run of iperf3 through a tunnel, and what it cost both ends.
 *
 * In: a tunnel that stands, and a load. Out: rates, CPU time a packet, memory.
 */
import { readFileSync } from "node:fs";
import { iperf, type IperfOptions, type IperfResult } from "../../system/support/traffic.ts";
import { cpuTimeNs } from "../../system/support/usage.ts";
import type { End, Ready } from "./contenders.ts";
import { linkCounts } from "./link_counts.ts";

/** What iperf3 sends. */
export type Load = Omit<IperfOptions, "seconds" | "reverse">;

/** IPv4 and UDP headers. */
export const HEADER_BYTES = 28;

/** What a run showed. */
export interface LoadResult {
  readonly iperf: IperfResult;
  /** CPU time of the end that sends, of all threads, by packets that went through it in either direction, in us. */
  readonly sendingUs: number | null;
  /** The same of the end that receives. */
  readonly receivingUs: number | null;
}

/** CPU time of an end so far; 0 = the kernel carries its packets. */
function cpuNs({ pid }: End): number {
  return pid === null ? 0 : cpuTimeNs(pid);
}

/** Packets as a wire would carry them that an end was given by its kernel so far; what its device dropped is none. */
function packetsRead({ namespace, device }: End): number {
  const { segments, dropped } = linkCounts(namespace, device);
  return segments.packets - dropped;
}

/**
 * Runs one load. Packets are counted by the kernel, so that one count is as good for all contenders. Of a datagram that
 * is lost, the sending end has work and the receiving end has none.
 */
export async function runLoad(ready: Ready, load: Load, seconds: number): Promise<LoadResult> {
  const { left, right, address } = ready;
  const isTunnel = left.pid !== null && right.pid !== null;
  const read = () =>
    isTunnel
      ? [packetsRead(left), packetsRead(right), cpuNs(left), cpuNs(right)] as const
      : [0, 0, 0, 0] as const;
  const before = read();
  const result = await iperf(left.namespace, address, { ...load, seconds });
  const after = read();
  const change = (index: 0 | 1 | 2 | 3) => after[index] - before[index];
  if (!isTunnel) return { iperf: result, sendingUs: null, receivingUs: null };
  const delivered = load.udp === undefined
    ? change(0)
    : result.datagramsSent - result.datagramsLost;
  return {
    iperf: result,
    sendingUs: change(2) / 1e3 / (change(0) + change(1)),
    receivingUs: change(3) / 1e3 / (delivered + change(1)),
  };
}

/** Datagrams that came, of those that were sent. */
export function datagramsReceived({ datagramsSent, datagramsLost }: IperfResult): number {
  return datagramsSent - datagramsLost;
}

/** Resident memory of a process in bytes: now, and the most that it ever was (VmHWM). */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const bytes = (name: string): number => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text);
    if (match === null) throw new Error(`/proc/${pid}/status has no ${name}`);
    return Number(match[1]) * 1024;
  };
  return { now: bytes("VmRSS"), peak: bytes("VmHWM") };
}
