/**
 * TUN devices of Linux as TunPort.
 *
 * In: a name. Out: a device whose reads and writes are whole IP packets, without a header of the kernel's own.
 * Closing it removes the interface, unless somebody made the interface persistent before.
 *
 * Every read is a readv(2) into the packet's slot and, behind it, a spill area: so a packet longer than its slot
 * (somebody raised the MTU) gives its true length, which the caller counts. It is also the shape that a
 * virtio header in front of each packet needs (IFF_VNET_HDR): one more entry.
 * Source: Documentation/networking/tuntap.rst, linux/if_tun.h.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { INTERFACE_NAME_BYTES } from "../limits.ts";
import type { NativeBuffer, PacketBatch, TunPort } from "../ports.ts";
import { type Pointer } from "./ffi.ts";
import {
  type Advice,
  closeFile,
  deviceControl,
  lastErrno,
  type Libc,
  libc,
  OPEN,
  openFile,
} from "./libc.ts";
import {
  allocateNative,
  IOVEC,
  type NativeMemory,
  nativeMemoryOf,
  writeAddress,
} from "./native_buffer.ts";

/** Requests of ioctl(2) on /dev/net/tun. Source: linux/if_tun.h. */
export const TUN_REQUEST = {
  SET_INTERFACE: 0x400454ca,
  GET_FEATURES: 0x800454cf,
  SET_OFFLOAD: 0x400454d0,
} as const;

/** Flags of TUN_REQUEST.SET_INTERFACE. Source: linux/if_tun.h. */
export const TUN_FLAG = {
  TUN: 0x0001,
  NAPI: 0x0010,
  MULTI_QUEUE: 0x0100,
  NO_PACKET_INFO: 0x1000,
  VIRTIO_HEADER: 0x4000,
} as const;

/** `struct ifreq`: name, then a union whose first member here is `short ifr_flags`. */
export const IFREQ = { NAME: 0, FLAGS: INTERFACE_NAME_BYTES, BYTES: 40 } as const;

/** Path of the device that makes TUN devices. */
export const TUN_PATH = "/dev/net/tun";

/** Longest IP packet, and so the most that can run over a slot. */
const SPILL_BYTES = 65_536;
const VECTORS_PER_READ = 2;

const ADVICE_OPEN: Advice = {
  [ERRNO.ENOENT]:
    "load the tun module (modprobe tun) or create the node (mknod /dev/net/tun c 10 200)",
  [ERRNO.ENODEV]: "load the tun module (modprobe tun)",
  [ERRNO.ENXIO]: "load the tun module (modprobe tun)",
  [ERRNO.EPERM]: "run as root or grant CAP_NET_ADMIN; in a container allow the device /dev/net/tun",
  [ERRNO.EACCES]: "run as root or allow this user to open /dev/net/tun",
};

const ADVICE_ATTACH: Advice = {
  [ERRNO.EPERM]: "run as root or grant CAP_NET_ADMIN",
  [ERRNO.EBUSY]:
    "an interface of that name exists and is in use: stop its owner or choose another name",
  [ERRNO.EINVAL]: "an interface of that name exists and is no TUN device: choose another name",
};

/** What openTun is asked for. */
export interface TunOptions {
  /** 1..15 bytes, no space or slash; `%d` stands for the first free number. */
  readonly name: string;
  /** Whether more descriptors may be opened on the same interface. */
  readonly multiQueue?: boolean;
}

/**
 * Opens or makes a TUN device, non-blocking.
 *
 * @throws {RangeError} If the name cannot be an interface's.
 * @throws {SystemCallError} If the kernel refuses; nothing is left behind.
 */
export function openTun({ name, multiQueue = false }: TunOptions): TunPort {
  const request = interfaceRequest(
    name,
    TUN_FLAG.TUN | TUN_FLAG.NO_PACKET_INFO | (multiQueue ? TUN_FLAG.MULTI_QUEUE : 0),
  );
  const action = `open TUN device "${name}"`;
  const fd = openTunNode(action);
  try {
    deviceControl(fd, TUN_REQUEST.SET_INTERFACE, request, action, ADVICE_ATTACH);
  } catch (error) {
    closeFile(fd);
    throw error;
  }
  return tunOf(fd, interfaceName(request));
}

/** Port of a TUN descriptor that another thread opened; only one of the two may close it. */
export function tunOf(fd: number, name: string): TunPort {
  return new NativeTun(fd, name);
}

/** Opens /dev/net/tun. @throws {SystemCallError} Saying that `action` failed. */
export function openTunNode(action: string): number {
  try {
    return openFile(TUN_PATH, OPEN.READ_WRITE | OPEN.NONBLOCK);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new SystemCallError(action, error.errno, ADVICE_OPEN[error.errno]);
  }
}

/** Builds the `struct ifreq` of TUN_REQUEST.SET_INTERFACE. @throws {RangeError} If the name is impossible. */
export function interfaceRequest(name: string, flags: number): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length >= INTERFACE_NAME_BYTES || /[\s/\0:]|^\.\.?$/.test(name)) {
    throw new RangeError(
      `Cannot name an interface "${name}": wanted 1 to ${
        INTERFACE_NAME_BYTES - 1
      } bytes without space, slash, colon`,
    );
  }
  const request = new Uint8Array(IFREQ.BYTES);
  request.set(bytes, IFREQ.NAME);
  new DataView(request.buffer).setUint16(IFREQ.FLAGS, flags, true);
  return request;
}

/** Name in a `struct ifreq`, which the kernel fills in when `%d` was asked for. */
function interfaceName(request: Uint8Array): string {
  const name = request.subarray(IFREQ.NAME, IFREQ.NAME + INTERFACE_NAME_BYTES);
  return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
}

class NativeTun implements TunPort {
  readonly #libc: Libc = libc();
  readonly #spill: NativeMemory = allocateNative(SPILL_BYTES);
  readonly #writeVector: NativeMemory = allocateNative(IOVEC.BYTES);
  readonly #readVectors = new WeakMap<PacketBatch, ReadVectors>();
  #open = true;

  constructor(readonly fd: number, readonly name: string) {}

  read(batch: PacketBatch): number {
    const { pointers } = this.#vectorsOf(batch);
    const { capacity, slotBytes, headroomBytes } = batch;
    let count = 0;
    let errno = 0;
    while (count < capacity) {
      const length = this.#libc.readv(this.fd, pointers[count]!, VECTORS_PER_READ);
      if (length < 0) {
        errno = lastErrno();
        break;
      }
      batch.offset[count] = count * slotBytes + headroomBytes;
      batch.length[count] = length;
      batch.segmentBytes[count] = 0;
      count++;
    }
    batch.count = count;
    // What failed after the first packet fails again at the next read, and is told then.
    return count > 0 || errno === ERRNO.EAGAIN || errno === ERRNO.EINTR ? count : -errno;
  }

  write(buffer: NativeBuffer, offset: number, length: number): number {
    const native = nativeMemoryOf(buffer);
    // C checks nothing: what lies outside is refused here as the kernel would refuse it.
    if (offset + length > native.bytes.length) return -ERRNO.EFAULT;
    const { view, pointer } = this.#writeVector;
    writeAddress(view, IOVEC.BASE, native.address + offset);
    view.setUint32(IOVEC.LENGTH, length, true);
    const written = this.#libc.writev(this.fd, pointer, 1);
    return written < 0 ? -lastErrno() : written;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeFile(this.fd);
  }

  #vectorsOf(batch: PacketBatch): ReadVectors {
    let vectors = this.#readVectors.get(batch);
    if (vectors === undefined) {
      vectors = new ReadVectors(batch, this.#spill);
      this.#readVectors.set(batch, vectors);
    }
    return vectors;
  }
}

/** For each slot of a batch: two iovecs, the slot behind its headroom and the spill area. Made once. */
class ReadVectors {
  /** Address of each slot's iovecs. */
  readonly pointers: readonly Pointer[];
  /** Kept, because the iovecs point to it. */
  readonly memory: NativeMemory;

  constructor(batch: PacketBatch, spill: NativeMemory) {
    const { capacity, slotBytes, headroomBytes } = batch;
    const packets = nativeMemoryOf(batch.buffer);
    if (capacity * slotBytes > packets.bytes.length || headroomBytes >= slotBytes) {
      throw new RangeError(
        `Cannot read into ${capacity} slots of ${slotBytes} bytes: too little memory`,
      );
    }
    const stride = VECTORS_PER_READ * IOVEC.BYTES;
    this.memory = allocateNative(capacity * stride);
    const pointers: Pointer[] = [];
    for (let slot = 0; slot < capacity; slot++) {
      const at = slot * stride;
      const { view } = this.memory;
      writeAddress(view, at + IOVEC.BASE, packets.address + slot * slotBytes + headroomBytes);
      view.setUint32(at + IOVEC.LENGTH, slotBytes - headroomBytes, true);
      writeAddress(view, at + IOVEC.BYTES + IOVEC.BASE, spill.address);
      view.setUint32(at + IOVEC.BYTES + IOVEC.LENGTH, spill.bytes.length, true);
      pointers.push(this.memory.pointerAt(at));
    }
    this.pointers = pointers;
  }
}
