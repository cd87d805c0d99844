/** eventfd(2) as WakePort: any thread wakes the one that blocks in poll(2). */
import type { WakePort } from "../ports.ts";
import { checked, closeFile, libc, OPEN } from "./libc.ts";

/** What eventfd adds at a write and gives at a read: one u64. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** Makes an eventfd. @throws {SystemCallError} If the kernel refuses. */
export function openWake(): WakePort {
  const flags = OPEN.NONBLOCK | OPEN.CLOEXEC;
  return wakeOf(checked(libc().eventfd(0, flags), "make an eventfd"));
}

/** Port of an eventfd that another thread made; only one of the two may close it. */
export function wakeOf(fd: number): WakePort {
  return new NativeWake(fd);
}

class NativeWake implements WakePort {
  readonly #output = new Uint8Array(8);
  #open = true;

  constructor(readonly fd: number) {}

  wake(): void {
    // Fails only when 2^64 - 2 wake-ups wait, and then the waiter is awake anyway.
    if (this.#open) libc().write(this.fd, ONE, ONE.length);
  }

  drain(): void {
    // Fails with EAGAIN when nobody woke, which is as good.
    if (this.#open) libc().read(this.fd, this.#output, this.#output.length);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeFile(this.fd);
  }
}
