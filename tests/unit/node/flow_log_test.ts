/**
 * Goal: the flow-log task takes what banks hold, writes it to every output, and its reports let a reader check that nothing is
 * missing. Method: real banks, logger and line output under virtual time; the lines are read back and added up.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Counters } from "../../../src/counters.ts";
import { createBanks, FlowReader, FlowWriter } from "../../../src/flow/mod.ts";
import { FLOWS_MAX_MIN } from "../../../src/limits.ts";
import { type LostRange, parseGap, sumLost } from "../../../src/logtail/mod.ts";
import {
  type Counts,
  type Message,
  parseExactJson,
  parseReport,
  type Report,
  toMessage,
} from "../../../src/netlog/mod.ts";
import type { CollectorOutput } from "../../../src/node/collector_output.ts";
import { FlowLog } from "../../../src/node/flow_log.ts";
import { LineOutput } from "../../../src/node/line_output.ts";
import type { LogView } from "../../../src/node/log_routes.ts";
import { parsePrefix } from "../../../src/packet/mod.ts";
import { MemoryClock } from "../../../src/platform/memory.ts";
import { advance, runUntilIdle } from "../../support/virtual_time.ts";
import { keyOf, SECRET, swapped } from "../flow/support.ts";
import { add, classListSums, listSums } from "../netlog/logger_support.ts";

const prefixes = (...texts: string[]) => texts.map((text) => parsePrefix(text)!);

/** keyOf()'s sources are this node's, its destinations the peer's for numbers up to 255, and behind it beyond. */
const VIEW: LogView = {
  publicKey: "self-key",
  friendlyName: "self",
  addresses: prefixes("10.0.0.1/24"),
  subnetRoutes: [],
  peers: [{
    publicKey: "peer-key",
    friendlyName: "peer",
    allowedIps: prefixes("10.1.0.2/32", "10.1.0.0/24"),
  }],
};

class Lab {
  readonly clock = new MemoryClock();
  readonly lines: string[] = [];
  readonly warnings: string[] = [];
  readonly counters = new Counters();
  readonly tun: FlowWriter;
  readonly sock: FlowWriter;
  readonly log: FlowLog;
  isBroken = false;

  constructor(collector: CollectorOutput | null = null) {
    const banks = () => createBanks(FLOWS_MAX_MIN, SECRET);
    const [virtual, physical] = [banks(), banks()];
    this.tun = new FlowWriter(virtual, () => this.log.counting());
    this.sock = new FlowWriter(physical, () => this.log.counting());
    const write = (line: string) => {
      if (this.isBroken) throw new Error("no space left");
      this.lines.push(line);
    };
    const warn = (message: string) => void this.warnings.push(message);
    this.log = new FlowLog({
      virtual: [new FlowReader(virtual)],
      physical: [new FlowReader(physical)],
      clock: this.clock,
      timers: this.clock,
      hashSecret: SECRET,
      periodMs: 5_000,
      exitPolicy: { mode: "zero" },
      overlayRanges: null,
      name: "wg0",
      lines: new LineOutput({ write }, warn),
      collector,
      counters: () => this.counters.values(),
      wake: () => this.handOver(),
      warn,
    });
    this.log.reconfigure(VIEW);
  }

  handOver(): void {
    for (const writer of [this.tun, this.sock]) writer.handOver();
  }

  /** One packet each way, to a host by number, and the datagrams that carried them. */
  exchange(dst = 2): void {
    this.tun.countTx(keyOf({ dst }), 1, 100, 0);
    this.tun.countRx(swapped(keyOf({ dst })), 1, 50, 0);
    const physical = keyOf({ proto: 0, src: 2, dst: 0x50000, srcPort: 0, dstPort: 51_820 });
    this.sock.countTx(physical, 1, 132, 0);
    this.sock.countRx(swapped(physical), 1, 82, 0);
  }

  /** What the lines say. */
  read(): { messages: Message[]; reports: Report[]; gaps: LostRange[] } {
    const messages: Message[] = [];
    const reports: Report[] = [];
    const gaps: LostRange[] = [];
    for (const line of this.lines) {
      const value = parseExactJson(line);
      const report = parseReport(value);
      if (line.startsWith('{"gap"')) gaps.push(...parseGap(line));
      else if (report !== null) reports.push(report);
      else messages.push(toMessage(value));
    }
    return { messages, reports, gaps };
  }
}

test("FlowLog writes a window, and at the end the last window and a report", async () => {
  const lab = new Lab();
  await lab.log.start();
  lab.exchange();
  await advance(lab.clock, 5_000);
  assert.equal(lab.lines.length, 1);
  lab.exchange(0x900);
  lab.counters.add(0, 4, 400);
  assert.equal(await lab.log.stop(1_000), 0);
  const { messages, reports } = lab.read();
  assert.deepEqual(
    messages.map(({ nodeId, virtual, subnet, exit, physical }) => [
      nodeId,
      ...[virtual, subnet, exit, physical].map((list) => list.length),
    ]),
    [["self-key", 1, 0, 0, 1], ["self-key", 0, 0, 1, 1]],
  );
  assert.equal(messages[0].srcNode?.name, "self");
  assert.deepEqual(messages[0].dstNodes.map(({ name }) => name), ["peer"]);
  assert.equal(reports.length, 1);
  assert.equal(reports[0].nodeId, "self-key");
  assert.deepEqual(reports[0].traffic.physical, {
    txPackets: 2,
    txBytes: 264,
    rxPackets: 2,
    rxBytes: 164,
  });
  assert.equal(reports[0].startNs, messages[0].startNs);
  assert.equal(reports[0].endNs, messages[1].endNs);
  assert.deepEqual(lab.warnings, []);
});

test("FlowLog shows totals in its status, of a run that has ended too", async () => {
  const lab = new Lab();
  const before = lab.log.status();
  assert.deepEqual([before.windows, before.messages, before.virtual.txPackets], [0, 0, 0]);
  await lab.log.start();
  lab.exchange();
  const open = lab.log.status();
  assert.deepEqual([open.virtual.txBytes, open.physical.rxBytes, open.windows], [100, 82, 0]);
  await lab.log.stop(1_000);
  await lab.log.stop(1_000);
  const ended = lab.log.status();
  assert.deepEqual([ended.windows, ended.messages, ended.rows], [1, 1, 2]);
  const zero = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
  assert.deepEqual(ended.classes, {
    virtual: { txPackets: 1, txBytes: 100, rxPackets: 1, rxBytes: 50 },
    subnet: zero,
    exit: zero,
    unknown: zero,
    physical: { txPackets: 1, txBytes: 132, rxPackets: 1, rxBytes: 82 },
  });
  assert.deepEqual(ended.lines, { lines: 2, linesFailed: 0, lastError: null });
  assert.equal(ended.collector, null);
  assert.deepEqual(lab.warnings, []);
});

test("FlowLog takes the last window of a data plane that answers no more", async () => {
  const lab = new Lab();
  await lab.log.start();
  lab.exchange();
  lab.handOver = () => {};
  await lab.log.stop(1_000);
  assert.deepEqual(listSums(lab.read().messages).virtual, [1n, 100n, 1n, 50n]);
  assert.equal(lab.clock.nextDueMs, Infinity);
});

test("FlowLog.stop() of a log that never started closes its outputs", async () => {
  const closes: number[] = [];
  const collector = {
    close: (timeoutMs: number) => Promise.resolve(closes.push(timeoutMs) + 4),
    status: () => null,
  } as unknown as CollectorOutput;
  assert.equal(await new Lab(collector).log.stop(700), 5);
  assert.deepEqual(closes, [700]);
});

test("FlowLog writes to every output, each with a report of its own losses", async () => {
  const windows: number[] = [];
  const reports: Report[] = [];
  const lost = { full: { entries: 9, txPackets: 1, txBytes: 2, rxPackets: 3, rxBytes: 4 } };
  const collector = {
    write: ({ messages }: { messages: readonly unknown[] }) => void windows.push(messages.length),
    writeReport: (text: string) => void reports.push(parseReport(parseExactJson(text))!),
    losses: () => ({ lost, waitingEntries: 3 }),
    close: () => Promise.resolve(3),
    status: () => null,
  } as unknown as CollectorOutput;
  const lab = new Lab(collector);
  await lab.log.start();
  lab.exchange();
  lab.isBroken = true;
  await advance(lab.clock, 5_000);
  lab.isBroken = false;
  assert.equal(await lab.log.stop(1_000), 3);
  assert.deepEqual(windows, [1]);
  assert.deepEqual([reports[0].lost, reports[0].waitingEntries], [lost, 3]);
  const own = lab.read().reports[0];
  assert.deepEqual(Object.keys(own.lost), ["output"]);
  assert.deepEqual([own.lost.output.entries, own.waitingEntries], [1, 0]);
});

test("FlowLog warns when rows are not what was counted", async () => {
  const lab = new Lab();
  await lab.log.start();
  lab.exchange();
  // A row that no message can hold is in the totals of the device only.
  lab.tun.countTx(keyOf({ dst: 9 }), 1, 2 ** 53, 0);
  await lab.log.stop(1_000);
  assert.ok(
    lab.warnings.includes(
      "The rows of the flow log are not what was counted: this is a bug in tunlog",
    ),
    lab.warnings.join(),
  );
});

// ---- The law of reports ---------------------------------------------------------------------------------------------

/** By list of messages, with unknown among exit. */
function trafficOf({ traffic }: Report): Record<string, bigint[]> {
  const of = (...all: (Counts | undefined)[]) => add(all.filter((each) => each !== undefined));
  return {
    virtual: of(traffic.virtual),
    subnet: of(traffic.subnet),
    exit: of(traffic.exit, traffic.unknown),
    physical: of(traffic.physical),
  };
}

function plus(a: Record<string, bigint[]>, b: Record<string, bigint[]>): Record<string, bigint[]> {
  return Object.fromEntries(
    Object.entries(a).map(([name, sums]) => [name, sums.map((sum, at) => sum + b[name][at])]),
  );
}

test("FlowLog: messages read + gap records = the report's traffic; classes + stale = what devices counted", async () => {
  const met = { gaps: 0, reports: 0, stale: 0 };
  const step = fc.record({
    exchanges: fc.array(fc.constantFrom(2, 7, 99, 300, 0x900), { maxLength: 90, size: "max" }),
    waitMs: fc.oneof(fc.nat(5_000), fc.nat(60_000)),
    breaks: fc.option(fc.boolean(), { freq: 2 }),
  });
  const scenario = fc.tuple(
    fc.nat(2),
    fc.array(step, { minLength: 1, maxLength: 20, size: "max" }),
  );
  await fc.assert(
    fc.asyncProperty(scenario, async ([staleExchanges, steps]) => {
      const lab = new Lab();
      for (let count = 0; count < staleExchanges; count++) lab.exchange();
      await lab.log.start();
      for (const { exchanges, waitMs, breaks } of steps) {
        for (const dst of exchanges) lab.exchange(dst);
        if (breaks !== null) lab.isBroken = breaks;
        await advance(lab.clock, waitMs);
      }
      lab.isBroken = false;
      lab.exchange();
      await lab.log.stop(5_000);
      await runUntilIdle(lab.clock);

      const { messages, reports, gaps } = lab.read();
      const report = reports.at(-1)!;
      const lost = sumLost(gaps);
      assert.deepEqual(plus(listSums(messages), classListSums(lost.sums)), trafficOf(report));
      assert.equal(BigInt(report.messages), BigInt(messages.length + lost.entries));
      const { virtual, subnet, exit, physical } = trafficOf(report);
      // Stale counts are of both devices together.
      const logged = [0, 1, 2, 3].map((at) =>
        virtual[at] + subnet[at] + exit[at] + physical[at] + add([report.stale])[at]
      );
      assert.deepEqual(logged, add([report.tun!, report.sock!]));
      const { virtual: tun, physical: sock } = lab.log.status();
      assert.deepEqual([report.tun, report.sock], [tun, sock]);
      assert.deepEqual(lab.warnings.filter((warning) => !warning.includes("no space left")), []);
      met.gaps += gaps.length;
      met.reports += reports.length;
      if (staleExchanges > 0) met.stale++;
    }),
    { seed: 10, numRuns: 60 },
  );
  assert.ok(met.gaps > 50 && met.reports > 90 && met.stale > 20, JSON.stringify(met));
});
