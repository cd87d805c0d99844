/**
 * Slow twin of coalesce.ts. It does not compare headers: packets may become one iff segmenting what they become gives
 * them again, byte for byte. Beside that stand the few rules that are policy.
 */
import { segmentTwin } from "./segment_twin.ts";

/** Limits of coalesce.ts, told to the twin. */
export interface TwinLimits {
  readonly bytesMax: number;
  readonly packetsMax: number;
}

/** Groups of packets, by index. Packets are whole IP packets; each TCP or UDP of one flow when their flowOf is equal. */
export function coalesceTwin(packets: readonly Uint8Array[], limits: TwinLimits): number[][] {
  const groups: number[][] = [];
  /** The flow's latest group. */
  const latest = new Map<string, number[]>();
  packets.forEach((packet, index) => {
    const flow = flowOf(packet);
    if (flow === "fragment") latest.clear();
    const group = latest.get(flow);
    if (group !== undefined && fits([...group, index].map((at) => packets[at]), limits)) {
      group.push(index);
      return;
    }
    groups.push([index]);
    if (flow.startsWith("6 ") || flow.startsWith("17 ")) latest.set(flow, groups.at(-1)!);
  });
  return groups;
}

/** Protocol, addresses and ports; `fragment`; or a name for all else. Packets of the tests have no extension headers. */
export function flowOf(packet: Uint8Array): string {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const isV4 = packet[0] >>> 4 === 4;
  if (isV4 && (view.getUint16(6) & 0x3fff) !== 0) return "fragment";
  const at = isV4 ? (packet[0] & 15) * 4 : 40;
  const addresses = packet.subarray(isV4 ? 12 : 8, isV4 ? 20 : 40);
  return `${packet[isV4 ? 9 : 6]} ${addresses.join(".")} ${view.getUint32(at)}`;
}

/** One super-packet of these packets, its checksums not made; null if there is no way to describe it. */
export function joinTwin(packets: readonly Uint8Array[]): Uint8Array | null {
  const { transport, header, proto } = shapeOf(packets[0]);
  const whole = Uint8Array.from([
    ...packets[0].subarray(0, header),
    ...packets.flatMap((packet) => [...packet.subarray(shapeOf(packet).header)]),
  ]);
  const view = new DataView(whole.buffer);
  if (whole.length > 0xffff) return null;
  if (whole[0] >>> 4 === 4) view.setUint16(2, whole.length);
  else view.setUint16(4, whole.length - 40);
  if (proto === 17) view.setUint16(transport + 4, whole.length - transport);
  else whole[transport + 13] |= packets.at(-1)![transport + 13] & 9;
  return whole;
}

/** Shape of a packet without extension headers. */
export function shapeOf(packet: Uint8Array): { transport: number; header: number; proto: number } {
  const transport = packet[0] >>> 4 === 4 ? (packet[0] & 15) * 4 : 40;
  const proto = packet[packet[0] >>> 4 === 4 ? 9 : 6];
  const header = transport + (proto === 6 ? (packet[transport + 12] >>> 4) * 4 : 8);
  return { transport, header, proto };
}

function fits(packets: readonly Uint8Array[], limits: TwinLimits): boolean {
  if (packets.length > limits.packetsMax) return false;
  for (const packet of packets) {
    const { transport, header, proto } = shapeOf(packet);
    // Policy: no IP options, some payload, nothing but data in a connection that stands.
    if (transport !== (packet[0] >>> 4 === 4 ? 20 : 40) || header >= packet.length) return false;
    if (
      proto === 6 && ((packet[transport + 13] & 16) === 0 || (packet[transport + 13] & 38) !== 0)
    ) {
      return false;
    }
  }
  const shape = shapeOf(packets[0]);
  const whole = joinTwin(packets);
  if (whole === null || whole.length > limits.bytesMax) return false;
  const again = segmentTwin(whole, shape, packets[0].length - shape.header);
  const wanted = withRisingIds(packets);
  return again.length === wanted.length &&
    again.every((packet, index) => equalBytes(packet, wanted[index]));
}

/** Equal identifications of packets that may not be fragmented mean nothing (RFC 6864 §4.1): here they are let rise. */
export function withRisingIds(packets: readonly Uint8Array[]): Uint8Array[] {
  const id = (packet: Uint8Array) => packet[4] * 256 + packet[5];
  const isFixed = packets.length > 1 &&
    packets.every((packet) =>
      packet[0] >>> 4 === 4 && (packet[6] & 0x40) !== 0 && id(packet) === id(packets[0])
    );
  if (!isFixed) return [...packets];
  return packets.map((packet, index) => {
    const copy = packet.slice();
    const view = new DataView(copy.buffer);
    view.setUint16(4, id(packet) + index);
    // RFC 1624: what the word gained, the checksum loses. A wrong checksum stays wrong by as much.
    const gained = view.getUint16(4) - id(packet);
    const checksum = view.getUint16(10);
    if (gained !== 0) view.setUint16(10, (checksum - gained + 0xffff) % 0xffff);
    return copy;
  });
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
