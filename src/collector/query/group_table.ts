/**
 * Groups of rows by a key of some words: an open-addressed table over typed arrays.
 *
 * In: keys in columns, rows. Out: for each group its key, exact sums and number of rows. Groups are numbered in the order in
 * which they were first met. Guarantees: at most `groupsMax` groups; rows that find no place are counted, never lost in
 * silence. 25 to 60 ns a row (tests/bench/query_bench.ts); a Map with text keys takes ten times that.
 */
import type { RowColumns } from "../rows.ts";
import { type CounterValues, ExactSums } from "./exact_sums.ts";

/** Rows per block of keys: 3 columns of it stay in the first-level cache. */
export const KEY_BLOCK_ROWS = 2_048;
/** Slots to begin with. */
const SLOTS_MIN = 4_096;

/** Keys alone: which group a key is, if it has room. */
export class KeyTable {
  readonly #wordCount: number;
  readonly #groupsMax: number;
  /** Group + 1 by slot; 0 = free. */
  #slots = new Int32Array(SLOTS_MIN);
  /** Words of the keys, group by group. */
  #keys: Uint32Array;
  #count = 0;

  constructor(wordCount: number, groupsMax: number) {
    this.#wordCount = wordCount;
    this.#groupsMax = groupsMax;
    this.#keys = new Uint32Array((SLOTS_MIN / 2) * wordCount);
  }

  get count(): number {
    return this.#count;
  }

  get wordCount(): number {
    return this.#wordCount;
  }

  /** Groups that fit before the arrays grow. */
  get room(): number {
    return this.#slots.length / 2;
  }

  /** Finds or makes the group of the key whose words stand at `index` of the columns. @returns -1 if there is no room. */
  groupAt(columns: readonly Uint32Array[], index: number): number {
    const slot = this.#slotAt(columns, index);
    const group = this.#slots[slot] - 1;
    return group < 0 ? this.#insert(slot, columns, index) : group;
  }

  /** Finds the group of a key. @returns -1 if there is none. */
  findAt(columns: readonly Uint32Array[], index: number): number {
    return this.#slots[this.#slotAt(columns, index)] - 1;
  }

  /** The slot of a key: its group's, or the free one where it would be. */
  #slotAt(columns: readonly Uint32Array[], index: number): number {
    const wordCount = this.#wordCount;
    const keys = this.#keys;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hash = 0x9e3779b9;
    for (let word = 0; word < wordCount; word++) {
      hash = Math.imul(hash ^ columns[word][index], 0x85ebca6b);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0xc2b2ae35);
    for (let slot = (hash ^ (hash >>> 13)) & mask;; slot = (slot + 1) & mask) {
      const group = slots[slot] - 1;
      if (group < 0) return slot;
      const at = group * wordCount;
      let word = 0;
      while (word < wordCount && keys[at + word] === columns[word][index]) word++;
      if (word === wordCount) return slot;
    }
  }

  #insert(slot: number, columns: readonly Uint32Array[], index: number): number {
    if (this.#count >= this.#groupsMax) return -1;
    const group = this.#count++;
    this.#slots[slot] = group + 1;
    const at = group * this.#wordCount;
    for (let word = 0; word < this.#wordCount; word++) {
      this.#keys[at + word] = columns[word][index];
    }
    if (this.#count * 2 >= this.#slots.length) this.#grow();
    return group;
  }

  #grow(): void {
    const wordCount = this.#wordCount;
    const keys = new Uint32Array(this.#keys.length * 2);
    keys.set(this.#keys);
    this.#keys = keys;
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let group = 0; group < this.#count; group++) {
      let hash = 0x9e3779b9;
      for (let word = 0; word < wordCount; word++) {
        hash = Math.imul(hash ^ keys[group * wordCount + word], 0x85ebca6b);
        hash ^= hash >>> 15;
      }
      hash = Math.imul(hash, 0xc2b2ae35);
      let slot = (hash ^ (hash >>> 13)) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = group + 1;
    }
    this.#slots = slots;
  }

  /** One word of a group's key. */
  word(group: number, word: number): number {
    return this.#keys[group * this.#wordCount + word];
  }

  /** A group's key. */
  key(group: number): number[] {
    const at = group * this.#wordCount;
    return [...this.#keys.subarray(at, at + this.#wordCount)];
  }
}

/** See file header. */
export class GroupTable {
  readonly keys: KeyTable;
  readonly #sums = new ExactSums(SLOTS_MIN / 2);
  #rows = new Float64Array(SLOTS_MIN / 2);
  #refusedRows = 0;

  constructor(wordCount: number, groupsMax: number) {
    this.keys = new KeyTable(wordCount, groupsMax);
  }

  /** How many groups there are. */
  get count(): number {
    return this.keys.count;
  }

  /** Rows that found no room. */
  get refusedRows(): number {
    return this.#refusedRows;
  }

  /**
   * Adds rows to their groups.
   * @param keyColumns One for each word: element n is the word of the n-th row of `rows`.
   * @param groups If given, the n-th row's group is written there, -1 for none.
   */
  add(
    keyColumns: readonly Uint32Array[],
    columns: RowColumns,
    rows: Uint32Array,
    count: number,
    groups?: Int32Array,
  ): void {
    const { keys } = this;
    const sums = this.#sums;
    for (let index = 0; index < count; index++) {
      const group = keys.groupAt(keyColumns, index);
      if (groups !== undefined) groups[index] = group;
      if (group < 0) {
        this.#refusedRows++;
        continue;
      }
      if (group >= this.#rows.length) this.#grow();
      this.#rows[group]++;
      sums.add(group, columns, rows[index]);
    }
  }

  #grow(): void {
    const grown = new Float64Array(this.#rows.length * 2);
    grown.set(this.#rows);
    this.#rows = grown;
    this.#sums.grow(grown.length);
  }

  /** Rows of a group. */
  rows(group: number): number {
    return this.#rows[group];
  }

  /** Exact sums of a group. */
  values(group: number): CounterValues {
    return this.#sums.values(group);
  }

  /** One of a group's sums as the nearest number. */
  near(group: number, counter: number): number {
    return this.#sums.near(group, counter);
  }
}

/**
 * The first `limit` of `count` things in an order, without sorting all of them.
 * @param isBefore Whether a comes before b; a strict total order, so that ties are settled.
 */
export function firstInOrder(
  count: number,
  limit: number,
  isBefore: (a: number, b: number) => boolean,
): number[] {
  // A heap whose root is the last of those that are kept.
  const heap: number[] = [];
  const sink = (start: number): void => {
    for (let at = start;;) {
      let last = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && isBefore(heap[last], heap[child])) last = child;
      }
      if (last === at) return;
      [heap[at], heap[last]] = [heap[last], heap[at]];
      at = last;
    }
  };
  for (let thing = 0; thing < count && limit > 0; thing++) {
    if (heap.length < limit) {
      heap.push(thing);
      for (let at = heap.length - 1; at > 0;) {
        const parent = (at - 1) >> 1;
        if (!isBefore(heap[parent], heap[at])) break;
        [heap[at], heap[parent]] = [heap[parent], heap[at]];
        at = parent;
      }
    } else if (isBefore(thing, heap[0])) {
      heap[0] = thing;
      sink(0);
    }
  }
  return heap.sort((a, b) => isBefore(a, b) ? -1 : 1);
}
