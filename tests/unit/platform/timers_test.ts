/**
 * Goal: timers run never early and never twice, whatever their delay, and can be cancelled at any time. Method: a stand-in
 * for the event loop's setTimeout that treats delays as the real one does: beyond 2^31 - 1 it runs at once.
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { MemoryClock } from "../../../src/platform/memory.ts";
import { openTimers } from "../../../src/platform/timers.ts";

const DELAY_MS_MAX = 2 ** 31 - 1;
const DAY_MS = 86_400_000;

const original = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
let clock = new MemoryClock();
/** Delays that setTimeout was given. */
let delays: number[] = [];

beforeEach(() => {
  clock = new MemoryClock();
  delays = [];
  const cancels = new Map<number, () => void>();
  const set = (run: () => void, delayMs: number): number => {
    delays.push(delayMs);
    cancels.set(
      delays.length,
      clock.schedule(delayMs > DELAY_MS_MAX ? 1 : Math.trunc(delayMs), run),
    );
    return delays.length;
  };
  Object.assign(globalThis, {
    setTimeout: set,
    clearTimeout: (id: number) => cancels.get(id)?.(),
  });
});

afterEach(() => {
  Object.assign(globalThis, original);
});

test("schedule() runs once, after the delay", () => {
  let runs = 0;
  openTimers().schedule(100, () => runs++);
  clock.advance(99);
  assert.equal(runs, 0);
  clock.advance(1);
  assert.equal(runs, 1);
  clock.advance(DAY_MS);
  assert.equal(runs, 1);
});

test("schedule() does not run early by the fraction that setTimeout cuts off", () => {
  let ranMs = 0;
  openTimers().schedule(10.2, () => ranMs = clock.nowMs());
  const startMs = clock.nowMs();
  clock.advance(20);
  assert.equal(ranMs - startMs, 11);
});

test("schedule() takes no time and less than none for at once", () => {
  let runs = 0;
  for (const delayMs of [0, -5]) openTimers().schedule(delayMs, () => runs++);
  assert.equal(runs, 0);
  clock.advance(0);
  assert.equal(runs, 2);
});

test("schedule() waits in steps where setTimeout would run at once", () => {
  const longMs = [DELAY_MS_MAX, DELAY_MS_MAX + 1, 3 * DELAY_MS_MAX + 0.5, 365 * DAY_MS];
  for (const delayMs of longMs) {
    let runs = 0;
    delays = [];
    openTimers().schedule(delayMs, () => runs++);
    clock.advance(Math.ceil(delayMs) - 1);
    assert.equal(runs, 0, `${delayMs}`);
    clock.advance(1);
    assert.equal(runs, 1, `${delayMs}`);
    assert.equal(delays.length, Math.ceil(delayMs / DELAY_MS_MAX));
    assert.ok(delays.every((each) => each <= DELAY_MS_MAX));
  }
});

test("schedule() can be cancelled in every step, and afterwards without harm", () => {
  for (const beforeMs of [0, DELAY_MS_MAX - 1, DELAY_MS_MAX, 2 * DELAY_MS_MAX + 1]) {
    let runs = 0;
    const cancel = openTimers().schedule(3 * DELAY_MS_MAX, () => runs++);
    clock.advance(beforeMs);
    cancel();
    cancel();
    assert.equal(clock.nextDueMs, Infinity);
    clock.advance(4 * DELAY_MS_MAX);
    assert.equal(runs, 0);
  }
  let runs = 0;
  const cancel = openTimers().schedule(1, () => runs++);
  clock.advance(1);
  cancel();
  assert.equal(runs, 1);
});

test("schedule() never runs what is due never", () => {
  let runs = 0;
  const cancel = openTimers().schedule(Infinity, () => runs++);
  clock.advance(10 * DELAY_MS_MAX);
  assert.equal(runs, 0);
  cancel();
  assert.equal(clock.nextDueMs, Infinity);
});

test("MemoryClock has no next task when all were cancelled", () => {
  const cancels = [5, 1, 3].map((delayMs) => clock.schedule(delayMs, () => assert.fail()));
  const startMs = clock.nowMs();
  assert.equal(clock.nextDueMs, startMs + 1);
  cancels[1]();
  assert.equal(clock.nextDueMs, startMs + 3);
  cancels[0]();
  cancels[2]();
  assert.equal(clock.nextDueMs, Infinity);
  clock.advance(10);
  assert.equal(clock.nowMs(), startMs + 10);
});
