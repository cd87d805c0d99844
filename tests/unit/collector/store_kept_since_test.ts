/** Goal: keptSince() says up to which end each tier was deleted, and never less; a whole answer sees one state. */
import { test } from "node:test";
import assert from "node:assert/strict";
import type { KeptSince } from "../../../src/collector/store.ts";
import { openSqliteReader } from "../../../src/collector/sqlite/mod.ts";
import { KEPT_AHEAD_MS, ORPHAN_KEPT_MS } from "../../../src/limits.ts";
import { makeBatch, scanSums } from "../../support/store_batches.ts";
import { HOUR_MS, message, MINUTE_MS, ROW, type Scene, scene, START_MS } from "./store_support.ts";

const DAY_MS = 24 * HOUR_MS;
const TIERS = ["raw", "minute", "hour"] as const;

function sinceOf({ reader }: Scene): number[] {
  const { rawMs, minuteMs, hourMs } = reader.keptSince();
  return [rawMs, minuteMs, hourMs];
}

/** Ends of what a tier still has. */
function ends(s: Scene, tier: (typeof TIERS)[number]): number[] {
  const keys = [...scanSums(s.reader, tier).keys()];
  return keys.map((key) => Number(key.split(" ")[0])).sort((a, b) => a - b);
}

test(
  "keptSince() is 0 until a tier loses something by age, then the last end that went",
  scene((s) => {
    const stream = s.adopted("a");
    const first = START_MS - 3_000;
    s.store.commit(
      makeBatch(s.store, START_MS, [
        message(stream, 1, first),
        message(stream, 2, first - 5_000),
      ]),
    );
    s.settle(START_MS + MINUTE_MS);
    s.settle(START_MS + HOUR_MS);
    assert.deepEqual(s.reader.keptSince(), {
      rawMs: 0,
      minuteMs: 0,
      hourMs: 0,
      orphans: new Map(),
    });
    const day7 = START_MS + 7 * DAY_MS;
    s.store.commit(makeBatch(s.store, day7, [message(stream, 3, day7)]));
    s.settle(day7);
    assert.deepEqual(sinceOf(s), [0, 0, 0]);
    s.settle(day7 + 1);
    assert.deepEqual(sinceOf(s), [first, 0, 0]);
    s.settle(START_MS + MINUTE_MS + 30 * DAY_MS + 1);
    // The window of day 7 is still raw's business only once its own week is over, which it is.
    assert.deepEqual(sinceOf(s), [day7, START_MS, 0]);
    s.settle(START_MS + HOUR_MS + 400 * DAY_MS + 1);
    assert.deepEqual(sinceOf(s), [day7, day7, START_MS]);
    // It outlives the process, and never goes back: what comes late is older.
    s.reopen();
    const nowMs = START_MS + 401 * DAY_MS;
    s.store.commit(makeBatch(s.store, nowMs, [message(stream, 4, START_MS + DAY_MS)]));
    s.settle(nowMs + MINUTE_MS);
    s.settle(nowMs + 8 * DAY_MS);
    assert.deepEqual(sinceOf(s).slice(0, 2), [day7, day7]);
  }),
);

test(
  "keptSince() by size: of each tier all that ends later is there, and what ends then is not",
  scene((s) => {
    const stream = s.adopted("a");
    const rows = Array.from({ length: 3_000 }, (_, n) => ({
      ...ROW,
      srcPort: n * 7 % 65_536,
      dstPort: n,
      counters: [BigInt(n), BigInt(n * n * 7_919 % 99_991), 1n, 2n] as const,
    }));
    for (let n = 0; n < 20; n++) {
      const endMs = START_MS + n * 10 * MINUTE_MS;
      s.store.commit(makeBatch(s.store, endMs, [message(stream, n + 1, endMs, rows)]));
    }
    const nowMs = START_MS + 6 * HOUR_MS;
    s.settle(nowMs);
    s.settle(nowMs + 10 * MINUTE_MS);
    s.reopen();
    const all = TIERS.map((tier) => [...new Set(ends(s, tier))]);
    const before = s.store.sizeBytes();
    let partial = 0;
    for (const share of [2, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]) {
      s.reopen({ kept: { bytesMax: Math.max(1, before * share) } });
      s.settle(nowMs + 20 * MINUTE_MS);
      for (const [index, sinceMs] of sinceOf(s).entries()) {
        const left = [...new Set(ends(s, TIERS[index]))];
        assert.deepEqual(left, all[index].filter((endMs) => endMs > sinceMs), TIERS[index]);
        if (sinceMs > 0) assert.ok(all[index].includes(sinceMs), "an end that was there");
        if (left.length > 0 && left.length < all[index].length) partial++;
      }
    }
    assert.ok(partial >= 3, `only ${partial} times a part of a tier went`);
    assert.deepEqual(sinceOf(s), all.map((each) => each.at(-1)));
  }),
);

test(
  "keptSince(): a clock that is years ahead does not make all the log look deleted",
  scene((s) => {
    const stream = s.adopted("a");
    const lie = START_MS + 3_000 * DAY_MS;
    s.store.commit(makeBatch(s.store, START_MS, [message(stream, 1, lie)]));
    s.store.commit(
      makeBatch(s.store, START_MS + 1, [message(stream, 2, START_MS + KEPT_AHEAD_MS - 1)]),
    );
    s.settle(START_MS + HOUR_MS);
    s.settle(START_MS + 7 * DAY_MS + 1);
    assert.deepEqual(sinceOf(s), [START_MS + KEPT_AHEAD_MS, 0, 0]);
    // Behind its receipt by no more than that it is believed.
    s.settle(START_MS + 7 * DAY_MS + 2);
    assert.deepEqual(sinceOf(s), [START_MS + KEPT_AHEAD_MS, 0, 0]);
  }),
);

test(
  "keptSince() tells of orphans by stream, through their adoption, until they are forgotten",
  scene((s) => {
    const orphan = s.store.stream("c", "b".repeat(64), START_MS).number;
    const other = s.store.stream("c", "d".repeat(64), START_MS).number;
    const later = START_MS + ORPHAN_KEPT_MS;
    s.store.commit(
      makeBatch(s.store, START_MS, [message(orphan, 1, START_MS), message(other, 1, START_MS - 9)]),
    );
    // Older, but it goes after the other.
    s.store.commit(makeBatch(s.store, START_MS, [message(orphan, 3, START_MS - 5_000)]));
    s.store.commit(makeBatch(s.store, later, [message(orphan, 2, later)]));
    s.settle(later);
    assert.equal(s.reader.keptSince().orphans.size, 0);
    s.settle(later + 1);
    const expected: KeptSince = {
      rawMs: 0,
      minuteMs: 0,
      hourMs: 0,
      orphans: new Map([[orphan, START_MS], [other, START_MS - 9]]),
    };
    assert.deepEqual(s.reader.keptSince(), expected);
    s.store.adopt("c", "b".repeat(64), later);
    s.settle(later + 3 * HOUR_MS);
    assert.deepEqual([...s.reader.keptSince().orphans], [[orphan, START_MS]]);
  }),
);

test(
  "atOnce() sees one state, whatever the writer does meanwhile, and throws what was thrown",
  scene((s) => {
    const stream = s.adopted("a");
    s.store.commit(makeBatch(s.store, START_MS, [message(stream, 1, START_MS)]));
    s.settle(START_MS + MINUTE_MS);
    const reader = openSqliteReader(s.path);
    const [before, size] = reader.atOnce(() => {
      const { rawMs } = reader.keptSince();
      s.settle(START_MS + 8 * DAY_MS);
      return [rawMs, scanSums(reader, "raw").size];
    });
    assert.deepEqual([before, size], [0, 1]);
    assert.deepEqual([reader.keptSince().rawMs, scanSums(reader, "raw").size], [START_MS, 0]);
    const error = new TypeError("own");
    assert.throws(() =>
      reader.atOnce(() => {
        throw error;
      }), (thrown) => thrown === error);
    assert.equal(reader.atOnce(() => reader.lastEntry()), 1);
    reader.close();
  }),
);

test(
  "scan() and totals(): windows are as long as they are, whether labels start 1 ns behind the end before or not",
  scene((s) => {
    const stream = s.adopted("a");
    const ms = (value: number) => BigInt(Math.round(value * 1e6));
    const startNs = BigInt(START_MS) * 1_000_000n;
    const cases = [
      [startNs + 1n, startNs + ms(5_000), 0],
      [startNs + ms(5_000), startNs + ms(10_000), 5_000],
      [startNs + ms(10_000.25) + 1n, startNs + ms(15_000.25), 10_001],
      [startNs + ms(15_001), startNs + ms(20_000.5), 15_001],
    ] as const;
    const messages = cases.map(([from, to], index) => ({
      ...message(stream, index + 1, START_MS),
      startNs: from,
      endNs: to,
    }));
    s.store.commit(makeBatch(s.store, START_MS, messages));
    const expected = cases.map(([, , offsetMs]) => START_MS + offsetMs);
    const scanned: number[] = [];
    const range = { fromMs: 0, toMs: START_MS + HOUR_MS };
    s.reader.scan({ ...range, tier: "raw" }, ({ startMs, endMs }) => {
      scanned.push(startMs);
      if (scanned.length <= 3) assert.equal(endMs - startMs, 5_000);
    });
    assert.deepEqual(scanned, expected);
    const totals = s.reader.totals({ ...range, step: "window" });
    assert.deepEqual(totals.map(({ startMs }) => startMs), expected);
  }),
);
