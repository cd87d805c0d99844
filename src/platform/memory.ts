/**
 * The ports of ports.ts in memory, for tests and simulations: nothing here touches the machine.
 *
 * In: virtual time (MemoryClock), seeds, packets injected by the test. Out: the same ports as the real machine's.
 * Guarantees: nothing blocks, nothing moves but by a call, same seed same run.
 */
import type { NativeBuffer, PacketBatch, PollPort, TunPort, UdpPort, WakePort } from "../ports.ts";
import { POLL } from "../ports.ts";
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

/** Longest packet or super-packet that a device hands over: an IP packet's 16-bit length. */
const INJECT_BYTES_MAX = 65_535;

/** Makes a zeroed buffer that only TypeScript addresses. */
export function memoryBuffer(bytes: number): NativeBuffer {
  const memory = new Uint8Array(bytes);
  return { bytes: memory, view: new DataView(memory.buffer) };
}

/** TUN device whose other side is the test: inject() plays the applications, `written` is what they get. */
export class MemoryTun implements TunPort {
  readonly fd = -1;
  /** Packets written so far, oldest first; the test may empty it. */
  readonly written: Uint8Array[] = [];
  closed = false;
  readonly #queue: { readonly packet: Uint8Array; readonly segmentBytes: number }[] = [];
  #failures = 0;
  #failureErrno = 0;

  constructor(readonly name = "tun0") {}

  /** Packets to be read. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Puts a copy of one packet where read() finds it. With `segmentBytes`, a super-packet of that segment size.
   * @throws {RangeError} If it is longer than a kernel would ever hand over.
   */
  inject(packet: Uint8Array, segmentBytes = 0): void {
    if (packet.length > INJECT_BYTES_MAX) {
      throw new RangeError(`Cannot inject ${packet.length} bytes: at most ${INJECT_BYTES_MAX} fit`);
    }
    this.#queue.push({ packet: packet.slice(), segmentBytes });
  }

  /** Refuses the next `count` writes with `errno`. */
  failWrites(count: number, errno: number): void {
    this.#failures = count;
    this.#failureErrno = errno;
  }

  read(batch: PacketBatch): number {
    const room = batch.slotBytes - batch.headroomBytes;
    const taken = this.#queue.splice(0, batch.capacity);
    taken.forEach(({ packet, segmentBytes }, index) => {
      const offset = index * batch.slotBytes + batch.headroomBytes;
      batch.buffer.bytes.set(packet.subarray(0, room), offset);
      batch.offset[index] = offset;
      batch.length[index] = packet.length;
      batch.segmentBytes[index] = segmentBytes;
    });
    batch.count = taken.length;
    return taken.length;
  }

  write(buffer: NativeBuffer, offset: number, length: number): number {
    if (this.#failures > 0) {
      this.#failures--;
      return -this.#failureErrno;
    }
    this.written.push(buffer.bytes.slice(offset, offset + length));
    return length;
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
