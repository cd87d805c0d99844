/** Random filters, rows and dictionaries for the tests of the filter language. */
import fc from "fast-check";
import { CLASS_NAMES } from "../../../src/counters.ts";
import {
  addressBits,
  maskPrefix,
  parseAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
} from "../../../src/packet/mod.ts";
import {
  addId,
  type Expression,
  type Filter,
  type FilterColumns,
  type FilterResolver,
  type IdSet,
  makeIdSet,
  matchesPattern,
  parseFilter,
  type Term,
} from "../../../src/collector/mod.ts";
import { ROW_FOLDED } from "../../../src/collector/rows.ts";
import type { TwinNode, TwinRow } from "../../reference/filter_twin.ts";

/** Addresses by dictionary id: 0 is no address. */
export const ADDRESS_TEXTS = [
  ...["10.0.0.1", "10.0.0.2", "10.1.0.1", "10.128.0.9", "192.168.7.7", "100.64.0.1", "100.64.0.2"],
  ...["fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2", "2001:db8::1", "::ffff:10.0.0.1", "0.0.0.0", "::"],
];
export const ADDRESSES = [null, ...ADDRESS_TEXTS.map((text) => parseAddress(text)!)];

const OWNED = [[6, 8], [7, 9], [1], [], [2, 3]];
/** All nodes. */
export const NODES: readonly TwinNode[] = ["web-1", "web-2", "db", "büro 2", "and"].map(
  (name, index) => ({
    name,
    id: `n${index}CNTRL`,
    addresses: OWNED[index].map((id) => ADDRESSES[id]!),
  }),
);

/** The resolver of these dictionaries. */
export const RESOLVER: FilterResolver = {
  addressesWithin: (prefixes) =>
    setOf(ADDRESSES.length, (id) => {
      const address = ADDRESSES[id];
      return address !== null &&
        prefixes.some((prefix) => prefixContains(prefix, address.addressWords, 0, address.family));
    }),
  addressesOfNodes: (patterns) =>
    setOf(
      ADDRESSES.length,
      (id) => NODES.some((node, index) => isNamed(node, patterns) && OWNED[index].includes(id)),
    ),
  streamsOfNodes: (patterns) =>
    setOf(NODES.length + 1, (id) => id > 0 && isNamed(NODES[id - 1], patterns)),
};

function isNamed({ id, name }: TwinNode, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, id) || matchesPattern(pattern, name));
}

/** Ids below `count` that are in the set; no longer than the last of them needs. */
export function setOf(count: number, isIn: (id: number) => boolean): IdSet {
  const ids = Array.from({ length: count }, (_, id) => id).filter(isIn);
  if (ids.length === 0) return new Uint8Array(0);
  const set = makeIdSet(ids.at(-1)!);
  for (const id of ids) addId(set, id);
  return set;
}

/** Rows as columns. Streams are numbered by node, from 1. */
export function columnsOf(rows: readonly TwinRow[]): FilterColumns {
  const numbers = (read: (row: TwinRow) => number) => rows.map(read);
  return {
    stream: Uint32Array.from(numbers((row) => NODES.indexOf(row.node) + 1)),
    classCode: Uint8Array.from(numbers((row) => CLASS_NAMES.indexOf(row.className))),
    proto: Uint8Array.from(numbers((row) => row.proto)),
    // Other bits are others' business.
    flags: Uint8Array.from(numbers((row) => (row.folded ? ROW_FOLDED : 0) | 6)),
    src: Uint32Array.from(numbers((row) => ADDRESSES.indexOf(row.src))),
    dst: Uint32Array.from(numbers((row) => ADDRESSES.indexOf(row.dst))),
    srcPort: Uint16Array.from(numbers((row) => row.sport)),
    dstPort: Uint16Array.from(numbers((row) => row.dport)),
    counters: [
      Float64Array.from(numbers((row) => row.txPackets)),
      Float64Array.from(numbers((row) => row.txBytes)),
      Float64Array.from(numbers((row) => row.rxPackets)),
      Float64Array.from(numbers((row) => row.rxBytes)),
    ],
  };
}

// ---- Random values ----------------------------------------------------------------------------------------------

const PORTS = [0, 1, 22, 79, 80, 443, 1023, 1024, 65_534, 65_535];
const COUNTS = [0, 1, 999, 1000, 1024, 1500, 1_000_000, 1_048_576, 2 ** 40];
const PROTOS = [0, 1, 6, 17, 58, 99, 132, 255];

/** A row whose values meet those of filters often. */
export const arbitraryRow: fc.Arbitrary<TwinRow> = fc.record({
  className: fc.constantFrom(...CLASS_NAMES),
  proto: fc.constantFrom(...PROTOS),
  src: fc.constantFrom(...ADDRESSES),
  dst: fc.constantFrom(...ADDRESSES),
  sport: fc.constantFrom(...PORTS),
  dport: fc.constantFrom(...PORTS),
  node: fc.constantFrom(...NODES),
  txPackets: fc.constantFrom(...COUNTS),
  txBytes: fc.constantFrom(...COUNTS),
  rxPackets: fc.constantFrom(...COUNTS),
  rxBytes: fc.constantFrom(...COUNTS),
  folded: fc.boolean(),
});

/** Length of the window that rows are of. */
export const arbitraryWindowMs = fc.constantFrom(0, 1, 1000, 5000, 60_000, 3_600_000);

function list<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> {
  return fc.array(value, { minLength: 1, maxLength: 3 });
}

/** Objects like those that literals make. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const side = fc.constantFrom("any" as const, "src" as const, "dst" as const);
const knownPattern = fc.constantFrom(
  "web-1",
  "web-*",
  "*",
  "db",
  "büro 2",
  "n1CNTRL",
  "*-2",
  "and",
);
const pattern = fc.oneof(
  knownPattern,
  fc.constantFrom("10.0.0.1", "none", "IN", 'say "hi"\\', "tag:x", "fd00::", "it's", "a/b", "-"),
  fc.string({ minLength: 1, maxLength: 8, unit: "binary" }),
);
const address = fc.constantFrom(...ADDRESS_TEXTS).map((text): Prefix => {
  const { family, addressWords } = parseAddress(text)!;
  return { family, addressWords, prefixBits: addressBits(family) };
});
const prefix = fc.oneof(
  address,
  fc.constantFrom("10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/31", "0.0.0.0/0", "::/0", "fd00::/8")
    .map((text) => parsePrefix(text)!),
  fc.tuple(address, fc.nat(128)).map(([whole, bits]) =>
    maskPrefix({ ...whole, prefixBits: Math.min(bits, whole.prefixBits) })
  ),
);
const port = fc.oneof(fc.constantFrom(...PORTS), fc.nat(65_535));
const range = fc.oneof(
  port.map((number) => ({ first: number, last: number })),
  fc.tuple(port, port).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) })),
);
const count = fc.oneof(
  fc.constantFrom(...COUNTS),
  fc.constantFrom(8000, 2_000_000_000, 2 ** 53 - 1, 10 ** 15, 2 ** 50),
  fc.maxSafeNat(),
);

/** Any one term in canonical form. */
export const arbitraryTerm: fc.Arbitrary<Term> = fc.oneof(
  record({
    kind: fc.constant("class" as const),
    classes: list(fc.constantFrom(...CLASS_NAMES)),
  }),
  record({ kind: fc.constantFrom("node" as const, "peer" as const), patterns: list(pattern) }),
  record({
    kind: fc.constant("proto" as const),
    protos: list(fc.oneof(fc.constantFrom(...PROTOS), fc.nat(255))),
  }),
  record({ kind: fc.constant("address" as const), side, prefixes: list(prefix) }),
  record({ kind: fc.constant("name" as const), side, patterns: list(pattern) }),
  record({ kind: fc.constant("none" as const), side }),
  record({ kind: fc.constant("port" as const), side, ranges: list(range) }),
  record({
    kind: fc.constant("volume" as const),
    quantity: fc.constantFrom("bytes" as const, "pkts" as const, "rate" as const),
    direction: fc.constantFrom("both" as const, "tx" as const, "rx" as const),
    comparison: fc.constantFrom("=", "!=", "<", "<=", ">", ">=") as fc.Arbitrary<
      (Term & { kind: "volume" })["comparison"]
    >,
    value: count,
  }),
  fc.constant({ kind: "folded" as const }),
);

/** Any expression in canonical form. */
export const arbitraryExpression: fc.Arbitrary<Expression> = fc.letrec<{ node: Expression }>(
  (tie) => {
    const joined = (kind: "and" | "or") =>
      fc.array(tie("node"), { minLength: 2, maxLength: 4 }).map((operands): Expression => ({
        kind,
        operands: operands.flatMap((each) => each.kind === kind ? each.operands : [each]),
      }));
    return {
      node: fc.oneof(
        { maxDepth: 4, depthSize: "medium" },
        { weight: 4, arbitrary: arbitraryTerm },
        { weight: 2, arbitrary: joined("and") },
        { weight: 2, arbitrary: joined("or") },
        {
          weight: 1,
          arbitrary: tie("node").map((operand): Expression => ({ kind: "not", operand })),
        },
      ),
    };
  },
).node;

/** Reads a filter that is right. */
export function filterOf(text: string): Filter {
  const result = parseFilter(text);
  if (!result.ok) throw new Error(`${text}: ${result.problem.message}`);
  return result.filter;
}
