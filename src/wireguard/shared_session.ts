/**
 * What several workers that carry one session share: which counters are used, and which were received.
 *
 * In: wishes for counters, counters of authentic datagrams. Out: blocks that nobody else has; whether a counter is
 * new. Guarantees: no counter is in two blocks; each counter is accepted once, by whichever workers it comes to.
 */
import { NONCE_BLOCK, NONCE_BLOCKS_BEHIND_MAX } from "../limits.ts";
import { SESSION } from "./board_layout.ts";
import { REPLAY_WINDOW_BITS, ReplayWindow } from "./replay.ts";

/** Attempts to get the lock before it is waited for: its holder may have been put aside by the scheduler. */
const SPINS_MAX = 1_000;
const LOCK_WAIT_MS = 1;

/** Where several workers find one session, as one of them has it. */
export interface SessionPlace {
  readonly number: number;
  readonly shared: SharedSession;
  /** Shows the session to the others: it is confirmed. */
  publish(): void;
  /** This worker is done with the session. */
  end(): void;
}

/** One session's shared words. */
export class SharedSession {
  readonly #words: Int32Array;
  readonly #blocks: number;
  readonly #lockWord: number;
  readonly #window: ReplayWindow;

  /** @param base Word at which the session's record starts. */
  constructor(words: Int32Array, base: number) {
    const { buffer, byteOffset } = words;
    const start = byteOffset + base * 4;
    this.#words = words;
    this.#blocks = base + SESSION.BLOCKS;
    this.#lockWord = base + SESSION.LOCK;
    this.#window = new ReplayWindow(
      new Int32Array(buffer, start + SESSION.BITS * 4, REPLAY_WINDOW_BITS / 32),
      new Float64Array(buffer, start + SESSION.LARGEST * 4, 1),
    );
  }

  /** Begins anew. Nobody else may use the session. */
  reset(): void {
    Atomics.store(this.#words, this.#blocks, 0);
    this.#window.reset();
  }

  /** Takes the next NONCE_BLOCK counters. @returns The first; Infinity when there are none left. */
  takeBlock(): number {
    const block = Atomics.add(this.#words, this.#blocks, 1);
    // After 2^31 blocks, 10^11 messages of one session, which lives 3 minutes.
    return block < 0 ? Infinity : block * NONCE_BLOCK;
  }

  /** Whether others have gone on so far that the block from `first` on is to be thrown away. */
  isBehind(first: number): boolean {
    // Not atomically, as all looks on the packet path whose answer may be a moment old: an atomic load is a call of
    // some 25 ns in V8. A packet sealed and received, in turns, took 535 ns with them and takes 220 without (what
    // allocation_test.ts does, timed).
    const newest = this.#words[this.#blocks] - 1;
    return newest - first / NONCE_BLOCK > NONCE_BLOCKS_BEHIND_MAX;
  }

  /** Whether a counter may be new. Looked at without the lock: it may say yes to what accept then refuses. */
  isNew(counter: number): boolean {
    return this.#window.isNew(counter);
  }

  /** Marks the counter of an authentic datagram. @returns Whether it was new. */
  accept(counter: number): boolean {
    this.#lock();
    const isNew = this.#window.isNew(counter);
    if (isNew) this.#window.mark(counter);
    Atomics.store(this.#words, this.#lockWord, 0);
    return isNew;
  }

  #lock(): void {
    const words = this.#words;
    for (let spins = 1; Atomics.compareExchange(words, this.#lockWord, 0, 1) !== 0; spins++) {
      if (spins % SPINS_MAX === 0) Atomics.wait(words, this.#lockWord, 1, LOCK_WAIT_MS);
    }
  }
}
