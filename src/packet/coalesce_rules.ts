/**
 * Which packets may be joined to others at all, by what stands in their headers.
 *
 * In: a decoded packet of TCP or UDP. Out: how long its headers are, or that it has to stay alone. Whether it follows
 * another is coalesce.ts's to say. Source: net/ipv4/tcp_offload.c, udp_offload.c.
 */
import { INFO } from "./decode.ts";

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
export const TCP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
/** Offsets of the checksums in the transport headers. */
export const TCP_CHECKSUM = 16;
export const UDP_CHECKSUM = 6;
/** TCP flags (RFC 9293 §3.1). */
export const TCP_FLAG = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, CWR: 128 } as const;
/** Flags with which a packet stays alone. */
const LONE_FLAGS = TCP_FLAG.SYN | TCP_FLAG.RST | TCP_FLAG.URG;
/** Flags after which nothing is joined: segmenting gives them to the last packet. */
export const CLOSING_FLAGS = TCP_FLAG.FIN | TCP_FLAG.PSH;
/** Data offset, reserved bits and flags that must be equal. */
export const EQUAL_FLAGS_MASK = 0xffff & ~(CLOSING_FLAGS | TCP_FLAG.CWR);

/** Length of IP and TCP header, or 0 if the packet has to stay alone. */
export function tcpHeaderBytes(
  view: DataView,
  offset: number,
  length: number,
  info: Uint32Array,
): number {
  const transport = info[INFO.TRANSPORT_OFFSET];
  if (!isPlainIp(info)) return 0;
  const flags = info[INFO.DETAIL];
  if ((flags & TCP_FLAG.ACK) === 0 || (flags & LONE_FLAGS) !== 0) return 0;
  const at = offset + transport;
  const tcpBytes = (view.getUint8(at + 12) >>> 4) * 4;
  const headerBytes = transport + tcpBytes;
  // Without payload it is an acknowledgement, which is news of its own.
  if (tcpBytes < TCP_HEADER_BYTES || headerBytes >= length) return 0;
  // 0xffff is right where 0 is too, but segmenting would make it 0 (RFC 1624 §3).
  return view.getUint16(at + TCP_CHECKSUM) === 0xffff ? 0 : headerBytes;
}

/** Length of IP and UDP header, or 0 if the packet has to stay alone. */
export function udpHeaderBytes(
  view: DataView,
  offset: number,
  length: number,
  info: Uint32Array,
): number {
  const transport = info[INFO.TRANSPORT_OFFSET];
  if (!isPlainIp(info)) return 0;
  const at = offset + transport;
  const headerBytes = transport + UDP_HEADER_BYTES;
  if (headerBytes >= length || view.getUint16(at + 4) !== length - transport) return 0;
  // 0: the sender did without (RFC 768). Segmenting would make one.
  return view.getUint16(at + UDP_CHECKSUM) === 0 ? 0 : headerBytes;
}

/** Whether the IP header has neither options nor extension headers: what stands in them could differ. */
function isPlainIp(info: Uint32Array): boolean {
  return info[INFO.TRANSPORT_OFFSET] ===
    (info[INFO.VERSION] === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
}
