/**
 * The machine's clocks, read through C: `performance.now` stands still while the machine sleeps, `Date.now` has whole
 * milliseconds only.
 */
import type { ClockPort } from "../ports.ts";
import { type Libc, libc } from "./libc.ts";
import { allocateNative, type NativeMemory } from "./native_buffer.ts";

/** Clock ids of clock_gettime(2). Source: linux/time.h. */
const CLOCK_REALTIME = 0;
const CLOCK_BOOTTIME = 7;

/** `struct timespec` on 64-bit Linux. */
const TIMESPEC = { SECONDS: 0, NANOSECONDS: 8, BYTES: 16 } as const;

/** Makes the machine's clocks. One per thread. @throws {PermissionError} If the runtime does not allow FFI. */
export function openClock(): ClockPort {
  return new NativeClock();
}

class NativeClock implements ClockPort {
  readonly #libc: Libc = libc();
  readonly #time: NativeMemory = allocateNative(TIMESPEC.BYTES);

  nowMs(): number {
    return this.#read(CLOCK_BOOTTIME);
  }

  wallMs(): number {
    return this.#read(CLOCK_REALTIME);
  }

  /** Cannot fail: the clock ids are of every kernel since 2.6.39 and the memory is ours (clock_gettime(2)). */
  #read(clock: number): number {
    this.#libc.clock_gettime(clock, this.#time.pointer);
    const view = this.#time.view;
    const seconds = view.getUint32(TIMESPEC.SECONDS, true) +
      view.getUint32(TIMESPEC.SECONDS + 4, true) * 0x1_0000_0000;
    return seconds * 1000 + view.getUint32(TIMESPEC.NANOSECONDS, true) / 1e6;
  }
}
