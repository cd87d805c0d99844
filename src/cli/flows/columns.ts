/**
 * Tables that fit: rows in columns, as wide as the terminal allows.
 *
 * In: rows, columns with what may become of them, a width. Out: lines. Guarantees: no line is wider than the width, as far
 * as a terminal shows it; text that could steer a terminal is made harmless; numbers are never cut: their column goes as a
 * whole, and the caller is told.
 */
import { alignLeft, alignRight, columnsOf, printable } from "../../netlog/mod.ts";

/** One column. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: "right";
  /** To how many columns its text may be cut; absent = never. */
  readonly columnsMin?: number;
  /** Whether the end of the text tells as much as its beginning: then it is cut in the middle. */
  readonly hasTail?: boolean;
  /** Which go first where there is no room: the lowest, and equal ones together; absent = never. */
  readonly dropOrder?: number;
}

/** How a table is written. */
export interface TableStyle {
  /** Infinity = as wide as it takes. */
  readonly columns: number;
  readonly hasColor: boolean;
}

const GAP = "  ";
const ELLIPSIS = "…";
/** Enough for a port. */
const TAIL_COLUMNS_MAX = 8;
const BOLD = "\u001b[1m";
const RED = "\u001b[31m";
const RESET = "\u001b[0m";

/** Writes in red where that is wanted. */
export function red(text: string, hasColor: boolean): string {
  return hasColor ? `${RED}${text}${RESET}` : text;
}

/** A table that grows: its columns widen, and its titles are written again when they do. */
export class FlowTable<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #style: TableStyle;
  #widest: number[];
  #titles = "";

  constructor(columns: readonly Column<Row>[], style: TableStyle) {
    this.#columns = columns;
    this.#style = style;
    this.#widest = columns.map(() => 0);
  }

  /** Lines of further rows, a line end behind each; "" for none. @param isRed Which rows stand out. */
  lines(rows: readonly Row[], isRed: (row: Row) => boolean = () => false): string {
    if (rows.length === 0) return "";
    const cells = rows.map((row) => this.#columns.map(({ cell }) => printable(cell(row))));
    // Columns of nothing but empty cells are left out.
    this.#widest = this.#widest.map((width, index) => {
      const widest = cells.reduce((most, line) => Math.max(most, columnsOf(line[index])), width);
      return widest === 0 ? 0 : Math.max(widest, columnsOf(this.#columns[index].title));
    });
    const widths = fit(this.#columns, this.#widest, this.#style.columns);
    const { hasColor } = this.#style;
    const titles = line(this.#columns, this.#columns.map(({ title }) => title), widths);
    const lines = cells.map((texts, index) =>
      red(line(this.#columns, texts, widths), hasColor && isRed(rows[index]))
    );
    if (titles !== this.#titles) lines.unshift(hasColor ? `${BOLD}${titles}${RESET}` : titles);
    this.#titles = titles;
    return lines.map((text) => `${text}\n`).join("");
  }

  /** Titles of columns for which there was no room. */
  dropped(): string[] {
    const widths = fit(this.#columns, this.#widest, this.#style.columns);
    return this.#columns.filter((_column, index) => widths[index] === 0 && this.#widest[index] > 0)
      .map(({ title }) => title);
  }
}

/** Widths of columns; 0 = left out. */
function fit<Row>(
  columns: readonly Column<Row>[],
  widest: readonly number[],
  most: number,
): number[] {
  const order = columns.map((_column, index) => index)
    .filter((index) => columns[index].dropOrder !== undefined && widest[index] > 0)
    .sort((a, b) => columns[a].dropOrder! - columns[b].dropOrder!);
  const left = new Set(columns.keys());
  for (;;) {
    const widths = widest.map((width, index) => left.has(index) ? width : 0);
    shrink(widths, columns.map(({ columnsMin }) => columnsMin ?? Infinity), most);
    const next = order.shift();
    if (lengthOf(widths) <= most || next === undefined) {
      // Nothing more may go: texts are cut as far as it takes.
      shrink(
        widths,
        columns.map(({ columnsMin }) => columnsMin === undefined ? Infinity : 1),
        most,
      );
      return widths;
    }
    left.delete(next);
    while (order.length > 0 && columns[order[0]].dropOrder === columns[next].dropOrder) {
      left.delete(order.shift()!);
    }
  }
}

/** Takes from the widest, as long as that is more than it needs. */
function shrink(widths: number[], least: readonly number[], most: number): void {
  for (let excess = lengthOf(widths) - most; excess > 0; excess--) {
    let widest = -1;
    for (const [index, width] of widths.entries()) {
      if (width > least[index] && (widest < 0 || width > widths[widest])) widest = index;
    }
    if (widest < 0) return;
    widths[widest]--;
  }
}

function lengthOf(widths: readonly number[]): number {
  const shown = widths.filter((width) => width > 0);
  return shown.reduce((sum, width) => sum + width, 0) + GAP.length * Math.max(0, shown.length - 1);
}

function line<Row>(
  columns: readonly Column<Row>[],
  texts: readonly string[],
  widths: readonly number[],
): string {
  const cells = texts.flatMap((text, index) => {
    const width = widths[index];
    if (width === 0) return [];
    const cut = cutTo(text, width, columns[index].hasTail === true);
    return [columns[index].align === "right" ? alignRight(cut, width) : alignLeft(cut, width)];
  });
  return cells.join(GAP).trimEnd();
}

/** Breaks a sentence at its blanks into lines of at most so many columns; further lines are indented. */
export function wrapped(text: string, width: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line.trim() === "" || columnsOf(longer) <= width) {
      line = longer;
      continue;
    }
    lines.push(line);
    line = `  ${word}`;
  }
  return [...lines, line].join("\n");
}

/** Cuts a text to so many columns: its end, or with `hasTail` its middle. */
export function cutTo(text: string, width: number, hasTail = false): string {
  if (columnsOf(text) <= width) return text;
  if (width < 1) return "";
  const tailColumns = hasTail ? Math.min(TAIL_COLUMNS_MAX, (width - 1) >> 1) : 0;
  const segments = [...new Intl.Segmenter("en", { granularity: "grapheme" }).segment(text)]
    .map(({ segment }) => segment);
  const head = taken(segments, width - 1 - tailColumns);
  return head + ELLIPSIS + taken(segments.reverse(), tailColumns, true);
}

/** The first segments that fit; written from the last one on if they are reversed. */
function taken(segments: readonly string[], columns: number, isReversed = false): string {
  let text = "";
  let left = columns;
  for (const segment of segments) {
    left -= columnsOf(segment);
    if (left < 0) break;
    text = isReversed ? segment + text : text + segment;
  }
  return text;
}
