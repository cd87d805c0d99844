/**
 * Sorting of many items by columns of numbers, without comparing two items.
 *
 * In: columns of u32, least significant first. Out: the items' numbers in rising order, equal ones as they came. A
 * radix sort by bytes that skips every byte in which no two items differ: the flows of one node share most of theirs.
 */

const BUCKETS = 256;

/** Sorts; keeps its memory between calls. */
export class RadixSorter {
  readonly #starts = new Uint32Array(BUCKETS);
  #order = new Uint32Array(0);
  #spare = new Uint32Array(0);

  /**
   * Sorts the items 0 .. count - 1.
   * @param columns Each holds at least `count` values; read, not kept.
   * @returns The items in order, in its first `count` places; valid until the next call.
   */
  sort(columns: readonly Uint32Array[], count: number): Uint32Array {
    this.#reserve(count);
    const order = this.#order;
    for (let at = 0; at < count; at++) order[at] = at;
    for (const column of columns) {
      const differing = differingBits(column, count);
      for (let shift = 0; shift < 32; shift += 8) {
        if (((differing >>> shift) & 0xff) !== 0) this.#pass(column, shift, count);
      }
    }
    return this.#order;
  }

  #pass(column: Uint32Array, shift: number, count: number): void {
    const starts = this.#starts;
    const from = this.#order;
    const to = this.#spare;
    starts.fill(0);
    for (let item = 0; item < count; item++) starts[(column[item] >>> shift) & 0xff]++;
    let sum = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const items = starts[bucket];
      starts[bucket] = sum;
      sum += items;
    }
    for (let at = 0; at < count; at++) {
      const item = from[at];
      const bucket = (column[item] >>> shift) & 0xff;
      to[starts[bucket]++] = item;
    }
    this.#order = to;
    this.#spare = from;
  }

  #reserve(count: number): void {
    const room = this.#order.length;
    // Four times too big is given back: one burst must not hold its memory for ever.
    if (count <= room && room <= Math.max(count * 4, 1 << 16)) return;
    this.#order = new Uint32Array(Math.ceil(count * 1.25));
    this.#spare = new Uint32Array(Math.ceil(count * 1.25));
  }
}

/** Bits in which some item differs from the first. */
function differingBits(column: Uint32Array, count: number): number {
  const first = count === 0 ? 0 : column[0];
  let differing = 0;
  for (let item = 1; item < count; item++) differing |= column[item] ^ first;
  return differing;
}
