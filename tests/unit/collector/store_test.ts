/** The store over SQLite: entries once and as they came, buckets, processes, gaps, addresses. Sums: store_property_test.ts. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { NO_SUMS } from "../../../src/logtail/mod.ts";
import { parseAddress, parsePrefix, prefixContains } from "../../../src/packet/mod.ts";
import { EVER, makeBatch, scanSums, sumsOf, totalSums } from "../../support/store_batches.ts";
import { HOUR_MS, message, MINUTE_MS, other, ROW, scene, START_MS } from "./store_support.ts";

test(
  "commit() takes a repetition for one, within a batch and later, but nothing without a number",
  scene((s) => {
    const stream = s.adopted("a");
    const first = message(stream, 1, START_MS);
    const commit = (...messages: ReturnType<typeof message>[]) =>
      s.store.commit(makeBatch(s.store, START_MS, messages));
    assert.deepEqual(commit(first, first), { stored: 1, repeated: 1, rows: 1 });
    assert.deepEqual(commit(first), { stored: 0, repeated: 1, rows: 0 });
    assert.deepEqual(commit({ ...first, clientTimeNs: 5n }), { stored: 1, repeated: 0, rows: 1 });
    assert.deepEqual(commit({ ...first, clientTimeNs: null }), { stored: 1, repeated: 0, rows: 1 });
    assert.deepEqual(commit({ ...first, clientTimeNs: null }), { stored: 0, repeated: 1, rows: 0 });
    assert.deepEqual(commit({ ...first, procId: 8 }), { stored: 1, repeated: 0, rows: 1 });
    const unnamed = { ...first, procSeq: 0 };
    assert.deepEqual(commit(unnamed, unnamed), { stored: 2, repeated: 0, rows: 2 });
    assert.deepEqual([...scanSums(s.reader, "hour").values()], [[6n, 600n, 12n, 12_000n]]);
  }),
);

test(
  "commit() knows a repetition whose first is long deleted",
  scene((s) => {
    const stream = s.adopted("a");
    const old = message(stream, 1, START_MS);
    s.store.commit(makeBatch(s.store, START_MS, [old, message(stream, 3, START_MS)]));
    const laterMs = START_MS + 8 * 24 * HOUR_MS;
    s.settle(laterMs);
    assert.equal(scanSums(s.reader, "raw").size, 0);
    // Number 2 never came.
    const batch = makeBatch(s.store, laterMs, [old, message(stream, 2, START_MS)]);
    assert.deepEqual(s.store.commit(batch), { stored: 1, repeated: 1, rows: 1 });
    assert.deepEqual([...scanSums(s.reader, "hour").values()], [[3n, 300n, 6n, 6_000n]]);
  }),
);

test(
  "a window that ends exactly on the minute belongs to the minute before",
  scene((s) => {
    const stream = s.adopted("a");
    const exact = message(stream, 1, START_MS);
    const after = { ...message(stream, 2, START_MS), endNs: exact.endNs + 1n };
    s.store.commit(makeBatch(s.store, START_MS, [exact, after]));
    const ends = (tier: "raw" | "minute" | "hour") =>
      [...scanSums(s.reader, tier).keys()].map((key) => Number(key.split(" ")[0]) - START_MS);
    for (const _ of ["behind", "rolled up"]) {
      assert.deepEqual(ends("raw").sort(), [0, 1]);
      assert.deepEqual(ends("minute").sort(), [0, MINUTE_MS]);
      assert.deepEqual(ends("hour").sort(), [0, HOUR_MS]);
      // From is exclusive, to inclusive.
      const range = { fromMs: START_MS - MINUTE_MS, toMs: START_MS };
      assert.equal(scanSums(s.reader, "minute", range).size, 1);
      assert.equal(scanSums(s.reader, "minute", { ...range, toMs: START_MS - 1 }).size, 0);
      assert.equal(scanSums(s.reader, "raw", { fromMs: START_MS, toMs: START_MS + 1 }).size, 1);
      s.settle(START_MS + 2 * MINUTE_MS);
    }
  }),
);

test(
  "scan() by sum takes whole hours and minutes at the edges, each row once",
  scene((s) => {
    const stream = s.adopted("a");
    // A window every ten minutes for five hours.
    const messages = Array.from(
      { length: 30 },
      (_, n) => message(stream, n + 1, START_MS + (n + 1) * 10 * MINUTE_MS),
    );
    s.store.commit(makeBatch(s.store, START_MS, messages.slice(0, 20)));
    s.settle(START_MS + 9 * HOUR_MS);
    s.settle(START_MS + 9 * HOUR_MS + 3 * MINUTE_MS);
    s.store.commit(makeBatch(s.store, START_MS + 9 * HOUR_MS, messages.slice(20)));
    const lengths = new Set<number>();
    for (const [from, to] of [[0, 30], [3, 27], [6, 12], [7, 11], [5, 13], [4, 4]]) {
      let rows = 0n;
      const range = {
        fromMs: START_MS + from * 10 * MINUTE_MS,
        toMs: START_MS + to * 10 * MINUTE_MS,
      };
      s.reader.scan({ ...range, tier: "sum" }, ({ startMs, endMs, columns, first, count }) => {
        assert.ok(startMs >= range.fromMs && endMs <= range.toMs);
        lengths.add(endMs - startMs);
        for (let row = first; row < first + count; row++) rows += BigInt(columns.counters[0][row]);
      });
      assert.equal(rows, BigInt(to - from), `${from} .. ${to}`);
    }
    assert.deepEqual([...lengths].sort((a, b) => a - b), [MINUTE_MS, HOUR_MS]);
  }),
);

test(
  "entries() pages through what came, in order, messages with their rows",
  scene((s) => {
    const [a, b] = [s.adopted("a"), s.adopted("b")];
    const rows = [
      { ...ROW, dst: "fd00::1", folded: true, counters: [1n, 2n ** 64n - 1n, 0n, 0n] as const },
      { ...ROW, classCode: 3, proto: 0, src: "", dst: "" },
      { ...ROW, classCode: 4, srcPort: 0 },
    ];
    const text = other(a, 2, "text", `{"text":"naïve \\ud83d\\ude00 😀"}`);
    s.store.commit(makeBatch(s.store, START_MS, [message(a, 1, START_MS, rows)], [text]));
    s.store.commit(makeBatch(s.store, START_MS + 5, [message(b, 1, START_MS, [])]));
    const all = s.reader.entries({ collection: "c", fromMs: 0, after: 0, limit: 10 });
    assert.deepEqual(all.map(({ id, stream, kind }) => [id, stream, kind]), [
      [1, a, "message"],
      [2, a, "text"],
      [3, b, "message"],
    ]);
    assert.equal(
      all[0].json,
      `{"nodeId":"node1","logtail":{"proc_seq":1},"virtualTraffic":[{"proto":6,` +
        `"src":"100.64.0.1:40000","dst":"[fd00::1]:443","txPkts":1,"txBytes":18446744073709551615,` +
        `"folded":true}],"exitTraffic":[{"txPkts":1,"txBytes":100,"rxPkts":2,"rxBytes":2000}],` +
        `"physicalTraffic":[{"proto":6,"src":"100.64.0.1:0","dst":"100.64.0.2:443","txPkts":1,` +
        `"txBytes":100,"rxPkts":2,"rxBytes":2000}]}`,
    );
    assert.equal(all[1].json, text.json);
    assert.equal(all[2].json, `{"nodeId":"node2","logtail":{"proc_seq":1}}`);
    const ids = (query: object) =>
      s.reader.entries({ collection: "c", fromMs: 0, after: 0, limit: 10, ...query })
        .map(({ id }) => id);
    assert.deepEqual(ids({ limit: 1 }), [1]);
    assert.deepEqual(ids({ after: 1, limit: 1 }), [2]);
    assert.deepEqual(ids({ after: 3 }), []);
    assert.deepEqual(ids({ streams: [b] }), [3]);
    assert.deepEqual(ids({ fromMs: START_MS + 1 }), [3]);
    assert.deepEqual(ids({ fromMs: START_MS + 6 }), []);
    assert.deepEqual(ids({ toMs: START_MS + 5 }), [1, 2]);
    assert.deepEqual(ids({ collection: "other" }), []);
    assert.equal(s.reader.lastEntry(), 3);
  }),
);

test(
  "message() and windows() say what came, to the ns",
  scene((s) => {
    const stream = s.adopted("a");
    const odd = { ...message(stream, 4, START_MS), startNs: -62135596800000000000n, endNs: -1n };
    const batch = makeBatch(s.store, START_MS + 7, [message(stream, 1, START_MS), odd]);
    const [first, second] = batch.entries;
    s.store.commit({
      ...batch,
      entries: [first, { ...second, part: 2, parts: 3 } as typeof second],
    });
    const [early, late] = s.reader.windows(stream, EVER.fromMs, EVER.toMs);
    assert.deepEqual([early.startNs, early.endNs], [odd.startNs, -1n]);
    assert.deepEqual([early.part, early.parts, early.procSeq], [2, 3, 4]);
    assert.deepEqual([late.part, late.parts, late.receivedMs], [1, 1, START_MS + 7]);
    assert.deepEqual(late.sums, sumsOf([ROW]));
    const found = s.reader.message(early.id)!;
    assert.equal(found.columns.counters[3][found.first], 2_000);
    assert.equal(found.first, 1);
    assert.equal(found.restJson, `{"nodeId":"node1","logtail":{"proc_seq":4}}`);
    assert.equal(s.reader.message(99), null);
    assert.deepEqual(s.reader.windows(stream + 1, EVER.fromMs, EVER.toMs), []);
  }),
);

test(
  "message() finds each one's text, however many segments take turns",
  scene((s) => {
    const stream = s.adopted("a");
    const SEGMENTS = 20;
    // A segment a commit, of two entries.
    for (let number = 0; number < SEGMENTS; number++) {
      const pair = [2 * number + 1, 2 * number + 2];
      s.store.commit(
        makeBatch(s.store, START_MS, pair.map((each) => message(stream, each, START_MS))),
      );
    }
    const { reader } = s;
    for (const turns of [1, 3, SEGMENTS]) {
      for (let step = 0; step < 4 * SEGMENTS; step++) {
        const id = 2 * ((step * 7) % turns) + 1 + (step & 1);
        assert.match(reader.message(id)!.restJson, new RegExp(`"proc_seq":${id}}`));
      }
    }
  }),
);

test("processes() names exactly the numbers that did not come, in any order of coming", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.integer({ min: 1, max: 25 }), { maxLength: 6 }), { maxLength: 8 }),
      scenes((s, batches: number[][]) => {
        const stream = s.adopted("a");
        const came = new Set<number>();
        for (const numbers of batches) {
          const messages = numbers.map((n) => message(stream, n, START_MS + n * 5_000));
          s.store.commit(makeBatch(s.store, START_MS, messages));
          for (const number of numbers) came.add(number);
          if (numbers.length === 3) s.reopen();
        }
        const states = s.reader.processes();
        assert.equal(states.length, came.size === 0 ? 0 : 1);
        if (came.size === 0) return;
        const [state] = states;
        assert.deepEqual([state.firstSeq, state.lastSeq], [Math.min(...came), Math.max(...came)]);
        assert.equal(state.received, came.size);
        const missing = state.missing.flatMap(({ firstSeq, lastSeq }) =>
          Array.from({ length: lastSeq - firstSeq + 1 }, (_, n) => firstSeq + n)
        );
        const expected = Array.from(
          { length: state.lastSeq - state.firstSeq },
          (_, n) => state.firstSeq + n,
        ).filter((n) => !came.has(n));
        assert.deepEqual(missing, expected);
        for (const { firstSeq, lastSeq, afterNs, beforeNs } of state.missing) {
          assert.equal(afterNs, message(stream, 0, START_MS + (firstSeq - 1) * 5_000).endNs);
          assert.equal(beforeNs, message(stream, 0, START_MS + (lastSeq + 1) * 5_000).startNs);
        }
      }),
    ),
    { seed: 4, numRuns: 25 },
  );
});

/** As scene(), for properties. */
function scenes<T>(run: (s: Parameters<Parameters<typeof scene>[0]>[0], value: T) => void) {
  return (value: T) => scene((s) => run(s, value))();
}

test(
  "processes() keeps the report with the highest number",
  scene((s) => {
    const stream = s.adopted("a");
    const report = (n: number) => other(stream, n, "report", `{"n":${n}}`);
    for (const numbers of [[2], [5, 3]]) {
      s.store.commit(makeBatch(s.store, START_MS, [], numbers.map(report)));
    }
    const [state] = s.reader.processes();
    assert.equal(state.reportJson, `{"n":5}`);
    assert.deepEqual([state.firstStartNs, state.lastEndNs, state.received], [null, null, 3]);
  }),
);

test(
  "gaps() says what was declared, as long as hours are kept",
  scene((s) => {
    const stream = s.adopted("a");
    const gap = {
      cause: "full" as const,
      procId: 7,
      firstSeq: 3,
      lastSeq: 4,
      entries: 2,
      startNs: BigInt(START_MS) * 1_000_000n + 1n,
      endNs: BigInt(START_MS + 5_000) * 1_000_000n,
      sums: sumsOf([{ ...ROW, counters: [2n ** 64n, 1n, 0n, 0n] }]),
      offered: true,
    };
    const unknown = { ...gap, cause: "killed" as const, sums: null, offered: false };
    const entry = other(stream, 1, "gap", `{"gap":{}}`, [gap, unknown]);
    s.store.commit(makeBatch(s.store, START_MS, [], [entry, entry]));
    const stored = { stream, entry: 1, receivedMs: START_MS };
    const expected = [{ ...gap, ...stored }, { ...unknown, ...stored }];
    assert.deepEqual(s.reader.gaps(EVER.fromMs, EVER.toMs), expected);
    assert.deepEqual(s.reader.gaps(START_MS + 4_999, EVER.toMs), expected);
    assert.deepEqual(s.reader.gaps(START_MS + 5_000, EVER.toMs), []);
    assert.deepEqual(s.reader.gaps(EVER.fromMs, START_MS), []);
    s.settle(START_MS + 8 * 24 * HOUR_MS);
    assert.deepEqual(s.reader.gaps(EVER.fromMs, EVER.toMs), expected);
    assert.deepEqual(s.reader.entries({ collection: "c", fromMs: 0, after: 0, limit: 9 }), []);
    s.settle(START_MS + 401 * 24 * HOUR_MS);
    assert.deepEqual(s.reader.gaps(EVER.fromMs, EVER.toMs), []);
    assert.deepEqual(s.reader.processes(), []);
  }),
);

const ADDRESSES = [
  ...["0.0.0.0", "10.0.0.0", "10.255.255.255", "11.0.0.0", "255.255.255.255", "::", "::1"],
  ...["fd00::1", "fd00::ffff", "fd01::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ...["::ffff:10.0.0.1"],
];

test(
  "addresses keep their numbers, and prefixes find them",
  scene((s) => {
    const zoned = "fe80::1%eth0";
    const numbers = [...ADDRESSES, zoned].map((text) => s.store.address(text));
    assert.deepEqual(numbers, numbers.map((_, n) => n + 1));
    assert.equal(s.store.address(""), 0);
    for (const [n, text] of ADDRESSES.entries()) {
      const { addressWords, family } = parseAddress(text)!;
      assert.equal(s.store.addressOfWords(addressWords, 0, family), n + 1);
    }
    assert.equal(s.reader.addressNumber("10.0.0.0"), 0, "not committed yet");
    s.store.commit(makeBatch(s.store, START_MS, []));
    s.reopen();
    assert.deepEqual([...ADDRESSES, zoned].map((text) => s.store.address(text)), numbers);
    for (const [n, text] of [...ADDRESSES, zoned].entries()) {
      assert.equal(s.reader.addressText(n + 1), text);
      assert.equal(s.reader.addressNumber(text), n + 1);
    }
    assert.equal(s.reader.addressText(0), "");
    assert.equal(s.reader.addressText(99), "");
    const prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.9.9.9/8", "10.0.0.0/32", "255.255.255.255/32"];
    for (const text of [...prefixes, "128.0.0.0/1", "::/0", "::/128", "fd00::/16", "8000::/1"]) {
      const prefix = parsePrefix(text)!;
      const bits = s.reader.addressesWithin(text);
      for (const [n, address] of ADDRESSES.entries()) {
        const { addressWords, family } = parseAddress(address)!;
        const isWithin = prefixContains(prefix, addressWords, 0, family);
        assert.equal(
          (bits[(n + 1) >> 3] >> ((n + 1) & 7) & 1) === 1,
          isWithin,
          `${address} ${text}`,
        );
      }
    }
    for (const bad of ["10.0.0", "10.0.0.1:80", "10.0.0.1%eth0", "fe80::1%", "fe80::1%a b", "x"]) {
      assert.throws(() => s.store.address(bad), RangeError, bad);
      assert.throws(() => s.reader.addressesWithin(bad), RangeError, bad);
    }
  }, { addressesCachedMax: 2 }),
);

test(
  "a visitor may ask for more, of the state that it goes through",
  scene((s) => {
    const stream = s.adopted("a");
    s.store.commit(makeBatch(s.store, START_MS, [message(stream, 1, START_MS)]));
    const texts: string[] = [];
    s.reader.scan({ ...EVER, tier: "raw" }, ({ columns }) => {
      s.store.commit(makeBatch(s.store, START_MS, [message(stream, 2, START_MS)]));
      texts.push(s.reader.addressText(columns.dst[0]));
      assert.equal(s.reader.lastEntry(), 1);
    });
    assert.deepEqual(texts, ["100.64.0.2"]);
    assert.equal(s.reader.lastEntry(), 2);
  }),
);

test(
  "totals() are of the streams asked for, in order of time",
  scene((s) => {
    const [a, b] = [s.adopted("a"), s.adopted("b")];
    const messages = [
      message(b, 1, START_MS + 5_000),
      message(b, 2, START_MS),
      message(a, 1, START_MS),
    ];
    s.store.commit(makeBatch(s.store, START_MS, messages));
    const steps = s.reader.totals({ ...EVER, step: "window" });
    assert.deepEqual(steps.map(({ stream, endMs }) => [endMs - START_MS, stream]), [
      [0, a],
      [0, b],
      [5_000, b],
    ]);
    assert.deepEqual(steps[0].sums, { ...NO_SUMS, virtual: sumsOf([ROW]).virtual });
    const ofA = s.reader.totals({ ...EVER, step: "minute", streams: [a] });
    assert.deepEqual(ofA.map(({ stream }) => stream), [a]);
    assert.equal(totalSums(s.reader, "hour").size, 3);
  }),
);
