/**
 * A ring in shared memory by which one worker hands packets or datagrams to another.
 *
 * In: bytes, with words beside them. Out: the same, in order, once. Guarantees: one writer and one reader need no
 * lock; what does not fit is refused, so that the writer counts it.
 *
 *   record: length, words beside it, bytes up to a multiple of four. SKIP says that the next begins at the start.
 */

/** Words of the control block; what two threads write never shares a cache line. */
const CONTROL = { HEAD: 0, PUSHED: 1, TAIL: 16, POPPED: 17, WORDS: 32 } as const;
const SKIP = -1;

/** Memory for a ring. @param bytes A power of two. */
export function createRelayMemory(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(CONTROL.WORDS * 4 + bytes);
}

/** One side of a ring: each thread has an object of its own. */
export class RelayRing {
  readonly #control: Int32Array;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;
  /** Words beside the record that pop() gave last. */
  readonly beside: Uint32Array;

  /** @param besideCount Words beside each record. */
  constructor(memory: SharedArrayBuffer, besideCount: number) {
    const start = CONTROL.WORDS * 4;
    this.#control = new Int32Array(memory, 0, CONTROL.WORDS);
    this.#words = new Int32Array(memory, start);
    this.#bytes = new Uint8Array(memory, start);
    this.#mask = this.#bytes.length - 1;
    this.beside = new Uint32Array(besideCount);
  }

  /** Records in the ring. */
  get count(): number {
    const { PUSHED, POPPED } = CONTROL;
    return (Atomics.load(this.#control, PUSHED) - Atomics.load(this.#control, POPPED)) | 0;
  }

  /** Adds a record. @returns Whether there was room. */
  push(
    beside: Uint32Array,
    besideOffset: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    const control = this.#control;
    const head = control[CONTROL.HEAD];
    const used = (head - Atomics.load(control, CONTROL.TAIL)) >>> 0;
    const size = this.#sizeOf(length);
    const capacity = this.#bytes.length;
    const toEnd = capacity - (head & this.#mask);
    const skipped = size > toEnd ? toEnd : 0;
    if (used + skipped + size > capacity) return false;
    if (skipped > 0) this.#words[(head & this.#mask) >>> 2] = SKIP;
    const at = (head + skipped) & this.#mask;
    const word = at >>> 2;
    const count = this.beside.length;
    this.#words[word] = length;
    for (let index = 0; index < count; index++) {
      this.#words[word + 1 + index] = beside[besideOffset + index];
    }
    this.#bytes.set(bytes.subarray(offset, offset + length), at + 4 * (1 + count));
    Atomics.store(control, CONTROL.HEAD, (head + skipped + size) | 0);
    // After the record: who counts it can take it.
    Atomics.store(control, CONTROL.PUSHED, (control[CONTROL.PUSHED] + 1) | 0);
    return true;
  }

  /** Takes the oldest record to `output` at `offset`, where it must fit. @returns Its length; -1 = none waits. */
  pop(output: Uint8Array, offset: number): number {
    const control = this.#control;
    const head = Atomics.load(control, CONTROL.HEAD);
    let tail = control[CONTROL.TAIL];
    if (tail === head) return -1;
    if (this.#words[(tail & this.#mask) >>> 2] === SKIP) {
      tail = (tail + this.#bytes.length - (tail & this.#mask)) | 0;
    }
    const at = tail & this.#mask;
    const word = at >>> 2;
    const length = this.#words[word];
    const count = this.beside.length;
    for (let index = 0; index < count; index++) this.beside[index] = this.#words[word + 1 + index];
    const start = at + 4 * (1 + count);
    output.set(this.#bytes.subarray(start, start + length), offset);
    Atomics.store(control, CONTROL.TAIL, (tail + this.#sizeOf(length)) | 0);
    Atomics.store(control, CONTROL.POPPED, (control[CONTROL.POPPED] + 1) | 0);
    return length;
  }

  #sizeOf(length: number): number {
    return 4 * (1 + this.beside.length) + ((length + 3) & ~3);
  }
}
