/**
 * Which known word was probably meant.
 *
 * In: a word that is not known, and the known ones. Out: the nearest of them, if it is near enough to be worth saying.
 */

/** Edits that still make a slip of the fingers; three would turn `MTU` into `DNS`. */
const EDITS_MAX = 2;

/**
 * Finds the known word within two edits (insert, delete, replace, swap neighbours) of `word`, case ignored.
 * @returns The nearest, the first of equals; undefined when none is near, or all of `word` would have to change.
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestEdits = EDITS_MAX + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) > EDITS_MAX) continue;
    const edits = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (edits < bestEdits && edits < candidate.length && edits < word.length) {
      best = candidate;
      bestEdits = edits;
    }
  }
  return best;
}

/** Optimal string alignment distance: Levenshtein's, with a swap of neighbours as one edit. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let edits = Math.min(
        last[column]! + 1,
        current[column - 1]! + 1,
        last[column - 1]! + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] &&
        a[row - 2] === b[column - 1];
      if (swapped) edits = Math.min(edits, beforeLast[column - 2]! + 1);
      current.push(edits);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length]!;
}
