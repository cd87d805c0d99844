/**
 * The structures of recvmmsg(2) and sendmmsg(2) for one batch, made once and rewritten in place.
 *
 * In: a PacketBatch. Out: an array of `struct mmsghdr`, each with one iovec, one socket address and room for control
 * messages; and back: endpoints and lengths. Pure memory: no call is made here.
 *
 * An entry whose segmentBytes is set is sent with UDP_SEGMENT; one that came with UDP_GRO gets its segmentBytes.
 *
 * Layouts are those of 64-bit little-endian Linux, which is all that Deno and Bun run on (bits/socket.h,
 * netinet/in.h); musl's differ only in padding that is zero.
 */
import { ERRNO } from "../errors.ts";
import { ENDPOINT, ENDPOINT_WORDS, type PacketBatch, UDP_TRUNCATED } from "../ports.ts";
import type { Pointer } from "./ffi.ts";
import {
  allocateNative,
  IOVEC,
  type NativeMemory,
  nativeMemoryOf,
  writeAddress,
} from "./native_buffer.ts";

/** `struct mmsghdr`: a `struct msghdr` of 56 bytes and the length of the message. */
export const MMSGHDR = {
  NAME: 0,
  NAME_LENGTH: 8,
  VECTORS: 16,
  VECTOR_COUNT: 24,
  CONTROL: 32,
  CONTROL_LENGTH: 40,
  FLAGS: 48,
  MESSAGE_LENGTH: 56,
  BYTES: 64,
} as const;

/** `struct sockaddr_in`. */
const SOCKADDR4 = { FAMILY: 0, PORT: 2, ADDRESS: 4, BYTES: 16 } as const;
/** `struct sockaddr_in6`. */
const SOCKADDR6 = { FAMILY: 0, PORT: 2, FLOW: 4, ADDRESS: 8, SCOPE: 24, BYTES: 28 } as const;
/** Room for either. */
const SOCKADDR_STRIDE = 32;

/** `struct cmsghdr`; the data follows at once, the next one at a multiple of 8. */
const CMSG = { LENGTH: 0, LEVEL: 8, TYPE: 12, DATA: 16 } as const;
/** `struct in_pktinfo`: interface, address to answer from, address in the header. */
const PKTINFO4 = { INTERFACE: 0, LOCAL: 4, HEADER: 8, BYTES: 12 } as const;
/** `struct in6_pktinfo`. */
const PKTINFO6 = { LOCAL: 0, INTERFACE: 16, BYTES: 20 } as const;
/** Packet information takes 40 at most, UDP_SEGMENT and UDP_GRO 24; the rest is for what else a kernel adds. */
const CONTROL_STRIDE = 128;

/** Numbers of socket families, levels and control messages. Source: bits/socket.h, linux/in.h, linux/in6.h. */
export const SOCKET = {
  FAMILY_4: 2,
  FAMILY_6: 10,
  LEVEL_4: 0,
  LEVEL_6: 41,
  PKTINFO_4: 8,
  PKTINFO_6: 50,
  LEVEL_UDP: 17,
  UDP_SEGMENT: 103,
  UDP_GRO: 104,
} as const;

const MSG_TRUNCATED = 0x20;
/** Third word of an IPv4 address as an IPv6 address (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffff;

/** See file header. For one direction: receiving and sending write different things into the same places. */
export class DatagramVectors {
  readonly #native: NativeMemory;
  readonly #memory: NativeMemory;
  readonly #capacity: number;
  readonly #family: 4 | 6;
  readonly #vectorsAt: number;
  readonly #addressesAt: number;
  readonly #controlsAt: number;

  constructor(batch: PacketBatch, family: 4 | 6) {
    const { capacity } = batch;
    this.#native = nativeMemoryOf(batch.buffer);
    this.#capacity = capacity;
    this.#family = family;
    this.#vectorsAt = capacity * MMSGHDR.BYTES;
    this.#addressesAt = this.#vectorsAt + capacity * IOVEC.BYTES;
    this.#controlsAt = this.#addressesAt + capacity * SOCKADDR_STRIDE;
    this.#memory = allocateNative(this.#controlsAt + capacity * CONTROL_STRIDE);
    for (let index = 0; index < capacity; index++) this.#link(index);
  }

  /** Address of the array. */
  get pointer(): Pointer {
    return this.#memory.pointer;
  }

  /** The array and all it points to, for tests. */
  get memory(): NativeMemory {
    return this.#memory;
  }

  /** Writes what never changes of entry `index`: where its parts lie. */
  #link(index: number): void {
    const { view, address } = this.#memory;
    const at = index * MMSGHDR.BYTES;
    writeAddress(view, at + MMSGHDR.NAME, address + this.#addressesAt + index * SOCKADDR_STRIDE);
    writeAddress(view, at + MMSGHDR.VECTORS, address + this.#vectorsAt + index * IOVEC.BYTES);
    view.setUint32(at + MMSGHDR.VECTOR_COUNT, 1, true);
    writeAddress(view, at + MMSGHDR.CONTROL, address + this.#controlsAt + index * CONTROL_STRIDE);
  }

  /**
   * Points every entry at its slot of the batch, behind the headroom. Once, before the first receive.
   *
   * @throws {RangeError} If the slots do not fit the batch's buffer, because C would write beside it.
   */
  prepareReceive(batch: PacketBatch): void {
    const { view } = this.#memory;
    const { capacity, slotBytes } = batch;
    const bytes = this.#native.bytes.length;
    if (capacity * slotBytes > bytes || batch.headroomBytes >= slotBytes) {
      throw new RangeError(
        `Cannot receive into ${capacity} slots of ${slotBytes} bytes in ${bytes}`,
      );
    }
    const room = batch.slotBytes - batch.headroomBytes;
    for (let index = 0; index < this.#capacity; index++) {
      const at = this.#vectorsAt + index * IOVEC.BYTES;
      const offset = index * batch.slotBytes + batch.headroomBytes;
      writeAddress(view, at + IOVEC.BASE, this.#native.address + offset);
      view.setUint32(at + IOVEC.LENGTH, room, true);
      this.#resetReceive(index);
    }
  }

  /** The kernel overwrites the lengths with what it used. */
  #resetReceive(index: number): void {
    const { view } = this.#memory;
    const at = index * MMSGHDR.BYTES;
    view.setUint32(at + MMSGHDR.NAME_LENGTH, SOCKADDR_STRIDE, true);
    view.setUint32(at + MMSGHDR.CONTROL_LENGTH, CONTROL_STRIDE, true);
    view.setUint32(at + MMSGHDR.FLAGS, 0, true);
  }

  /** Fills the batch's arrays from the first `count` entries and makes these ready for the next receive. */
  takeReceived(batch: PacketBatch, count: number): void {
    const { view } = this.#memory;
    for (let index = 0; index < count; index++) {
      const at = index * MMSGHDR.BYTES;
      const truncated = (view.getUint32(at + MMSGHDR.FLAGS, true) & MSG_TRUNCATED) !== 0;
      batch.offset[index] = index * batch.slotBytes + batch.headroomBytes;
      batch.length[index] = truncated
        ? UDP_TRUNCATED
        : view.getUint32(at + MMSGHDR.MESSAGE_LENGTH, true);
      this.#takeSource(batch.endpoint, index);
      this.#takeControls(batch, index);
      this.#resetReceive(index);
    }
    batch.count = count;
  }

  #takeSource(endpoint: Uint32Array, index: number): void {
    const { view } = this.#memory;
    const at = this.#addressesAt + index * SOCKADDR_STRIDE;
    const words = index * ENDPOINT_WORDS;
    endpoint[words + ENDPOINT.FAMILY] = this.#family;
    if (this.#family === 4) {
      this.#takeAddress4(endpoint, words + ENDPOINT.ADDRESS, at + SOCKADDR4.ADDRESS);
      endpoint[words + ENDPOINT.PORT] = view.getUint16(at + SOCKADDR4.PORT);
      endpoint[words + ENDPOINT.SCOPE] = 0;
    } else {
      this.#takeAddress6(endpoint, words + ENDPOINT.ADDRESS, at + SOCKADDR6.ADDRESS);
      endpoint[words + ENDPOINT.PORT] = view.getUint16(at + SOCKADDR6.PORT);
      endpoint[words + ENDPOINT.SCOPE] = view.getUint32(at + SOCKADDR6.SCOPE, true);
    }
  }

  /** Finds our own address and the datagrams' length among the control messages; what is not told stays zero. */
  #takeControls(batch: PacketBatch, index: number): void {
    const { view } = this.#memory;
    const words = index * ENDPOINT_WORDS;
    const used = view.getUint32(index * MMSGHDR.BYTES + MMSGHDR.CONTROL_LENGTH, true);
    let at = this.#controlsAt + index * CONTROL_STRIDE;
    const end = at + Math.min(used, CONTROL_STRIDE);
    const level = this.#family === 4 ? SOCKET.LEVEL_4 : SOCKET.LEVEL_6;
    const type = this.#family === 4 ? SOCKET.PKTINFO_4 : SOCKET.PKTINFO_6;
    batch.segmentBytes[index] = 0;
    for (let word = words + ENDPOINT.LOCAL_ADDRESS; word < words + ENDPOINT_WORDS; word++) {
      batch.endpoint[word] = 0;
    }
    while (at + CMSG.DATA <= end) {
      const length = view.getUint32(at + CMSG.LENGTH, true);
      if (length < CMSG.DATA) return;
      const itsLevel = view.getUint32(at + CMSG.LEVEL, true);
      const itsType = view.getUint32(at + CMSG.TYPE, true);
      if (itsLevel === level && itsType === type) {
        this.#takePacketInfo(batch.endpoint, words, at + CMSG.DATA);
      } else if (itsLevel === SOCKET.LEVEL_UDP && itsType === SOCKET.UDP_GRO) {
        // An int. One that says as much as all there is says nothing.
        const segmentBytes = view.getUint32(at + CMSG.DATA, true);
        if (segmentBytes < batch.length[index]!) batch.segmentBytes[index] = segmentBytes;
      }
      at += (length + 7) & ~7;
    }
  }

  #takePacketInfo(endpoint: Uint32Array, words: number, at: number): void {
    const { view } = this.#memory;
    if (this.#family === 4) {
      this.#takeAddress4(endpoint, words + ENDPOINT.LOCAL_ADDRESS, at + PKTINFO4.LOCAL);
      endpoint[words + ENDPOINT.LOCAL_INTERFACE] = view.getUint32(at + PKTINFO4.INTERFACE, true);
    } else {
      this.#takeAddress6(endpoint, words + ENDPOINT.LOCAL_ADDRESS, at + PKTINFO6.LOCAL);
      endpoint[words + ENDPOINT.LOCAL_INTERFACE] = view.getUint32(at + PKTINFO6.INTERFACE, true);
    }
  }

  #takeAddress4(endpoint: Uint32Array, word: number, at: number): void {
    endpoint[word] = 0;
    endpoint[word + 1] = 0;
    endpoint[word + 2] = MAPPED;
    endpoint[word + 3] = this.#memory.view.getUint32(at);
  }

  #takeAddress6(endpoint: Uint32Array, word: number, at: number): void {
    const { view } = this.#memory;
    endpoint[word] = view.getUint32(at);
    endpoint[word + 1] = view.getUint32(at + 4);
    endpoint[word + 2] = view.getUint32(at + 8);
    endpoint[word + 3] = view.getUint32(at + 12);
  }

  /**
   * Writes datagrams `first` .. `count - 1` of the batch to entries 0 .. .
   *
   * @returns How many were written: it stops before one that this socket cannot send. When that is the first, a
   *   negated errno says why.
   */
  prepareSend(batch: PacketBatch, first: number): number {
    const count = Math.min(batch.count - first, this.#capacity);
    for (let index = 0; index < count; index++) {
      const status = this.#prepareDatagram(batch, first + index, index);
      if (status < 0) return index > 0 ? index : status;
    }
    return count;
  }

  #prepareDatagram(batch: PacketBatch, from: number, index: number): number {
    const { view } = this.#memory;
    const offset = batch.offset[from]!;
    const length = batch.length[from]!;
    // C checks nothing: what lies outside is refused here as the kernel would refuse it.
    if (offset + length > this.#native.bytes.length) return -ERRNO.EFAULT;
    const family = batch.endpoint[from * ENDPOINT_WORDS + ENDPOINT.FAMILY]!;
    if (family === 0) return -ERRNO.EDESTADDRREQ;
    if (family !== this.#family) return -ERRNO.EAFNOSUPPORT;
    const vectorAt = this.#vectorsAt + index * IOVEC.BYTES;
    writeAddress(view, vectorAt + IOVEC.BASE, this.#native.address + offset);
    view.setUint32(vectorAt + IOVEC.LENGTH, length, true);
    this.#putDestination(batch.endpoint, from * ENDPOINT_WORDS, index);
    const used = this.#putLocal(batch.endpoint, from * ENDPOINT_WORDS, index);
    this.#putSegment(batch.segmentBytes[from]!, used, index);
    return 0;
  }

  #putDestination(endpoint: Uint32Array, words: number, index: number): void {
    const { view } = this.#memory;
    const at = this.#addressesAt + index * SOCKADDR_STRIDE;
    const lengthAt = index * MMSGHDR.BYTES + MMSGHDR.NAME_LENGTH;
    if (this.#family === 4) {
      view.setUint16(at + SOCKADDR4.FAMILY, SOCKET.FAMILY_4, true);
      view.setUint16(at + SOCKADDR4.PORT, endpoint[words + ENDPOINT.PORT]!);
      view.setUint32(at + SOCKADDR4.ADDRESS, endpoint[words + ENDPOINT.ADDRESS + 3]!);
      view.setUint32(lengthAt, SOCKADDR4.BYTES, true);
    } else {
      view.setUint16(at + SOCKADDR6.FAMILY, SOCKET.FAMILY_6, true);
      view.setUint16(at + SOCKADDR6.PORT, endpoint[words + ENDPOINT.PORT]!);
      this.#putAddress6(endpoint, words + ENDPOINT.ADDRESS, at + SOCKADDR6.ADDRESS);
      view.setUint32(at + SOCKADDR6.SCOPE, endpoint[words + ENDPOINT.SCOPE]!, true);
      view.setUint32(lengthAt, SOCKADDR6.BYTES, true);
    }
  }

  /**
   * Asks for our own address as source, if one is known. The interface is left open, as Linux WireGuard does
   * (send4 of drivers/net/wireguard/socket.c sets the source, not the device): the way out may change while the
   * address stays ours. A link-local destination names its interface by SCOPE.
   *
   * @returns Bytes of control messages so far.
   */
  #putLocal(endpoint: Uint32Array, words: number, index: number): number {
    const { view } = this.#memory;
    if (!hasLocal(endpoint, words)) return 0;
    const at = this.#controlsAt + index * CONTROL_STRIDE;
    const dataAt = at + CMSG.DATA;
    const isV4 = this.#family === 4;
    const dataBytes = isV4 ? PKTINFO4.BYTES : PKTINFO6.BYTES;
    view.setUint32(at + CMSG.LENGTH, CMSG.DATA + dataBytes, true);
    view.setUint32(at + CMSG.LEVEL, isV4 ? SOCKET.LEVEL_4 : SOCKET.LEVEL_6, true);
    view.setUint32(at + CMSG.TYPE, isV4 ? SOCKET.PKTINFO_4 : SOCKET.PKTINFO_6, true);
    if (isV4) {
      view.setUint32(dataAt + PKTINFO4.INTERFACE, 0, true);
      view.setUint32(dataAt + PKTINFO4.LOCAL, endpoint[words + ENDPOINT.LOCAL_ADDRESS + 3]!);
    } else {
      this.#putAddress6(endpoint, words + ENDPOINT.LOCAL_ADDRESS, dataAt + PKTINFO6.LOCAL);
      view.setUint32(dataAt + PKTINFO6.INTERFACE, 0, true);
    }
    return CMSG.DATA + ((dataBytes + 7) & ~7);
  }

  /** Asks for an entry to be cut into datagrams, if it is to be, and says how long all control messages are. */
  #putSegment(segmentBytes: number, used: number, index: number): void {
    const { view } = this.#memory;
    let space = used;
    if (segmentBytes !== 0) {
      const at = this.#controlsAt + index * CONTROL_STRIDE + used;
      view.setUint32(at + CMSG.LENGTH, CMSG.DATA + 2, true);
      view.setUint32(at + CMSG.LEVEL, SOCKET.LEVEL_UDP, true);
      view.setUint32(at + CMSG.TYPE, SOCKET.UDP_SEGMENT, true);
      view.setUint16(at + CMSG.DATA, segmentBytes, true);
      space += CMSG.DATA + 8;
    }
    view.setUint32(index * MMSGHDR.BYTES + MMSGHDR.CONTROL_LENGTH, space, true);
  }

  #putAddress6(endpoint: Uint32Array, word: number, at: number): void {
    const { view } = this.#memory;
    view.setUint32(at, endpoint[word]!);
    view.setUint32(at + 4, endpoint[word + 1]!);
    view.setUint32(at + 8, endpoint[word + 2]!);
    view.setUint32(at + 12, endpoint[word + 3]!);
  }
}

/** Whether the endpoint that starts at `words` knows our own address. */
export function hasLocal(endpoint: Uint32Array, words: number): boolean {
  const at = words + ENDPOINT.LOCAL_ADDRESS;
  return (endpoint[at]! | endpoint[at + 1]! | endpoint[at + 2]! | endpoint[at + 3]!) !== 0;
}

/** Builds the `struct sockaddr` of any address of a family with `port`, for bind(2). */
export function anyAddress(family: 4 | 6, port: number): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? SOCKADDR4.BYTES : SOCKADDR6.BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(SOCKADDR4.FAMILY, family === 4 ? SOCKET.FAMILY_4 : SOCKET.FAMILY_6, true);
  view.setUint16(SOCKADDR4.PORT, port);
  return bytes;
}

/** Port in a `struct sockaddr`: both families have it in the same place. */
export function portOf(address: Uint8Array): number {
  return new DataView(address.buffer, address.byteOffset).getUint16(SOCKADDR4.PORT);
}
