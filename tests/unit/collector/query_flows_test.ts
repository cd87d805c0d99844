/** Goal: series equal sums of the twin by bucket, with null only where nothing is known; pages of flows neither skip nor repeat. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { stepBySpan } from "../../../src/collector/query/series.ts";
import type { FlowsQuestion, SeriesQuestion } from "../../../src/collector/query/question.ts";
import type { TwinMessage } from "../../reference/store_twin.ts";
import { twinBucketEnd } from "../../reference/store_twin.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { CLASS_NAMES } from "../../../src/counters.ts";
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
  windowOf,
} from "./query_support.ts";

function logOf(messages: readonly TwinMessage[]): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  for (let stream = 1; stream <= 3; stream++) reader.addStream();
  for (const message of messages) reader.add(message);
  return reader;
}

function seriesOf(more: Partial<SeriesQuestion> = {}): SeriesQuestion {
  return {
    kind: "series",
    ...baseOf(),
    by: "class",
    stepMs: 0,
    limit: 2,
    order: "bytes",
    tier: "auto",
    netBits4: 24,
    netBits6: 48,
    ...more,
  };
}

function flowsOf(more: Partial<FlowsQuestion> = {}): FlowsQuestion {
  return {
    kind: "flows",
    ...baseOf({ range: { fromMs: START_MS, toMs: START_MS + 3 * HOUR_MS } }),
    limit: 3,
    isNewestFirst: true,
    cursor: null,
    ...more,
  };
}

test("series: each bucket is the sum of what ends in it, over random rows, filters and steps", () => {
  let cells = 0;
  fc.assert(
    fc.property(
      arbitraryMessages,
      fc.constantFrom("class" as const, "dst" as const, "node" as const),
      fc.constantFrom(5_000, 7_000, MINUTE_MS, 5 * MINUTE_MS, HOUR_MS),
      fc.constantFrom(...FILTERS, ...RAW_FILTERS),
      (messages, by, stepMs, [text, matches]) => {
        // Filters by what roll-ups hold only: the others are of single windows at any step.
        const range = { fromMs: START_MS, toMs: START_MS + 3 * HOUR_MS };
        if (text === "folded" && stepMs % MINUTE_MS === 0) return;
        const { status, value } = askStore(
          logOf(messages),
          seriesOf({ range, by, stepMs, filter: filterOf(text) }),
        );
        assert.equal(status, 200, value.error?.message);
        const fromMs = Math.floor(START_MS / stepMs) * stepMs;
        const expected = new Map<string, bigint>();
        for (const message of messages) {
          const bucket = Math.ceil((twinBucketEnd(message.endNs, "raw") - fromMs) / stepMs) - 1;
          if (bucket < 0 || bucket >= value.starts.length) continue;
          for (const row of message.rows) {
            if (!matches(row, message.stream)) continue;
            const word = by === "class"
              ? CLASS_NAMES[row.classCode]
              : by === "dst"
              ? row.dst
              : `node${message.stream}`;
            const shown = value.series.some((line: Found) => line[by] === word);
            const key = `${shown ? word : "(rest)"} ${bucket}`;
            expected.set(key, (expected.get(key) ?? 0n) + row.counters[1]);
          }
        }
        const lines = [...value.series, { ...value.rest, [by]: "(rest)" }];
        for (const line of lines) {
          for (const [bucket, found] of line.txBytes.entries()) {
            const wanted = expected.get(`${line[by]} ${bucket}`) ?? 0n;
            if (found === null) assert.equal(wanted, 0n);
            else assert.equal(BigInt(found), wanted);
            cells++;
          }
        }
      },
    ),
    { numRuns: 60, seed: 10 },
  );
  assert.ok(cells > 1_000, `only ${cells} cells were compared`);
});

test("series: idle is 0, unknown is null, and the newest moments are not known yet", () => {
  const reader = logOf(
    [0, 3].map((index) => windowOf(index, [rowOf()], { procSeq: index === 0 ? 1 : 2 })),
  );
  const range = { fromMs: START_MS - 10_000, toMs: START_MS + 30_000 };
  const { value } = askStore(reader, seriesOf({ range, stepMs: 5_000 }));
  const [virtual, subnet] = value.series;
  assert.deepEqual(
    virtual.txBytes,
    [null, null, 100, 0, 0, 100, 0, 0].map((bytes, bucket) =>
      // Behind its last word the node is silent: nothing is known.
      bucket > 5 ? null : bytes
    ),
  );
  assert.deepEqual(subnet.txBytes, [null, null, 0, 0, 0, 0, null, null]);
  assert.deepEqual(value.shares, [null, null, 1, 1, 1, 1, 0, 0]);
  assert.equal(value.tier, "totals raw");
});

test("series: steps are chosen by span and refused where they make too many buckets", () => {
  assert.equal(stepBySpan({ fromMs: 0, toMs: 400 * 5_000 }), 5_000);
  assert.equal(stepBySpan({ fromMs: 0, toMs: 400 * 5_000 + 1 }), 10_000);
  assert.equal(stepBySpan({ fromMs: 0, toMs: HOUR_MS - 1 }), 10_000);
  assert.equal(stepBySpan({ fromMs: 0, toMs: HOUR_MS }), 60_000);
  assert.equal(stepBySpan({ fromMs: 0, toMs: 24 * HOUR_MS }), 300_000);
  assert.equal(stepBySpan({ fromMs: 0, toMs: 4_000 * 24 * HOUR_MS }), 86_400_000);
  const reader = logOf([]);
  const range = { fromMs: START_MS, toMs: START_MS + 10_001 * 1_000 };
  const refused = askStore(reader, seriesOf({ range, stepMs: 1_000 }));
  assert.deepEqual([refused.status, refused.value.error.parameter], [400, "step"]);
  const taken = askStore(
    reader,
    seriesOf({ range: { ...range, toMs: range.toMs - 1_000 }, stepMs: 1_000 }),
  );
  assert.equal(taken.status, 200);
});

test("flows: pages in either direction give every matching row once, in order, while more is stored", () => {
  let pages = 0;
  fc.assert(
    fc.property(
      arbitraryMessages,
      fc.constantFrom(...FILTERS, ...RAW_FILTERS),
      fc.boolean(),
      fc.integer({ min: 1, max: 4 }),
      (messages, [text, matches], isNewestFirst, limit) => {
        const reader = logOf(messages);
        const found: Found[] = [];
        let next: string | null = "";
        for (let page = 0; next !== null; page++) {
          const [endMs, entry, row] = next.split(".").map(Number);
          const cursor = next === "" ? null : { endMs, entry, row };
          const filter = filterOf(text);
          const { value } = askStore(reader, flowsOf({ filter, isNewestFirst, limit, cursor }));
          assert.ok(value.flows.length <= limit);
          found.push(...value.flows);
          next = value.next;
          pages++;
          assert.ok(page < 200, "pages do not end");
        }
        const expected = messages.flatMap((message, index) => {
          const endMs = twinBucketEnd(message.endNs, "raw");
          if (endMs <= START_MS || endMs > START_MS + 3 * HOUR_MS) return [];
          return message.rows.flatMap((row, place) =>
            matches(row, message.stream)
              ? [{ endMs, entry: index + 1, row: place, bytes: row.counters[1] }]
              : []
          );
        });
        expected.sort((a, b) => a.endMs - b.endMs || a.entry - b.entry || a.row - b.row);
        if (isNewestFirst) expected.reverse();
        assert.deepEqual(
          found.map(({ entry, row, txBytes }) => [entry, row, BigInt(txBytes)]),
          expected.map(({ entry, row, bytes }) => [entry, row, bytes]),
        );
      },
    ),
    { numRuns: 150, seed: 11 },
  );
  assert.ok(pages > 300, `only ${pages} pages were read`);
});

test("flows: a search that runs out of time says where it goes on", () => {
  const reader = logOf([windowOf(0, [rowOf()])]);
  const time = new StillTime();
  reader.onRead = () => time.ms += 100;
  const range = { fromMs: START_MS - 1, toMs: START_MS + 2 * HOUR_MS };
  const first = askStore(reader, flowsOf({ range, timeMs: 1_000 }), { time }).value;
  assert.deepEqual(first.truncated, ["time"]);
  assert.deepEqual(first.flows, []);
  let { next } = first;
  const found: Found[] = [];
  for (let page = 0; next !== null && page < 20; page++) {
    const [endMs, entry, row] = next.split(".").map(Number);
    const { value } = askStore(
      reader,
      flowsOf({ range, timeMs: 1_000, cursor: { endMs, entry, row } }),
      { time },
    );
    found.push(...value.flows);
    next = value.next;
  }
  assert.equal(found.length, 1);
});

test("connection and explain: both ends' rows, the messages and the tunnel's own rows", () => {
  const reader = new MemoryStoreReader();
  reader.addStream();
  reader.addStream();
  const own = { srcNode: { nodeId: "id1", addresses: ["100.64.0.1"] } };
  const other = { srcNode: { nodeId: "id2", addresses: ["100.64.0.2"] } };
  const physical = rowOf({
    classCode: 4,
    proto: 0,
    src: "100.64.0.2",
    dst: "192.0.2.7",
    srcPort: 0,
    dstPort: 51_820,
  });
  const swapped = rowOf({ src: "100.64.0.2", dst: "100.64.0.1", srcPort: 443, dstPort: 40_000 });
  const entry = reader.add(windowOf(0, [rowOf(), physical]), own);
  reader.add(windowOf(0, [swapped], { stream: 2 }), other);
  reader.add(windowOf(1, [rowOf({ dstPort: 80 })]), own);
  const connection = {
    node: "node1",
    proto: 6,
    src: "100.64.0.1",
    srcPort: 40_000,
    dst: "100.64.0.2",
    dstPort: 443,
  };
  const over = askStore(reader, { kind: "connection", ...baseOf(), connection, limit: 5 }).value;
  assert.deepEqual(over.flows.map(({ entry }: Found) => entry), [entry]);
  const { value } = askStore(reader, { kind: "explain", ...baseOf(), connection, limit: 5 });
  assert.equal(value.classes[0].class, "virtual");
  assert.match(value.classes[0].reason, /node1 talked to node2/);
  assert.deepEqual(value.otherEnd.map(({ node, src }: Found) => [node, src]), [[
    "node2",
    "100.64.0.2",
  ]]);
  assert.deepEqual(value.physical.map(({ dst }: Found) => dst), ["192.0.2.7"]);
  assert.equal(value.messages[0].entry, entry);
  assert.match(value.messages[0].json, /100\.64\.0\.1/);
  const unknown = askStore(reader, {
    kind: "explain",
    ...baseOf(),
    connection: { ...connection, node: "nobody" },
    limit: 5,
  });
  assert.deepEqual([unknown.status, unknown.value.error.parameter], [400, "node"]);
});
