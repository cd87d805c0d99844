/** TCP and UDP packets for tests of offloads, complete with checksums; whatever is not named is a harmless default. */
import { setIpv4Checksum, setTransportChecksum } from "../../reference/checksum_twin.ts";
import type { PacketShape } from "../../reference/segment_twin.ts";

/** Fields of a packet. */
export interface TransportFields {
  version?: 4 | 6;
  proto?: 6 | 17;
  /** IPv4 options, a multiple of 4 bytes; IPv6: extension headers, the first's number in `firstExtension`. */
  ipOptions?: readonly number[];
  firstExtension?: number;
  id?: number;
  dontFragment?: boolean;
  trafficClass?: number;
  flowLabel?: number;
  hopLimit?: number;
  src?: number;
  ports?: readonly [number, number];
  sequence?: number;
  acknowledgement?: number;
  flags?: number;
  window?: number;
  urgent?: number;
  tcpOptions?: readonly number[];
  payload?: ArrayLike<number>;
  /** Checksum of the transport: only the pseudo header's sum. */
  partial?: boolean;
}

/** A packet and where its parts are. */
export interface TransportPacket extends PacketShape {
  readonly bytes: Uint8Array;
}

const u16 = (value: number): number[] => [(value >>> 8) & 0xff, value & 0xff];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];

/** Makes a packet. */
export function transportPacket(fields: TransportFields = {}): TransportPacket {
  const { version = 4, proto = 6, ipOptions = [], payload = [], ports = [1234, 80] } = fields;
  const transportHeader = proto === 6 ? tcpHeader(fields, ports) : [
    ...[...u16(ports[0]), ...u16(ports[1])],
    ...[...u16(8 + payload.length), 0, 0],
  ];
  const behind = ipOptions.length + transportHeader.length + payload.length;
  const ip = version === 4 ? ipv4Header(fields, behind) : ipv6Header(fields, behind);
  const transport = ip.length + ipOptions.length;
  const header = transport + transportHeader.length;
  const bytes = new Uint8Array(header + payload.length);
  bytes.set([...ip, ...ipOptions, ...transportHeader]);
  bytes.set(payload, header);
  if (version === 4) setIpv4Checksum(bytes);
  setTransportChecksum(bytes, transport, proto, fields.partial);
  return { bytes, transport, header, proto };
}

function tcpHeader(fields: TransportFields, ports: readonly [number, number]): number[] {
  const { tcpOptions = [] } = fields;
  return [
    ...[...u16(ports[0]), ...u16(ports[1])],
    ...u32(fields.sequence ?? 1000),
    ...u32(fields.acknowledgement ?? 77),
    ...[((20 + tcpOptions.length) / 4) << 4, fields.flags ?? 0x10],
    ...u16(fields.window ?? 512),
    ...[0, 0, ...u16(fields.urgent ?? 0)],
    ...tcpOptions,
  ];
}

function ipv4Header(fields: TransportFields, behind: number): number[] {
  const { ipOptions = [] } = fields;
  return [
    ...[0x45 + ipOptions.length / 4, fields.trafficClass ?? 0],
    ...u16(20 + behind),
    ...u16(fields.id ?? 0),
    ...u16(fields.dontFragment === false ? 0 : 0x4000),
    ...[fields.hopLimit ?? 64, fields.proto ?? 6, 0, 0],
    ...[100, 64, 0, fields.src ?? 1],
    ...[100, 64, 0, 200],
  ];
}

function ipv6Header(fields: TransportFields, behind: number): number[] {
  const { proto = 6, ipOptions = [] } = fields;
  return [
    ...u32(0x60000000 | ((fields.trafficClass ?? 0) << 20) | (fields.flowLabel ?? 0)),
    ...u16(behind),
    ...[ipOptions.length > 0 ? fields.firstExtension ?? 60 : proto, fields.hopLimit ?? 64],
    ...[0xfd, ...new Array<number>(14).fill(0), fields.src ?? 1],
    ...[0xfd, ...new Array<number>(14).fill(0), 200],
  ];
}

/** Destination options of 8 bytes in front of `proto`. */
export function destinationOptions(proto: number): number[] {
  return [proto, 0, 1, 4, 0, 0, 0, 0];
}

/** TCP's timestamps, padded to 12 bytes (RFC 7323 §3.2). */
export function timestamps(value: number): number[] {
  return [1, 1, 8, 10, ...u32(value), ...u32(value ^ 0x55)];
}
