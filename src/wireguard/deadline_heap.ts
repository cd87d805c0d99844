/**
 * When each peer wants to be looked at next: a binary heap over peer slots.
 *
 * In: one time per slot. Out: the earliest. A heap and not a wheel or a scan: with 65,536 peers an idle node must
 * know the one next deadline without walking all of them, and a change costs 16 steps at the most. Peers keep changes
 * rare: they move their time forward lazily, when it has come (peer.ts).
 */

/** Not in the heap. */
const ABSENT = -1;

/** Minimum heap of times, addressed by slot. */
export class DeadlineHeap {
  /** Slots in heap order. */
  #heap = new Int32Array(16);
  /** Per slot: its time and its position in the heap. */
  #timeMs = new Float64Array(16);
  #position = new Int32Array(16).fill(ABSENT);
  #count = 0;

  /** Slots in the heap. */
  get count(): number {
    return this.#count;
  }

  /** The earliest time, Infinity = none. */
  get earliestMs(): number {
    return this.#count === 0 ? Infinity : this.#timeMs[this.#heap[0]];
  }

  /** The slot with the earliest time. Valid iff count > 0. */
  get earliestSlot(): number {
    return this.#heap[0];
  }

  /** Sets the time of `slot`; Infinity takes it out. */
  set(slot: number, timeMs: number): void {
    if (timeMs === Infinity) {
      this.#remove(slot);
      return;
    }
    this.#reserve(slot);
    this.#timeMs[slot] = timeMs;
    if (this.#position[slot] === ABSENT) {
      this.#heap[this.#count] = slot;
      this.#position[slot] = this.#count++;
    }
    this.#up(this.#position[slot]);
    this.#down(this.#position[slot]);
  }

  #remove(slot: number): void {
    if (slot >= this.#position.length || this.#position[slot] === ABSENT) return;
    const hole = this.#position[slot];
    this.#position[slot] = ABSENT;
    const last = this.#heap[--this.#count];
    if (last === slot) return;
    this.#heap[hole] = last;
    this.#position[last] = hole;
    this.#up(hole);
    this.#down(this.#position[last]);
  }

  #up(start: number): void {
    for (let at = start; at > 0;) {
      const parent = (at - 1) >>> 1;
      if (this.#timeMs[this.#heap[parent]] <= this.#timeMs[this.#heap[at]]) return;
      this.#swap(parent, at);
      at = parent;
    }
  }

  #down(start: number): void {
    for (let at = start;;) {
      let child = at * 2 + 1;
      if (child >= this.#count) return;
      const other = child + 1;
      if (
        other < this.#count && this.#timeMs[this.#heap[other]] < this.#timeMs[this.#heap[child]]
      ) child = other;
      if (this.#timeMs[this.#heap[at]] <= this.#timeMs[this.#heap[child]]) return;
      this.#swap(at, child);
      at = child;
    }
  }

  #swap(a: number, b: number): void {
    const slot = this.#heap[a];
    this.#heap[a] = this.#heap[b];
    this.#heap[b] = slot;
    this.#position[this.#heap[a]] = a;
    this.#position[slot] = b;
  }

  #reserve(slot: number): void {
    const had = this.#position.length;
    if (slot < had) return;
    const size = 2 ** Math.ceil(Math.log2(slot + 1));
    const heap = new Int32Array(size);
    heap.set(this.#heap);
    const timeMs = new Float64Array(size);
    timeMs.set(this.#timeMs);
    const position = new Int32Array(size).fill(ABSENT);
    position.set(this.#position);
    this.#heap = heap;
    this.#timeMs = timeMs;
    this.#position = position;
  }
}
