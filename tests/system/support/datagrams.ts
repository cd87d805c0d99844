/**
 * Raw UDP datagrams at a tunnel's port, and captures of real ones to send again.
 *
 * In: namespaces and bytes. Out: datagrams sent by datagrams_main.ts, or payloads that tcpdump saw. Needs tcpdump.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Child, mustSync } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { helperCommand } from "./runtimes.ts";
import { waitUntil } from "./wait.ts";

/** WireGuard message types (whitepaper §5.4), first byte of a datagram. */
export const MESSAGE = { INITIATION: 1, RESPONSE: 2, COOKIE: 3, DATA: 4 } as const;

/** Sends each of `datagrams` once, in order, from a port that no tunnel uses. */
export async function sendDatagrams(
  namespace: Namespace,
  target: { readonly address: string; readonly port: number },
  datagrams: readonly Uint8Array[],
): Promise<void> {
  const lines = datagrams.map((bytes) => Buffer.from(bytes).toString("hex")).join("\n");
  const argv = helperCommand("datagrams_main.ts", target.address, `${target.port}`);
  const printed = await namespace.must(argv, { input: `${lines}\n` });
  if (!printed.includes(`sent ${datagrams.length}\n`)) {
    throw new Error(`Not all ${datagrams.length} datagrams were sent: ${printed}`);
  }
}

/** One captured datagram. */
export interface CapturedDatagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly source: string;
  readonly payload: Uint8Array;
}

/** A running capture of UDP on one interface. */
export class Capture {
  constructor(readonly child: Child, readonly path: string) {}

  /** Waits until `count` datagrams are in the file, ends the capture and returns all that it holds. */
  async take(count: number): Promise<CapturedDatagram[]> {
    await waitUntil(
      `${count} datagrams are captured`,
      () => parseCapture(readFileSync(this.path)).length >= count,
    );
    await this.child.stop("SIGINT");
    return parseCapture(readFileSync(this.path));
  }
}

let captureCount = 0;

/** Starts to capture IPv4 UDP of `port` on `interfaceName`. */
export async function startCapture(
  namespace: Namespace,
  interfaceName: string,
  port: number,
): Promise<Capture> {
  const path = join(namespace.lab.directory, `capture-${captureCount++}.pcap`);
  // -Z root: tcpdump would otherwise give up the right to write into the lab's directory.
  const child = namespace.spawn([
    ...["tcpdump", "-i", interfaceName, "-U", "--immediate-mode", "-Z", "root", "-s", "0"],
    ...["-w", path, "udp", "and", "port", `${port}`],
  ]);
  await child.waitForOutput(/listening on/);
  return new Capture(child, path);
}

const PCAP_HEADER_BYTES = 24;
const PCAP_RECORD_BYTES = 16;
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;

/** Reads a little-endian pcap file of Ethernet frames with whole IPv4 UDP datagrams. */
function parseCapture(file: Uint8Array): CapturedDatagram[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const datagrams: CapturedDatagram[] = [];
  let offset = PCAP_HEADER_BYTES;
  while (offset + PCAP_RECORD_BYTES <= file.length) {
    const capturedBytes = view.getUint32(offset + 8, true);
    const ip = offset + PCAP_RECORD_BYTES + ETHERNET_BYTES;
    offset += PCAP_RECORD_BYTES + capturedBytes;
    // tcpdump may be in the middle of writing the last record.
    if (offset > file.length) break;
    const isFragment = (view.getUint16(ip + 6) & 0x3fff) !== 0;
    if (file[ip]! >> 4 !== 4 || isFragment) continue;
    const udp = ip + (file[ip]! & 15) * 4;
    datagrams.push({
      source: Array.from(file.subarray(ip + 12, ip + 16)).join("."),
      sourcePort: view.getUint16(udp),
      destinationPort: view.getUint16(udp + 2),
      payload: file.slice(udp + UDP_BYTES, udp + view.getUint16(udp + 4)),
    });
  }
  return datagrams;
}

/** Returns a copy of `bytes` with one bit turned. */
export function withBitFlipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

/** Whether a UDP socket is bound to `port` in the namespace. */
export function isPortBound(namespace: Namespace, port: number): boolean {
  return mustSync(namespace.argv(["ss", "-Hlun", "sport", "=", `:${port}`])).trim() !== "";
}
