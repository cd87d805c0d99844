/**
 * What a filter needs to know of a row, so that a query can choose where it reads.
 *
 * In: a filter. Out: which facts it looks at. Roll-ups have no source port, and their counters and windows are those of
 * many rows: `bytes > 1M` means another thing there, and the query must say which.
 */
import { type Filter, forEachTerm } from "./syntax.ts";

/** Facts of a row that a filter looks at. */
export interface FilterNeeds {
  readonly classes: boolean;
  readonly protos: boolean;
  /** Addresses of either end, by prefix or by node. */
  readonly addresses: boolean;
  readonly srcPort: boolean;
  readonly dstPort: boolean;
  /** The reporting node. */
  readonly nodes: boolean;
  /** Bytes or packets of single rows, by `rate` also. */
  readonly counters: boolean;
  /** Length of the row's window, besides its bytes. */
  readonly rate: boolean;
  readonly folded: boolean;
}

/** Finds what a filter looks at. */
export function needs(filter: Filter): FilterNeeds {
  const found = {
    classes: false,
    protos: false,
    addresses: false,
    srcPort: false,
    dstPort: false,
    nodes: false,
    counters: false,
    rate: false,
    folded: false,
  };
  forEachTerm(filter, (term) => {
    switch (term.kind) {
      case "class":
        found.classes = true;
        break;
      case "proto":
        found.protos = true;
        break;
      case "node":
        found.nodes = true;
        break;
      case "peer":
      case "address":
      case "name":
      case "none":
        found.addresses = true;
        break;
      case "port":
        found.srcPort ||= term.side !== "dst";
        found.dstPort ||= term.side !== "src";
        break;
      case "volume":
        found.counters = true;
        found.rate ||= term.quantity === "rate";
        break;
      case "folded":
        found.folded = true;
    }
  });
  return found;
}
