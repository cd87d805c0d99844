/**
 * The ports of ports.ts in memory, for tests and simulations: nothing here touches the machine.
 *
 * In: virtual time (MemoryClock), seeds, packets injected by the test. Out: the same ports as the real machine's.
 * Guarantees: nothing blocks, nothing moves but by a call, same seed same run.
 */
import { ERRNO } from "../errors.ts";
import {
  type NativeBuffer,
  NO_TUN_OFFLOADS,
  POLL,
  type PollPort,
  TUN_READ_BYTES,
  type TunOffloads,
  type TunPort,
  type UdpPort,
  type WakePort,
} from "../ports.ts";
import { MemoryUdp } from "./memory_network.ts";

export { type Cancel, MemoryClock } from "./memory_clock.ts";
export { type HostChange, type HostState, MemoryHost } from "./memory_host.ts";
export {
  type MemoryBinding,
  type MemoryDatagram,
  MemoryNetwork,
  MemoryUdp,
  type NetworkCounts,
  type NetworkFaults,
  NO_FAULTS,
} from "./memory_network.ts";
export { SeededRandom } from "./memory_random.ts";

/** `struct virtio_net_hdr`. */
const VIRTIO_HEADER_BYTES = 10;

/** Makes a zeroed buffer that only TypeScript addresses. */
export function memoryBuffer(bytes: number): NativeBuffer {
  const memory = new Uint8Array(bytes);
  return { bytes: memory, view: new DataView(memory.buffer) };
}

/** A packet with the virtio header in front of it. */
export interface MemoryPacket {
  readonly header: Uint8Array;
  readonly packet: Uint8Array;
}

/** TUN device whose other side is the test: inject() plays the applications, `written` is what they get. */
export class MemoryTun implements TunPort {
  readonly fd = -1;
  readonly readHeader = new DataView(new ArrayBuffer(VIRTIO_HEADER_BYTES));
  readonly writeHeader = new DataView(new ArrayBuffer(VIRTIO_HEADER_BYTES));
  /** Packets and super-packets written so far, oldest first; the test may empty it. */
  readonly written: Uint8Array[] = [];
  /** Header of each that was written. */
  readonly writtenHeaders: Uint8Array[] = [];
  closed = false;
  readonly #queue: MemoryPacket[] = [];
  #failures = 0;
  #failureErrno = 0;
  /** Whether it refuses, with EINVAL, all that has a virtio header of a super-packet. */
  refusesJoined = false;

  constructor(readonly name = "tun0", readonly offloads: TunOffloads = NO_TUN_OFFLOADS) {}

  /** Packets to be read. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Puts a copy of one packet where read() finds it. @param header Its virtio header; absent = all zero.
   * @throws {RangeError} If it is longer than a kernel would ever hand over.
   */
  inject(packet: Uint8Array, header: Uint8Array = new Uint8Array(VIRTIO_HEADER_BYTES)): void {
    if (packet.length > TUN_READ_BYTES) {
      throw new RangeError(`Cannot inject ${packet.length} bytes: at most ${TUN_READ_BYTES} fit`);
    }
    this.#queue.push({ packet: packet.slice(), header: header.slice() });
  }

  /** Refuses the next `count` writes with `errno`. */
  failWrites(count: number, errno: number): void {
    this.#failures = count;
    this.#failureErrno = errno;
  }

  read(buffer: NativeBuffer, offset: number): number {
    if (offset + TUN_READ_BYTES > buffer.bytes.length) return -ERRNO.EFAULT;
    const next = this.#queue.shift();
    if (next === undefined) return -ERRNO.EAGAIN;
    buffer.bytes.set(next.packet, offset);
    new Uint8Array(this.readHeader.buffer).set(next.header);
    return next.packet.length;
  }

  write(buffer: NativeBuffer, offset: number, length: number): number {
    new Uint8Array(this.writeHeader.buffer).fill(0);
    return this.#write(buffer.bytes.slice(offset, offset + length));
  }

  writeParts(
    buffer: NativeBuffer,
    partOffset: Uint32Array,
    partLength: Uint32Array,
    first: number,
    count: number,
  ): number {
    const bytes: number[] = [];
    for (let part = first; part < first + count; part++) {
      const offset = partOffset[part]!;
      bytes.push(...buffer.bytes.subarray(offset, offset + partLength[part]!));
    }
    return this.#write(Uint8Array.from(bytes));
  }

  #write(packet: Uint8Array): number {
    if (this.#failures > 0) {
      this.#failures--;
      return -this.#failureErrno;
    }
    if (this.refusesJoined && this.writeHeader.getUint16(0) !== 0) return -ERRNO.EINVAL;
    this.written.push(packet);
    this.writtenHeaders.push(new Uint8Array(this.writeHeader.buffer.slice(0)));
    return packet.length;
  }

  close(): void {
    this.closed = true;
  }
}

/** eventfd in memory. */
export class MemoryWake implements WakePort {
  readonly fd = -1;
  /** Whether a wake-up waits to be drained. */
  pending = false;

  wake(): void {
    this.pending = true;
  }

  drain(): void {
    this.pending = false;
  }

  close(): void {}
}

/** Says what is ready, at once whatever the timeout: time moves only by MemoryClock. */
export class MemoryPoll implements PollPort {
  #udp4: MemoryUdp | null = null;
  #udp6: MemoryUdp | null = null;

  constructor(readonly tun: MemoryTun | null, readonly wake: MemoryWake | null = null) {}

  wait(_timeoutMs: number): number {
    let mask = 0;
    if (this.tun !== null && this.tun.waiting > 0) mask |= POLL.TUN;
    if (this.#udp4 !== null && this.#udp4.waiting > 0) mask |= POLL.UDP4;
    if (this.#udp6 !== null && this.#udp6.waiting > 0) mask |= POLL.UDP6;
    if (this.wake !== null && this.wake.pending) mask |= POLL.WAKE;
    return mask;
  }

  /** @throws {TypeError} If a socket is not a MemoryUdp. */
  watch(udp4: UdpPort | null, udp6: UdpPort | null): void {
    this.#udp4 = inMemory(udp4);
    this.#udp6 = inMemory(udp6);
  }

  waitWritable(port: UdpPort, _timeoutMs: number): boolean {
    return inMemory(port)!.writable;
  }
}

function inMemory(port: UdpPort | null): MemoryUdp | null {
  if (port === null || port instanceof MemoryUdp) return port;
  throw new TypeError("Cannot watch a socket that is not in memory");
}
