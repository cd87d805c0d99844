/**
 * UDP sent in bulk: the generator udp_load.c, which takes so little CPU time that the tunnel is what is measured.
 *
 * In: its path, a tunnel that stands, what to offer. Out: what was sent and what arrived.
 */
import { LOAD_PORT, type Ready } from "./contenders.ts";

/** What is offered. */
export interface BulkLoad {
  readonly payloadBytes: number;
  /** 0 = as fast as it goes. */
  readonly datagramsPerSecond: number;
  /** Whether many datagrams go in one send by UDP_SEGMENT; else each its own, many in one sendmmsg(2). */
  readonly segmented: boolean;
}

/** What came of it. */
export interface BulkResult {
  readonly sent: number;
  readonly received: number;
  readonly seconds: number;
}

/** Sends for `seconds` from left to right. */
export async function runBulk(
  program: string,
  { left, right, address }: Ready,
  { payloadBytes, datagramsPerSecond, segmented }: BulkLoad,
  seconds: number,
): Promise<BulkResult> {
  const port = `${LOAD_PORT}`;
  const receiver = right.namespace.spawn([program, "receive", address, port]);
  await receiver.waitForOutput(/^ready$/m);
  const output = await left.namespace.must([
    ...[program, "send", address, port, `${payloadBytes}`],
    ...[`${datagramsPerSecond.toFixed(0)}`, `${seconds * 1_000}`, segmented ? "1" : "0"],
  ]);
  receiver.writeLine("end");
  const { stdout } = await receiver.waitForEnd();
  const sent: { datagrams: number; seconds: number } = JSON.parse(output);
  const received: { datagrams: number } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  return { sent: sent.datagrams, received: received.datagrams, seconds: sent.seconds };
}
