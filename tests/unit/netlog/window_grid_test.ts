/**
 * Goal: windows have labels that readers can rely on, whatever the clocks do. Method: one example for each thing that
 * clocks and timers do, then laws over random clocks, in quarters of a millisecond so that sums are exact.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ClockReading, WindowGrid, type WindowLabels } from "../../../src/netlog/mod.ts";

const PERIOD_MS = 5_000;
/** A grid point. */
const GRID_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

/** Both clocks, and a grid that begins now. Times are milliseconds after GRID_MS. */
class Lab {
  nowMs = 1_000;
  wallMs: number;
  readonly grid = new WindowGrid(PERIOD_MS);

  constructor(beginMs: number) {
    this.wallMs = GRID_MS + beginMs;
    this.grid.begin(this.read());
  }

  read(): ClockReading {
    return { nowMs: this.nowMs, wallMs: this.wallMs };
  }

  pass(ms: number): this {
    this.nowMs += ms;
    this.wallMs += ms;
    return this;
  }

  setWall(byMs: number): this {
    this.wallMs += byMs;
    return this;
  }

  open(): number {
    return this.grid.open(this.read());
  }

  close(): Short {
    return short(this.grid.close(this.read()));
  }

  closeLast(): Short {
    return short(this.grid.closeLast(this.read()));
  }

  /** Opens, waits as long as it is told to, closes. */
  whole(lateMs = 0): Short {
    return this.pass(this.open() + lateMs).close();
  }
}

/** Milliseconds of the labels after GRID_MS, the start without its nanosecond; and the length. */
type Short = [startMs: number, endMs: number, lengthMs: number];

function short({ startNs, endNs, lengthMs }: WindowLabels): Short {
  const grid = BigInt(GRID_MS) * 1_000_000n;
  assert.equal((startNs - 1n) % 1_000_000n, 0n);
  assert.equal(endNs % 1_000_000n, 0n);
  return [
    Number((startNs - 1n - grid) / 1_000_000n),
    Number((endNs - grid) / 1_000_000n),
    lengthMs,
  ];
}

test("WindowGrid makes the first window short and the next whole", () => {
  const lab = new Lab(1_234.75);
  assert.equal(lab.pass(65.25).open(), 3_700);
  assert.deepEqual(lab.pass(3_700).close(), [1_234, 5_000, 3_765.25]);
  assert.deepEqual(lab.whole(), [5_000, 10_000, 5_000]);
});

test("WindowGrid starts the next window 1 ns after the end of the one before", () => {
  const lab = new Lab(0);
  const first = lab.grid.close(lab.pass(lab.open()).read());
  const second = lab.grid.close(lab.pass(lab.open()).read());
  assert.equal(first.endNs, BigInt(GRID_MS + 5_000) * 1_000_000n);
  assert.equal(second.startNs, first.endNs + 1n);
  assert.equal(second.startNowMs, first.startNowMs + first.lengthMs);
});

test("WindowGrid rounds the time that is left up, so that a timer is never early", () => {
  assert.equal(new Lab(0.25).open(), 5_000);
  assert.equal(new Lab(4_999).open(), 1);
  assert.equal(new Lab(4_999.75).open(), 1);
  assert.equal(new Lab(5_000).open(), 5_000);
});

test("WindowGrid keeps the planned end when its timer is early all the same", () => {
  const lab = new Lab(0);
  lab.open();
  assert.deepEqual(lab.pass(4_999.75).close(), [0, 5_000, 4_999.75]);
  // The next one opens before the end of the last: it must not be empty.
  assert.equal(lab.open(), 5_001);
  assert.deepEqual(lab.pass(5_001).close(), [5_000, 10_000, 5_001]);
});

test("WindowGrid leaves idle windows out, and idle time out of the length", () => {
  const lab = new Lab(0);
  lab.whole();
  assert.deepEqual(lab.pass(45_007).whole(), [50_000, 55_000, 5_000]);
});

test("WindowGrid counts a wait within the window's own cell into its length", () => {
  const lab = new Lab(0);
  lab.whole();
  assert.deepEqual(lab.pass(4_999).whole(), [5_000, 10_000, 5_000]);
});

test("WindowGrid ends a window whose timer is late at the last grid point passed", () => {
  const lab = new Lab(0);
  assert.deepEqual(lab.whole(4_999), [0, 5_000, 9_999]);
  assert.deepEqual(lab.whole(5_000), [5_000, 15_000, 5_001]);
});

test("WindowGrid says how long a window really was that the machine slept through", () => {
  const lab = new Lab(0);
  lab.open();
  // The monotonic clock stands still during sleep, the wall clock does not.
  assert.deepEqual(lab.pass(2_000).setWall(HOUR_MS).pass(3_000).close(), [
    0,
    HOUR_MS + 5_000,
    5_000,
  ]);
  assert.deepEqual(lab.whole(), [HOUR_MS + 5_000, HOUR_MS + 10_000, 5_000]);
});

test("WindowGrid ends the window under way early when the clock is set forward", () => {
  const lab = new Lab(0);
  lab.open();
  assert.deepEqual(lab.pass(1_000).setWall(7_000).pass(4_000).close(), [0, 10_000, 5_000]);
  assert.deepEqual(lab.whole(), [10_000, 15_000, 3_000]);
});

test("WindowGrid makes one window longer when the clock is set back by less than a period", () => {
  const lab = new Lab(0);
  lab.whole();
  lab.setWall(-3_000);
  assert.deepEqual(lab.whole(), [5_000, 10_000, 8_000]);
  assert.deepEqual(lab.whole(), [10_000, 15_000, 5_000]);
});

test("WindowGrid makes a window as long as two periods, and none longer", () => {
  const exact = new Lab(0);
  exact.whole();
  exact.setWall(-5_000);
  assert.deepEqual(exact.whole(), [5_000, 10_000, 10_000]);
  const more = new Lab(0);
  more.whole();
  more.setWall(-5_000.25);
  assert.deepEqual(more.whole(), [5_000, 5_001, 5_000]);
});

test("WindowGrid lets labels stand still after the clock was set back by hours, until it has caught up", () => {
  const lab = new Lab(0);
  lab.whole();
  lab.setWall(-HOUR_MS);
  const windows = HOUR_MS / PERIOD_MS - 1;
  for (let window = 0; window < windows; window++) {
    assert.deepEqual(lab.whole(), [5_000 + window, 5_001 + window, 5_000]);
  }
  // 5 s behind the label at which it stood still: one window of two periods, and all is as before.
  assert.equal(lab.wallMs, GRID_MS);
  assert.deepEqual(lab.whole(), [5_000 + windows, 10_000, 10_000]);
  assert.deepEqual(lab.whole(), [10_000, 15_000, 5_000]);
});

test("WindowGrid leaves the standstill at once when the clock is set right again", () => {
  const lab = new Lab(0);
  lab.whole();
  lab.setWall(-HOUR_MS).whole();
  lab.open();
  assert.deepEqual(lab.pass(5_000).setWall(HOUR_MS).close(), [5_001, 15_000, 5_000]);
});

test("WindowGrid keeps the planned end when the clock is set back within the window", () => {
  const lab = new Lab(0);
  lab.open();
  assert.deepEqual(lab.pass(2_000).setWall(-HOUR_MS).pass(3_000).close(), [0, 5_000, 5_000]);
  assert.deepEqual(lab.whole(), [5_000, 5_001, 5_000]);
});

test("WindowGrid.closeLast ends now, at least 1 ms behind the start", () => {
  const lab = new Lab(0);
  lab.open();
  assert.deepEqual(lab.pass(700.75).closeLast(), [0, 700, 700.75]);
  assert.deepEqual(lab.pass(0.25).closeLast(), [700, 701, 0.25]);
  assert.deepEqual(lab.closeLast(), [701, 702, 0]);
});

test("WindowGrid.closeLast opens the window that it closes, if none is open", () => {
  const lab = new Lab(0);
  lab.whole();
  assert.deepEqual(lab.pass(2_000).closeLast(), [5_000, 7_000, 2_000]);
  assert.deepEqual(lab.pass(60_500).closeLast(), [65_000, 67_500, 2_500]);
});

test("WindowGrid.closeLast passes the grid when the window's end is over already", () => {
  const lab = new Lab(0);
  assert.deepEqual(lab.pass(lab.open() + 1_500).closeLast(), [0, 6_500, 6_500]);
});

test("WindowGrid.begin forgets all but where the last window ended", () => {
  const lab = new Lab(0);
  lab.whole();
  lab.open();
  lab.pass(1_000).grid.begin(lab.read());
  assert.deepEqual(lab.closeLast(), [6_000, 6_001, 0]);
  lab.setWall(-3_000).grid.begin(lab.read());
  assert.deepEqual(lab.pass(100).closeLast(), [6_001, 6_002, 100]);
});

// ---- Laws -----------------------------------------------------------------------------------------------------------

/** Quarters of a millisecond are exact in floats of this size, sums of them too. */
const quarters = (max: number) => fc.nat(max * 4).map((quarter) => quarter / 4);
const clockStep = fc.oneof(
  { weight: 12, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: quarters(4 * PERIOD_MS).map((ms) => ms - 2 * PERIOD_MS) },
  { weight: 1, arbitrary: quarters(4 * HOUR_MS).map((ms) => ms - 2 * HOUR_MS) },
);
const lateness = fc.oneof(
  { weight: 4, arbitrary: quarters(20) },
  { weight: 1, arbitrary: quarters(3 * PERIOD_MS) },
);
const life = fc.record({
  idleMs: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: quarters(4 * PERIOD_MS) },
  ),
  stepBefore: clockStep,
  stepWithin: clockStep,
  lateMs: lateness,
});

/** How often each way of going on was met. */
const met = { contiguous: 0, idle: 0, standing: 0, longer: 0 };

function gridBefore(wallMs: number): number {
  return Math.floor(wallMs / PERIOD_MS) * PERIOD_MS;
}

interface End {
  readonly endMs: number;
  readonly nowMs: number;
}

/** Lives through one window and holds all laws against it. @returns Its end. */
function liveOne(
  lab: Lab,
  last: End,
  part: typeof life extends fc.Arbitrary<infer T> ? T : never,
): End {
  lab.setWall(part.stepBefore).pass(part.idleMs);
  const openWallMs = lab.wallMs;
  const leftMs = lab.open();
  assert.ok(Number.isInteger(leftMs) && leftMs >= 1 && leftMs <= 2 * PERIOD_MS);
  const closeWallMs = lab.pass(leftMs + part.lateMs).setWall(part.stepWithin).wallMs;
  const labels = lab.grid.close(lab.read());
  const startMs = Number((labels.startNs - 1n) / 1_000_000n);
  const endMs = Number(labels.endNs / 1_000_000n);
  assert.ok(startMs < endMs, "is empty");
  if (gridBefore(openWallMs) <= last.endMs) {
    met.contiguous++;
    assert.equal(startMs, last.endMs, "has a gap in front");
    assert.equal(labels.startNowMs, last.nowMs, "does not count from the end before");
  } else {
    met.idle++;
    assert.equal(startMs, gridBefore(openWallMs), "does not start on the grid after idle time");
    const idleEndMs = lab.nowMs - leftMs - part.lateMs - (openWallMs - startMs);
    assert.equal(labels.startNowMs, Math.max(last.nowMs, idleEndMs));
  }
  assert.ok(labels.startNowMs >= last.nowMs && labels.lengthMs >= 0);
  assert.equal(labels.startNowMs + labels.lengthMs, lab.nowMs, "loses time");
  const isStanding = endMs === startMs + 1;
  assert.ok(endMs % PERIOD_MS === 0 || isStanding, "does not end on the grid");
  const endMsMax = Math.max(openWallMs + 2 * PERIOD_MS, startMs + 1, gridBefore(closeWallMs));
  assert.ok(endMs <= endMsMax, "is further ahead of the clock than it must be");
  if (isStanding) met.standing++;
  if (leftMs > PERIOD_MS) met.longer++;
  return { endMs, nowMs: lab.nowMs };
}

test("WindowGrid: windows follow each other, none empty, none ahead of the clock without need, no time lost", () => {
  const scenario = fc.tuple(quarters(PERIOD_MS), fc.array(life, { maxLength: 40, size: "max" }));
  fc.assert(
    fc.property(scenario, ([beginMs, lives]) => {
      const lab = new Lab(beginMs);
      let end: End = { endMs: Math.floor(lab.wallMs), nowMs: lab.nowMs };
      for (const part of lives) end = liveOne(lab, end, part);
      const labels = lab.pass(100).grid.closeLast(lab.read());
      assert.ok(labels.startNs >= BigInt(end.endMs) * 1_000_000n + 1n);
      assert.ok(labels.endNs > labels.startNs);
    }),
    { seed: 2, numRuns: 500 },
  );
  for (const [name, count] of Object.entries(met)) assert.ok(count > 300, `${name}: ${count}`);
});

test("WindowGrid comes back to the grid after any step of the clock", () => {
  fc.assert(
    fc.property(quarters(PERIOD_MS), quarters(60_000), (beginMs, backMs) => {
      const lab = new Lab(beginMs);
      lab.whole();
      lab.setWall(-backMs);
      for (let window = 0; window < 16; window++) lab.whole();
      const [startMs, endMs, lengthMs] = lab.whole();
      assert.equal(startMs % PERIOD_MS, 0);
      assert.equal(endMs, startMs + PERIOD_MS);
      assert.ok(Math.abs(lengthMs - PERIOD_MS) <= 1);
      assert.ok(endMs <= lab.wallMs - GRID_MS);
    }),
    { seed: 3, numRuns: 200 },
  );
});
