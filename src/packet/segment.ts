/**
 * Segmentation: one super-packet from a TUN device, as the packets that a wire would carry.
 *
 * In: a packet and its virtio header. Out: how many packets it stands for, and each of them complete, checksums too.
 * Guarantees: never throws; reads nothing outside the packet and writes nothing outside it and the target. The packets
 * are those that Linux makes in software (tests/system/offload_kernel_test.ts).
 * Not here: virtio headers' bytes (virtio.ts), the way back (coalesce.ts).
 */
import type { NativeBuffer } from "../ports.ts";
import { type BufferSums, createSums, fold, negate } from "./checksum.ts";
import { DECODE, decode, FRAGMENT, INFO, INFO_WORDS } from "./decode.ts";
import { KEY, KEY_WORDS, PROTO } from "./key.ts";
import { VIRTIO, VIRTIO_FLAG, VIRTIO_GSO } from "./virtio.ts";

/** What plan() returns: OK, or in what the super-packet contradicts itself. */
export const SEGMENT = {
  OK: 0,
  /** Type of segmentation that was not asked for, or of another IP version or transport than the packet's. */
  TYPE: 1,
  /** Segments of no payload. */
  SEGMENT_BYTES: 2,
  /** IP header that is cut off or states another length, a fragment, or headers longer than the packet. */
  HEADER: 3,
  /** Checksum outside of the packet, or not that of the transport that is to be segmented. */
  CHECKSUM: 4,
} as const;

/** Word indices of a plan. COUNT to OFFSET are for the caller; all are valid iff plan() returns OK. */
export const PLAN = {
  /** Packets. 1 = the packet is complete where it lies; write() copies it. */
  COUNT: 0,
  /** IP bytes of all packets together: what is counted. */
  IP_BYTES: 1,
  /** Length of each packet but the last. */
  PACKET_BYTES: 2,
  /** Length of the last packet. */
  LAST_BYTES: 3,
  /** Where the super-packet lies. */
  OFFSET: 4,
  // What follows is valid iff COUNT is above 1.
  /** Bytes of IP and transport header. */
  HEADER_BYTES: 5,
  /** Bytes from the packet's start to its transport header. */
  TRANSPORT_OFFSET: 6,
  /** PROTO.TCP or PROTO.UDP. */
  PROTO: 7,
  /** 4 or 6. */
  VERSION: 8,
  /** IPv4 identification of the first packet. */
  ID: 9,
  /** Sum of the IPv4 header without length, identification and checksum. */
  IP_SUM: 10,
  /** Sum of pseudo header and transport header without what differs from packet to packet. */
  TRANSPORT_SUM: 11,
  /** TCP sequence number of the first packet. */
  SEQUENCE: 12,
  /** TCP: data offset and flags, as they stand in the super-packet. */
  FLAGS: 13,
} as const;

/** Words of one plan. */
export const PLAN_WORDS = 14;

const IPV6_HEADER_BYTES = 40;
const TCP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
/** Where the checksum stands in the transport header. */
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
/** Flags that only the last segment has: PSH and FIN. The other one is CWR, which only the first has (RFC 3168 §6.1.2). */
const LAST_FLAGS = 0x09;
const FIRST_FLAGS = 0x80;

/** Segments super-packets that lie in one buffer, into the same buffer. */
export class Segmenter {
  readonly #view: DataView;
  readonly #sums: BufferSums;
  readonly #key = new Uint32Array(KEY_WORDS);
  readonly #info = new Uint32Array(INFO_WORDS);

  /** @param buffer Holds super-packets and what is made of them; kept. In memory of wasmMemory() it is fastest. */
  constructor(buffer: NativeBuffer) {
    this.#view = buffer.view;
    this.#sums = createSums(buffer);
  }

  /**
   * Says what the packet at `offset` stands for. If it is a single packet whose checksum is still partial, the checksum
   * is completed in place.
   * @param length Bytes of the packet, virtio header not included.
   * @param virtio Words of VIRTIO; read, not kept.
   * @param plan PLAN_WORDS words, valid iff OK.
   * @returns One of SEGMENT.
   */
  plan(offset: number, length: number, virtio: Uint32Array, plan: Uint32Array): number {
    const needsChecksum = (virtio[VIRTIO.FLAGS] & VIRTIO_FLAG.NEEDS_CHECKSUM) !== 0;
    const start = virtio[VIRTIO.CHECKSUM_START];
    const field = start + virtio[VIRTIO.CHECKSUM_OFFSET];
    if (needsChecksum && field + 2 > length) return SEGMENT.CHECKSUM;
    plan[PLAN.COUNT] = 1;
    plan[PLAN.IP_BYTES] = length;
    plan[PLAN.PACKET_BYTES] = length;
    plan[PLAN.LAST_BYTES] = length;
    plan[PLAN.OFFSET] = offset;
    if (virtio[VIRTIO.GSO_TYPE] !== VIRTIO_GSO.NONE) {
      const status = this.#planSegments(offset, length, virtio, plan);
      if (status !== SEGMENT.OK) return status;
      if (!needsChecksum || field !== transportChecksum(plan)) return SEGMENT.CHECKSUM;
      if (plan[PLAN.COUNT] > 1) {
        this.#planSums(offset, length, plan);
        return SEGMENT.OK;
      }
    }
    if (needsChecksum) {
      // The field holds the pseudo header's sum. 0 would say "no checksum" in UDP; elsewhere it and 0xffff are equal.
      const sum = negate(this.#sums.sum(offset + start, length - start));
      this.#view.setUint16(offset + field, sum === 0 ? 0xffff : sum);
    }
    return SEGMENT.OK;
  }

  /** Checks the headers of a super-packet against its virtio header; fills the plan's lengths. */
  #planSegments(offset: number, length: number, virtio: Uint32Array, plan: Uint32Array): number {
    const info = this.#info;
    if (decode(this.#view, offset, length, this.#key, info) !== DECODE.OK) return SEGMENT.HEADER;
    if (info[INFO.IP_BYTES] !== length || info[INFO.FRAGMENT] !== FRAGMENT.NONE) {
      return SEGMENT.HEADER;
    }
    const proto = this.#key[KEY.HEAD] & 0xff;
    const version = info[INFO.VERSION];
    const transport = info[INFO.TRANSPORT_OFFSET];
    if (!typeFits(virtio[VIRTIO.GSO_TYPE], version, proto)) return SEGMENT.TYPE;
    // An Authentication Header between the two would have to be made anew for each segment.
    if (version === 4 && transport !== (this.#view.getUint8(offset) & 0x0f) * 4) {
      return SEGMENT.HEADER;
    }
    const at = offset + transport;
    let headerBytes = transport + UDP_HEADER_BYTES;
    if (proto === PROTO.TCP) {
      const tcpBytes = (this.#view.getUint8(at + 12) >>> 4) * 4;
      if (tcpBytes < TCP_HEADER_BYTES) return SEGMENT.HEADER;
      headerBytes = transport + tcpBytes;
    } else if (this.#view.getUint16(at + 4) !== length - transport) return SEGMENT.HEADER;
    const payloadBytes = length - headerBytes;
    if (payloadBytes < 0) return SEGMENT.HEADER;
    const segmentBytes = virtio[VIRTIO.SEGMENT_BYTES];
    if (segmentBytes === 0) return SEGMENT.SEGMENT_BYTES;

    plan[PLAN.HEADER_BYTES] = headerBytes;
    plan[PLAN.TRANSPORT_OFFSET] = transport;
    plan[PLAN.PROTO] = proto;
    plan[PLAN.VERSION] = version;
    if (payloadBytes <= segmentBytes) return SEGMENT.OK;
    const count = Math.ceil(payloadBytes / segmentBytes);
    plan[PLAN.COUNT] = count;
    plan[PLAN.IP_BYTES] = count * headerBytes + payloadBytes;
    plan[PLAN.PACKET_BYTES] = headerBytes + segmentBytes;
    plan[PLAN.LAST_BYTES] = headerBytes + payloadBytes - (count - 1) * segmentBytes;
    return SEGMENT.OK;
  }

  /** Fills in what is the same in all segments, so that each needs the sum of its payload only. */
  #planSums(offset: number, length: number, plan: Uint32Array): void {
    const view = this.#view;
    const transport = plan[PLAN.TRANSPORT_OFFSET];
    const transportBytes = length - transport;
    const at = offset + transport;
    if (plan[PLAN.VERSION] === 4) {
      const id = view.getUint16(offset + 4);
      plan[PLAN.ID] = id;
      plan[PLAN.IP_SUM] = fold(
        this.#sums.sum(offset, transport) + negate(view.getUint16(offset + 2)) + negate(id) +
          negate(view.getUint16(offset + 10)),
      );
    }
    // The checksum's field holds the pseudo header's sum with the super-packet's length. Taking it from there, as Linux
    // does, is right with routing headers too, whose packets are summed with another destination (RFC 8200 §8.1).
    let sum = this.#sums.sum(at, plan[PLAN.HEADER_BYTES] - transport) + negate(transportBytes);
    if (plan[PLAN.PROTO] === PROTO.TCP) {
      const sequence = view.getUint32(at + 4);
      const flags = view.getUint16(at + 12);
      plan[PLAN.SEQUENCE] = sequence;
      plan[PLAN.FLAGS] = flags;
      sum += negate(sequence >>> 16) + negate(sequence & 0xffff) + negate(flags);
    } else {
      sum += negate(transportBytes); // The length field of UDP itself.
    }
    plan[PLAN.TRANSPORT_SUM] = fold(sum);
  }

  /**
   * Writes packet `index` of a plan, in any order and any number of times; the super-packet stays as it is.
   * @param index 0 .. COUNT - 1.
   * @param target Offset in the buffer; PACKET_BYTES there must not be part of the super-packet.
   * @returns Length of the packet written.
   */
  write(plan: Uint32Array, index: number, target: number): number {
    const view = this.#view;
    const offset = plan[PLAN.OFFSET];
    const isLast = index + 1 === plan[PLAN.COUNT];
    const length = isLast ? plan[PLAN.LAST_BYTES] : plan[PLAN.PACKET_BYTES];
    if (plan[PLAN.COUNT] === 1) {
      this.#sums.copy(offset, length, target);
      return length;
    }
    const headerBytes = plan[PLAN.HEADER_BYTES];
    const transport = plan[PLAN.TRANSPORT_OFFSET];
    const before = index * (plan[PLAN.PACKET_BYTES] - headerBytes);
    this.#sums.copy(offset, headerBytes, target);
    const payloadSum = this.#sums.copy(
      offset + headerBytes + before,
      length - headerBytes,
      target + headerBytes,
    );
    if (plan[PLAN.VERSION] === 4) {
      const id = (plan[PLAN.ID] + index) & 0xffff;
      view.setUint16(target + 2, length);
      view.setUint16(target + 4, id);
      view.setUint16(target + 10, negate(fold(plan[PLAN.IP_SUM] + length + id)));
    } else {
      view.setUint16(target + 4, length - IPV6_HEADER_BYTES);
    }
    const transportBytes = length - transport;
    const at = target + transport;
    let sum = plan[PLAN.TRANSPORT_SUM] + transportBytes + payloadSum;
    if (plan[PLAN.PROTO] === PROTO.TCP) {
      const sequence = (plan[PLAN.SEQUENCE] + before) >>> 0;
      let flags = plan[PLAN.FLAGS];
      if (!isLast) flags &= ~LAST_FLAGS;
      if (index !== 0) flags &= ~FIRST_FLAGS;
      view.setUint32(at + 4, sequence);
      view.setUint16(at + 12, flags);
      sum += (sequence >>> 16) + (sequence & 0xffff) + flags;
      view.setUint16(at + TCP_CHECKSUM, negate(fold(sum)));
    } else {
      view.setUint16(at + 4, transportBytes);
      const checksum = negate(fold(sum + transportBytes));
      view.setUint16(at + UDP_CHECKSUM, checksum === 0 ? 0xffff : checksum);
    }
    return length;
  }
}

/** Whether a packet may be segmented as its virtio header says. */
function typeFits(gsoType: number, version: number, proto: number): boolean {
  switch (gsoType & ~VIRTIO_GSO.ECN) {
    case VIRTIO_GSO.TCP_V4:
      return version === 4 && proto === PROTO.TCP;
    case VIRTIO_GSO.TCP_V6:
      return version === 6 && proto === PROTO.TCP;
    case VIRTIO_GSO.UDP:
      return proto === PROTO.UDP && gsoType === VIRTIO_GSO.UDP;
    default:
      return false;
  }
}

/** Where the checksum of a planned packet's transport stands, from the packet's start. */
function transportChecksum(plan: Uint32Array): number {
  return plan[PLAN.TRANSPORT_OFFSET] +
    (plan[PLAN.PROTO] === PROTO.TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
}
