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
 * What is left of a completion when the piece under the cursor was changed, until the collector has answered anew.
 * @param {string} completed The text that it was asked for.
 * @param {Completion} completion
 * @param {string} text As it is now.
 * @returns {Completion}
 */
export function stillFitting(completed, completion, text) {
  if (text === completed) return completion;
  const { from, to, items } = completion;
  const end = text.length - (completed.length - to);
  const isAround = end >= from && text.startsWith(completed.slice(0, from)) &&
    text.endsWith(completed.slice(to));
  const piece = text.slice(from, end);
  if (!isAround || /[\s()!,=<>&|]/.test(piece)) return NO_COMPLETION;
  const typed = bare(piece);
  return { from, to: end, items: items.filter((item) => bare(item.text).startsWith(typed)) };
}

/** Quotes and case tell no words apart. @param {string} text */
function bare(text) {
  return text.replace(/^["']/, "").toLowerCase();
}

/**
 * Whether a problem is worth telling while the text is being written: what only misses its end is not wrong yet.
 * @param {string} text
 * @param {{ position: { start: number } } | null} problem
 */
export function isWrongAlready(text, problem) {
  return problem !== null && problem.position.start < text.trimEnd().length;
}
