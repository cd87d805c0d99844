/**
 * What both directions of the data plane share: counters, rows, time.
 */
import type { Counters } from "../counters.ts";
import type { NativeBuffer, TunPort } from "../ports.ts";
import { FRAGMENT, type FragmentCache, INFO } from "../packet/mod.ts";
import type { FlowWriter } from "../flow/mod.ts";
import type { PhysicalRows } from "./physical.ts";
import type { RelayOut } from "./relay.ts";

/** See file header. */
export interface DirectionParts {
  readonly tun: TunPort;
  /** Gives zeroed memory that C can address; WebAssembly too, if it is to be fast. */
  readonly allocate: (bytes: number) => NativeBuffer;
  readonly counters: Counters;
  readonly virtual: FlowWriter;
  readonly physicalRows: PhysicalRows;
  readonly fragments: FragmentCache;
  readonly time: BatchTime;
  /** Takes what this worker leaves to another; absent or null: it leaves nothing. */
  readonly relay?: RelayOut | null;
}

/** Time of the batch under way. */
export class BatchTime {
  /** Monotonic and wall time. In an array because fields of this size may be boxed on each write. */
  readonly #times = new Float64Array(2);

  get nowMs(): number {
    return this.#times[0]!;
  }

  get wallMs(): number {
    return this.#times[1]!;
  }

  set(nowMs: number, wallMs: number): void {
    this.#times[0] = nowMs;
    this.#times[1] = wallMs;
  }
}

/** Gives the key of a later fragment the ports of its first. */
export function joinFragment(
  fragments: FragmentCache,
  key: Uint32Array,
  info: Uint32Array,
  time: BatchTime,
): void {
  if (info[INFO.FRAGMENT] !== FRAGMENT.NONE) fragments.resolve(key, info, time.nowMs);
}
