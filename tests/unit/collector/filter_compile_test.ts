/**
 * Goal: a compiled filter selects what it says. Method: an interpreter of the tree over row objects as twin; rows and
 * filters that meet often; blocks at their edges.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Prefix, prefixText } from "../../../src/packet/mod.ts";
import {
  addId,
  compileFilter,
  type Filter,
  type FilterColumns,
  hasId,
  makeIdSet,
  matchesPattern,
} from "../../../src/collector/mod.ts";
import { BLOCK_ROWS } from "../../../src/collector/filter/compile.ts";
import { twinMatches, type TwinRow } from "../../reference/filter_twin.ts";
import {
  ADDRESSES,
  arbitraryExpression,
  arbitraryRow,
  arbitraryWindowMs,
  columnsOf,
  filterOf,
  NODES,
  RESOLVER,
} from "./filter_support.ts";

/** Selected rows, by numbers from 0 on, of rows that stand behind three others. */
function select(filter: Filter, rows: readonly TwinRow[], windowMs = 5_000): number[] {
  const count = rows.length;
  const first = 3;
  const columns = columnsOf([ROW, ROW, ROW, ...rows, ROW]);
  const output = new Uint32Array(count + 1).fill(0xdead);
  const select = compileFilter(filter, RESOLVER);
  const selected = select(columns, { first, count, windowMs }, output.subarray(0, count));
  assert.equal(output[count], 0xdead, "nothing is written behind the output");
  return [...output.subarray(0, selected)].map((row) => row - first);
}

function twinSelect(filter: Filter, rows: readonly TwinRow[], windowMs = 5_000): number[] {
  const world = { nodes: NODES, windowMs };
  return [...rows.keys()].filter((index) => twinMatches(filter, rows[index], world));
}

const ROW: TwinRow = {
  className: "virtual",
  proto: 6,
  src: ADDRESSES[1],
  dst: ADDRESSES[8],
  sport: 50_000,
  dport: 443,
  node: NODES[0],
  txPackets: 10,
  txBytes: 1_000,
  rxPackets: 5,
  rxBytes: 4_000,
  folded: false,
};

test("compileFilter() selects what the twin selects", () => {
  let selected = 0;
  let asked = 0;
  fc.assert(
    fc.property(
      arbitraryExpression,
      fc.array(arbitraryRow, { minLength: 1, maxLength: 40, size: "max" }),
      arbitraryWindowMs,
      (filter, rows, windowMs) => {
        const wanted = twinSelect(filter, rows, windowMs);
        assert.deepEqual(select(filter, rows, windowMs), wanted);
        selected += wanted.length;
        asked += rows.length;
      },
    ),
    { numRuns: 3_000, seed: 41 },
  );
  assert.ok(selected > asked * 0.2 && selected < asked * 0.8, `${selected} of ${asked}`);
});

test("compileFilter() selects the same rows whatever block they stand in", () => {
  const rows = fc.sample(arbitraryRow, { numRuns: 50, seed: 42 });
  const filters = fc.sample(arbitraryExpression, { numRuns: 30, seed: 43 });
  for (const count of [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 7]) {
    const many = Array.from({ length: count }, (_, index) => rows[index * 7 % rows.length]);
    for (const filter of filters) assert.deepEqual(select(filter, many), twinSelect(filter, many));
  }
});

test("compileFilter() forgets the rows of an earlier call and those behind the count", () => {
  const selector = compileFilter(filterOf("tcp and dport 443 or class exit and udp"), RESOLVER);
  const output = new Uint32Array(BLOCK_ROWS * 2);
  const all = columnsOf(new Array(BLOCK_ROWS * 2).fill(ROW));
  const ask = (columns: FilterColumns, count: number) =>
    selector(columns, { first: 0, count, windowMs: 5_000 }, output);
  assert.equal(ask(all, BLOCK_ROWS * 2), BLOCK_ROWS * 2);
  assert.equal(ask(columnsOf([{ ...ROW, proto: 17 }, ROW]), 2), 1);
  assert.equal(output[0], 1);
  assert.equal(ask(all, 3), 3);
});

/** Each filter with whether ROW is what it asks for. */
const CASES: readonly [string, boolean][] = [
  ["", true],
  ["class virtual", true],
  ["class in (subnet, exit)", false],
  ["src 10.0.0.1", true],
  ["dst 10.0.0.1", false],
  ["host 10.0.0.1", true],
  ["net 10.0.0.0/8", true],
  ["dst net 10.0.0.0/8", false],
  ["net ::/0", true],
  ["src net ::/0", false],
  ["src none", false],
  ["node web-*", true],
  ["node WEB-1", false],
  ["node n0CNTRL", true],
  ["peer db", true],
  ["peer web-2", false],
  ["dst host web-1", true],
  ["src host web-1", false],
  ["host nobody", false],
  ["not host nobody", true],
  ["port 443", true],
  ["sport 443", false],
  ["dport < 443", false],
  ["dport <= 443", true],
  ["dport > 442", true],
  ["dport != 443", false],
  ["bytes = 5k", true],
  ["tx bytes = 1k", true],
  ["rx bytes > 4k", false],
  ["pkts < 15", false],
  ["pkts <= 15", true],
  ["rate = 8k", true],
  ["rate > 8k", false],
  ["rx rate >= 800B", true],
  ["folded", false],
];

for (const [text, isIn] of CASES) {
  test(`compileFilter() ${isIn ? "selects" : "leaves"} the row: ${text || "empty filter"}`, () => {
    assert.deepEqual(select(filterOf(text), [ROW]), isIn ? [0] : []);
  });
}

test("compileFilter() takes port 0 for no port", () => {
  const row = { ...ROW, sport: 0, dport: 0 };
  assert.deepEqual(select(filterOf("dport < 1024 or port <= 65535"), [row]), []);
  assert.deepEqual(select(filterOf("port 0 and dport 0-10 and sport >= 0"), [row]), [0]);
});

test("compileFilter() takes a window of no length for an endless rate, if it counted anything", () => {
  const rows = [ROW, { ...ROW, txBytes: 0, rxBytes: 0 }];
  assert.deepEqual(select(filterOf("rate > 9P"), rows, 0), [0]);
  assert.deepEqual(select(filterOf("rate = 0"), rows, 0), [1]);
});

test("compileFilter() never takes id 0 for an address, whatever the resolver says", () => {
  const all = new Uint8Array(1).fill(0xff);
  const resolver = { ...RESOLVER, addressesWithin: () => all, addressesOfNodes: () => all };
  const range = { first: 0, count: 2, windowMs: 1 };
  const columns = columnsOf([{ ...ROW, src: null, dst: null }, ROW]);
  for (const text of ["net 0.0.0.0/0", "src ::/0", "peer *", "src host *"]) {
    const output = new Uint32Array(2);
    assert.equal(compileFilter(filterOf(text), resolver)(columns, range, output), 1, text);
    assert.equal(output[0], 1, text);
  }
  assert.equal(all[0], 0xff, "the resolver's set is its own");
});

test("compileFilter() asks the resolver once per term, not per call", () => {
  let asked = 0;
  const resolver = {
    ...RESOLVER,
    streamsOfNodes: (patterns: readonly string[]) => (asked++, RESOLVER.streamsOfNodes(patterns)),
  };
  const selector = compileFilter(filterOf("node db or not node web-1"), resolver);
  for (let call = 0; call < 3; call++) {
    selector(columnsOf([ROW]), { first: 0, count: 1, windowMs: 1 }, new Uint32Array(1));
  }
  assert.equal(asked, 2);
});

test("compileFilter() asks once for terms of one `or` that differ only in their values", () => {
  const asked: string[] = [];
  const resolver = {
    ...RESOLVER,
    addressesWithin: (prefixes: readonly Prefix[]) => {
      asked.push(prefixes.map(prefixText).join());
      return RESOLVER.addressesWithin(prefixes);
    },
  };
  compileFilter(filterOf("src 10.0.0.1 or tcp or dst 10.0.0.2 or src 10.0.0.3 or tcp"), resolver);
  compileFilter(filterOf("src 10.0.0.1 and src 10.0.0.2"), resolver);
  assert.deepEqual(asked, [
    "10.0.0.1/32,10.0.0.3/32",
    "10.0.0.2/32",
    "10.0.0.1/32",
    "10.0.0.2/32",
  ]);
});

test("hasId() finds what addId() added, and nothing behind the end", () => {
  for (const idMax of [0, 7, 8, 100]) {
    const set = makeIdSet(idMax);
    addId(set, idMax);
    const found = Array.from({ length: 130 }, (_, id) => id).filter((id) => hasId(set, id) === 1);
    assert.deepEqual(found, [idMax]);
  }
});

test("matchesPattern() equals a regular expression", () => {
  let matched = 0;
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "*", "."), maxLength: 10 });
  fc.assert(
    fc.property(letters, letters, (pattern, name) => {
      const parts = pattern.split("*").map((part) => part.replaceAll(".", "\\."));
      const wanted = new RegExp(`^${parts.join(".*")}$`).test(name);
      assert.equal(matchesPattern(pattern, name), wanted);
      if (wanted) matched++;
    }),
    { numRuns: 5_000, seed: 44 },
  );
  assert.ok(matched > 200, `${matched} matched`);
});
