/**
 * What src/collector/filter/compile.ts is compared with: a tree of closures that is asked row by row.
 *
 * The same filters, resolver and columns; held equal to the compiled form by its checksum in the benchmark.
 */
import { CLASS_NAMES } from "../../src/counters.ts";
import { ROW_FOLDED } from "../../src/collector/rows.ts";
import {
  type Expression,
  type Filter,
  type FilterColumns,
  type FilterResolver,
  type IdSet,
  type RowSelector,
  type Term,
} from "../../src/collector/mod.ts";

type RowTest = (columns: FilterColumns, row: number, windowMs: number) => boolean;

/** Compiles to one call per term and row. */
export function compileToClosures(filter: Filter, resolver: FilterResolver): RowSelector {
  const matches = filter.kind === "all" ? () => true : rowTest(filter, resolver);
  return (columns, { first, count, windowMs }, output) => {
    let selected = 0;
    for (let row = first; row < first + count; row++) {
      if (matches(columns, row, windowMs)) output[selected++] = row;
    }
    return selected;
  };
}

function rowTest(expression: Expression, resolver: FilterResolver): RowTest {
  switch (expression.kind) {
    case "and":
      return expression.operands.map((operand) => rowTest(operand, resolver))
        .reduce((a, b) => (columns, row, ms) => a(columns, row, ms) && b(columns, row, ms));
    case "or":
      return expression.operands.map((operand) => rowTest(operand, resolver))
        .reduce((a, b) => (columns, row, ms) => a(columns, row, ms) || b(columns, row, ms));
    case "not": {
      const test = rowTest(expression.operand, resolver);
      return (columns, row, ms) => !test(columns, row, ms);
    }
    default:
      return termTest(expression, resolver);
  }
}

function has(set: IdSet, id: number): boolean {
  const index = id >>> 3;
  return id !== 0 && index < set.length && (set[index] & (1 << (id & 7))) !== 0;
}

function termTest(term: Term, resolver: FilterResolver): RowTest {
  switch (term.kind) {
    case "class": {
      const table = new Uint8Array(256);
      for (const name of term.classes) table[CLASS_NAMES.indexOf(name)] = 1;
      return (columns, row) => table[columns.classCode[row]] === 1;
    }
    case "proto": {
      const table = new Uint8Array(256);
      for (const proto of term.protos) table[proto] = 1;
      return (columns, row) => table[columns.proto[row]] === 1;
    }
    case "node": {
      const set = resolver.streamsOfNodes(term.patterns);
      return (columns, row) => has(set, columns.stream[row]);
    }
    case "peer":
    case "name":
    case "address": {
      const side = term.kind === "peer" ? "any" : term.side;
      const set = term.kind === "address"
        ? resolver.addressesWithin(term.prefixes)
        : resolver.addressesOfNodes(term.patterns);
      if (side === "src") return (columns, row) => has(set, columns.src[row]);
      if (side === "dst") return (columns, row) => has(set, columns.dst[row]);
      return (columns, row) => has(set, columns.src[row]) || has(set, columns.dst[row]);
    }
    case "none":
      return (columns, row) =>
        (term.side !== "dst" && columns.src[row] === 0) ||
        (term.side !== "src" && columns.dst[row] === 0);
    case "port": {
      const table = new Uint8Array(65_536);
      for (const { first, last } of term.ranges) table.fill(1, first, last + 1);
      if (term.side === "src") return (columns, row) => table[columns.srcPort[row]] === 1;
      if (term.side === "dst") return (columns, row) => table[columns.dstPort[row]] === 1;
      return (columns, row) =>
        table[columns.srcPort[row]] === 1 || table[columns.dstPort[row]] === 1;
    }
    case "volume":
      return volumeTest(term);
    case "folded":
      return (columns, row) => (columns.flags[row] & ROW_FOLDED) !== 0;
  }
}

function volumeTest(
  { quantity, direction, comparison, value }: Term & { kind: "volume" },
): RowTest {
  const isRate = quantity === "rate";
  const left = ({ counters }: FilterColumns, row: number): number => {
    const [tx, rx] = quantity === "pkts" ? [counters[0], counters[2]] : [counters[1], counters[3]];
    const sum = direction === "both" ? tx[row] + rx[row] : direction === "tx" ? tx[row] : rx[row];
    return isRate ? sum * 8000 : sum;
  };
  const right = (windowMs: number) => isRate ? value * windowMs : value;
  switch (comparison) {
    case "=":
      return (columns, row, ms) => left(columns, row) === right(ms);
    case "!=":
      return (columns, row, ms) => left(columns, row) !== right(ms);
    case "<":
      return (columns, row, ms) => left(columns, row) < right(ms);
    case "<=":
      return (columns, row, ms) => left(columns, row) <= right(ms);
    case ">":
      return (columns, row, ms) => left(columns, row) > right(ms);
    case ">=":
      return (columns, row, ms) => left(columns, row) >= right(ms);
  }
}
