/**
 * Header that a TUN device with IFF_VNET_HDR puts before each packet: struct virtio_net_hdr of linux/virtio_net.h
 * (VIRTIO 1.2 §5.1.6), 10 bytes, little-endian (TUNSETVNETLE).
 *
 * In and out: bytes in a DataView, words of VIRTIO. Guarantees: reads and writes VIRTIO_HEADER_BYTES bytes, no more.
 * Not here: whether the header agrees with its packet (segment.ts).
 */

/** Word indices of a header. */
export const VIRTIO = {
  /** Bits of VIRTIO_FLAG. */
  FLAGS: 0,
  /** One of VIRTIO_GSO. */
  GSO_TYPE: 1,
  /** Bytes of IP and transport header: a hint, 0 = not said. */
  HEADER_BYTES: 2,
  /** Payload bytes of each segment but the last. Valid iff GSO_TYPE is not NONE. */
  SEGMENT_BYTES: 3,
  /** Where the checksum begins to sum, from the packet's start. Valid iff NEEDS_CHECKSUM. */
  CHECKSUM_START: 4,
  /** Where the checksum stands, from CHECKSUM_START. Valid iff NEEDS_CHECKSUM. */
  CHECKSUM_OFFSET: 5,
} as const;

/** Words of one header. */
export const VIRTIO_WORDS = 6;

/** Bytes of one header. */
export const VIRTIO_HEADER_BYTES = 10;

/** Bits of VIRTIO.FLAGS. */
export const VIRTIO_FLAG = {
  /** The checksum's field holds the sum of the pseudo header only (Linux: CHECKSUM_PARTIAL). */
  NEEDS_CHECKSUM: 1,
  /** The checksum was verified (Linux: CHECKSUM_UNNECESSARY). */
  DATA_VALID: 2,
} as const;

/** Values of VIRTIO.GSO_TYPE; ECN may be set beside the two of TCP. */
export const VIRTIO_GSO = {
  NONE: 0,
  TCP_V4: 1,
  TCP_V6: 4,
  /** UDP, each segment a datagram (Linux: UDP_L4). */
  UDP: 5,
  /** The first segment has CWR, the others have not. */
  ECN: 0x80,
} as const;

/** Reads the header at `offset` into `words`, VIRTIO_WORDS of them from `word` on. */
export function readVirtio(
  view: DataView,
  offset: number,
  words: Uint32Array,
  word: number,
): void {
  words[word + VIRTIO.FLAGS] = view.getUint8(offset);
  words[word + VIRTIO.GSO_TYPE] = view.getUint8(offset + 1);
  words[word + VIRTIO.HEADER_BYTES] = view.getUint16(offset + 2, true);
  words[word + VIRTIO.SEGMENT_BYTES] = view.getUint16(offset + 4, true);
  words[word + VIRTIO.CHECKSUM_START] = view.getUint16(offset + 6, true);
  words[word + VIRTIO.CHECKSUM_OFFSET] = view.getUint16(offset + 8, true);
}

/** Writes the header at `offset` from VIRTIO_WORDS of `words`, from `word` on. Values are cut to their fields. */
export function writeVirtio(
  view: DataView,
  offset: number,
  words: Uint32Array,
  word: number,
): void {
  view.setUint8(offset, words[word + VIRTIO.FLAGS]);
  view.setUint8(offset + 1, words[word + VIRTIO.GSO_TYPE]);
  view.setUint16(offset + 2, words[word + VIRTIO.HEADER_BYTES], true);
  view.setUint16(offset + 4, words[word + VIRTIO.SEGMENT_BYTES], true);
  view.setUint16(offset + 6, words[word + VIRTIO.CHECKSUM_START], true);
  view.setUint16(offset + 8, words[word + VIRTIO.CHECKSUM_OFFSET], true);
}
