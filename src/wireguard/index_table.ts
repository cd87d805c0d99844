/**
 * Receiver indices: finds what a message is for by the 32-bit number that its sender was told to put in.
 *
 * In: random numbers that we drew ourselves. Out: the session or handshake that goes by one. Since the keys are
 * random, they are their own hash; a stranger who tries numbers finds empty slots within a probe or two.
 */

const CAPACITY_MIN = 16;

/** Open-addressed table from 32-bit numbers other than 0, signed or not, to T. Reading allocates nothing. */
export class IndexTable<T> {
  /** 0 = empty slot. Signed: an unsigned number above 2^31 is boxed when it is handed to a function. */
  #keys = new Int32Array(CAPACITY_MIN);
  #values: (T | null)[] = new Array(CAPACITY_MIN).fill(null);
  #count = 0;

  /** Entries in the table. */
  get count(): number {
    return this.#count;
  }

  /** Returns what goes by `index`, or null. */
  get(index: number): T | null {
    const keys = this.#keys;
    const key = index | 0;
    const mask = keys.length - 1;
    // Ends: the table is at most half full. The number 0, which is nobody's, ends at an empty slot, too.
    for (let slot = key & mask; keys[slot] !== 0; slot = (slot + 1) & mask) {
      if (keys[slot] === key) return this.#values[slot];
    }
    return null;
  }

  /** Adds `value` under `index`, which is not 0 and not in the table. */
  add(index: number, value: T): void {
    if ((this.#count + 1) * 2 > this.#keys.length) this.#grow();
    this.#place(index, value);
    this.#count++;
  }

  /** Removes what goes by `index`, if anything does. */
  remove(index: number): void {
    const keys = this.#keys;
    const mask = keys.length - 1;
    const key = index | 0;
    let slot = key & mask;
    while (keys[slot] !== key) {
      if (keys[slot] === 0) return;
      slot = (slot + 1) & mask;
    }
    this.#count--;
    // Entries behind the hole that a probe would reach through it move up, so that no marker of the removal is needed.
    let hole = slot;
    for (let next = (hole + 1) & mask; keys[next] !== 0; next = (next + 1) & mask) {
      const home = keys[next] & mask;
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        keys[hole] = keys[next];
        this.#values[hole] = this.#values[next];
        hole = next;
      }
    }
    keys[hole] = 0;
    this.#values[hole] = null;
  }

  #place(index: number, value: T): void {
    const mask = this.#keys.length - 1;
    let slot = index & mask;
    while (this.#keys[slot] !== 0) slot = (slot + 1) & mask;
    this.#keys[slot] = index;
    this.#values[slot] = value;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Int32Array(keys.length * 2);
    this.#values = new Array(keys.length * 2).fill(null);
    for (let slot = 0; slot < keys.length; slot++) {
      if (keys[slot] !== 0) this.#place(keys[slot], values[slot]!);
    }
  }
}
