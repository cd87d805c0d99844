/**
 * poll(2) as PollPort: one thread waits for the TUN device, both UDP sockets and the eventfd.
 *
 * In: descriptors. Out: bits of POLL. An error on a UDP socket counts as readable, because receiving takes the error
 * away; an error on the TUN device (interface deleted) or a descriptor that is not open is POLL.ERROR.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { POLL, type PollPort, type UdpPort } from "../ports.ts";
import { lastErrno, type Libc, libc } from "./libc.ts";
import { allocateNative, type NativeMemory } from "./native_buffer.ts";

/** `struct pollfd`. A negative descriptor is passed over (poll(2)). */
const POLLFD = { FD: 0, EVENTS: 4, REVENTS: 6, BYTES: 8 } as const;

/** Event bits. Source: asm-generic/poll.h. */
const EVENT = { IN: 0x01, OUT: 0x04, ERROR: 0x08, HANG_UP: 0x10, INVALID: 0x20 } as const;
const BROKEN = EVENT.ERROR | EVENT.HANG_UP | EVENT.INVALID;

/** Entries of the array, in order. */
const ENTRY = { TUN: 0, UDP4: 1, UDP6: 2, WAKE: 3, COUNT: 4 } as const;
const NO_FD = -1;
const TIMEOUT_MS_MAX = 0x7fff_ffff;

/** Makes the waiter of one data plane. `tun` null = none. It owns none of the descriptors. */
export function openPoll(
  tun: { readonly fd: number } | null,
  wake: { readonly fd: number },
): PollPort {
  return new NativePoll(tun?.fd ?? NO_FD, wake.fd);
}

class NativePoll implements PollPort {
  readonly #libc: Libc = libc();
  readonly #entries: NativeMemory = allocateNative(ENTRY.COUNT * POLLFD.BYTES);
  readonly #writable: NativeMemory = allocateNative(POLLFD.BYTES);

  constructor(tunFd: number, wakeFd: number) {
    this.#set(ENTRY.TUN, tunFd);
    this.#set(ENTRY.WAKE, wakeFd);
    this.watch(null, null);
  }

  watch(udp4: UdpPort | null, udp6: UdpPort | null): void {
    this.#set(ENTRY.UDP4, udp4?.fd ?? NO_FD);
    this.#set(ENTRY.UDP6, udp6?.fd ?? NO_FD);
  }

  wait(timeoutMs: number): number {
    const ready = this.#libc.poll(this.#entries.pointer, ENTRY.COUNT, wholeTimeout(timeoutMs));
    if (ready < 0) return interrupted();
    if (ready === 0) return 0;
    const tun = this.#events(ENTRY.TUN);
    const udp4 = this.#events(ENTRY.UDP4);
    const udp6 = this.#events(ENTRY.UDP6);
    const wake = this.#events(ENTRY.WAKE);
    const broken = (tun & BROKEN) | (wake & BROKEN) | ((udp4 | udp6) & EVENT.INVALID);
    return (tun & EVENT.IN ? POLL.TUN : 0) |
      (udp4 & (EVENT.IN | EVENT.ERROR) ? POLL.UDP4 : 0) |
      (udp6 & (EVENT.IN | EVENT.ERROR) ? POLL.UDP6 : 0) |
      (wake & EVENT.IN ? POLL.WAKE : 0) |
      (broken !== 0 ? POLL.ERROR : 0);
  }

  waitWritable(port: UdpPort, timeoutMs: number): boolean {
    const { view, pointer } = this.#writable;
    view.setInt32(POLLFD.FD, port.fd, true);
    view.setUint16(POLLFD.EVENTS, EVENT.OUT, true);
    const ready = this.#libc.poll(pointer, 1, wholeTimeout(timeoutMs));
    if (ready < 0) interrupted();
    return ready > 0 && (view.getUint16(POLLFD.REVENTS, true) & EVENT.OUT) !== 0;
  }

  #set(entry: number, fd: number): void {
    const at = entry * POLLFD.BYTES;
    this.#entries.view.setInt32(at + POLLFD.FD, fd, true);
    this.#entries.view.setUint16(at + POLLFD.EVENTS, EVENT.IN, true);
  }

  #events(entry: number): number {
    return this.#entries.view.getUint16(entry * POLLFD.BYTES + POLLFD.REVENTS, true);
  }
}

/** Rounds up, so that a timer that is due in 0.3 ms is not polled for again and again until then. */
function wholeTimeout(timeoutMs: number): number {
  if (timeoutMs === Infinity) return -1;
  return Math.min(TIMEOUT_MS_MAX, Math.max(0, Math.ceil(timeoutMs)));
}

/** A signal is as good as a timeout; anything else means that this file is wrong or memory is out. */
function interrupted(): 0 {
  const errno = lastErrno();
  if (errno !== ERRNO.EINTR) throw new SystemCallError("wait for packets", errno);
  return 0;
}
