/**
 * Twin of src/collector/filter/compile.ts: a filter asked of one row as an object, by the book.
 *
 * Prefixes by BigInt, names by regular expressions, rates by division of whole numbers. Slow and obvious.
 */
import type { ClassName } from "../../src/counters.ts";
import type { Address, Prefix } from "../../src/packet/mod.ts";
import type { Filter, Side, Term } from "../../src/collector/filter/syntax.ts";

/** One node as the twin knows it. */
export interface TwinNode {
  readonly id: string;
  readonly name: string;
  readonly addresses: readonly Address[];
}

/** One row with all that dictionaries would hold. */
export interface TwinRow {
  readonly className: ClassName;
  readonly proto: number;
  readonly src: Address | null;
  readonly dst: Address | null;
  readonly sport: number;
  readonly dport: number;
  readonly node: TwinNode;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly folded: boolean;
}

/** What a filter must know besides the row. */
export interface TwinWorld {
  readonly nodes: readonly TwinNode[];
  /** Length of the window that the row is of. */
  readonly windowMs: number;
}

/** Whether the row is what the filter asks for. */
export function twinMatches(filter: Filter, row: TwinRow, world: TwinWorld): boolean {
  switch (filter.kind) {
    case "all":
      return true;
    case "and":
      return filter.operands.every((operand) => twinMatches(operand, row, world));
    case "or":
      return filter.operands.some((operand) => twinMatches(operand, row, world));
    case "not":
      return !twinMatches(filter.operand, row, world);
    default:
      return twinTerm(filter, row, world);
  }
}

function twinTerm(term: Term, row: TwinRow, { nodes, windowMs }: TwinWorld): boolean {
  switch (term.kind) {
    case "class":
      return term.classes.includes(row.className);
    case "node":
      return isNamed(row.node, term.patterns);
    case "peer":
    case "name": {
      const side = term.kind === "peer" ? "any" : term.side;
      const named = nodes.filter((node) => isNamed(node, term.patterns));
      const owned = named.flatMap(({ addresses }) => addresses);
      return endsOf(row, side).some((end) =>
        end !== null && owned.some((address) => isSame(address, end))
      );
    }
    case "proto":
      return term.protos.includes(row.proto);
    case "address":
      return endsOf(row, term.side).some((end) =>
        end !== null && term.prefixes.some((prefix) => isWithin(end, prefix))
      );
    case "none":
      return endsOf(row, term.side).includes(null);
    case "port": {
      const ports = term.side === "src"
        ? [row.sport]
        : term.side === "dst"
        ? [row.dport]
        : [row.sport, row.dport];
      return ports.some((port) =>
        term.ranges.some(({ first, last }) => first <= port && port <= last)
      );
    }
    case "volume":
      return twinVolume(term, row, windowMs);
    case "folded":
      return row.folded;
  }
}

function endsOf({ src, dst }: TwinRow, side: Side): (Address | null)[] {
  return side === "src" ? [src] : side === "dst" ? [dst] : [src, dst];
}

function isNamed({ id, name }: TwinNode, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const parts = pattern.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
    const expression = new RegExp(`^${parts.join("[^]*")}$`);
    return expression.test(id) || expression.test(name);
  });
}

function bigintOf({ addressWords }: Address): bigint {
  return addressWords.reduce((value, word) => value << 32n | BigInt(word), 0n);
}

function isSame(a: Address, b: Address): boolean {
  return a.family === b.family && bigintOf(a) === bigintOf(b);
}

function isWithin(address: Address, prefix: Prefix): boolean {
  const bits = BigInt((prefix.family === 4 ? 32 : 128) - prefix.prefixBits);
  return address.family === prefix.family && bigintOf(address) >> bits === bigintOf(prefix) >> bits;
}

function twinVolume(
  term: Term & { kind: "volume" },
  row: TwinRow,
  windowMs: number,
): boolean {
  const [tx, rx] = term.quantity === "pkts"
    ? [row.txPackets, row.rxPackets]
    : [row.txBytes, row.rxBytes];
  const count = { both: tx + rx, tx, rx }[term.direction];
  const isRate = term.quantity === "rate";
  const left = BigInt(count) * (isRate ? 8000n : 1n);
  const right = BigInt(term.value) * (isRate ? BigInt(windowMs) : 1n);
  switch (term.comparison) {
    case "=":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
  }
}
