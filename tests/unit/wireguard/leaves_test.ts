// Goal: the small parts: message layouts, timestamps, tables, heap, limiter, load gauge, timing.
// Method: inverses, models made of a Map or a sorted array, examples on both sides of each limit.
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { equalConstantTime, isAllZero, mapKey } from "../../../src/wireguard/bytes.ts";
import { DeadlineHeap } from "../../../src/wireguard/deadline_heap.ts";
import { IndexTable } from "../../../src/wireguard/index_table.ts";
import { Jitter } from "../../../src/wireguard/jitter.ts";
import { LIMITER_BURST, SourceLimiter } from "../../../src/wireguard/limiter.ts";
import { LoadGauge } from "../../../src/wireguard/load_gauge.ts";
import {
  COOKIE_BYTES,
  emitCookieReply,
  emitInitiation,
  emitResponse,
  INITIATION_BYTES,
  MESSAGE,
  messageKind,
  NOT_A_MESSAGE,
  parseCookieReply,
  parseInitiation,
  parseResponse,
  RESPONSE_BYTES,
} from "../../../src/wireguard/messages.ts";
import {
  compareTimestamps,
  TIMESTAMP_GRAIN_NS,
  TimestampSource,
  writeTimestamp,
} from "../../../src/wireguard/tai64n.ts";
import { completeTiming, DEFAULT_TIMING } from "../../../src/wireguard/timing.ts";
import { COUNTER_BY_RECEIVE, RECEIVE, RECEIVE_REJECTED } from "../../../src/wireguard/status.ts";
import { COUNTER_INFO, COUNTER_NAMES } from "../../../src/counters.ts";
import { HANDSHAKES_CALM_PER_SECOND, LIMITER_SLOTS } from "../../../src/limits.ts";
import { ENDPOINT, ENDPOINT_WORDS } from "../../../src/ports.ts";
import { hex, hexText } from "../../support/hex.ts";

const SEED = 2;
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const word = fc.integer({ min: 0, max: 0xffffffff });
/** Records as object literals make them: strict equality looks at the prototype. */
const PLAIN = { noNullPrototype: true };

// ---- Bytes --------------------------------------------------------------------------------------------------------

test("equalConstantTime() tells any single differing bit and any other length", () => {
  const a = Uint8Array.from({ length: 16 }, (_, index) => index * 7);
  assert.ok(equalConstantTime(a, a.slice()));
  for (let bit = 0; bit < 128; bit++) {
    const b = a.slice();
    b[bit >> 3] ^= 1 << (bit & 7);
    assert.ok(!equalConstantTime(a, b), `bit ${bit}`);
  }
  assert.ok(!equalConstantTime(a, a.subarray(1)));
});

test("isAllZero() sees each byte", () => {
  assert.ok(isAllZero(new Uint8Array(32)));
  for (let index = 0; index < 32; index++) {
    const some = new Uint8Array(32);
    some[index] = 1;
    assert.ok(!isAllZero(some));
  }
});

test("mapKey() is the same for the same bytes only", () => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (a, b) => {
      assert.equal(mapKey(a), mapKey(a.slice()));
      assert.equal(mapKey(a) === mapKey(b), hexText(a) === hexText(b));
    }),
    { seed: SEED },
  );
});

// ---- Messages -----------------------------------------------------------------------------------------------------

test("messages: parse is the inverse of emit, and emit of parse but for the macs", () => {
  const initiation = fc.record({
    senderIndex: word,
    ephemeral: bytes(32),
    sealedStatic: bytes(48),
    sealedTimestamp: bytes(28),
  }, PLAIN);
  const response = fc.record({
    senderIndex: word,
    receiverIndex: word,
    ephemeral: bytes(32),
    sealedEmpty: bytes(16),
  }, PLAIN);
  const cookie = fc.record(
    { receiverIndex: word, nonce: bytes(24), sealedCookie: bytes(32) },
    PLAIN,
  );
  fc.assert(
    fc.property(initiation, response, cookie, (first, second, third) => {
      const buffer = new Uint8Array(INITIATION_BYTES).fill(0xee);
      emitInitiation(first, buffer);
      assert.deepEqual(parseInitiation(buffer), first);
      emitResponse(second, buffer.subarray(0, RESPONSE_BYTES).fill(0xee));
      assert.deepEqual(parseResponse(buffer), second);
      emitCookieReply(third, buffer.subarray(0, COOKIE_BYTES).fill(0xee));
      assert.deepEqual(parseCookieReply(buffer), third);
    }),
    { seed: SEED },
  );
});

test("emitInitiation() lays out fields as whitepaper §5.4.2 does", () => {
  const output = new Uint8Array(INITIATION_BYTES).fill(0xee);
  emitInitiation({
    senderIndex: 0x04030201,
    ephemeral: new Uint8Array(32).fill(0xaa),
    sealedStatic: new Uint8Array(48).fill(0xbb),
    sealedTimestamp: new Uint8Array(28).fill(0xcc),
  }, output);
  const expected = hex(`
    01 00 00 00   # type, reserved
    01 02 03 04   # sender, little endian
    ${"aa".repeat(32)} ${"bb".repeat(48)} ${"cc".repeat(28)}
    ${"00".repeat(32)} # mac1, mac2`);
  assert.deepEqual(output, expected);
});

test("messageKind() takes each type at its own length only", () => {
  const lengths: Record<number, (length: number) => boolean> = {
    [MESSAGE.INITIATION]: (length) => length === 148,
    [MESSAGE.RESPONSE]: (length) => length === 92,
    [MESSAGE.COOKIE]: (length) => length === 64,
    [MESSAGE.DATA]: (length) => length >= 32,
  };
  const view = new DataView(new ArrayBuffer(2048));
  for (let type = 0; type < 256; type++) {
    view.setUint8(7, type);
    for (const length of [0, 1, 3, 4, 31, 32, 33, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1500]) {
      const expected = lengths[type]?.(length) === true ? type : NOT_A_MESSAGE;
      assert.equal(messageKind(view, 7, length), expected, `type ${type}, ${length} bytes`);
    }
  }
});

test("messageKind() refuses reserved bytes other than zero", () => {
  for (const index of [1, 2, 3]) {
    const view = new DataView(new ArrayBuffer(200));
    view.setUint8(0, MESSAGE.DATA);
    assert.equal(messageKind(view, 0, 100), MESSAGE.DATA);
    view.setUint8(index, 1);
    assert.equal(messageKind(view, 0, 100), NOT_A_MESSAGE);
  }
});

// ---- Timestamps ---------------------------------------------------------------------------------------------------

test("writeTimestamp() writes 2^62 + 10 + seconds, then nanoseconds", () => {
  const output = new Uint8Array(12);
  writeTimestamp(output, 0x5b000000, 0x01000000);
  assert.deepEqual(output, hex("40000000 5b00000a 01000000"));
  // Past 2106, when seconds need 33 bits.
  writeTimestamp(output, 2 ** 32, 0);
  assert.deepEqual(output, hex("40000001 0000000a 00000000"));
});

test("TimestampSource rounds down to 2^24 ns", () => {
  const output = new Uint8Array(12);
  new TimestampSource().next(output, 1_700_000_000_040);
  const nanoseconds = new DataView(output.buffer).getUint32(8);
  assert.equal(nanoseconds, 2 * TIMESTAMP_GRAIN_NS);
  assert.ok(nanoseconds <= 40e6);
});

test("TimestampSource rises strictly whatever the clock does", () => {
  const clock = fc.oneof(
    fc.integer({ min: -5, max: 40 }),
    fc.constantFrom(0, -1e9, -3_600_000, 1e9),
    fc.double({ min: -100, max: 100, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(clock, { minLength: 2, maxLength: 200, size: "max" }), (steps) => {
      const source = new TimestampSource();
      let wallMs = 1.7e12;
      let before = new Uint8Array(12);
      for (const step of steps) {
        wallMs = Math.max(0, wallMs + step);
        const output = new Uint8Array(12);
        source.next(output, wallMs);
        assert.ok(compareTimestamps(output, before) > 0);
        assert.ok(compareTimestamps(before, output) < 0);
        assert.ok(new DataView(output.buffer).getUint32(8) < 1e9);
        before = output;
      }
    }),
    { seed: SEED },
  );
});

// ---- Tables -------------------------------------------------------------------------------------------------------

test("IndexTable equals a Map, collisions and removals included", () => {
  // Few low bits, so that probes run into one another, and the table's ends, so that they wrap.
  const index = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.constantFrom(0, 1, 14, 15, 255)).map(
    ([high, low]) => ((high * 0x0fffff00 + low) >>> 0) || 7,
  );
  let longest = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), index), { maxLength: 300, size: "max" }),
      (steps) => {
        const table = new IndexTable<number>();
        const model = new Map<number, number>();
        steps.forEach(([isAdd, key], step) => {
          if (isAdd && !model.has(key)) {
            table.add(key, step);
            model.set(key, step);
          } else if (!isAdd) {
            table.remove(key);
            model.delete(key);
          }
          assert.equal(table.count, model.size);
          assert.equal(table.get(key), model.get(key) ?? null);
          longest = Math.max(longest, model.size);
        });
        for (const [, key] of steps) {
          assert.equal(table.get(key), model.get(key) ?? null);
          assert.equal(table.get(key | 0), model.get(key) ?? null, "signed");
        }
        assert.equal(table.get(0), null);
      },
    ),
    { seed: SEED, numRuns: 300 },
  );
  assert.ok(longest > 40, `never more than ${longest} entries`);
});

test("DeadlineHeap equals a sorted list", () => {
  const step = fc.tuple(
    fc.integer({ min: 0, max: 60 }),
    fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(Infinity)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
      const heap = new DeadlineHeap();
      const model = new Map<number, number>();
      for (const [slot, timeMs] of steps) {
        heap.set(slot, timeMs);
        if (timeMs === Infinity) model.delete(slot);
        else model.set(slot, timeMs);
        const earliest = Math.min(Infinity, ...model.values());
        assert.equal(heap.count, model.size);
        assert.equal(heap.earliestMs, earliest);
        if (model.size > 0) assert.equal(model.get(heap.earliestSlot), earliest);
      }
      const drained: number[] = [];
      while (heap.count > 0) {
        drained.push(heap.earliestMs);
        heap.set(heap.earliestSlot, Infinity);
      }
      assert.deepEqual(drained, [...model.values()].sort((a, b) => a - b));
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test("Jitter stays within its bounds, differs, and survives seed 0", () => {
  for (const seed of [0, 1, 0xffffffff]) {
    const jitter = new Jitter(seed);
    const drawn = Array.from({ length: 1000 }, () => jitter.nextMs(333));
    assert.ok(drawn.every((ms) => ms >= 0 && ms < 333));
    assert.ok(new Set(drawn).size > 990);
    const mean = drawn.reduce((sum, ms) => sum + ms, 0) / drawn.length;
    assert.ok(Math.abs(mean - 166.5) < 20, `mean ${mean}`);
  }
});

// ---- Limiter and load ---------------------------------------------------------------------------------------------

function source(family: 4 | 6, address: readonly number[]): Uint32Array {
  const words = new Uint32Array(ENDPOINT_WORDS);
  words[ENDPOINT.FAMILY] = family;
  words.set(address, ENDPOINT.ADDRESS);
  words[ENDPOINT.PORT] = 1;
  return words;
}

/** Messages of `from` at one time that the limiter lets through. */
function allowed(limiter: SourceLimiter, from: Uint32Array, nowMs: number, tries = 50): number {
  let count = 0;
  for (let index = 0; index < tries; index++) if (limiter.allow(from, 0, nowMs)) count++;
  return count;
}

test("SourceLimiter allows a burst of 5, then 20 a second", () => {
  const limiter = new SourceLimiter(1);
  const from = source(4, [0, 0, 0xffff, 1]);
  assert.equal(allowed(limiter, from, 0), LIMITER_BURST);
  assert.equal(allowed(limiter, from, 49), 0);
  assert.equal(allowed(limiter, from, 50), 1);
  let inOneSecond = 0;
  for (let nowMs = 50; nowMs < 1050; nowMs += 5) inOneSecond += allowed(limiter, from, nowMs, 1);
  assert.ok(inOneSecond >= 19 && inOneSecond <= 20, `${inOneSecond}`);
  assert.equal(allowed(limiter, from, 10_000), LIMITER_BURST);
});

test("SourceLimiter counts IPv4 by address and IPv6 by /64, ports aside", () => {
  const limiter = new SourceLimiter(1);
  const v4 = source(4, [0, 0, 0xffff, 1]);
  assert.equal(allowed(limiter, v4, 0), LIMITER_BURST);
  v4[ENDPOINT.PORT] = 2;
  assert.equal(allowed(limiter, v4, 0), 0);
  assert.equal(allowed(limiter, source(4, [0, 0, 0xffff, 2]), 0), LIMITER_BURST);
  assert.equal(allowed(limiter, source(6, [0x20010db8, 1, 2, 3]), 0), LIMITER_BURST);
  assert.equal(allowed(limiter, source(6, [0x20010db8, 1, 9, 9]), 0), 0);
  assert.equal(allowed(limiter, source(6, [0x20010db8, 2, 2, 3]), 0), LIMITER_BURST);
  // The IPv6 address that looks like the IPv4 one is another source.
  assert.equal(allowed(limiter, source(6, [1, 0, 0, 0]), 0), LIMITER_BURST);
});

test("SourceLimiter looks at the endpoint that it is told to", () => {
  const limiter = new SourceLimiter(1);
  const two = new Uint32Array(2 * ENDPOINT_WORDS);
  two.set(source(4, [0, 0, 0xffff, 1]), 0);
  two.set(source(4, [0, 0, 0xffff, 2]), ENDPOINT_WORDS);
  assert.equal(allowed(limiter, two, 0), LIMITER_BURST);
  assert.ok(limiter.allow(two, ENDPOINT_WORDS, 0));
});

test("SourceLimiter never lets a source through twice as often when the table is full, and recovers", () => {
  const limiter = new SourceLimiter(7);
  let passed = 0;
  for (let address = 0; address < LIMITER_SLOTS * 2; address++) {
    if (limiter.allow(source(4, [0, 0, 0xffff, address]), 0, 0)) passed++;
  }
  assert.ok(passed > LIMITER_SLOTS * 0.8 && passed <= LIMITER_SLOTS, `${passed} passed`);
  // After 50 ms the one token that each took is back, and with it the place.
  assert.equal(allowed(limiter, source(4, [0, 0, 0xffff, 0xabcdef]), 50), LIMITER_BURST);
});

test("LoadGauge needs more than the calm number of handshakes within a second, and holds for one", () => {
  const gauge = new LoadGauge();
  for (let index = 0; index < HANDSHAKES_CALM_PER_SECOND; index++) gauge.note(100 + index);
  assert.ok(!gauge.isUnderLoad(300));
  gauge.note(300);
  assert.ok(gauge.isUnderLoad(300));
  assert.ok(gauge.isUnderLoad(1299));
  assert.ok(!gauge.isUnderLoad(1300));
});

test("LoadGauge stays calm at the calm rate", () => {
  const gauge = new LoadGauge();
  for (let second = 0; second < 5; second++) {
    for (let index = 0; index < HANDSHAKES_CALM_PER_SECOND; index++) {
      gauge.note(second * 1000 + index);
      assert.ok(!gauge.isUnderLoad(second * 1000 + index));
    }
  }
});

test("LoadGauge follows another's judgement", () => {
  const gauge = new LoadGauge();
  gauge.judge(true, 0);
  assert.ok(gauge.isUnderLoad(999));
  assert.ok(!gauge.isUnderLoad(1000));
  gauge.judge(true, 2000);
  gauge.judge(false, 2001);
  assert.ok(!gauge.isUnderLoad(2001));
});

// ---- Timing and status --------------------------------------------------------------------------------------------

test("DEFAULT_TIMING is the whitepaper's", () => {
  const { rekeyAfterTimeMs, rejectAfterTimeMs, rekeyAttemptTimeMs, rekeyTimeoutMs } =
    DEFAULT_TIMING;
  assert.deepEqual(
    [rekeyAfterTimeMs, rejectAfterTimeMs, rekeyAttemptTimeMs, rekeyTimeoutMs],
    [120_000, 180_000, 90_000, 5_000],
  );
  assert.equal(DEFAULT_TIMING.keepaliveTimeoutMs, 10_000);
  assert.ok(Number.isSafeInteger(DEFAULT_TIMING.rejectAfterMessages));
});

test("completeTiming() refuses times that contradict one another", () => {
  const wrong = [
    { rekeyAfterTimeMs: 165_001 },
    { rekeyAttemptTimeMs: 4_999 },
    { rekeyTimeoutMs: 0 },
    { keepaliveTimeoutMs: 0 },
    { cookieLatencyMs: 120_000 },
    { rekeyAfterMessages: 11, rejectAfterMessages: 10 },
    { rejectAfterMessages: 2 ** 53 },
    { rekeyTimeoutJitterMs: -1 },
    { initiationIntervalMs: NaN },
    { rejectAfterTimeMs: Infinity },
  ];
  for (const changes of wrong) {
    assert.throws(() => completeTiming(changes), RangeError, JSON.stringify(changes));
  }
  assert.deepEqual(completeTiming(), DEFAULT_TIMING);
  assert.equal(completeTiming({ rekeyAfterTimeMs: 165_000 }).rekeyAfterTimeMs, 165_000);
});

test("COUNTER_BY_RECEIVE gives each rejection a drop counter of its own", () => {
  const statuses = Object.values(RECEIVE).sort((a, b) => a - b);
  assert.deepEqual(statuses, statuses.map((_, index) => index));
  const counters = statuses.filter((status) => status >= RECEIVE_REJECTED).map((status) =>
    COUNTER_NAMES[COUNTER_BY_RECEIVE[status]]
  );
  assert.equal(new Set(counters).size, counters.length);
  for (const name of counters) assert.equal(COUNTER_INFO[name].kind, "drop");
  for (let status = 0; status < RECEIVE_REJECTED; status++) {
    assert.equal(COUNTER_BY_RECEIVE[status], -1);
  }
});
