/**
 * Goal: a disk that fails leaves a hole with an exact edge. Method: a sink that fails when told, windows with known sums, and
 * the lines parsed back; then random failures under the law lines + gap records = what was written + what is still to tell.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CLASS_NAMES, COUNTER_NAMES, Counters } from "../../../src/counters.ts";
import { GAP_RANGES_MAX } from "../../../src/limits.ts";
import { addSums, type LostRange, NO_SUMS, parseGap, sumLost } from "../../../src/logtail/mod.ts";
import {
  ClassTotals,
  CountsSum,
  type LoggedWindow,
  type LoggerTotals,
  type Report,
} from "../../../src/netlog/mod.ts";
import { LineOutput } from "../../../src/node/line_output.ts";
import { lostSums, reportOf } from "../../../src/node/log_output.ts";

class Sink {
  lines: string[] = [];
  isBroken = false;

  write(line: string): void {
    if (this.isBroken) throw new Error("no space left");
    this.lines.push(line);
  }
}

class Lab {
  readonly sink = new Sink();
  readonly warnings: string[] = [];
  readonly output = new LineOutput(this.sink, (message) => void this.warnings.push(message));

  gaps(): LostRange[] {
    return this.sink.lines.filter((line) => line.startsWith('{"gap"')).flatMap(parseGap);
  }
}

/** A window of so many messages; each has `size` packets, and a thousand times as many bytes, of each class. */
function windowOf(number: number, sizes: readonly (number | bigint)[]): LoggedWindow {
  const messages = sizes.map((size, index) => {
    const totals = new ClassTotals();
    for (const [code, sum] of totals.byClass.entries()) {
      const packets = BigInt(size) + BigInt(code);
      sum.addCounts({ txPackets: packets, txBytes: packets * 1_000n, rxPackets: 0n, rxBytes: 1n });
    }
    const bytes = new TextEncoder().encode(`{"window":${number},"part":${index}}`);
    return { bytes, part: index + 1, parts: sizes.length, totals };
  });
  return {
    startNs: BigInt(number) * 5_000_000_000n + 1n,
    endNs: BigInt(number + 1) * 5_000_000_000n,
    messages,
  };
}

const REPORT = {} as Report;

test("LineOutput writes one line for each message and report", () => {
  const { output, sink } = new Lab();
  output.write(windowOf(0, [1, 2]));
  output.writeReport('{"report":1}', REPORT);
  assert.deepEqual(sink.lines, ['{"window":0,"part":0}', '{"window":0,"part":1}', '{"report":1}']);
  assert.deepEqual(output.status(), { lines: 3, linesFailed: 0, lastError: null });
  assert.deepEqual(output.losses(), {
    lost: { output: lostSums(0, NO_SUMS) },
    waitingEntries: 0,
  });
});

test("LineOutput says once that it cannot write, and again when it has been able in between", () => {
  const { output, sink, warnings } = new Lab();
  sink.isBroken = true;
  for (let window = 0; window < 3; window++) output.write(windowOf(window, [1]));
  assert.deepEqual(warnings, ["Cannot write the flow log: no space left"]);
  assert.equal(output.status().lastError, "no space left");
  sink.isBroken = false;
  output.write(windowOf(3, [1]));
  assert.equal(output.status().lastError, null);
  sink.isBroken = true;
  output.write(windowOf(4, [1]));
  assert.equal(warnings.length, 2);
});

test("LineOutput puts a gap record with exact sums before the first line that can be written", () => {
  const lab = new Lab();
  const { output, sink } = lab;
  output.write(windowOf(0, [1]));
  sink.isBroken = true;
  output.write(windowOf(1, [2n ** 53n, 5]));
  output.write(windowOf(2, [7]));
  sink.isBroken = false;
  output.write(windowOf(3, [11, 12]));
  const kinds = sink.lines.map((line) => line.slice(0, 12));
  assert.deepEqual(kinds, ['{"window":0,', '{"gap":{"sta', '{"window":3,', '{"window":3,']);
  const gaps = lab.gaps();
  const { entries, sums, complete } = sumLost(gaps);
  assert.deepEqual([entries, complete], [3, true]);
  for (const [code, name] of CLASS_NAMES.entries()) {
    const packets = 2n ** 53n + 5n + 7n + 3n * BigInt(code);
    assert.deepEqual(sums[name], {
      txPackets: packets,
      txBytes: packets * 1_000n,
      rxPackets: 0n,
      rxBytes: 3n,
    });
  }
  assert.deepEqual(new Set(gaps.map(({ cause }) => cause)), new Set(["output"]));
  assert.equal(gaps[0].startNs, 5_000_000_001n);
  assert.equal(gaps.at(-1)!.endNs, 15_000_000_000n);
  assert.deepEqual(output.status(), { lines: 4, linesFailed: 3, lastError: null });
  // Once told, they are not told again; but they stay in the report.
  output.write(windowOf(4, [1]));
  assert.equal(lab.gaps().length, gaps.length);
  assert.deepEqual(output.losses().lost, { output: lostSums(entries, sums) });
});

test("LineOutput takes a report that could not be written for no loss", () => {
  const lab = new Lab();
  lab.sink.isBroken = true;
  lab.output.writeReport("{}", REPORT);
  lab.sink.isBroken = false;
  lab.output.write(windowOf(0, [1]));
  assert.deepEqual(lab.sink.lines, ['{"window":0,"part":0}']);
  assert.equal(lab.output.losses().lost.output.entries, 0);
});

test("LineOutput tells of losses before a report, and when it is closed", async () => {
  for (const how of ["report", "close"]) {
    const lab = new Lab();
    lab.sink.isBroken = true;
    lab.output.write(windowOf(0, [1]));
    lab.sink.isBroken = false;
    if (how === "report") lab.output.writeReport('{"report":1}', REPORT);
    else assert.equal(await lab.output.close(), 0);
    assert.equal(lab.gaps().length, 1);
    assert.deepEqual(lab.sink.lines.slice(1), how === "report" ? ['{"report":1}'] : []);
    await lab.output.close();
    assert.equal(lab.gaps().length, 1);
  }
});

test("LineOutput loses the line whose gap record can be written, but which itself cannot", () => {
  const lab = new Lab();
  const { output, sink } = lab;
  sink.isBroken = true;
  output.write(windowOf(0, [1]));
  sink.isBroken = false;
  const { write } = sink;
  sink.write = function (line) {
    write.call(this, line);
    this.isBroken = true;
  };
  output.write(windowOf(1, [1]));
  assert.equal(lab.gaps().length, 1);
  sink.isBroken = false;
  output.write(windowOf(2, [1]));
  assert.deepEqual(lab.gaps().map(({ startNs }) => startNs), [1n, 5_000_000_001n]);
});

test("LineOutput: lines and gap records together hold every message, to the byte", () => {
  let gapRecords = 0;
  const step = fc.record({
    isBroken: fc.boolean(),
    sizes: fc.array(fc.oneof(fc.nat(1_000), fc.bigInt({ min: 2n ** 53n, max: 2n ** 60n })), {
      minLength: 1,
      maxLength: 3,
    }),
    reports: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      const lab = new Lab();
      let offered = NO_SUMS;
      let written = NO_SUMS;
      for (const [number, { isBroken, sizes, reports }] of steps.entries()) {
        lab.sink.isBroken = isBroken;
        const window = windowOf(number, sizes);
        lab.output.write(window);
        for (const { totals, bytes } of window.messages) {
          offered = addSums(offered, totals.sums());
          const line = new TextDecoder().decode(bytes);
          if (lab.sink.lines.includes(line)) written = addSums(written, totals.sums());
        }
        if (reports) lab.output.writeReport("{}", REPORT);
      }
      lab.sink.isBroken = false;
      lab.output.close();
      const lost = sumLost(lab.gaps());
      assert.deepEqual(addSums(written, lost.sums), offered);
      assert.deepEqual(lab.output.losses().lost.output, lostSums(lost.entries, lost.sums));
      const lines = lab.sink.lines.filter((line) => line.startsWith('{"gap"'));
      gapRecords += lines.length;
      for (const line of lines) assert.ok(parseGap(line).length <= GAP_RANGES_MAX);
    }),
    { seed: 9, numRuns: 25 },
  );
  assert.ok(gapRecords > 100, `${gapRecords}`);
});

// ---- Reports --------------------------------------------------------------------------------------------------------

test("lostSums() adds up all classes, exactly", () => {
  const { messages: [{ totals }] } = windowOf(0, [2n ** 60n]);
  assert.deepEqual(lostSums(3, totals.sums()), {
    entries: 3,
    txPackets: 5n * 2n ** 60n + 10n,
    txBytes: 1_000n * (5n * 2n ** 60n + 10n),
    rxPackets: 0,
    rxBytes: 5,
  });
});

test("reportOf() takes each member from its place, and drops that happened", () => {
  const byClass = new ClassTotals();
  byClass.of("exit").add(1, 2, 3, 4);
  byClass.of("physical").add(5, 6, 7, 8);
  byClass.rows = 9;
  byClass.foldedRows = 10;
  const stale = new CountsSum();
  stale.add(11, 12, 13, 14);
  const device = (first: number) => ({
    txPackets: first,
    txBytes: first + 1,
    rxPackets: first + 2,
    rxBytes: first + 3,
  });
  const totals: LoggerTotals = {
    startNs: 1n,
    endNs: 2n,
    windows: 15,
    messages: 16,
    byClass,
    stale,
    windowsFailed: 0,
    rowsRefused: 0,
    extractionsFailed: 0,
    routesForgotten: 0,
    tun: device(20),
    sock: device(30),
  };
  const counters = new Counters();
  for (const index of COUNTER_NAMES.keys()) counters.add(index, index, index * 10);
  const lost = { full: { entries: 1, ...device(40) } };
  const report = reportOf({ nodeId: "self", totals, counters: counters.values() }, {
    lost,
    waitingEntries: 17,
  });
  assert.deepEqual({ ...report, drops: null, traffic: null }, {
    nodeId: "self",
    startNs: 1n,
    endNs: 2n,
    windows: 15,
    messages: 16,
    rows: 9,
    foldedRows: 10,
    traffic: null,
    tun: device(20),
    sock: device(30),
    stale: device(11),
    drops: null,
    lost,
    waitingEntries: 17,
  });
  assert.deepEqual(report.traffic.exit, device(1));
  assert.deepEqual(report.traffic.physical, device(5));
  // Totals are no drops.
  assert.equal("tunWritten" in report.drops, false);
  const { outNoRoute, outUndecodable } = report.drops;
  const index = COUNTER_NAMES.indexOf("outNoRoute");
  assert.deepEqual(outNoRoute, { packets: index, bytes: index * 10 });
  assert.notEqual(outUndecodable, undefined);

  const none = reportOf({ nodeId: "", totals, counters: new Counters().values() }, {
    lost: {},
    waitingEntries: 0,
  });
  assert.deepEqual(none.drops, {});
  // A sum that floats may have rounded is no witness.
  const inexact = { ...totals, tun: { ...device(1), txBytes: 2 ** 53 } };
  const rounded = reportOf({ nodeId: "", totals: inexact, counters: new Counters().values() }, {
    lost: {},
    waitingEntries: 0,
  });
  assert.deepEqual([rounded.tun, rounded.sock], [null, device(30)]);
  // A report is of its moment.
  byClass.of("exit").add(1, 1, 1, 1);
  stale.add(1, 1, 1, 1);
  assert.deepEqual([report.traffic.exit, report.stale], [device(1), device(11)]);
});
