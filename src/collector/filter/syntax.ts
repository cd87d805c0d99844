/**
 * What a filter is, once it is read: a tree of plain values.
 *
 * Canonical form, which parseFilter() makes and formatFilter() writes: `and` and `or` have two operands or more, none of
 * their own kind; lists are not empty, in the order of the text; prefixes have no bits behind their length.
 */
import type { ClassName } from "../../counters.ts";
import type { Prefix } from "../../packet/mod.ts";

/** Which end of a connection a term looks at; `any` = one of them at least. */
export type Side = "any" | "src" | "dst";

/** Which direction a term counts; `both` = the sum. */
export type Direction = "both" | "tx" | "rx";

/** What a term measures: bytes, packets, or bits per second over the row's window. */
export type Quantity = "bytes" | "pkts" | "rate";

/** How a measured value stands to the number in the filter. */
export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** Ports from `first` to `last`, both included. Port 0 in a row means that it has none. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** All operands match. */
export interface AndExpression {
  readonly kind: "and";
  readonly operands: readonly Expression[];
}

/** One operand matches at least. */
export interface OrExpression {
  readonly kind: "or";
  readonly operands: readonly Expression[];
}

/** The operand does not match. */
export interface NotExpression {
  readonly kind: "not";
  readonly operand: Expression;
}

/** One test of a row. */
export type Term =
  | { readonly kind: "class"; readonly classes: readonly ClassName[] }
  /** The reporting node's name or id; `*` in a pattern stands for any characters. */
  | { readonly kind: "node"; readonly patterns: readonly string[] }
  /** Nodes of which either end has an address. */
  | { readonly kind: "peer"; readonly patterns: readonly string[] }
  | { readonly kind: "proto"; readonly protos: readonly number[] }
  /** `host` and `net` with addresses. */
  | { readonly kind: "address"; readonly side: Side; readonly prefixes: readonly Prefix[] }
  /** `host` with names of nodes. */
  | { readonly kind: "name"; readonly side: Side; readonly patterns: readonly string[] }
  /** The row has no address there. */
  | { readonly kind: "none"; readonly side: Side }
  | { readonly kind: "port"; readonly side: Side; readonly ranges: readonly PortRange[] }
  | {
    readonly kind: "volume";
    readonly quantity: Quantity;
    readonly direction: Direction;
    readonly comparison: Comparison;
    /** Bytes, packets, or bits per second: a whole number up to 2^53 - 1. */
    readonly value: number;
  }
  /** Rows that stand for several connections which found no room of their own. */
  | { readonly kind: "folded" };

/** Terms and how they are joined. */
export type Expression = AndExpression | OrExpression | NotExpression | Term;

/** A filter; `all` is the empty one, which every row matches. */
export type Filter = Expression | { readonly kind: "all" };

/** Calls `visit` for every term, from left to right. */
export function forEachTerm(filter: Filter, visit: (term: Term) => void): void {
  if (filter.kind === "all") return;
  if (filter.kind === "not") forEachTerm(filter.operand, visit);
  else if (filter.kind === "and" || filter.kind === "or") {
    for (const operand of filter.operands) forEachTerm(operand, visit);
  } else visit(filter);
}
