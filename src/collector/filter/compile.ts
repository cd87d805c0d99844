/**
 * Filter → selector of rows, over columns of dictionary ids.
 *
 * In: a filter; a resolver that turns names and prefixes into sets of ids, asked once per term. Out: a function that
 * writes the numbers of the matching rows.
 * How: blocks of BLOCK_ROWS rows. Each term goes over the rows that are left in one loop of its own over one column and
 * keeps those that match, so that `and` costs less with each term; `or` gives each operand what no earlier one took.
 * `not` is carried down to the terms, and terms of one `or` that differ only in their values are one. 2 to 9 ns a row
 * for typical filters, 19 for four different terms joined by `or`; a tree of closures, which takes a call for each term
 * and row, is 2 to 11 times slower (tests/bench/filter_bench.ts). Masks of 0 and 1, which look at every row for every
 * term, were tried and took several times as long, too.
 * Guarantees: nothing is allocated per row or block. Not for two calls at once: the rows of a block
 * are the selector's own.
 */
import { CLASS_NAMES } from "../../counters.ts";
import type { Prefix } from "../../packet/mod.ts";
import { ROW_FOLDED, type RowColumns } from "../rows.ts";
import { hasId, type IdSet } from "./id_set.ts";
import type { Comparison, Direction, Expression, Filter, PortRange, Side, Term } from "./syntax.ts";
import { PORT_MAX } from "./values.ts";

/** What a filter looks at of the collector's rows. */
export type FilterColumns = Readonly<
  Pick<
    RowColumns,
    | "stream"
    | "classCode"
    | "proto"
    | "flags"
    | "src"
    | "dst"
    | "srcPort"
    | "dstPort"
    | "counters"
  >
>;

/** Rows of one window or bucket. */
export interface RowRange {
  /** First row, and how many from there on. */
  readonly first: number;
  readonly count: number;
  /** Length of the window, for rates. */
  readonly windowMs: number;
}

/** Names and prefixes to sets of ids. A name that nobody has is an empty set. */
export interface FilterResolver {
  /** Ids of the addresses within one of the prefixes. */
  addressesWithin(prefixes: readonly Prefix[]): IdSet;
  /** Ids of the addresses of the nodes whose name or id one of the patterns matches (matchesPattern()). */
  addressesOfNodes(patterns: readonly string[]): IdSet;
  /** Numbers of the streams of these nodes. */
  streamsOfNodes(patterns: readonly string[]): IdSet;
}

/**
 * Writes the numbers of the matching rows of a range, in their order.
 * @param output At least `range.count` long.
 * @returns How many.
 */
export type RowSelector = (
  columns: FilterColumns,
  range: RowRange,
  output: Uint32Array,
) => number;

/**
 * Keeps of the first `count` numbers in `rows` those that match, in their order, in front. All are of one block.
 * @returns How many.
 */
type Narrower = (
  columns: FilterColumns,
  rows: Uint32Array,
  count: number,
  windowMs: number,
) => number;

/** 1 where a term is to keep what it does not match. */
type Flip = 0 | 1;

/** Rows per block, a power of two: its numbers and the values of a term stay in the first-level cache. */
export const BLOCK_ROWS = 1_024;

/** Compiles a filter. Columns may be others at each call. */
export function compileFilter(filter: Filter, resolver: FilterResolver): RowSelector {
  if (filter.kind === "all") return selectAll;
  const narrow = narrowerOf(filter, 0, resolver);
  const rows = new Uint32Array(BLOCK_ROWS);
  return (columns, { first, count, windowMs }, output) => {
    let selected = 0;
    for (let done = 0; done < count; done += BLOCK_ROWS) {
      const blockRows = Math.min(BLOCK_ROWS, count - done);
      for (let index = 0; index < blockRows; index++) rows[index] = first + done + index;
      const kept = narrow(columns, rows, blockRows, windowMs);
      for (let index = 0; index < kept; index++) output[selected + index] = rows[index];
      selected += kept;
    }
    return selected;
  };
}

function selectAll(_columns: FilterColumns, range: RowRange, output: Uint32Array): number {
  for (let index = 0; index < range.count; index++) output[index] = range.first + index;
  return range.count;
}

// ---- Joins ------------------------------------------------------------------------------------------------------

function narrowerOf(expression: Expression, flip: Flip, resolver: FilterResolver): Narrower {
  switch (expression.kind) {
    case "not":
      return narrowerOf(expression.operand, flip === 0 ? 1 : 0, resolver);
    case "and":
    case "or": {
      const operands = expression.kind === "or"
        ? mergedTerms(expression.operands)
        : expression.operands;
      const narrowers = operands.map((operand) => narrowerOf(operand, flip, resolver));
      // De Morgan: what is not (a and b) is not a, or not b.
      const isAll = (expression.kind === "and") === (flip === 0);
      return narrowers.length === 1
        ? narrowers[0]
        : isAll
        ? narrowByAll(narrowers)
        : narrowByAny(narrowers);
    }
    default:
      return termNarrower(expression, flip, resolver);
  }
}

function narrowByAll(narrowers: readonly Narrower[]): Narrower {
  return (columns, rows, count, windowMs) => {
    let kept = count;
    for (let index = 0; index < narrowers.length && kept > 0; index++) {
      kept = narrowers[index](columns, rows, kept, windowMs);
    }
    return kept;
  };
}

function narrowByAny(narrowers: readonly Narrower[]): Narrower {
  /** By row number modulo BLOCK_ROWS: whether an operand took the row. */
  const taken = new Uint8Array(BLOCK_ROWS);
  const rest = new Uint32Array(BLOCK_ROWS);
  const hits = new Uint32Array(BLOCK_ROWS);
  return (columns, rows, count, windowMs) => {
    taken.fill(0);
    let restCount = count;
    for (let index = 0; index < count; index++) rest[index] = rows[index];
    for (let operand = 0; operand < narrowers.length && restCount > 0; operand++) {
      for (let index = 0; index < restCount; index++) hits[index] = rest[index];
      const hitCount = narrowers[operand](columns, hits, restCount, windowMs);
      if (hitCount === 0) continue;
      for (let index = 0; index < hitCount; index++) taken[hits[index] & (BLOCK_ROWS - 1)] = 1;
      restCount = keepByMark(rest, restCount, taken, 1);
    }
    return keepByMark(rows, count, taken, 0);
  };
}

function keepByMark(rows: Uint32Array, count: number, marks: Uint8Array, flip: Flip): number {
  let kept = 0;
  for (let index = 0; index < count; index++) {
    const row = rows[index];
    // Written always, kept if it matches: a branch here is mispredicted where half of the rows match. So in all loops.
    rows[kept] = row;
    kept += marks[row & (BLOCK_ROWS - 1)] ^ flip;
  }
  return kept;
}

/** Terms of one `or` that differ only in their values, as one term with all of them: one loop, and one look-up. */
function mergedTerms(operands: readonly Expression[]): Expression[] {
  const merged: Expression[] = [];
  const indexByField = new Map<string, number>();
  for (const operand of operands) {
    const field = `${operand.kind} ${"side" in operand ? operand.side : ""}`;
    const index = indexByField.get(field);
    const both = index === undefined ? null : mergedPair(merged[index], operand);
    if (index !== undefined && both !== null) merged[index] = both;
    else {
      indexByField.set(field, merged.length);
      merged.push(operand);
    }
  }
  return merged;
}

/** @param b Of the same kind and side as `a`. */
function mergedPair(a: Expression, b: Expression): Expression | null {
  if (a.kind === "class" && b.kind === "class") {
    return { ...a, classes: [...a.classes, ...b.classes] };
  }
  if (a.kind === "proto" && b.kind === "proto") return { ...a, protos: [...a.protos, ...b.protos] };
  if (a.kind === "port" && b.kind === "port") return { ...a, ranges: [...a.ranges, ...b.ranges] };
  if (a.kind === "address" && b.kind === "address") {
    return { ...a, prefixes: [...a.prefixes, ...b.prefixes] };
  }
  if (
    (a.kind === "node" && b.kind === "node") || (a.kind === "peer" && b.kind === "peer") ||
    (a.kind === "name" && b.kind === "name")
  ) return { ...a, patterns: [...a.patterns, ...b.patterns] };
  return null;
}

// ---- Terms ------------------------------------------------------------------------------------------------------

function termNarrower(term: Term, flip: Flip, resolver: FilterResolver): Narrower {
  switch (term.kind) {
    case "class":
      return narrowByByte(
        "classCode",
        term.classes.map((name) => CLASS_NAMES.indexOf(name)),
        flip,
      );
    case "proto":
      return narrowByByte("proto", term.protos, flip);
    case "node":
      return narrowByStream(resolver.streamsOfNodes(term.patterns), flip);
    case "peer":
      return narrowByAddress("any", resolver.addressesOfNodes(term.patterns), flip);
    case "name":
      return narrowByAddress(term.side, resolver.addressesOfNodes(term.patterns), flip);
    case "address":
      return narrowByAddress(term.side, resolver.addressesWithin(term.prefixes), flip);
    case "none":
      return narrowByAbsence(term.side, flip);
    case "port":
      return narrowByPort(term.side, term.ranges, flip);
    case "volume":
      return narrowByVolume(term, flip);
    case "folded":
      return (columns, rows, count) => {
        const { flags } = columns;
        let kept = 0;
        for (let index = 0; index < count; index++) {
          const row = rows[index];
          rows[kept] = row;
          kept += (flags[row] & ROW_FOLDED) ^ flip;
        }
        return kept;
      };
  }
}

function narrowByByte(
  column: "classCode" | "proto",
  values: readonly number[],
  flip: Flip,
): Narrower {
  const table = new Uint8Array(256).fill(flip);
  for (const value of values) table[value] = 1 ^ flip;
  return (columns, rows, count) => {
    const bytes = columns[column];
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const row = rows[index];
      rows[kept] = row;
      kept += table[bytes[row]];
    }
    return kept;
  };
}

function narrowByStream(streams: IdSet, flip: Flip): Narrower {
  return (columns, rows, count) => keepMembers(columns.stream, rows, count, streams, flip);
}

function narrowByAddress(side: Side, addresses: IdSet, flip: Flip): Narrower {
  // A copy without id 0, which is no address, whatever the resolver says.
  const set = addresses.slice();
  if (set.length > 0) set[0] &= ~1;
  if (side !== "any") {
    return (columns, rows, count) =>
      keepMembers(side === "src" ? columns.src : columns.dst, rows, count, set, flip);
  }
  return (columns, rows, count) => {
    const { src, dst } = columns;
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const row = rows[index];
      rows[kept] = row;
      kept += (hasId(set, src[row]) | hasId(set, dst[row])) ^ flip;
    }
    return kept;
  };
}

function keepMembers(
  ids: Uint32Array,
  rows: Uint32Array,
  count: number,
  set: IdSet,
  flip: Flip,
): number {
  let kept = 0;
  for (let index = 0; index < count; index++) {
    const row = rows[index];
    rows[kept] = row;
    kept += hasId(set, ids[row]) ^ flip;
  }
  return kept;
}

function narrowByAbsence(side: Side, flip: Flip): Narrower {
  return (columns, rows, count) => {
    const first = side === "dst" ? columns.dst : columns.src;
    const second = side === "src" ? columns.src : columns.dst;
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const row = rows[index];
      rows[kept] = row;
      kept += (first[row] === 0 || second[row] === 0 ? 1 : 0) ^ flip;
    }
    return kept;
  };
}

/** By a table of all ports: 64 KiB, of which the few that occur are in cache; as fast as a comparison. */
function narrowByPort(side: Side, ranges: readonly PortRange[], flip: Flip): Narrower {
  const table = new Uint8Array(PORT_MAX + 1);
  for (const { first, last } of ranges) table.fill(1, first, last + 1);
  return (columns, rows, count) => {
    const first = side === "dst" ? columns.dstPort : columns.srcPort;
    const second = side === "src" ? columns.srcPort : columns.dstPort;
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const row = rows[index];
      rows[kept] = row;
      kept += (table[first[row]] | table[second[row]]) ^ flip;
    }
    return kept;
  };
}

// ---- Volumes ----------------------------------------------------------------------------------------------------

/** Bits per second = bytes × this / ms. */
const BITS_PER_BYTE_AND_MS = 8_000;

/** How each comparison is made of three, by their opposites too: counts are never NaN. */
const COMPARED: Record<Comparison, { kind: "equal" | "below" | "above"; flip: Flip }> = {
  "=": { kind: "equal", flip: 0 },
  "!=": { kind: "equal", flip: 1 },
  "<": { kind: "below", flip: 0 },
  ">=": { kind: "below", flip: 1 },
  ">": { kind: "above", flip: 0 },
  "<=": { kind: "above", flip: 1 },
};

/**
 * Rates are compared as bytes × 8000 with value × windowMs: no division, and a window of length 0 has an infinite rate
 * if anything was counted in it, and none if not.
 */
function narrowByVolume(term: Term & { kind: "volume" }, flip: Flip): Narrower {
  const { quantity, direction, value } = term;
  const compared = COMPARED[term.comparison];
  const sums = new Float64Array(BLOCK_ROWS);
  const keep = keepByComparison(sums, compared.kind, (compared.flip ^ flip) as Flip);
  return (columns, rows, count, windowMs) => {
    const [txPackets, txBytes, rxPackets, rxBytes] = columns.counters;
    if (quantity === "pkts") writeSums(txPackets, rxPackets, direction, rows, count, sums);
    else writeSums(txBytes, rxBytes, direction, rows, count, sums);
    if (quantity !== "rate") return keep(value, rows, count);
    for (let index = 0; index < count; index++) sums[index] *= BITS_PER_BYTE_AND_MS;
    return keep(value * windowMs, rows, count);
  };
}

function writeSums(
  tx: Float64Array,
  rx: Float64Array,
  direction: Direction,
  rows: Uint32Array,
  count: number,
  sums: Float64Array,
): void {
  if (direction === "both") {
    for (let index = 0; index < count; index++) sums[index] = tx[rows[index]] + rx[rows[index]];
    return;
  }
  const counts = direction === "tx" ? tx : rx;
  for (let index = 0; index < count; index++) sums[index] = counts[rows[index]];
}

/** Compares the first `count` sums with a value. */
type Comparer = (value: number, rows: Uint32Array, count: number) => number;

/**
 * Which of two numbers is less is read from the sign of their difference, which is +0 for equal ones only. A comparison
 * would become a branch, which costs more than twice as much where half of the rows match (tests/bench/filter_bench.ts).
 */
function keepByComparison(
  sums: Float64Array,
  kind: "equal" | "below" | "above",
  flip: Flip,
): Comparer {
  if (kind === "equal") {
    return (value, rows, count) => {
      let kept = 0;
      for (let index = 0; index < count; index++) {
        rows[kept] = rows[index];
        kept += (sums[index] === value ? 1 : 0) ^ flip;
      }
      return kept;
    };
  }
  // Both runtimes run on little-endian machines only: the sign is in the second word.
  const words = new Uint32Array(sums.buffer);
  return (value, rows, count) => {
    if (kind === "below") {
      for (let index = 0; index < count; index++) sums[index] -= value;
    } else {
      for (let index = 0; index < count; index++) sums[index] = value - sums[index];
    }
    let kept = 0;
    for (let index = 0; index < count; index++) {
      rows[kept] = rows[index];
      kept += (words[index * 2 + 1] >>> 31) ^ flip;
    }
    return kept;
  };
}
