/**
 * What is wrong with a filter, and where.
 *
 * In: a place in the text and a sentence. Out: a problem as a value, and as lines for a terminal.
 */

/** The first thing that is wrong with a filter. */
export interface FilterProblem {
  /** One sentence in the house's form, with a suggestion where there is one. */
  readonly message: string;
  /** First UTF-16 position of what is wrong; the text's length where something is missing at its end. */
  readonly start: number;
  /** Position behind it; start ≤ end ≤ the text's length. */
  readonly end: number;
  /** What could stand there: words and symbols as they are written, and kinds of values in capitals. */
  readonly expected: readonly string[];
}

/** Carries a problem out of the parser; caught in parseFilter(). */
export class Failure extends Error {
  constructor(readonly problem: FilterProblem) {
    super(problem.message);
  }
}

/** Most characters of the text that a message repeats. */
const QUOTED_CHARS = 40;

/** Quotes a piece of the text for a message, shortened, control characters escaped. */
export function shown(text: string): string {
  return JSON.stringify(text.length > QUOTED_CHARS ? `${text.slice(0, QUOTED_CHARS)}…` : text);
}

/** Most characters of the text that problemText() shows on each side of the problem. */
const CONTEXT_CHARS = 60;

/** Shows a problem under the text that it is in: message, the text around it, a line of carets. */
export function problemText(text: string, problem: FilterProblem): string {
  const { start } = problem;
  const from = Math.max(0, start - CONTEXT_CHARS);
  const end = Math.min(Math.max(start + 1, problem.end), start + CONTEXT_CHARS);
  const to = Math.min(text.length, end + CONTEXT_CHARS);
  return [
    problem.message,
    `  ${printable(text.slice(from, to))}`,
    `  ${" ".repeat(start - from)}${"^".repeat(end - start)}`,
  ].join("\n");
}

/** One column per UTF-16 unit: line ends, and what would steer a terminal, become spaces. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ");
}
