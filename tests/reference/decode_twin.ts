/**
 * Slow, obvious twin of packet/decode.ts: cuts the packet into byte arrays, layer by layer, and says what it found as
 * an object. In: the bytes of one packet and whatever follows. Out: null = rejected.
 */

/** What the twin reads from a packet. */
export interface DecodedTwin {
  version: 4 | 6;
  ipBytes: number;
  proto: number;
  /** Bytes of the addresses as hexadecimal digits. */
  src: string;
  dst: string;
  srcPort: number;
  dstPort: number;
  fragment: "none" | "first" | "later" | "overlap";
  /** Valid iff fragment is not "none". */
  fragmentId: number;
  fragmentProto: number;
  detail: number;
  /** 0 iff unreadable. */
  transportOffset: number;
}

const HOP_BY_HOP = 0;
const FRAGMENT = 44;
const AH = 51;
const NO_NEXT = 59;
/** Headers whose second byte is their length in units of 8 bytes, the first not counted. */
const OPTION_LIKE = [HOP_BY_HOP, 43, 60, 135, 139, 140];
/** Those that are messages themselves when nothing follows. */
const MESSAGE_LIKE = [135, 139, 140];
const HEADERS_MAX = 8;
const SHORTEST: Record<4 | 6, Record<number, number>> = {
  4: { 1: 4, 2: 8, 6: 20, 17: 8, 99: 7, 132: 12 },
  6: { 58: 4, 6: 20, 17: 8, 99: 7, 132: 12 },
};

function number(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Decodes as decode() should. */
export function decodeTwin(bytes: Uint8Array): DecodedTwin | null {
  if (bytes.length === 0) return null;
  const version = Math.floor(bytes[0] / 16);
  if (version === 4) return ipv4(bytes);
  if (version === 6) return ipv6(bytes);
  return null;
}

function ipv4(bytes: Uint8Array): DecodedTwin | null {
  if (bytes.length < 20) return null;
  const headerBytes = (bytes[0] % 16) * 4;
  const total = number(bytes.slice(2, 4));
  if (headerBytes < 20 || total > bytes.length) return null;
  const found = nothingFound(4, total, bytes.slice(12, 16), bytes.slice(16, 20));
  if (total < headerBytes) return { ...found, ipBytes: 0 };
  const moreFragments = (bytes[6] & 0x20) !== 0;
  const offset = number(bytes.slice(6, 8)) % 0x2000;
  const proto = bytes[9];
  if (offset > 0 || moreFragments) {
    Object.assign(found, { fragmentId: number(bytes.slice(4, 6)), fragmentProto: proto });
    if (offset > 0) return laterFragment(found, offset);
    found.fragment = "first";
    if (proto === 99) return found;
  }
  return walk(found, bytes.slice(0, total), headerBytes, proto, 0);
}

function ipv6(bytes: Uint8Array): DecodedTwin | null {
  if (bytes.length < 40) return null;
  const total = 40 + number(bytes.slice(4, 6));
  if (total > bytes.length) return null;
  const found = nothingFound(6, total, bytes.slice(8, 24), bytes.slice(24, 40));
  return walk(found, bytes.slice(0, total), 40, bytes[6], 0);
}

function nothingFound(
  version: 4 | 6,
  ipBytes: number,
  src: Uint8Array,
  dst: Uint8Array,
): DecodedTwin {
  return {
    version,
    ipBytes,
    proto: 0,
    src: hex(src),
    dst: hex(dst),
    srcPort: 0,
    dstPort: 0,
    fragment: "none",
    fragmentId: 0,
    fragmentProto: 0,
    detail: 0,
    transportOffset: 0,
  };
}

function laterFragment(found: DecodedTwin, offset: number): DecodedTwin {
  return offset < 10
    ? { ...found, fragment: "overlap" }
    : { ...found, fragment: "later", proto: 255 };
}

/** Reads the header of type `proto` at `at`; `packet` ends where the IP header says. */
function walk(
  found: DecodedTwin,
  packet: Uint8Array,
  at: number,
  proto: number,
  headers: number,
): DecodedTwin {
  const rest = packet.slice(at);
  const isV6 = found.version === 6;
  const isExtension = proto === AH ||
    (isV6 && (proto === FRAGMENT || OPTION_LIKE.includes(proto)));
  if (!isExtension) return transport(found, rest, at, proto);
  if (headers === HEADERS_MAX || rest.length < 8) return found;
  if (proto === HOP_BY_HOP && headers > 0) return found;
  let length = 8;
  if (proto === AH) length = (rest[1] + 2) * 4;
  else if (proto !== FRAGMENT) length = (rest[1] + 1) * 8;
  if (proto === AH && length < 12) return found;
  if (length > rest.length) return found;
  const next = { ...found };
  if (proto === FRAGMENT) {
    if (packetHasFragmentHeaderBefore(packet, at)) return found;
    const offset = Math.floor(number(rest.slice(2, 4)) / 8);
    const moreFragments = (rest[3] & 1) === 1;
    if (offset > 0 || moreFragments) {
      Object.assign(next, { fragmentId: number(rest.slice(4, 8)), fragmentProto: 0 });
      if (offset > 0) return laterFragment(next, offset);
      next.fragment = "first";
    }
  }
  if (isV6 && MESSAGE_LIKE.includes(proto) && rest[0] === NO_NEXT) {
    return transport(next, rest, at, proto);
  }
  return walk(next, packet, at + length, rest[0], headers + 1);
}

/** Walks the IPv6 chain again from its start and looks for a fragment header in front of `until`. */
function packetHasFragmentHeaderBefore(packet: Uint8Array, until: number): boolean {
  let at = 40;
  let proto = packet[6];
  while (at < until) {
    if (proto === FRAGMENT) return true;
    const length = proto === AH ? (packet[at + 1] + 2) * 4 : (packet[at + 1] + 1) * 8;
    proto = packet[at];
    at += length;
  }
  return false;
}

function transport(
  found: DecodedTwin,
  rest: Uint8Array,
  at: number,
  proto: number,
): DecodedTwin {
  if (proto === 0 || proto === 255) return found;
  if (rest.length < (SHORTEST[found.version][proto] ?? 0)) return found;
  const result = { ...found, proto, transportOffset: at };
  if ([6, 17, 132].includes(proto)) {
    result.srcPort = number(rest.slice(0, 2));
    result.dstPort = number(rest.slice(2, 4));
  }
  if (proto === 6) result.detail = rest[13];
  if (proto === (found.version === 4 ? 1 : 58)) result.detail = number(rest.slice(0, 2));
  return result;
}
