/**
 * Coalescing: neighbouring packets of one flow, as super-packets that a TUN device takes in one write.
 *
 * In: the packets of one batch, decoded, in the order of their arrival. Out: groups, each of the parts that one
 * writev(2) takes and the words of its virtio header. Guarantees: segmenting a group gives its packets again, byte
 * for byte (but see ID_FIXED); packets of one flow keep their order; whatever has a wrong checksum stays alone and as
 * it is; nothing is copied or allocated, and only headers of first packets are changed, in finish(); split() takes that
 * back.
 * Conditions are those of Linux (net/ipv4/tcp_offload.c tcp_gro_receive, udp_offload.c, af_inet.c), and those that
 * segmenting back demands. Not here: writing.
 */
import type { NativeBuffer } from "../ports.ts";
import { type BufferSums, createSums, fold, pseudoHeaderSum, updateChecksum } from "./checksum.ts";
import {
  CLOSING_FLAGS,
  EQUAL_FLAGS_MASK,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  TCP_CHECKSUM,
  TCP_FLAG,
  TCP_HEADER_BYTES,
  tcpHeaderBytes,
  UDP_CHECKSUM,
  udpHeaderBytes,
} from "./coalesce_rules.ts";
import { FRAGMENT, INFO } from "./decode.ts";
import { KEY, KEY_WORDS, PROTO } from "./key.ts";
import { VIRTIO, VIRTIO_FLAG, VIRTIO_GSO, VIRTIO_WORDS } from "./virtio.ts";

/** What the device takes. */
export interface CoalescerOptions {
  /** Most packets between begin() and finish(), 1 .. 65,535. */
  readonly capacity: number;
  /** Whether the device takes super-packets of TCP (TUN_F_TSO4, TUN_F_TSO6). */
  readonly tcp: boolean;
  /** Whether the device takes super-packets of UDP (TUN_F_USO4, TUN_F_USO6). */
  readonly udp: boolean;
}

/** Longest super-packet: both IP versions state lengths in 16 bits. */
export const COALESCED_BYTES_MAX = 65_535;
/** Most packets of a super-packet; for UDP it is UDP_MAX_SEGMENTS of linux/udp.h, for TCP a bound of ours. */
export const COALESCED_PACKETS_MAX = 64;

/** Words of a group's state while packets are added. */
const GROUP = {
  /** Where the first packet lies. */
  OFFSET: 0,
  /** IP and transport header of the first packet. */
  HEADER_BYTES: 1,
  /** Transport header's start. */
  TRANSPORT: 2,
  /** Payload of the first packet, which all but the last must have too. */
  SEGMENT_BYTES: 3,
  /** IP length of the super-packet so far. */
  BYTES: 4,
  /** Packets so far. */
  COUNT: 5,
  /** Sequence number that the next packet must have. */
  SEQUENCE: 6,
  /** One of STATE. */
  STATE: 7,
  /** One of ID. */
  ID: 8,
  /** Last packet's number. */
  LAST: 9,
  /** First packet's number. */
  FIRST: 10,
  /** PSH and FIN of the last packet. */
  LAST_FLAGS: 11,
  VERSION: 12,
  /** The first packet's own transport checksum. */
  CHECKSUM: 13,
} as const;
const GROUP_WORDS = 14;

const STATE = {
  /** Nothing may be joined. */
  CLOSED: 0,
  /** One packet, whose checksums were not looked at. */
  UNVERIFIED: 1,
  OPEN: 2,
} as const;

const ID = {
  /** One packet so far, or IPv6. */
  UNKNOWN: 0,
  /** Each packet's identification is one above that of the packet before. */
  RISING: 1,
  /**
   * All have the same one and may not be fragmented, so it means nothing (RFC 6864 §4.1). Segmenting makes them rise;
   * there is no way to tell a TUN device otherwise.
   */
  FIXED: 2,
} as const;

/** Steps of a search for a flow; beyond, the packet stays alone, so that nobody's choice of ports makes it long. */
const PROBES_MAX = 8;
const NONE = 0xffffffff;

/** Makes super-packets of packets that lie in one buffer. Group arrays are valid from finish() to the next begin(). */
export class Coalescer {
  /** Groups; group `g` is one write. In the order of their first packets. */
  groupCount = 0;
  /** Per group: its first part. */
  readonly groupPart: Uint32Array;
  /** Per group: parts, and so packets: part 0 is a whole packet, each other one the payload of one more. */
  readonly groupParts: Uint32Array;
  /** Per group: IP bytes of its packets as they came in, which is what is counted. */
  readonly groupIpBytes: Uint32Array;
  /** Per group: bytes of all its parts, virtio header not included: what the write has to take. */
  readonly groupBytes: Uint32Array;
  /** Per group VIRTIO_WORDS words. */
  readonly groupVirtio: Uint32Array;
  /** Per part: where it lies in the buffer. */
  readonly partOffset: Uint32Array;
  /** Per part: its length. */
  readonly partLength: Uint32Array;

  readonly #view: DataView;
  readonly #sums: BufferSums;
  readonly #capacity: number;
  readonly #tcp: boolean;
  readonly #udp: boolean;
  #packetCount = 0;
  /** Per packet, in order of arrival: where what is written of it lies, and the group's next packet. */
  readonly #packetOffset: Uint32Array;
  readonly #packetLength: Uint32Array;
  readonly #packetNext: Uint32Array;
  readonly #groups: Uint32Array;
  readonly #groupKeys: Uint32Array;
  /** Open addressing: the flow's latest group and, above its 16 bits, the generation that entered it. */
  readonly #table: Uint32Array;
  #generation = 1;

  constructor(buffer: NativeBuffer, { capacity, tcp, udp }: CoalescerOptions) {
    if (capacity < 1 || capacity > 0xffff) {
      throw new RangeError(
        `Cannot coalesce batches of ${capacity} packets: 1 to 65535 are possible`,
      );
    }
    this.#view = buffer.view;
    this.#sums = createSums(buffer);
    this.#capacity = capacity;
    this.#tcp = tcp;
    this.#udp = udp;
    this.groupPart = new Uint32Array(capacity);
    this.groupParts = new Uint32Array(capacity);
    this.groupIpBytes = new Uint32Array(capacity);
    this.groupBytes = new Uint32Array(capacity);
    this.groupVirtio = new Uint32Array(capacity * VIRTIO_WORDS);
    this.partOffset = new Uint32Array(capacity);
    this.partLength = new Uint32Array(capacity);
    this.#packetOffset = new Uint32Array(capacity);
    this.#packetLength = new Uint32Array(capacity);
    this.#packetNext = new Uint32Array(capacity);
    this.#groups = new Uint32Array(capacity * GROUP_WORDS);
    this.#groupKeys = new Uint32Array(capacity * KEY_WORDS);
    this.#table = new Uint32Array(1 << (33 - Math.clz32(capacity)));
  }

  /** Packets since begin(). */
  get packetCount(): number {
    return this.#packetCount;
  }

  /** Whether the next add() needs finish() and begin() first. */
  get full(): boolean {
    return this.#packetCount === this.#capacity;
  }

  /** Forgets the batch before. */
  begin(): void {
    this.groupCount = 0;
    this.#packetCount = 0;
    this.#closeAll();
  }

  /** Lets nothing be joined to the groups that there are. */
  #closeAll(): void {
    if (++this.#generation > 0xffff) {
      this.#generation = 1;
      this.#table.fill(0);
    }
  }

  /**
   * Takes one packet, which must stay where it is until it is written. Not to be called when `full`.
   * @param length Its length by its own header, without padding (INFO.IP_BYTES).
   * @param key Flow key of decode(); read, not kept. Ports that a fragment cache filled in are welcome.
   * @param info Words of decode(); read, not kept.
   */
  add(offset: number, length: number, key: Uint32Array, info: Uint32Array): void {
    const proto = key[KEY.HEAD] & 0xff;
    if (info[INFO.FRAGMENT] !== FRAGMENT.NONE) {
      // Whose fragments they are is not certain: nobody's later packets may overtake them.
      this.#closeAll();
      this.#appendGroup(offset, length);
      return;
    }
    const isTcp = proto === PROTO.TCP && this.#tcp;
    if (!isTcp && !(proto === PROTO.UDP && this.#udp)) {
      this.#appendGroup(offset, length);
      return;
    }
    const headerBytes = isTcp
      ? tcpHeaderBytes(this.#view, offset, length, info)
      : udpHeaderBytes(this.#view, offset, length, info);
    const slot = this.#find(key);
    if (slot < 0) {
      this.#appendGroup(offset, length);
      return;
    }
    const entry = this.#table[slot];
    if (headerBytes > 0 && entry >>> 16 === this.#generation) {
      if (this.#join(entry & 0xffff, offset, length, headerBytes, isTcp, info)) return;
    }
    const group = this.#appendGroup(offset, length);
    this.#table[slot] = ((this.#generation << 16) | group) >>> 0;
    this.#groupKeys.set(key, group * KEY_WORDS);
    if (headerBytes > 0) this.#openGroup(group, headerBytes, isTcp, info);
  }

  /**
   * Finds the table's slot of a flow, or a free one.
   * @returns -1 if the search takes too long. Then it does so for all packets of the flow in this batch, for entries
   *   stay: their order is kept.
   */
  #find(key: Uint32Array): number {
    const table = this.#table;
    const keys = this.#groupKeys;
    const mask = table.length - 1;
    let hash = Math.imul(key[KEY.PORTS] ^ key[KEY.HEAD], 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ key[KEY.SRC + 3] ^ key[KEY.SRC + 2], 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ key[KEY.DST + 3] ^ key[KEY.DST + 2], 0xc2b2ae35);
    hash ^= hash >>> 16;
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const slot = (hash + probe) & mask;
      const entry = table[slot];
      if (entry >>> 16 !== this.#generation) return slot;
      const first = (entry & 0xffff) * KEY_WORDS;
      let word = 0;
      while (word < KEY_WORDS && keys[first + word] === key[word]) word++;
      if (word === KEY_WORDS) return slot;
    }
    return -1;
  }

  /** Makes a group of one packet to which nothing is joined. @returns Its number. */
  #appendGroup(offset: number, length: number): number {
    const group = this.groupCount++;
    const packet = this.#appendPacket(offset, length);
    const base = group * GROUP_WORDS;
    this.#groups[base + GROUP.OFFSET] = offset;
    this.#groups[base + GROUP.BYTES] = length;
    this.#groups[base + GROUP.COUNT] = 1;
    this.#groups[base + GROUP.STATE] = STATE.CLOSED;
    this.#groups[base + GROUP.FIRST] = packet;
    this.#groups[base + GROUP.LAST] = packet;
    this.groupIpBytes[group] = length;
    return group;
  }

  #appendPacket(offset: number, length: number): number {
    const packet = this.#packetCount++;
    this.#packetOffset[packet] = offset;
    this.#packetLength[packet] = length;
    this.#packetNext[packet] = NONE;
    return packet;
  }

  /** Lets packets be joined to a group of one. */
  #openGroup(group: number, headerBytes: number, isTcp: boolean, info: Uint32Array): void {
    const base = group * GROUP_WORDS;
    const groups = this.#groups;
    const transport = info[INFO.TRANSPORT_OFFSET];
    const payloadBytes = groups[base + GROUP.BYTES] - headerBytes;
    const flags = isTcp ? info[INFO.DETAIL] : 0;
    groups[base + GROUP.HEADER_BYTES] = headerBytes;
    groups[base + GROUP.TRANSPORT] = transport;
    groups[base + GROUP.SEGMENT_BYTES] = payloadBytes;
    groups[base + GROUP.ID] = ID.UNKNOWN;
    groups[base + GROUP.LAST_FLAGS] = 0;
    groups[base + GROUP.VERSION] = info[INFO.VERSION];
    if ((flags & CLOSING_FLAGS) !== 0) return;
    groups[base + GROUP.STATE] = STATE.UNVERIFIED;
    if (isTcp) {
      const at = groups[base + GROUP.OFFSET] + transport;
      groups[base + GROUP.SEQUENCE] = this.#view.getUint32(at + 4) + payloadBytes;
    }
  }

  /** Joins a packet to its flow's latest group. @returns Whether it could be; if not, nothing may follow there. */
  #join(
    group: number,
    offset: number,
    length: number,
    headerBytes: number,
    isTcp: boolean,
    info: Uint32Array,
  ): boolean {
    const groups = this.#groups;
    const base = group * GROUP_WORDS;
    const payloadBytes = length - headerBytes;
    const segmentBytes = groups[base + GROUP.SEGMENT_BYTES];
    if (
      groups[base + GROUP.STATE] === STATE.CLOSED ||
      groups[base + GROUP.HEADER_BYTES] !== headerBytes || payloadBytes > segmentBytes ||
      groups[base + GROUP.BYTES] + payloadBytes > COALESCED_BYTES_MAX ||
      groups[base + GROUP.COUNT] >= COALESCED_PACKETS_MAX
    ) return false;
    const transport = groups[base + GROUP.TRANSPORT];
    const first = groups[base + GROUP.OFFSET];
    if (isTcp && !this.#tcpFollows(base, first + transport, offset + transport, headerBytes)) {
      return false;
    }
    const idKind = this.#ipFollows(base, first, offset);
    if (idKind < 0) return false;
    if (groups[base + GROUP.STATE] === STATE.UNVERIFIED) {
      if (!this.#verify(first, groups[base + GROUP.BYTES], transport, isTcp, info)) return false;
      groups[base + GROUP.STATE] = STATE.OPEN;
    }
    if (!this.#verify(offset, length, transport, isTcp, info)) return false;

    const flags = isTcp ? info[INFO.DETAIL] & CLOSING_FLAGS : 0;
    const packet = this.#appendPacket(offset + headerBytes, payloadBytes);
    this.#packetNext[groups[base + GROUP.LAST]] = packet;
    groups[base + GROUP.LAST] = packet;
    groups[base + GROUP.COUNT]++;
    groups[base + GROUP.BYTES] += payloadBytes;
    groups[base + GROUP.SEQUENCE] += payloadBytes;
    groups[base + GROUP.ID] = idKind;
    groups[base + GROUP.LAST_FLAGS] = flags;
    if (payloadBytes < segmentBytes || flags !== 0) groups[base + GROUP.STATE] = STATE.CLOSED;
    this.groupIpBytes[group] += length;
    return true;
  }

  /** Whether a TCP header continues a group: `first` and `at` are the two headers' offsets. */
  #tcpFollows(base: number, first: number, at: number, headerBytes: number): boolean {
    const view = this.#view;
    if (view.getUint32(at + 4) !== this.#groups[base + GROUP.SEQUENCE]) return false;
    const flags = view.getUint16(at + 12);
    if ((flags & TCP_FLAG.CWR) !== 0) return false; // Segmenting gives it to the first packet only.
    if (((flags ^ view.getUint16(first + 12)) & EQUAL_FLAGS_MASK) !== 0) return false;
    if (view.getUint32(at + 8) !== view.getUint32(first + 8)) return false; // Acknowledgement.
    if (view.getUint16(at + 14) !== view.getUint16(first + 14)) return false; // Window.
    if (view.getUint16(at + 18) !== view.getUint16(first + 18)) return false; // Urgent pointer.
    const end = headerBytes - this.#groups[base + GROUP.TRANSPORT];
    for (let word = TCP_HEADER_BYTES; word < end; word += 4) {
      if (view.getUint32(at + word) !== view.getUint32(first + word)) return false; // Options.
    }
    return true;
  }

  /** Compares the IP headers at `first` and `at`. @returns One of ID, or -1 if they do not belong together. */
  #ipFollows(base: number, first: number, at: number): number {
    const view = this.#view;
    const groups = this.#groups;
    if (groups[base + GROUP.VERSION] === 6) {
      // Version, traffic class and flow label; next header and hop limit.
      return view.getUint32(at) === view.getUint32(first) &&
          view.getUint16(at + 6) === view.getUint16(first + 6)
        ? ID.UNKNOWN
        : -1;
    }
    if (
      view.getUint16(at) !== view.getUint16(first) || // Version, header length, type of service.
      view.getUint16(at + 6) !== view.getUint16(first + 6) || // DF.
      view.getUint16(at + 8) !== view.getUint16(first + 8) // TTL, protocol.
    ) return -1;
    const firstId = view.getUint16(first + 4);
    const id = view.getUint16(at + 4);
    const kind = groups[base + GROUP.ID];
    if (kind !== ID.FIXED && id === ((firstId + groups[base + GROUP.COUNT]) & 0xffff)) {
      return ID.RISING;
    }
    const isAtomic = (view.getUint16(at + 6) & 0x4000) !== 0;
    return kind !== ID.RISING && isAtomic && id === firstId ? ID.FIXED : -1;
  }

  /** Whether all checksums of a packet are right, in the form in which segmenting writes them. */
  #verify(
    offset: number,
    length: number,
    transport: number,
    isTcp: boolean,
    info: Uint32Array,
  ): boolean {
    if (info[INFO.VERSION] === 4) {
      if (this.#view.getUint16(offset + 10) === 0xffff) return false;
      if (this.#sums.sum(offset, IPV4_HEADER_BYTES) !== 0xffff) return false;
    }
    const proto = isTcp ? PROTO.TCP : PROTO.UDP;
    const bytes = length - transport;
    const sum = pseudoHeaderSum(this.#view, offset, info[INFO.VERSION], proto, bytes);
    return fold(sum + this.#sums.sum(offset + transport, bytes)) === 0xffff;
  }

  /** Makes the groups: fills the arrays above and changes the headers of packets that others were joined to. */
  finish(): void {
    let part = 0;
    for (let group = 0; group < this.groupCount; group++) {
      const base = group * GROUP_WORDS;
      this.groupPart[group] = part;
      this.groupParts[group] = this.#groups[base + GROUP.COUNT];
      this.groupBytes[group] = this.#groups[base + GROUP.BYTES];
      let packet = this.#groups[base + GROUP.FIRST];
      while (packet !== NONE) {
        this.partOffset[part] = this.#packetOffset[packet];
        this.partLength[part] = this.#packetLength[packet];
        part++;
        packet = this.#packetNext[packet];
      }
      const virtio = group * VIRTIO_WORDS;
      this.groupVirtio.fill(0, virtio, virtio + VIRTIO_WORDS);
      if (this.#groups[base + GROUP.COUNT] > 1) this.#finishGroup(base, virtio);
    }
  }

  /** Turns a group's first packet into the head of a super-packet. */
  #finishGroup(base: number, virtio: number): void {
    const view = this.#view;
    const groups = this.#groups;
    const offset = groups[base + GROUP.OFFSET];
    const bytes = groups[base + GROUP.BYTES];
    const transport = groups[base + GROUP.TRANSPORT];
    const version = groups[base + GROUP.VERSION];
    const transportBytes = bytes - transport;
    const at = offset + transport;
    let proto: number = PROTO.TCP;
    if (version === 4) {
      const checksum = view.getUint16(offset + 10);
      view.setUint16(offset + 10, updateChecksum(checksum, view.getUint16(offset + 2), bytes));
      view.setUint16(offset + 2, bytes);
      proto = view.getUint8(offset + 9);
    } else {
      view.setUint16(offset + 4, bytes - IPV6_HEADER_BYTES);
      proto = view.getUint8(offset + 6);
    }
    const words = this.groupVirtio;
    let gsoType: number = VIRTIO_GSO.UDP;
    let checksumOffset = UDP_CHECKSUM;
    if (proto === PROTO.TCP) {
      const flags = view.getUint8(at + 13);
      view.setUint8(at + 13, flags | groups[base + GROUP.LAST_FLAGS]);
      gsoType = version === 4 ? VIRTIO_GSO.TCP_V4 : VIRTIO_GSO.TCP_V6;
      if ((flags & TCP_FLAG.CWR) !== 0) gsoType |= VIRTIO_GSO.ECN;
      checksumOffset = TCP_CHECKSUM;
    } else {
      view.setUint16(at + 4, transportBytes);
    }
    const sum = pseudoHeaderSum(view, offset, version, proto, transportBytes);
    groups[base + GROUP.CHECKSUM] = view.getUint16(at + checksumOffset);
    view.setUint16(at + checksumOffset, sum);
    words[virtio + VIRTIO.FLAGS] = VIRTIO_FLAG.NEEDS_CHECKSUM;
    words[virtio + VIRTIO.GSO_TYPE] = gsoType;
    words[virtio + VIRTIO.HEADER_BYTES] = groups[base + GROUP.HEADER_BYTES];
    words[virtio + VIRTIO.SEGMENT_BYTES] = groups[base + GROUP.SEGMENT_BYTES];
    words[virtio + VIRTIO.CHECKSUM_START] = transport;
    words[virtio + VIRTIO.CHECKSUM_OFFSET] = checksumOffset;
  }

  /**
   * Takes a finished group apart, which the device has refused: each of its parts is a whole packet again, as it came
   * in, to be written by itself. To be called once a group, and only for groups of several parts.
   */
  split(group: number): void {
    const view = this.#view;
    const groups = this.#groups;
    const base = group * GROUP_WORDS;
    const offset = groups[base + GROUP.OFFSET];
    const headerBytes = groups[base + GROUP.HEADER_BYTES];
    const transport = groups[base + GROUP.TRANSPORT];
    const length = headerBytes + groups[base + GROUP.SEGMENT_BYTES];
    const at = offset + transport;
    if (groups[base + GROUP.VERSION] === 4) {
      const checksum = view.getUint16(offset + 10);
      view.setUint16(offset + 10, updateChecksum(checksum, view.getUint16(offset + 2), length));
      view.setUint16(offset + 2, length);
    } else {
      view.setUint16(offset + 4, length - IPV6_HEADER_BYTES);
    }
    const virtio = group * VIRTIO_WORDS;
    const checksumOffset = this.groupVirtio[virtio + VIRTIO.CHECKSUM_OFFSET];
    view.setUint16(at + checksumOffset, groups[base + GROUP.CHECKSUM]);
    // Nothing is joined to a packet that has the flags of the last one.
    if (checksumOffset === TCP_CHECKSUM) {
      view.setUint8(at + 13, view.getUint8(at + 13) & ~CLOSING_FLAGS);
    } else {
      view.setUint16(at + 4, length - transport);
    }
    this.groupVirtio.fill(0, virtio, virtio + VIRTIO_WORDS);
    const first = this.groupPart[group];
    // The headers of the others still stand in front of their payloads.
    for (let part = first + 1; part < first + this.groupParts[group]; part++) {
      this.partOffset[part] -= headerBytes;
      this.partLength[part] += headerBytes;
    }
  }
}
