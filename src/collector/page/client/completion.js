// @ts-check
/**
 * A list of words under a field, as values: which is chosen, what the field says when one is taken.
 *
 * In: answers of /complete, texts, keys. Out: texts with the place of the cursor. Not here: elements (filter_box.js).
 */

/** @typedef {{ from: number, to: number, items: readonly { text: string, detail: string }[] }} Completion */

/** @type {Completion} */
export const NO_COMPLETION = { from: 0, to: 0, items: [] };

/**
 * The choice after an arrow key: round and round, from none to the first or the last.
 * @param {number} chosen -1 = none.
 * @param {1 | -1} by
 * @param {number} count Of items, at least 1.
 */
export function movedChoice(chosen, by, count) {
  if (chosen < 0) return by > 0 ? 0 : count - 1;
  return (chosen + by + count) % count;
}

/**
 * The text with an item in place of the piece that it completes, one space behind it, and the cursor behind that.
 * @param {string} text As it was when the completion was asked for.
 * @param {Completion} completion
 * @param {number} index
 */
export function withItem(text, { from, to, items }, index) {
  const before = `${text.slice(0, from)}${items[index].text} `;
  return { text: before + text.slice(to).replace(/^ +/, ""), position: before.length };
}

/**
 * Whether a problem is worth telling while the text is being written: what only misses its end is not wrong yet.
 * @param {string} text
 * @param {{ position: { start: number } } | null} problem
 */
export function isWrongAlready(text, problem) {
  return problem !== null && problem.position.start < text.trimEnd().length;
}
