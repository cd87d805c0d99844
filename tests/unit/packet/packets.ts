/** Packets for tests, built field by field; whatever is not named is a harmless default. */

/** Fields of an IPv4 packet. */
export interface Ipv4Fields {
  headerWords?: number;
  /** Default: what the packet is long. */
  totalBytes?: number;
  id?: number;
  moreFragments?: boolean;
  offsetBlocks?: number;
  proto?: number;
  src?: readonly number[];
  dst?: readonly number[];
  payload?: readonly number[];
}

/** Makes an IPv4 packet. */
export function ipv4(fields: Ipv4Fields): Uint8Array {
  const { headerWords = 5, id = 0, offsetBlocks = 0, proto = 6, payload = [] } = fields;
  const bytes = new Uint8Array(Math.max(5, headerWords) * 4 + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | headerWords;
  view.setUint16(2, fields.totalBytes ?? bytes.length);
  view.setUint16(4, id);
  view.setUint16(6, (fields.moreFragments === true ? 0x2000 : 0) | offsetBlocks);
  bytes[8] = 64;
  bytes[9] = proto;
  bytes.set(fields.src ?? [100, 64, 0, 1], 12);
  bytes.set(fields.dst ?? [100, 64, 0, 2], 16);
  bytes.set(payload, bytes.length - payload.length);
  return bytes;
}

/** One IPv6 extension header. */
export interface Extension {
  readonly proto: number;
  /** Bytes behind the first, which is the next header. */
  readonly body: readonly number[];
}

/** Fields of an IPv6 packet. */
export interface Ipv6Fields {
  payloadBytes?: number;
  extensions?: readonly Extension[];
  proto?: number;
  payload?: readonly number[];
}

/** Makes an IPv6 packet between fd00::1 and fd00::2. */
export function ipv6(fields: Ipv6Fields): Uint8Array {
  const { extensions = [], proto = 6, payload = [] } = fields;
  const chain = extensions.flatMap(({ body }, index) => [
    extensions[index + 1]?.proto ?? proto,
    ...body,
  ]);
  const bytes = new Uint8Array(40 + chain.length + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, fields.payloadBytes ?? bytes.length - 40);
  bytes[6] = extensions[0]?.proto ?? proto;
  bytes[7] = 64;
  bytes.set([0xfd, 0], 8);
  bytes[23] = 1;
  bytes.set([0xfd, 0], 24);
  bytes[39] = 2;
  bytes.set(chain, 40);
  bytes.set(payload, 40 + chain.length);
  return bytes;
}

/** Options header of 8 bytes (hop-by-hop, destination, routing, mobility, HIP, Shim6). */
export function options(proto: number, extraBlocks = 0): Extension {
  return { proto, body: [extraBlocks, ...new Array<number>(6 + extraBlocks * 8).fill(0)] };
}

/** Fragment header. */
export function fragment(offsetBlocks: number, more: boolean, id: number): Extension {
  const word = (offsetBlocks << 3) | (more ? 1 : 0);
  const idBytes = [id >>> 24, (id >>> 16) & 0xff, (id >>> 8) & 0xff, id & 0xff];
  return { proto: 44, body: [0, word >>> 8, word & 0xff, ...idBytes] };
}

/** Authentication Header with `icvWords` words of integrity check. */
export function authentication(icvWords: number): Extension {
  return { proto: 51, body: [1 + icvWords, ...new Array<number>(10 + icvWords * 4).fill(0xaa)] };
}

/** TCP header from port 1234 to 80. */
export function tcp(flags = 0x02): number[] {
  return [4, 210, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0];
}

/** UDP header from port 5353 to 53. */
export function udp(): number[] {
  return [20, 233, 0, 53, 0, 8, 0, 0];
}
