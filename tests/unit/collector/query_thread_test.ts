/**
 * Goal: the real thread answers over a real store while the writer goes on, and one that is killed is replaced. Method: a
 * worker as the program starts it; nothing here looks at how long it takes.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { startQueryThread } from "../../../src/cli/query_thread.ts";
import { QueryService, type QueryThread } from "../../../src/collector/query/service.ts";
import { openTimers } from "../../../src/platform/mod.ts";
import { makeBatch } from "../../support/store_batches.ts";
import { message, Scene, START_MS } from "./store_support.ts";
import { baseOf, type Found, MINUTE_MS, topOf } from "./query_support.ts";

test("query thread: answers over a store that is written to, and after it was lost", async () => {
  const scene = new Scene();
  const stream = scene.adopted("a");
  scene.store.commit(makeBatch(scene.store, START_MS, [message(stream, 1, START_MS + 5_000)]));
  const threads: QueryThread[] = [];
  const warnings: string[] = [];
  const service = new QueryService({
    path: scene.path,
    startThread: () => {
      const thread = startQueryThread();
      threads.push(thread);
      return thread;
    },
    timers: openTimers(),
    clock: { nowMs: () => performance.now() },
    warn: (text) => warnings.push(text),
  });
  try {
    const range = { fromMs: START_MS, toMs: START_MS + MINUTE_MS };
    const question = topOf({ ...baseOf({ range, timeMs: 60_000 }), by: ["dst"] });
    const bytes = async (): Promise<Found> => JSON.parse((await service.ask(question)).text).total;
    assert.equal((await bytes()).txBytes, 100);
    scene.store.commit(makeBatch(scene.store, START_MS, [message(stream, 2, START_MS + 10_000)]));
    assert.equal((await bytes()).txBytes, 200);
    // As if it had died: its own end is told by `onError` alone.
    threads[0].post({ type: "nonsense" } as never);
    assert.equal((await service.ask({ kind: "health", nowMs: 0, timeMs: 60_000 })).status, 503);
    assert.equal((await bytes()).txBytes, 200);
    assert.equal(threads.length, 2);
    assert.equal(warnings.length, 1);
  } finally {
    service.stop();
    scene.end();
  }
});
