/**
 * Writes captures for tests: packets, frames around them, pcap and pcapng files.
 *
 * In: what a packet is made of. Out: bytes. Simple and slow on purpose; checksums are right, because other tools look.
 */
import { parseAddress } from "../../src/packet/mod.ts";

/** One packet of a capture. */
export interface Captured {
  readonly bytes: Uint8Array;
  /** Unix time in ns. */
  readonly timeNs: bigint;
  /** Length on the wire, where more was than was captured. */
  readonly wireBytes?: number;
  /** pcapng: which interface. */
  readonly interfaceIndex?: number;
}

/** What an IP packet is made of. */
export interface IpParts {
  readonly src: string;
  readonly dst: string;
  readonly proto: number;
  readonly payload: Uint8Array;
  /** Bytes in front of this part of the datagram; a multiple of 8. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  readonly id?: number;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function addressBytes(text: string): Uint8Array {
  const address = parseAddress(text);
  if (address === null) throw new Error(`Not an address: ${text}`);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  address.addressWords.forEach((word, index) => view.setUint32(index * 4, word));
  return address.family === 4 ? bytes.slice(12) : bytes;
}

/** RFC 1071. */
function checksum(...parts: readonly Uint8Array[]): number {
  const bytes = concat(...parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? bytes[at] << 8 : bytes[at];
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** An IPv4 or IPv6 packet, or a fragment of one. */
export function ipPacket(parts: IpParts): Uint8Array {
  return parts.src.includes(":") ? ipv6Packet(parts) : ipv4Packet(parts);
}

function ipv4Packet({ src, dst, proto, payload, ...fragment }: IpParts): Uint8Array {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  const { fragmentOffset = 0, moreFragments = false, id = 1 } = fragment;
  view.setUint8(0, 0x45);
  view.setUint16(2, 20 + payload.length);
  view.setUint16(4, id);
  view.setUint16(6, (moreFragments ? 0x2000 : 0) | (fragmentOffset / 8));
  view.setUint8(8, 64);
  view.setUint8(9, proto);
  header.set(addressBytes(src), 12);
  header.set(addressBytes(dst), 16);
  view.setUint16(10, checksum(header));
  return concat(header, payload);
}

function ipv6Packet({ src, dst, proto, payload, ...fragment }: IpParts): Uint8Array {
  const { fragmentOffset = 0, moreFragments = false, id = 1 } = fragment;
  const isFragment = fragmentOffset > 0 || moreFragments;
  const header = new Uint8Array(40);
  const view = new DataView(header.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, payload.length + (isFragment ? 8 : 0));
  view.setUint8(6, isFragment ? 44 : proto);
  view.setUint8(7, 64);
  header.set(addressBytes(src), 8);
  header.set(addressBytes(dst), 24);
  if (!isFragment) return concat(header, payload);
  const extension = new Uint8Array(8);
  const extensionView = new DataView(extension.buffer);
  extensionView.setUint8(0, proto);
  extensionView.setUint16(2, fragmentOffset | (moreFragments ? 1 : 0));
  extensionView.setUint32(4, id);
  return concat(header, extension, payload);
}

/** Ends of a transport packet. */
export interface Ends {
  readonly src: string;
  readonly dst: string;
  readonly srcPort?: number;
  readonly dstPort?: number;
}

function pseudoHeader({ src, dst }: Ends, proto: number, length: number): Uint8Array {
  const tail = new Uint8Array(4);
  const view = new DataView(tail.buffer);
  view.setUint8(1, proto);
  view.setUint16(2, length);
  return concat(addressBytes(src), addressBytes(dst), tail);
}

export function tcpSegment(ends: Ends, flags: number, dataBytes: number): Uint8Array {
  const bytes = new Uint8Array(20 + dataBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ends.srcPort ?? 0);
  view.setUint16(2, ends.dstPort ?? 0);
  view.setUint8(12, 0x50);
  view.setUint8(13, flags);
  view.setUint16(14, 0xffff);
  view.setUint16(16, checksum(pseudoHeader(ends, 6, bytes.length), bytes));
  return bytes;
}

export function udpDatagram(ends: Ends, dataBytes: number): Uint8Array {
  const bytes = new Uint8Array(8 + dataBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ends.srcPort ?? 0);
  view.setUint16(2, ends.dstPort ?? 0);
  view.setUint16(4, bytes.length);
  view.setUint16(6, checksum(pseudoHeader(ends, 17, bytes.length), bytes) || 0xffff);
  return bytes;
}

/** ICMP or ICMPv6 echo: type 8 and 0, or 128 and 129. */
export function icmpEcho(ends: Ends, isReply: boolean, dataBytes: number): Uint8Array {
  const isV6 = ends.src.includes(":");
  const bytes = new Uint8Array(8 + dataBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, isV6 ? (isReply ? 129 : 128) : isReply ? 0 : 8);
  view.setUint16(4, 77);
  view.setUint16(
    2,
    isV6 ? checksum(pseudoHeader(ends, 58, bytes.length), bytes) : checksum(bytes),
  );
  return bytes;
}

export function tcp(ends: Ends, flags: number, dataBytes = 0): Uint8Array {
  return ipPacket({ ...ends, proto: 6, payload: tcpSegment(ends, flags, dataBytes) });
}

export function udp(ends: Ends, dataBytes = 0): Uint8Array {
  return ipPacket({ ...ends, proto: 17, payload: udpDatagram(ends, dataBytes) });
}

export function icmp(ends: Ends, isReply = false, dataBytes = 0): Uint8Array {
  const proto = ends.src.includes(":") ? 58 : 1;
  return ipPacket({ ...ends, proto, payload: icmpEcho(ends, isReply, dataBytes) });
}

/** A datagram in fragments of at most so many payload bytes, a multiple of 8. */
export function fragments(parts: IpParts, partBytes: number): Uint8Array[] {
  const { payload } = parts;
  const packets: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += partBytes) {
    const end = Math.min(payload.length, at + partBytes);
    packets.push(ipPacket({
      ...parts,
      payload: payload.slice(at, end),
      fragmentOffset: at,
      moreFragments: end < payload.length,
    }));
  }
  return packets;
}

function isIpv6(packet: Uint8Array): boolean {
  return packet[0] >>> 4 === 6;
}

/** An Ethernet frame; each tag as [type, vlan], outer first. Short ones are padded to 60 bytes as on the wire. */
export function ethernet(
  packet: Uint8Array,
  tags: readonly (readonly [type: number, vlan: number])[] = [],
): Uint8Array {
  const header = new Uint8Array(14 + tags.length * 4);
  const view = new DataView(header.buffer);
  header.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
  let at = 12;
  for (const [type, vlan] of tags) {
    view.setUint16(at, type);
    view.setUint16(at + 2, vlan);
    at += 4;
  }
  view.setUint16(at, isIpv6(packet) ? 0x86dd : 0x0800);
  const frame = concat(header, packet);
  return frame.length >= 60 ? frame : concat(frame, new Uint8Array(60 - frame.length));
}

/** A pcap file. */
export function pcapFile(
  packets: readonly Captured[],
  options: {
    readonly linkType?: number;
    readonly isLittle?: boolean;
    readonly isNano?: boolean;
    readonly snapBytes?: number;
  } = {},
): Uint8Array {
  const { linkType = 1, isLittle = true, isNano = false, snapBytes = 262_144 } = options;
  const header = new DataView(new ArrayBuffer(24));
  header.setUint32(0, isNano ? 0xa1b23c4d : 0xa1b2c3d4, isLittle);
  header.setUint16(4, 2, isLittle);
  header.setUint16(6, 4, isLittle);
  header.setUint32(16, snapBytes, isLittle);
  header.setUint32(20, linkType, isLittle);
  const records = packets.flatMap(({ bytes, timeNs, wireBytes = bytes.length }) => {
    const captured = bytes.slice(0, snapBytes);
    const record = new DataView(new ArrayBuffer(16));
    record.setUint32(0, Number(timeNs / 1_000_000_000n), isLittle);
    const fraction = Number(timeNs % 1_000_000_000n);
    record.setUint32(4, isNano ? fraction : Math.floor(fraction / 1000), isLittle);
    record.setUint32(8, captured.length, isLittle);
    record.setUint32(12, wireBytes, isLittle);
    return [new Uint8Array(record.buffer), captured];
  });
  return concat(new Uint8Array(header.buffer), ...records);
}

/** A block of pcapng. */
export function block(type: number, body: Uint8Array, isLittle: boolean): Uint8Array {
  const padded = Math.ceil(body.length / 4) * 4;
  const bytes = new Uint8Array(12 + padded);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, isLittle);
  view.setUint32(4, bytes.length, isLittle);
  bytes.set(body, 8);
  view.setUint32(bytes.length - 4, bytes.length, isLittle);
  return bytes;
}

/** An option of pcapng. */
export function option(code: number, value: Uint8Array, isLittle: boolean): Uint8Array {
  const bytes = new Uint8Array(4 + Math.ceil(value.length / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, code, isLittle);
  view.setUint16(2, value.length, isLittle);
  bytes.set(value, 4);
  return bytes;
}

export function sectionBlock(isLittle: boolean, major = 1): Uint8Array {
  const body = new DataView(new ArrayBuffer(16));
  body.setUint32(0, 0x1a2b3c4d, isLittle);
  body.setUint16(4, major, isLittle);
  body.setBigInt64(8, -1n, isLittle);
  return block(0x0a0d0d0a, new Uint8Array(body.buffer), isLittle);
}

export function interfaceBlock(
  linkType: number,
  isLittle: boolean,
  options: {
    readonly snapBytes?: number;
    /** if_tsresol as it stands in the file. */
    readonly resolution?: number;
    readonly offsetSeconds?: bigint;
  } = {},
): Uint8Array {
  const body = new DataView(new ArrayBuffer(8));
  body.setUint16(0, linkType, isLittle);
  body.setUint32(4, options.snapBytes ?? 0, isLittle);
  const parts: Uint8Array[] = [new Uint8Array(body.buffer)];
  if (options.resolution !== undefined) {
    parts.push(option(9, Uint8Array.of(options.resolution), isLittle));
  }
  if (options.offsetSeconds !== undefined) {
    const value = new DataView(new ArrayBuffer(8));
    value.setBigInt64(0, options.offsetSeconds, isLittle);
    parts.push(option(14, new Uint8Array(value.buffer), isLittle));
  }
  if (parts.length > 1) parts.push(option(0, new Uint8Array(0), isLittle));
  return block(1, concat(...parts), isLittle);
}

/** An enhanced packet block; `units` is its time in the interface's resolution. */
export function enhancedPacketBlock(
  bytes: Uint8Array,
  units: bigint,
  isLittle: boolean,
  { interfaceIndex = 0, wireBytes = bytes.length } = {},
): Uint8Array {
  const body = new DataView(new ArrayBuffer(20));
  body.setUint32(0, interfaceIndex, isLittle);
  body.setUint32(4, Number(units >> 32n), isLittle);
  body.setUint32(8, Number(units & 0xffffffffn), isLittle);
  body.setUint32(12, bytes.length, isLittle);
  body.setUint32(16, wireBytes, isLittle);
  return block(6, concat(new Uint8Array(body.buffer), bytes), isLittle);
}

/** The obsolete packet block. */
export function packetBlock(
  bytes: Uint8Array,
  units: bigint,
  isLittle: boolean,
  { interfaceIndex = 0, wireBytes = bytes.length, drops = 0xffff } = {},
): Uint8Array {
  const body = new DataView(new ArrayBuffer(20));
  body.setUint16(0, interfaceIndex, isLittle);
  body.setUint16(2, drops, isLittle);
  body.setUint32(4, Number(units >> 32n), isLittle);
  body.setUint32(8, Number(units & 0xffffffffn), isLittle);
  body.setUint32(12, bytes.length, isLittle);
  body.setUint32(16, wireBytes, isLittle);
  return block(2, concat(new Uint8Array(body.buffer), bytes), isLittle);
}

export function simplePacketBlock(
  bytes: Uint8Array,
  isLittle: boolean,
  wireBytes = bytes.length,
): Uint8Array {
  const body = new DataView(new ArrayBuffer(4));
  body.setUint32(0, wireBytes, isLittle);
  return block(3, concat(new Uint8Array(body.buffer), bytes), isLittle);
}
