/** Goal: groups equal an obvious twin over row objects, whatever rows, filters, dimensions and tiers; limits are honest. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Dimension, DIMENSIONS, ORDERS } from "../../../src/collector/query/question.ts";
import { Answerer } from "../../../src/collector/query/answer.ts";
import type { Stream } from "../../../src/collector/store.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { twinGroups, twinMeasure } from "../../reference/query_twin.ts";
import {
  arbitraryMessages,
  askStore,
  baseOf,
  filterOf,
  FILTERS,
  type Found,
  HOUR_MS,
  MINUTE_MS,
  RAW_FILTERS,
  rowOf,
  START_MS,
  StillTime,
  topOf,
  windowOf,
} from "./query_support.ts";

const COUNTERS = ["txPackets", "txBytes", "rxPackets", "rxBytes"];
const OWNED: Record<string, string> = { "100.64.0.1": "node1", "100.64.0.2": "node2" };

/** Streams 1 to 3; the first two own an address each. */
function logOf(messages: Parameters<MemoryStoreReader["add"]>[0][]): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  for (let stream = 1; stream <= 3; stream++) reader.addStream();
  for (const [index, address] of Object.keys(OWNED).entries()) {
    // A window without rows long after all others, with the node's addresses.
    const window = windowOf(100_000, [], { stream: index + 1, procId: 9 });
    reader.add(window, { srcNode: { nodeId: `id${index + 1}`, addresses: [address] } });
  }
  // It states an address that no row of the others' may give it.
  reader.add(windowOf(100_000, [], { stream: 3, procId: 9 }), {
    srcNode: { nodeId: "id3", addresses: ["100.99.9.9"] },
  });
  for (const message of messages) reader.add(message);
  return reader;
}

function sums(found: Found): bigint[] {
  return COUNTERS.map((name) => BigInt(found[name]));
}

test("top: groups equal the twin's, in a stable order, over random rows, filters, dimensions and tiers", () => {
  let groups = 0;
  fc.assert(
    fc.property(
      arbitraryMessages,
      fc.uniqueArray(fc.constantFrom(...DIMENSIONS), { minLength: 1, maxLength: 3 }),
      fc.constantFrom("raw" as const, "minute" as const, "hour" as const, "sum" as const),
      fc.constantFrom(...FILTERS, ...RAW_FILTERS),
      fc.constantFrom(...ORDERS),
      fc.record({ from: fc.nat(180), length: fc.integer({ min: 1, max: 200 }) }),
      (messages, dimensions, tier, [text, matches], order, { from, length }) => {
        const isRaw = dimensions.includes("sport") || RAW_FILTERS.some(([each]) => each === text);
        const used = isRaw ? "raw" : tier;
        const gridMs = used === "hour" ? HOUR_MS : MINUTE_MS;
        const fromMs = Math.floor((START_MS + from * MINUTE_MS) / gridMs) * gridMs;
        const range = { fromMs, toMs: fromMs + Math.ceil(length * MINUTE_MS / gridMs) * gridMs };
        const by = dimensions as Dimension[];
        const { status, value } = askStore(
          logOf(messages),
          topOf({
            ...baseOf({ range, filter: filterOf(text) }),
            by,
            order,
            tier: used,
            hasFlows: true,
          }),
        );
        assert.equal(status, 200, value.error?.message);
        const expected = twinGroups(messages, {
          ...range,
          tier: used,
          matches,
          by,
          owner: (address) => OWNED[address] ?? "",
          nodeName: (stream) => `node${stream}`,
        });
        const key = (found: Found) => JSON.stringify(by.map((name) => found[name]));
        const foundByKey = new Map(value.groups.map((found: Found) => [key(found), found]));
        assert.equal(value.groups.length, expected.length);
        for (const group of expected) {
          const found = foundByKey.get(JSON.stringify(group.key)) as Found;
          assert.ok(found, `no group ${group.key}`);
          assert.deepEqual(sums(found), group.sums);
          assert.equal(found.rows, group.rows);
          assert.equal(found.flows, group.flows.size);
        }
        const measures = value.groups.map((found: Found) =>
          twinMeasure({ key: [], sums: sums(found), rows: found.rows, flows: new Set() }, order)
        );
        for (let index = 1; index < measures.length; index++) {
          assert.ok(measures[index - 1] >= measures[index], `order of ${measures}`);
        }
        groups += expected.length;
      },
    ),
    { numRuns: 300, seed: 4 },
  );
  assert.ok(groups > 300, `only ${groups} groups were compared`);
});

test("top: totals of streams and classes give the same sums as rows do", () => {
  fc.assert(
    fc.property(
      arbitraryMessages,
      fc.boolean(),
      fc.constantFrom("", "class exit", "node node2"),
      fc.tuple(fc.nat(90), fc.integer({ min: 1, max: 150 })),
      (messages, isByNode, text, [from, length]) => {
        const by: Dimension[] = isByNode ? ["node", "class"] : ["class"];
        const fromMs = START_MS + from * MINUTE_MS;
        const question = topOf({
          ...baseOf({ range: { fromMs, toMs: fromMs + length * MINUTE_MS } }),
          filter: filterOf(text),
          by,
        });
        const reader = logOf(messages);
        const auto = askStore(reader, question).value;
        const isShort = length <= 5;
        const rows = askStore(reader, { ...question, tier: isShort ? "raw" : "minute" }).value;
        assert.equal(auto.tier, `totals ${isShort ? "raw" : length < 120 ? "minute" : "sum"}`);
        const short = (value: Found) =>
          value.groups.map((found: Found) => [...by.map((name) => found[name]), ...sums(found)])
            // Rows that counted nothing make a group; sums of nothing do not.
            .filter((found: unknown[]) => found.slice(by.length).some((sum) => sum !== 0n));
        assert.deepEqual(short(auto), short(rows));
        assert.deepEqual(sums(auto.total), sums(rows.total));
      },
    ),
    { numRuns: 200, seed: 5 },
  );
});

test("top: the first groups, and the rest, make up the total", () => {
  const rows = Array.from(
    { length: 50 },
    (_value, index) =>
      rowOf({ dst: `10.0.0.${index}`, counters: [1n, BigInt(index % 7) + 2n ** 53n, 0n, 0n] }),
  );
  const reader = logOf([windowOf(0, rows)]);
  const { value } = askStore(reader, topOf({ by: ["dst"], limit: 3, tier: "raw" }));
  assert.equal(value.groups.length, 3);
  assert.equal(value.groupCount, 50);
  assert.equal(value.rest.groups, 47);
  const shown = value.groups.reduce((sum: bigint, group: Found) => sum + BigInt(group.txBytes), 0n);
  assert.equal(shown + BigInt(value.rest.txBytes), BigInt(value.total.txBytes));
  assert.equal(value.truncated, null);
  // Of seven that are equal to the last bit the first three in the store's own order, each time.
  assert.deepEqual(value.groups.map(({ dst }: Found) => dst), [
    "10.0.0.6",
    "10.0.0.13",
    "10.0.0.20",
  ]);
});

test("top: flows of orphans are left out unless they are asked for", () => {
  const reader = new MemoryStoreReader();
  reader.addStream();
  reader.addStream({ adoptedMs: null });
  reader.add(windowOf(0, [rowOf()]));
  reader.add(windowOf(0, [rowOf()], { stream: 2 }));
  const bytes = (hasOrphans: boolean) => {
    const by = (dimension: Dimension) =>
      askStore(reader, topOf({ hasOrphans, by: [dimension] })).value.total.txBytes;
    // From sums over all streams, from sums of each, and from rows.
    assert.equal(by("class"), by("node"));
    assert.equal(by("class"), by("dst"));
    return by("class");
  };
  assert.equal(bytes(false), 100);
  assert.equal(bytes(true), 200);
});

test("top: rates are per bucket, idle buckets counted", () => {
  const windows = [0, 1, 2].map((index) =>
    windowOf(index, [rowOf({ counters: [1n, BigInt(index + 1) * 1_000n, 0n, 0n] })])
  );
  const reader = logOf(windows);
  const range = { fromMs: START_MS, toMs: START_MS + MINUTE_MS };
  const { value } = askStore(reader, topOf({ range, by: ["src"], hasRates: true }));
  assert.equal(value.tier, "raw");
  const [group] = value.groups;
  assert.equal(group.rateBucketMs, 5_000);
  assert.equal(group.peakBitsPerSecond, 3_000 * 8 / 5);
  assert.equal(group.peakAt, "2026-01-05T10:00:10Z");
  // Of twelve buckets the twelfth in order is the 95th percentile by nearest rank.
  assert.equal(group.percentile95BitsPerSecond, 3_000 * 8 / 5);
  assert.equal(group.averageBitsPerSecond, 6_000 * 8 / 60);
  const sum = askStore(reader, topOf({ range, by: ["src"], hasRates: true, tier: "sum" }));
  assert.equal(sum.status, 400);
  assert.equal(sum.value.error.parameter, "tier");
});

test("top: the tier is the smallest that can tell", () => {
  const reader = logOf([]);
  const tierOf = (lengthMs: number, more: Partial<Parameters<typeof topOf>[0]> = {}) => {
    const range = { fromMs: START_MS, toMs: START_MS + lengthMs };
    return askStore(reader, topOf({ range, by: ["dst"], ...more })).value.tier;
  };
  assert.equal(tierOf(5 * MINUTE_MS), "raw");
  assert.equal(tierOf(5 * MINUTE_MS + 1), "minute");
  assert.equal(tierOf(2 * HOUR_MS - 1), "minute");
  assert.equal(tierOf(2 * HOUR_MS), "sum");
  assert.equal(tierOf(48 * HOUR_MS, { by: ["sport"] }), "raw");
  assert.equal(tierOf(48 * HOUR_MS, { filter: filterOf("sport 53") }), "raw");
  assert.equal(tierOf(24 * HOUR_MS, { filter: filterOf("bytes > 1M") }), "raw");
  assert.equal(tierOf(24 * HOUR_MS + 1, { filter: filterOf("bytes > 1M") }), "sum");
  assert.equal(tierOf(48 * HOUR_MS, { hasRates: true }), "minute");
  assert.equal(tierOf(49 * HOUR_MS, { hasRates: true }), "hour");
  assert.equal(tierOf(48 * HOUR_MS, { by: ["class"] }), "totals sum");
  assert.equal(tierOf(2 * HOUR_MS - 1, { by: ["class"] }), "totals minute");
  assert.equal(tierOf(5 * MINUTE_MS, { by: ["class"] }), "totals raw");
  const long = askStore(
    reader,
    topOf({
      range: { fromMs: START_MS + 1, toMs: START_MS + 24 * HOUR_MS + 2 },
      by: ["dst"],
      filter: filterOf("bytes > 1M"),
    }),
  ).value;
  assert.equal(long.notes.length, 1);
  assert.deepEqual(long.range, { from: "2026-01-05T10:00:00Z", to: "2026-01-06T10:01:00Z" });
  const refused = askStore(reader, topOf({ by: ["sport"], tier: "minute" }));
  assert.equal(refused.status, 400);
});

test("top: too many rows are truncated and said so; time that runs out is 504; a failing store 500 or 503", () => {
  const reader = logOf([windowOf(0, [rowOf(), rowOf()]), windowOf(1, [rowOf()])]);
  const all = askStore(reader, topOf({ tier: "raw", by: ["src"] }), { rowsMax: 3 }).value;
  assert.equal(all.truncated, null);
  assert.equal(all.total.rows, 3);
  const cut = askStore(reader, topOf({ tier: "raw", by: ["src"] }), { rowsMax: 2 }).value;
  assert.deepEqual(cut.truncated, ["rows"]);
  assert.equal(cut.total.rows, 2);
  const time = new StillTime();
  reader.onRead = () => time.ms += 6_000;
  const late = askStore(reader, topOf({ tier: "raw", timeMs: 5_000 }), { time });
  assert.equal(late.status, 504);
  assert.match(late.value.error.message, /longer than 5000 ms/);
  reader.onRead = () => {
    throw new Error("disk is gone");
  };
  assert.equal(askStore(reader, topOf()).status, 500);
});

test("top: a stream that is new or newly adopted is known at once, though nodes are remembered", () => {
  const reader = new MemoryStoreReader();
  const answerer = new Answerer(reader, () => 0);
  const groups = () =>
    JSON.parse(answerer.answer(topOf({ by: ["node"], tier: "raw" })).text).groups;
  assert.deepEqual(groups(), []);
  reader.addStream({ adoptedMs: null, nodeName: "late" });
  reader.add(windowOf(0, [rowOf()]));
  assert.deepEqual(groups(), [], "nobody adopted it");
  (reader.streams() as Stream[])[0] = { ...reader.streams()[0], adoptedMs: 5 };
  assert.deepEqual(groups().map(({ node }: Found) => node), ["late"]);
});
