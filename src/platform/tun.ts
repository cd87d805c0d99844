/**
 * TUN devices of Linux as TunPort.
 *
 * In: a name. Out: a device whose reads and writes are whole IP packets, or super-packets with a virtio header in a
 * vector of its own, so that packets lie where the caller wants them. Closing it removes the interface, unless
 * somebody made the interface persistent before. Not here: what a virtio header says.
 * Source: Documentation/networking/tuntap.rst, linux/if_tun.h.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { INTERFACE_NAME_BYTES } from "../limits.ts";
import {
  type NativeBuffer,
  NO_TUN_OFFLOADS,
  TUN_READ_BYTES,
  TUN_WRITE_PARTS_MAX,
  type TunOffloads,
  type TunPort,
} from "../ports.ts";
import type { Pointer } from "./ffi.ts";
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

/** Arguments of SET_OFFLOAD. Checksums go with every other; UDP takes both families or none. Source: linux/if_tun.h. */
export const TUN_OFFLOAD = {
  CHECKSUM: 0x01,
  TSO4: 0x02,
  TSO6: 0x04,
  TSO_ECN: 0x08,
  USO4: 0x20,
  USO6: 0x40,
} as const;
const OFFLOADS_TCP = TUN_OFFLOAD.CHECKSUM | TUN_OFFLOAD.TSO4 | TUN_OFFLOAD.TSO6 |
  TUN_OFFLOAD.TSO_ECN;
const OFFLOADS_UDP = TUN_OFFLOAD.USO4 | TUN_OFFLOAD.USO6;

/** `struct virtio_net_hdr`, which the kernel puts before each packet; packet/virtio.ts reads it. */
const VIRTIO_HEADER_BYTES = 10;
/** Room for one: native memory comes in words. */
const HEADER_ROOM = 16;

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
  /** Whether super-packets are wanted, as far as the kernel knows them. Default: no. */
  readonly offloads?: boolean;
}

/**
 * Opens or makes a TUN device, non-blocking.
 *
 * @throws {RangeError} If the name cannot be an interface's.
 * @throws {SystemCallError} If the kernel refuses; nothing is left behind.
 */
export function openTun({ name, multiQueue = false, offloads = false }: TunOptions): TunPort {
  const flags = TUN_FLAG.TUN | TUN_FLAG.NO_PACKET_INFO | (multiQueue ? TUN_FLAG.MULTI_QUEUE : 0);
  const action = `open TUN device "${name}"`;
  const header = offloads && knowsHeaders(action);
  const request = interfaceRequest(name, flags | (header ? TUN_FLAG.VIRTIO_HEADER : 0));
  const fd = openTunNode(action);
  try {
    deviceControl(fd, TUN_REQUEST.SET_INTERFACE, request, action, ADVICE_ATTACH);
  } catch (error) {
    closeFile(fd);
    throw error;
  }
  return tunOf(fd, interfaceName(request), header ? setOffloads(fd) : NO_TUN_OFFLOADS);
}

/**
 * Opens a TUN device with several queues, between which the kernel chooses by flow: by the queue that the flow's
 * packets were last written to, else by its hash.
 *
 * @throws As openTun; nothing is left behind.
 */
export function openTunQueues(name: string, offloads: boolean, count: number): TunPort[] {
  const multiQueue = count > 1;
  const queues = [openTun({ name, offloads, multiQueue })];
  try {
    while (queues.length < count) {
      queues.push(openTun({ name: queues[0]!.name, offloads, multiQueue }));
    }
    return queues;
  } catch (error) {
    for (const queue of queues) queue.close();
    throw error;
  }
}

/** Port of a TUN descriptor that another thread opened; only one of the two may close it. */
export function tunOf(fd: number, name: string, offloads: TunOffloads): TunPort {
  return new NativeTun(fd, name, offloads);
}

/** Whether this kernel's TUN devices can have virtio headers; all since 2.6.27 can. */
function knowsHeaders(action: string): boolean {
  const fd = openTunNode(action);
  try {
    const features = new Uint8Array(4);
    deviceControl(fd, TUN_REQUEST.GET_FEATURES, features, action);
    return (new DataView(features.buffer).getUint32(0, true) & TUN_FLAG.VIRTIO_HEADER) !== 0;
  } finally {
    closeFile(fd);
  }
}

/** Asks for all super-packets, then for fewer: UDP's are known since Linux 6.2. */
function setOffloads(fd: number): TunOffloads {
  const accepts = (offload: number): boolean =>
    libc().ioctlValue(fd, TUN_REQUEST.SET_OFFLOAD, offload) === 0;
  if (accepts(OFFLOADS_TCP | OFFLOADS_UDP)) return { header: true, tcp: true, udp: true };
  if (accepts(OFFLOADS_TCP)) return { header: true, tcp: true, udp: false };
  return { header: true, tcp: false, udp: false };
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
  /** iovecs of a read: header and packet; of a write: header and parts. */
  readonly #readVectors: NativeMemory = allocateNative(2 * IOVEC.BYTES);
  readonly #writeVectors: NativeMemory = allocateNative((1 + TUN_WRITE_PARTS_MAX) * IOVEC.BYTES);
  readonly #readHeader: NativeMemory = allocateNative(HEADER_ROOM);
  readonly #writeHeader: NativeMemory = allocateNative(HEADER_ROOM);
  /** Pointers into the vectors: behind the header's where the device has none. */
  readonly #readPointer: Pointer;
  readonly #writePointer: Pointer;
  readonly #headers: 0 | 1;
  readonly #headerBytes: number;
  readonly readHeader: DataView;
  readonly writeHeader: DataView;
  #open = true;

  constructor(readonly fd: number, readonly name: string, readonly offloads: TunOffloads) {
    this.#headers = offloads.header ? 1 : 0;
    this.#headerBytes = offloads.header ? VIRTIO_HEADER_BYTES : 0;
    this.readHeader = this.#readHeader.view;
    this.writeHeader = this.#writeHeader.view;
    const start = offloads.header ? 0 : IOVEC.BYTES;
    this.#readPointer = this.#readVectors.pointerAt(start);
    this.#writePointer = this.#writeVectors.pointerAt(start);
    putVector(this.#readVectors.view, 0, this.#readHeader.address, VIRTIO_HEADER_BYTES);
    putVector(this.#writeVectors.view, 0, this.#writeHeader.address, VIRTIO_HEADER_BYTES);
  }

  read(buffer: NativeBuffer, offset: number): number {
    const native = nativeMemoryOf(buffer);
    // C checks nothing: what lies outside is refused here as the kernel would refuse it.
    if (offset + TUN_READ_BYTES > native.bytes.length) return -ERRNO.EFAULT;
    putVector(this.#readVectors.view, 1, native.address + offset, TUN_READ_BYTES);
    const length = this.#libc.readv(this.fd, this.#readPointer, this.#headers + 1);
    return length < 0 ? -lastErrno() : length - this.#headerBytes;
  }

  write(buffer: NativeBuffer, offset: number, length: number): number {
    this.writeHeader.setUint32(0, 0);
    this.writeHeader.setUint32(4, 0);
    this.writeHeader.setUint16(8, 0);
    const native = nativeMemoryOf(buffer);
    if (offset + length > native.bytes.length) return -ERRNO.EFAULT;
    putVector(this.#writeVectors.view, 1, native.address + offset, length);
    return this.#write(1);
  }

  writeParts(
    buffer: NativeBuffer,
    partOffset: Uint32Array,
    partLength: Uint32Array,
    first: number,
    count: number,
  ): number {
    const { bytes, address } = nativeMemoryOf(buffer);
    const { view } = this.#writeVectors;
    if (count > TUN_WRITE_PARTS_MAX) return -ERRNO.EINVAL;
    for (let part = 0; part < count; part++) {
      const offset = partOffset[first + part]!;
      const length = partLength[first + part]!;
      if (offset + length > bytes.length) return -ERRNO.EFAULT;
      putVector(view, part + 1, address + offset, length);
    }
    return this.#write(count);
  }

  #write(parts: number): number {
    const written = this.#libc.writev(this.fd, this.#writePointer, this.#headers + parts);
    return written < 0 ? -lastErrno() : written - this.#headerBytes;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeFile(this.fd);
  }
}

/** Writes `struct iovec` number `index`. */
function putVector(view: DataView, index: number, address: number, length: number): void {
  const at = index * IOVEC.BYTES;
  writeAddress(view, at + IOVEC.BASE, address);
  view.setUint32(at + IOVEC.LENGTH, length, true);
}
