/** Goal: over the real store queries answer what they answer over the twin in memory, roll-ups written or not. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { openSqliteReader } from "../../../src/collector/sqlite/mod.ts";
import type { Question } from "../../../src/collector/query/question.ts";
import { makeBatch } from "../../support/store_batches.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import type { TwinMessage } from "../../reference/store_twin.ts";
import { Scene } from "./store_support.ts";
import {
  arbitraryMessages,
  askStore,
  baseOf,
  filterOf,
  FILTERS,
  type Found,
  HOUR_MS,
  MINUTE_MS,
  START_MS,
  topOf,
} from "./query_support.ts";

/** Members that are the same whatever numbers a store gives to addresses and entries. */
function comparable(value: Found): Found {
  if (Array.isArray(value)) {
    return value.map(comparable).map((each) => [sortText(each), each] as const)
      .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, each]) => each);
  }
  if (value === null || typeof value !== "object") return value;
  const left = [
    "rowsRead",
    "entry",
    "next",
    "completeness",
    "rows",
    "firstSeen",
    "lastSeen",
    "bodyBytes",
  ];
  return Object.fromEntries(
    Object.entries(value).filter(([name]) => !left.includes(name)).map((
      [name, member],
    ) => [name, comparable(member as Found)]),
  );
}

function sortText(value: unknown): string {
  return JSON.stringify(value, (_name, each) => typeof each === "bigint" ? `${each}n` : each);
}

function twinOf(messages: readonly TwinMessage[]): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  for (let stream = 1; stream <= 3; stream++) {
    reader.addStream({
      lastSeenMs: 0,
      nodeName: "",
      nodeId: messages.some((each) => each.stream === stream) ? `node${stream}` : "",
    });
  }
  for (const message of messages) reader.add(message);
  return reader;
}

const range = { fromMs: START_MS, toMs: START_MS + 3 * HOUR_MS };

function questionsOf(text: string): Question[] {
  const base = baseOf({ range, filter: filterOf(text) });
  const nets = { netBits4: 24, netBits6: 48 };
  return [
    topOf({ ...base, by: ["src", "dport", "class"], hasFlows: true, tier: "minute" }),
    topOf({ ...base, by: ["dstNet", "proto"], tier: "sum" }),
    topOf({ ...base, by: ["host", "sport"], tier: "raw" }),
    {
      kind: "series",
      ...base,
      by: "class",
      stepMs: 30 * MINUTE_MS,
      limit: 5,
      order: "bytes",
      tier: "auto",
      ...nets,
    },
    {
      kind: "series",
      ...base,
      by: "dst",
      stepMs: HOUR_MS,
      limit: 100,
      order: "bytes",
      tier: "auto",
      ...nets,
    },
    { kind: "flows", ...base, limit: 1_000, isNewestFirst: true, cursor: null },
    { kind: "gaps", ...base, limit: 10 },
  ];
}

test("queries over SQLite equal those over the twin, before and after roll-ups are written", () => {
  let answers = 0;
  fc.assert(
    fc.property(
      arbitraryMessages,
      fc.constantFrom(...FILTERS.filter(([text]) => !text.includes("node2"))),
      fc.boolean(),
      (messages, [text], isRolled) => {
        const scene = new Scene();
        try {
          for (let stream = 1; stream <= 3; stream++) scene.adopted(`${stream}`);
          const middle = Math.floor(messages.length / 2);
          scene.store.commit(makeBatch(scene.store, START_MS, messages.slice(0, middle)));
          scene.store.commit(makeBatch(scene.store, START_MS + 1, messages.slice(middle)));
          if (isRolled) scene.settle(START_MS + 24 * HOUR_MS);
          const reader = openSqliteReader(scene.path);
          const twin = twinOf(messages);
          for (const question of questionsOf(text)) {
            const found = askStore(reader, question);
            assert.equal(found.status, 200, found.value.error?.message);
            assert.deepEqual(comparable(found.value), comparable(askStore(twin, question).value));
            answers++;
          }
          reader.close();
        } finally {
          scene.end();
        }
      },
    ),
    { numRuns: 25, seed: 12 },
  );
  assert.ok(answers >= 175, `only ${answers} answers were compared`);
});
