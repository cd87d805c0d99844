/**
 * A capture of the demo's traffic that nobody captured: what alpha's tunnel interface would have carried, as a pcap file.
 *
 * In: when it began. Out: bytes of a file with raw IP packets, cut off behind their headers, as `tcpdump -s 40` would have
 * written it. The same bytes for the same time.
 */
import { parseAddress } from "../../packet/mod.ts";
import { OVERLAY, SERVERS, SERVICE_PORTS } from "./topology.ts";

const PROTO = { ICMP: 1, TCP: 6, UDP: 17 } as const;
const LINK_TYPE_RAW = 101;
const IP_BYTES = 20;
const TCP_BYTES = 20;
const UDP_BYTES = 8;
/** Kept of each packet: both headers. */
const CAPTURED_BYTES = IP_BYTES + TCP_BYTES;
const SEGMENT_BYTES = 1_380;
const FILE_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;

/** Length of what the capture shows. */
export const CAPTURE_S = 12;
const HTTP_PERIOD_MS = 400;
const DNS_PERIOD_MS = 250;
const PING_PERIOD_MS = 1_000;
const BULK_PERIOD_MS = 500;
/** Sent at once to each server. */
const BULK_SEGMENTS = [210, 120, 60];

interface Packet {
  readonly atMs: number;
  readonly proto: number;
  readonly isFromAlpha: boolean;
  readonly host: string;
  readonly clientPort: number;
  readonly hostPort: number;
  /** Behind the headers. */
  readonly payloadBytes: number;
}

/** Makes the file. @param startMs Unix time of the first packet. */
export function demoCapture(startMs: number): Uint8Array {
  const packets = SERVERS.flatMap(({ address }, index) =>
    traffic(address, 40_000 + 4_000 * index, BULK_SEGMENTS[index])
  );
  packets.sort((a, b) => a.atMs - b.atMs);
  const each = PACKET_HEADER_BYTES + CAPTURED_BYTES;
  const bytes = new Uint8Array(FILE_HEADER_BYTES + packets.length * each);
  const view = new DataView(bytes.buffer);
  writeFileHeader(view);
  let offset = FILE_HEADER_BYTES;
  for (const packet of packets) offset = writePacket(view, offset, packet, startMs);
  return bytes.subarray(0, offset);
}

/** All that passes between alpha and one server. */
function traffic(host: string, firstPort: number, bulkSegments: number): Packet[] {
  const packets: Packet[] = [];
  const exchange = (
    atMs: number,
    proto: number,
    ports: readonly [client: number, host: number],
    payloads: readonly [toHost: number, fromHost: number],
  ) => {
    const each = { proto, host, clientPort: ports[0], hostPort: ports[1] };
    packets.push({ ...each, atMs, isFromAlpha: true, payloadBytes: payloads[0] });
    packets.push({ ...each, atMs: atMs + 1, isFromAlpha: false, payloadBytes: payloads[1] });
  };
  for (let atMs = 0, port = firstPort; atMs < CAPTURE_S * 1_000; atMs += HTTP_PERIOD_MS, port++) {
    const ports = [port, SERVICE_PORTS.http] as const;
    exchange(atMs, PROTO.TCP, ports, [0, 0]);
    exchange(atMs + 2, PROTO.TCP, ports, [110, SEGMENT_BYTES]);
    for (let more = 0; more < 42; more++) {
      exchange(atMs + 4 + more, PROTO.TCP, ports, [0, SEGMENT_BYTES]);
    }
  }
  for (let atMs = 100; atMs < CAPTURE_S * 1_000; atMs += DNS_PERIOD_MS) {
    exchange(atMs, PROTO.UDP, [firstPort, SERVICE_PORTS.dns], [40, 120]);
  }
  for (let atMs = 150; atMs < CAPTURE_S * 1_000; atMs += PING_PERIOD_MS) {
    exchange(atMs, PROTO.ICMP, [0, 0], [56, 56]);
  }
  for (let atMs = 200; atMs < CAPTURE_S * 1_000; atMs += BULK_PERIOD_MS) {
    for (let more = 0; more < bulkSegments; more++) {
      const ports = [firstPort + 3_999, SERVICE_PORTS.bulk] as const;
      exchange(atMs + more, PROTO.TCP, ports, [SEGMENT_BYTES, 0]);
    }
  }
  return packets;
}

/** The format of libpcap's first version, little-endian, microseconds. */
function writeFileHeader(view: DataView): void {
  view.setUint32(0, 0xa1b2c3d4, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, CAPTURED_BYTES, true);
  view.setUint32(20, LINK_TYPE_RAW, true);
}

/** @returns Offset behind the packet. */
function writePacket(view: DataView, at: number, packet: Packet, startMs: number): number {
  const { proto, isFromAlpha, host, clientPort, hostPort, payloadBytes } = packet;
  const wallMs = startMs + packet.atMs;
  const headerBytes = IP_BYTES + (proto === PROTO.TCP ? TCP_BYTES : UDP_BYTES);
  const wireBytes = headerBytes + payloadBytes;
  const capturedBytes = Math.min(CAPTURED_BYTES, wireBytes);
  view.setUint32(at, Math.floor(wallMs / 1_000), true);
  view.setUint32(at + 4, wallMs % 1_000 * 1_000, true);
  view.setUint32(at + 8, capturedBytes, true);
  view.setUint32(at + 12, wireBytes, true);
  const ip = at + PACKET_HEADER_BYTES;
  view.setUint8(ip, 0x45);
  view.setUint16(ip + 2, wireBytes);
  view.setUint8(ip + 8, 64);
  view.setUint8(ip + 9, proto);
  view.setUint32(ip + 12, addressWord(isFromAlpha ? OVERLAY.alpha : host));
  view.setUint32(ip + 16, addressWord(isFromAlpha ? host : OVERLAY.alpha));
  const transport = ip + IP_BYTES;
  if (proto === PROTO.ICMP) {
    // Echo request and reply (RFC 792).
    view.setUint8(transport, isFromAlpha ? 8 : 0);
  } else {
    view.setUint16(transport, isFromAlpha ? clientPort : hostPort);
    view.setUint16(transport + 2, isFromAlpha ? hostPort : clientPort);
    if (proto === PROTO.UDP) view.setUint16(transport + 4, UDP_BYTES + payloadBytes);
    // No options, ACK (RFC 9293 §3.1).
    else view.setUint16(transport + 12, 0x5010);
  }
  return ip + capturedBytes;
}

function addressWord(text: string): number {
  return parseAddress(text)!.addressWords[3];
}
