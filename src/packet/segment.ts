/**
 * Segmentation: one super-packet from a TUN device, as the packets that a wire would carry.
 *
 * In: a packet and its virtio header. Out: how many packets it stands for, and each of them complete, checksums too.
 * Guarantees: never throws; reads nothing outside the packet and writes nothing outside it and the target.
 * Not here: virtio headers' bytes (virtio.ts), the way back (coalesce.ts).
 */
import type { NativeBuffer } from "../ports.ts";

/** What plan() returns: OK, or in what the super-packet contradicts itself. */
export const SEGMENT = {
  OK: 0,
  /** Type of segmentation that was not asked for, or of another IP version or transport than the packet's. */
  TYPE: 1,
  /** Segments of no payload. */
  SEGMENT_BYTES: 2,
  /** IP header that is cut off or states another length, a fragment, or headers longer than the packet. */
  HEADER: 3,
  /** Checksum outside of the packet, or none for the transport that is to be segmented. */
  CHECKSUM: 4,
} as const;

/** Word indices of a plan. All are written iff plan() returns OK. */
export const PLAN = {
  /** Packets. 1 = the packet is complete where it lies, write() is not needed. */
  COUNT: 0,
  /** IP bytes of all packets together: what is counted. */
  IP_BYTES: 1,
  /** Length of each packet but the last. */
  PACKET_BYTES: 2,
  /** Length of the last packet. */
  LAST_BYTES: 3,
  /** Where the super-packet lies. */
  OFFSET: 4,
  /** Bytes of IP and transport header. */
  HEADER_BYTES: 5,
  /** Bytes from the packet's start to its transport header. */
  TRANSPORT_OFFSET: 6,
  /** PROTO.TCP or PROTO.UDP. */
  PROTO: 7,
} as const;

/** Words of one plan. */
export const PLAN_WORDS = 12;

/** Segments super-packets that lie in one buffer, into the same buffer. */
export class Segmenter {
  /** @param buffer Holds super-packets and what is made of them; kept. */
  constructor(readonly buffer: NativeBuffer) {}

  /**
   * Says what the packet at `offset` stands for. If it is a single packet whose checksum is still partial, the checksum
   * is completed in place.
   * @param length Bytes of the packet, virtio header not included.
   * @param virtio Words of VIRTIO; read, not kept.
   * @param plan PLAN_WORDS words.
   * @returns One of SEGMENT.
   */
  plan(_offset: number, _length: number, _virtio: Uint32Array, _plan: Uint32Array): number {
    return SEGMENT.TYPE;
  }

  /**
   * Writes packet `index` of a plan, in any order and any number of times; the super-packet stays as it is.
   * @param index 0 .. COUNT - 1.
   * @param target Offset in the buffer; PACKET_BYTES there must not be part of the super-packet.
   * @returns Length of the packet written.
   */
  write(_plan: Uint32Array, _index: number, _target: number): number {
    return 0;
  }
}
