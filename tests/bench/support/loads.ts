/**
 * One run of a load through a tunnel, and what it cost both ends.
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

/** CPU time a packet of all threads of each end, both directions counted, in us; null = no tunnel. */
export interface Costs {
  readonly sendingUs: number | null;
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
 * Has `run` done and says what it cost both ends. Packets are counted by the kernel, so that one count is as good for
 * all contenders. Of a datagram that is lost, the sending end has work and the receiving end has none.
 * @param delivered Packets that came to the receiving end, null = all; super-packets must not be lost.
 */
export async function withCosts<Result>(
  { left, right }: Ready,
  run: () => Promise<Result>,
  delivered: (result: Result) => number | null,
): Promise<{ readonly result: Result; readonly costs: Costs }> {
  if (left.pid === null || right.pid === null) {
    return { result: await run(), costs: { sendingUs: null, receivingUs: null } };
  }
  const read = () => [packetsRead(left), packetsRead(right), cpuNs(left), cpuNs(right)] as const;
  const before = read();
  const result = await run();
  const after = read();
  const change = (index: 0 | 1 | 2 | 3) => after[index] - before[index];
  const arrived = delivered(result) ?? change(0);
  return {
    result,
    costs: {
      sendingUs: change(2) / 1e3 / (change(0) + change(1)),
      receivingUs: change(3) / 1e3 / (arrived + change(1)),
    },
  };
}

/** Runs one load of iperf3. */
export async function runLoad(
  ready: Ready,
  load: Load,
  seconds: number,
): Promise<Costs & { readonly iperf: IperfResult }> {
  const { result, costs } = await withCosts(
    ready,
    () => iperf(ready.left.namespace, ready.address, { ...load, seconds }),
    (result) => load.udp === undefined ? null : datagramsReceived(result),
  );
  return { ...costs, iperf: result };
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
