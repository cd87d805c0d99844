/**
 * Sets of dictionary ids: one bit for each.
 *
 * In: ids as numbers. Out: a bitmap; id n is bit n % 8 of byte n / 8, and ids behind the end are not in the set.
 */

/** A set of dictionary ids as a bitmap. */
export type IdSet = Uint8Array;

/** Makes an empty set with room for the ids 0..idMax. */
export function makeIdSet(idMax: number): IdSet {
  return new Uint8Array((idMax >>> 3) + 1);
}

/** Adds an id, at most the set's idMax. */
export function addId(set: IdSet, id: number): void {
  set[id >>> 3] |= 1 << (id & 7);
}

/** Whether the id is in the set: 1 or 0. */
export function hasId(set: IdSet, id: number): number {
  const index = id >>> 3;
  return index < set.length ? (set[index] >>> (id & 7)) & 1 : 0;
}
