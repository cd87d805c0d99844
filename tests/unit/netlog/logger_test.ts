/**
 * Goal: the Logger takes each count once, in the right window, and may be started and stopped in any order. Method: fake
 * devices and a sink under virtual time; SPEC's cases S-1, H-2, H-4 and the defects of the original by name.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { REPORT_PERIOD_MS } from "../../../src/limits.ts";
import { type Message, NodeDirectory, OverlayRanges } from "../../../src/netlog/mod.ts";
import { runUntilIdle, settle } from "../../support/virtual_time.ts";
import {
  classesSeen,
  FakeDevice,
  GRID_MS,
  listSums,
  LoggerLab,
  TellingDevice,
} from "./logger_support.ts";
import { prefix, routeConfig, row, type RowParts } from "./support.ts";

const SELF = "100.64.0.1:1";
/** One packet sent to a peer. */
const PACKET: RowParts = { proto: 6, src: SELF, dst: "100.64.0.2:80", counts: [1, 100, 0, 0] };
const TO_SUBNET: RowParts = { ...PACKET, dst: "192.168.7.7:80" };
const PHYSICAL: RowParts = { src: "100.64.0.2:0", dst: "192.0.2.1:51820", counts: [1, 132, 0, 0] };
const ROUTES = routeConfig(["100.64.0.1"], ["100.64.0.2/32 peer", "192.168.7.0/24 peer"]);

const ns = (afterGridMs: number) => BigInt(GRID_MS + afterGridMs) * 1_000_000n;

/** Milliseconds after GRID_MS. */
function labels({ startNs, endNs }: { startNs: bigint; endNs: bigint }): [number, number] {
  return [Number((startNs - 1n - ns(0)) / 1_000_000n), Number((endNs - ns(0)) / 1_000_000n)];
}

interface Held {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/** Makes a device's extractions wait until told. */
function hold(device: FakeDevice): Held {
  const { promise, resolve } = Promise.withResolvers<void>();
  device.hold = promise;
  return { promise, resolve };
}

// ---- Windows --------------------------------------------------------------------------------------------------------

test("Logger calls devices in the original's order, and stops both before their last extraction", async () => {
  const lab = new LoggerLab();
  const [tun, sock] = [new FakeDevice(), new FakeDevice()];
  await lab.start(tun, sock);
  await lab.advance(15_000);
  assert.equal(await lab.logger.shutdown(), 0);
  const calls = [
    "enable(true)",
    "extract",
    "extract",
    "extract",
    "extract",
    "enable(false)",
    "extract",
  ];
  assert.deepEqual(tun.calls, calls);
  assert.deepEqual(sock.calls, calls);
});

test("Logger writes one window of exactly 5 s for one packet (H-4)", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  lab.logger.reconfigRoutes(ROUTES);
  await lab.start(tun);
  tun.count(PACKET);
  await lab.advance(4_999);
  assert.equal(lab.sink.windows.length, 0);
  await lab.advance(1);
  const [message] = lab.sink.messages;
  assert.equal(lab.sink.windows.length, 1);
  assert.deepEqual([message.startNs, message.endNs], [ns(0) + 1n, ns(5_000)]);
  assert.deepEqual(message.virtual.map(({ txPackets, txBytes }) => [txPackets, txBytes]), [[
    1,
    100,
  ]]);
  await lab.logger.shutdown();
  assert.equal(lab.sink.windows.length, 1);
});

test("Logger takes a period of its own", async () => {
  for (const periodMs of [10, 1_000, 60_000]) {
    const lab = new LoggerLab({ periodMs });
    const tun = new TellingDevice();
    await lab.start(tun);
    tun.count(PACKET);
    await lab.advance(periodMs);
    assert.deepEqual(lab.sink.windows.map(labels), [[0, periodMs]]);
    await lab.logger.shutdown();
  }
});

test("Logger makes contiguous windows under traffic, the last one short", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.advance(1_200);
  await lab.start(tun);
  for (let packet = 0; packet < 14; packet++) {
    tun.count(PACKET);
    await lab.advance(1_000);
  }
  tun.count(PACKET);
  await lab.logger.shutdown();
  assert.deepEqual(lab.sink.windows.map(labels), [
    [1_200, 5_000],
    [5_000, 10_000],
    [10_000, 15_000],
    [15_000, 15_200],
  ]);
  assert.deepEqual(listSums(lab.sink.messages).exit, [15n, 1_500n, 0n, 0n]);
});

test("Logger asks a silent device every period, and writes nothing while it is idle", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  await lab.advance(50_000);
  assert.equal(tun.calls.filter((call) => call === "extract").length, 1 + 10);
  assert.equal(lab.sink.windows.length, 0);
  tun.count(PACKET);
  await lab.advance(5_000);
  assert.deepEqual(lab.sink.windows.map(labels), [[50_000, 55_000]]);
  await lab.logger.shutdown();
});

test("Logger sets no timer while telling devices are idle, and none without devices", async () => {
  const lab = new LoggerLab();
  const [tun, sock] = [new TellingDevice(), new TellingDevice()];
  await lab.start(tun, sock);
  await lab.advance(5_000);
  assert.equal(lab.clock.nextDueMs, Infinity);
  await lab.advance(3_600_000);
  const extractions = tun.calls.length;
  sock.count(PHYSICAL);
  assert.ok(lab.clock.nextDueMs < Infinity);
  await lab.advance(5_000);
  assert.equal(tun.calls.length, extractions + 1);
  assert.deepEqual(lab.sink.windows.map(labels), [[3_605_000, 3_610_000]]);
  await lab.logger.shutdown();

  const without = new LoggerLab();
  await without.start();
  await without.advance(5_000);
  assert.equal(without.clock.nextDueMs, Infinity);
  assert.equal(await without.logger.shutdown(), 0);
});

test("Logger keeps a window's length when the clock is set, and says it", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  tun.count(PACKET);
  await lab.advance(5_000);
  lab.clock.stepWall(-3_600_000);
  tun.count(PACKET);
  await lab.advance(5_000);
  tun.count(PACKET);
  await lab.advance(5_000);
  lab.clock.stepWall(7_200_000);
  tun.count(PACKET);
  await lab.advance(5_000);
  await lab.logger.shutdown();
  // The window under way when the clock was set back ends where it was to end; the next stands still.
  assert.deepEqual(lab.sink.windows.map(labels), [[0, 5_000], [5_000, 10_000], [10_000, 10_001], [
    10_001,
    3_620_000,
  ]]);
  assert.deepEqual(lab.sink.messages.map(({ extension }) => extension.lengthMs), [
    undefined,
    undefined,
    5_000,
    5_000,
  ]);
});

test("Logger takes two windows one after another when a device is slow", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  tun.count(PACKET);
  const held = hold(tun);
  await lab.advance(12_000);
  // The second window waits for the first one's extraction.
  assert.deepEqual(tun.calls, ["enable(true)", "extract", "extract"]);
  tun.hold = null;
  held.resolve();
  await settle();
  assert.deepEqual(tun.calls.length, 4);
  assert.deepEqual(lab.sink.windows.map(labels), [[0, 5_000]]);
  await lab.logger.shutdown();
  assert.deepEqual(listSums(lab.sink.messages).exit, [1n, 100n, 0n, 0n]);
});

// ---- Start and stop -------------------------------------------------------------------------------------------------

test("Logger starts and stops ten times and leaves nothing behind (S-1)", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  for (let round = 0; round < 10; round++) {
    await lab.start(tun);
    lab.logger.reconfigRoutes(routeConfig([], []));
    assert.equal(lab.logger.running, true);
    tun.count(PACKET);
    await lab.advance(round * 777);
    assert.equal(await lab.logger.shutdown(), 0);
    assert.equal(lab.logger.running, false);
    assert.equal(tun.toggles, 2 * (round + 1));
    assert.equal(tun.enabled, false);
    assert.equal(lab.clock.nextDueMs, Infinity);
  }
  assert.equal(lab.sink.closes.length, 10);
  assert.deepEqual(listSums(lab.sink.messages).exit, [10n, 1_000n, 0n, 0n]);
  assert.deepEqual(lab.warnings, []);
});

test("startup() of a running logger throws and says which log runs, and changes nothing", async () => {
  const lab = new LoggerLab();
  const [tun, other] = [new FakeDevice(), new FakeDevice()];
  await lab.start(tun, undefined, "0123abcd");
  await assert.rejects(lab.start(other, undefined, "other"), {
    message: "Cannot start: network logger already running for 0123abcd",
  });
  assert.deepEqual(other.calls, []);
  assert.equal(lab.logger.running, true);
  await lab.logger.shutdown();
  await lab.start(other);
  await lab.logger.shutdown();
});

test("shutdown() of a logger that never ran resolves at once", async () => {
  const lab = new LoggerLab();
  assert.equal(await lab.logger.shutdown(), 0);
  assert.equal(lab.logger.running, false);
  assert.equal(lab.logger.totals(), null);
  assert.deepEqual(lab.sink.closes, []);
});

test("shutdown() may be called by three at once and again later: all learn the same", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  tun.count(PACKET);
  const closing = Promise.withResolvers<number>();
  lab.sink.closing = closing.promise;
  const all = [lab.logger.shutdown(), lab.logger.shutdown(10), lab.logger.shutdown()];
  await settle();
  // The sink is slow: the logger runs until it is done, as the original's does.
  assert.equal(lab.logger.running, true);
  assert.notEqual(lab.logger.totals(), null);
  const late = lab.logger.shutdown();
  closing.resolve(7);
  assert.deepEqual(await Promise.all([...all, late]), [7, 7, 7, 7]);
  assert.equal(lab.logger.running, false);
  assert.equal(await lab.logger.shutdown(), 0);
  assert.equal(lab.sink.closes.length, 1);
  assert.equal(lab.sink.windows.length, 1);
});

test("shutdown() that fails in the sink fails for all alike, and the logger can start again", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  lab.sink.closing = Promise.reject(new Error("no disk"));
  const all = await Promise.allSettled([lab.logger.shutdown(), lab.logger.shutdown()]);
  assert.deepEqual(all.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal(lab.logger.running, false);
  lab.sink.closing = Promise.resolve(0);
  await lab.start(tun);
  assert.equal(await lab.logger.shutdown(), 0);
});

test("shutdown() takes the last window before it tells the sink to deliver, and gives it what time is left", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  tun.count(PACKET);
  const held = hold(tun);
  const ended = lab.logger.shutdown(4_000);
  await lab.advance(1_500);
  assert.deepEqual(lab.sink.closes, []);
  held.resolve();
  assert.equal(await ended, 0);
  assert.deepEqual(lab.sink.closes, [2_500]);
  assert.deepEqual(lab.sink.windows.map(labels), [[0, 1]]);
});

test("shutdown() waits for an extraction under way, and takes what came after it", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  tun.count(PACKET);
  const held = hold(tun);
  await lab.advance(5_500);
  const ended = lab.logger.shutdown();
  tun.hold = null;
  held.resolve();
  await settle();
  await ended;
  assert.deepEqual(tun.calls, ["enable(true)", "extract", "extract", "enable(false)", "extract"]);
  assert.deepEqual(listSums(lab.sink.messages).exit, [1n, 100n, 0n, 0n]);
});

test("shutdown() gives up a device that never answers, and takes what the other counted", async () => {
  for (const isHungBefore of [true, false]) {
    const lab = new LoggerLab();
    const [tun, sock] = [new FakeDevice(), new FakeDevice()];
    await lab.start(tun, sock);
    const held = hold(tun);
    if (isHungBefore) await lab.advance(5_000);
    tun.count(PACKET);
    sock.count(PHYSICAL);
    const ended = lab.logger.shutdown(4_000);
    await lab.advance(2_000);
    assert.equal(await ended, 0);
    assert.deepEqual(lab.sink.closes, [2_000]);
    assert.deepEqual(listSums(lab.sink.messages).physical, [1n, 132n, 0n, 0n]);
    assert.deepEqual(lab.warnings, ["Cannot take what was counted: the device does not answer"]);
    assert.equal(tun.calls.filter((call) => call === "extract").length, 2);
    // Its rows come into no window any more, not even the next run's.
    held.resolve();
    await settle();
    await lab.start(undefined, sock);
    await lab.logger.shutdown();
    assert.deepEqual(listSums(lab.sink.messages).exit, [0n, 0n, 0n, 0n]);
    assert.equal(lab.clock.nextDueMs, Infinity);
  }
});

test("shutdown() ends though both devices never answer, one after the other", async () => {
  const lab = new LoggerLab();
  const [tun, sock] = [new FakeDevice(), new FakeDevice()];
  await lab.start(tun, sock);
  hold(tun);
  await lab.advance(5_000);
  hold(sock);
  const ended = lab.logger.shutdown(4_000);
  await lab.advance(4_000);
  assert.equal(await ended, 0);
  assert.deepEqual(lab.sink.closes, [0]);
});

test("shutdown() during startup() ends it: devices are off, nothing is logged, a new start works", async () => {
  for (const settles of [0, 1]) {
    const lab = new LoggerLab();
    const [tun, sock] = [new TellingDevice(), new FakeDevice()];
    tun.count(PACKET);
    sock.count(PHYSICAL);
    const held = hold(tun);
    const started = lab.start(tun, sock);
    if (settles === 1) await settle();
    const ended = lab.logger.shutdown();
    held.resolve();
    await Promise.all([started, ended]);
    assert.deepEqual([tun.enabled, sock.enabled, tun.listener], [false, false, null]);
    assert.deepEqual([tun.toggles, sock.toggles], [2, 2]);
    assert.equal(lab.clock.nextDueMs, Infinity);
    // Counted before the start, so not logged.
    assert.equal(lab.sink.windows.length, 0);
    tun.hold = null;
    await lab.start(tun, sock);
    tun.count(PACKET);
    await lab.logger.shutdown();
    assert.equal(lab.sink.windows.length, 1);
  }
});

test("startup() right after shutdown() is refused until that has ended, then works", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  await lab.start(tun);
  const ended = lab.logger.shutdown();
  await assert.rejects(lab.start(tun), /already running for wg0/);
  await ended;
  await lab.start(tun);
  tun.count(PACKET);
  await lab.advance(5_000);
  assert.equal(lab.sink.windows.length, 1);
  await lab.logger.shutdown();
});

test("Logger ignores what comes from before a stop: listeners, counts and rows", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  await lab.start(tun);
  const listener = tun.listener!;
  tun.count(PACKET);
  await lab.logger.shutdown();
  assert.equal(tun.listener, null);
  const visit = tun.lastVisit!;
  listener();
  visit(row(PACKET));
  tun.count(PACKET);
  assert.equal(lab.clock.nextDueMs, Infinity);
  await lab.start(tun);
  listener();
  visit(row(PACKET));
  await lab.advance(5_000);
  await lab.logger.shutdown();
  // The late count is stale, the late row is nobody's.
  assert.equal(lab.sink.windows.length, 1);
  assert.equal(lab.clock.nextDueMs, Infinity);
});

test("Logger sets no timer for a listener that is called after an idle run has ended", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  await lab.start(tun);
  const listener = tun.listener!;
  await lab.advance(5_000);
  await lab.logger.shutdown();
  listener();
  assert.equal(lab.clock.nextDueMs, Infinity);
});

test("Logger leaves what was counted before the start out of the log, but not out of its totals", async () => {
  const lab = new LoggerLab();
  const [tun, sock] = [new TellingDevice(), new FakeDevice()];
  tun.count(PACKET);
  tun.count({ ...PACKET, counts: [0, 0, 3, 4] });
  sock.count(PHYSICAL);
  await lab.start(tun, sock);
  assert.deepEqual(lab.logger.totals()!.stale.value(), {
    txPackets: 2,
    txBytes: 232,
    rxPackets: 3,
    rxBytes: 4,
  });
  assert.deepEqual(classesSeen(lab.logger.totals()!), []);
  await lab.logger.shutdown();
  assert.equal(lab.sink.windows.length, 0);
  assert.equal(lab.sink.reports.length, 0);
});

// ---- Devices that fail ----------------------------------------------------------------------------------------------

test("Logger takes the other device's counts when one fails, and the failed one's later", async () => {
  const lab = new LoggerLab();
  const [tun, sock] = [new TellingDevice(), new TellingDevice()];
  await lab.start(tun, sock);
  await lab.advance(5_000);
  tun.count(PACKET);
  sock.count(PHYSICAL);
  tun.failures = 1;
  await lab.advance(5_000);
  assert.deepEqual(listSums(lab.sink.messages).physical, [1n, 132n, 0n, 0n]);
  assert.deepEqual(listSums(lab.sink.messages).exit, [0n, 0n, 0n, 0n]);
  assert.equal(lab.logger.totals()!.extractionsFailed, 1);
  // It tells of first counts only, and this one is none: the logger must come by itself.
  tun.count(PACKET);
  await lab.advance(5_000);
  assert.deepEqual(listSums(lab.sink.messages).exit, [2n, 200n, 0n, 0n]);
  assert.deepEqual(lab.warnings, ["Cannot take what was counted: statistics are out of order"]);
  await lab.logger.shutdown();
});

test("Logger logs what a device could not hand over at the start", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  tun.count(PACKET);
  tun.failures = 1;
  await lab.start(tun);
  await lab.advance(5_000);
  assert.equal(lab.logger.totals()!.stale.isZero, true);
  assert.deepEqual(listSums(lab.sink.messages).exit, [1n, 100n, 0n, 0n]);
  await lab.logger.shutdown();
});

test("Logger passes over a row that no message can hold, and says so once", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  for (const bad of [-1, 0.5, 2 ** 53]) tun.count({ ...row(PACKET), txBytes: bad });
  tun.count(PACKET);
  await lab.logger.shutdown();
  assert.deepEqual(listSums(lab.sink.messages).exit, [1n, 100n, 0n, 0n]);
  assert.equal(lab.sink.reports[0].totals.rowsRefused, 3);
  assert.equal(lab.warnings.length, 1);
  assert.match(lab.warnings[0], /^Cannot log counters 1, -1, 0, 0/);
});

test("Logger logs and ends although a device throws at being told", async () => {
  class Deaf extends TellingDevice {
    override setStatisticsEnabled(): void {
      throw new Error("deaf");
    }
    override onCounting(): void {
      throw new Error("deaf");
    }
  }
  const lab = new LoggerLab();
  const [tun, sock] = [new Deaf(), new FakeDevice()];
  await lab.start(tun, sock);
  tun.count(PACKET);
  sock.count(PHYSICAL);
  await lab.logger.shutdown();
  assert.deepEqual(listSums(lab.sink.messages).exit, [1n, 100n, 0n, 0n]);
  assert.deepEqual(listSums(lab.sink.messages).physical, [1n, 132n, 0n, 0n]);
  assert.equal(sock.enabled, false);
  assert.deepEqual(
    new Set(lab.warnings),
    new Set(["Cannot tell a device to count or to stop: deaf"]),
  );
});

test("Logger counts a window that a bug in the sink has cost, and goes on", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  const { write } = lab.sink;
  lab.sink.write = () => {
    throw new Error("sink is broken");
  };
  tun.count(PACKET);
  await lab.advance(5_000);
  lab.sink.write = write;
  tun.count(PACKET);
  await lab.advance(5_000);
  assert.equal(lab.logger.totals()!.windowsFailed, 1);
  assert.equal(lab.sink.windows.length, 1);
  assert.deepEqual(lab.warnings, ["Cannot log a window, a bug in tunlog: sink is broken"]);
  await lab.logger.shutdown();
});

// ---- Routes and nodes -----------------------------------------------------------------------------------------------

/** Lists in which each message has something. */
function listsOf(messages: readonly Message[]): string[] {
  return messages.map((message) =>
    (["virtual", "subnet", "exit", "physical"] as const).filter((list) => message[list].length > 0)
      .join()
  );
}

test("Logger explains a removed subnet by its old route for its window and the next", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  lab.logger.reconfigRoutes(ROUTES);
  await lab.start(tun);
  tun.count(TO_SUBNET);
  await lab.advance(2_000);
  lab.logger.reconfigRoutes(routeConfig(["100.64.0.1"], ["100.64.0.2/32 peer"]));
  for (const _window of [1, 2, 3, 4]) {
    tun.count(TO_SUBNET);
    await lab.advance(5_000);
  }
  await lab.logger.shutdown();
  assert.deepEqual(listsOf(lab.sink.messages), ["subnet", "subnet", "exit", "exit"]);
});

test("Logger explains a subnet that was there only for a moment of its window", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  const without = routeConfig(["100.64.0.1"], ["100.64.0.2/32 peer"]);
  lab.logger.reconfigRoutes(without);
  await lab.start(tun);
  await lab.advance(1_000);
  lab.logger.reconfigRoutes(ROUTES);
  tun.count(TO_SUBNET);
  await lab.advance(10);
  lab.logger.reconfigRoutes(without);
  await lab.advance(5_000);
  assert.deepEqual(listsOf(lab.sink.messages), ["subnet"]);
  await lab.logger.shutdown();
});

test("Logger does not explain traffic by a route that was removed long before, while it was idle", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  lab.logger.reconfigRoutes(ROUTES);
  await lab.start(tun);
  tun.count(TO_SUBNET);
  await lab.advance(60_000);
  lab.logger.reconfigRoutes(routeConfig(["100.64.0.1"], ["100.64.0.2/32 peer"]));
  await lab.advance(60_000);
  tun.count(TO_SUBNET);
  await lab.advance(5_000);
  assert.deepEqual(listsOf(lab.sink.messages), ["subnet", "exit"]);
  await lab.logger.shutdown();
});

test("Logger explains the first traffic after idle time by a route removed in the idle period before", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  lab.logger.reconfigRoutes(ROUTES);
  await lab.start(tun);
  await lab.advance(62_000);
  lab.logger.reconfigRoutes(routeConfig(["100.64.0.1"], ["100.64.0.2/32 peer"]));
  await lab.advance(4_000);
  tun.count(TO_SUBNET);
  await lab.advance(5_000);
  assert.deepEqual(listsOf(lab.sink.messages), ["subnet"]);
  await lab.logger.shutdown();
});

test("Logger keeps routes over a stop, which the original forgot", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  lab.logger.reconfigRoutes(ROUTES);
  for (const _run of [1, 2]) {
    await lab.start(tun);
    tun.count(PACKET);
    tun.count(TO_SUBNET);
    await lab.logger.shutdown();
  }
  assert.deepEqual(listsOf(lab.sink.messages), ["virtual,subnet", "virtual,subnet"]);
});

test("reconfigRoutes() takes overlay ranges along, and keeps them when it is given none", async () => {
  const lab = new LoggerLab({ overlay: new OverlayRanges(["10.0.0.0/8"]) });
  const tun = new FakeDevice();
  const inner: RowParts = { ...PACKET, src: "10.0.0.1:1", dst: "10.0.0.2:1" };
  const routes = routeConfig(["10.0.0.1"], ["10.0.0.2/32"]);
  lab.logger.reconfigRoutes(routes);
  await lab.start(tun);
  const window = async () => {
    tun.count(inner);
    await lab.advance(5_000);
  };
  await window();
  lab.logger.reconfigRoutes(routes, new OverlayRanges(["10.9.0.0/16"]));
  await window();
  lab.logger.reconfigRoutes(routeConfig(["10.0.0.1"], ["10.0.0.0/24"]));
  await window();
  await lab.logger.shutdown();
  assert.deepEqual(listsOf(lab.sink.messages), ["virtual", "subnet", "subnet"]);
});

test("Logger writes windows without a node until it knows which it is, and loses nothing", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  lab.logger.reconfigRoutes(ROUTES);
  await lab.start(tun);
  tun.count(PACKET);
  await lab.advance(5_000);
  const address = (text: string) => [prefix(text)];
  lab.logger.reconfigNodes(
    new NodeDirectory({ nodeId: "self", name: "a", addresses: address("100.64.0.1/32") }, [
      { nodeId: "peer", name: "b", addresses: address("100.64.0.2/32") },
    ]),
  );
  tun.count(PACKET);
  await lab.advance(5_000);
  await lab.logger.shutdown();
  const [before, after] = lab.sink.messages;
  assert.deepEqual([before.nodeId, before.srcNode, before.dstNodes], ["", null, []]);
  assert.equal(after.nodeId, "self");
  assert.equal(after.srcNode?.name, "a");
  assert.deepEqual(after.dstNodes.map(({ name }) => name), ["b"]);
  assert.deepEqual(listSums([before, after]).virtual, [2n, 200n, 0n, 0n]);
});

test("Logger counts exactly while routes change all the time (H-2)", async () => {
  const lab = new LoggerLab({ periodMs: 1_000 });
  const [tun, sock] = [new TellingDevice(), new TellingDevice()];
  await lab.start(tun, sock);
  const updaters = 500;
  for (let round = 0; round < 20; round++) {
    for (let updater = 0; updater < updaters; updater++) {
      const host = `${updater >>> 8}.${updater & 255}`;
      tun.count({ ...PACKET, dst: `100.65.${host}:80` });
      sock.count({ ...PHYSICAL, src: `100.65.${host}:0` });
      const bits = 26 + (updater + round) % 7;
      if (updater % 5 === 0) {
        lab.logger.reconfigRoutes(routeConfig(["100.64.0.1"], [`100.65.${host}/${bits}`]));
      }
    }
    await lab.advance(round * 97 % 400);
  }
  await lab.logger.shutdown();
  const { virtual, subnet, exit, physical } = listSums(lab.sink.messages);
  assert.deepEqual(virtual.map((count, index) => count + subnet[index] + exit[index]), [
    10_000n,
    1_000_000n,
    0n,
    0n,
  ]);
  assert.deepEqual(physical, [10_000n, 1_320_000n, 0n, 0n]);
  assert.ok(virtual[0] > 0n && exit[0] > 0n);
  assert.ok(lab.sink.reports[0].totals.routesForgotten > 0);
  assert.deepEqual(lab.warnings, []);
});

// ---- Reports --------------------------------------------------------------------------------------------------------

test("Logger reports a minute after the first window, and at the end", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  await lab.start(tun);
  tun.count(PACKET);
  await lab.advance(5_000 + REPORT_PERIOD_MS - 1);
  assert.equal(lab.sink.reports.length, 0);
  await lab.advance(1);
  assert.equal(lab.sink.reports.length, 1);
  // Idle: no report until there is another window.
  await lab.advance(10 * REPORT_PERIOD_MS);
  assert.equal(lab.sink.reports.length, 1);
  assert.equal(lab.clock.nextDueMs, Infinity);
  tun.count(PACKET);
  await lab.advance(5_000 + REPORT_PERIOD_MS);
  tun.count(PACKET);
  await lab.logger.shutdown();
  assert.deepEqual(lab.sink.reports.map(({ windows, sums }) => [windows, sums.unknown.txBytes]), [
    [1, 100n],
    [2, 200n],
    [3, 300n],
  ]);
  await runUntilIdle(lab.clock);
  assert.equal(lab.sink.reports.length, 3);
});

test("Logger's last report vouches for the idle time before the shutdown", async () => {
  const lab = new LoggerLab();
  const tun = new TellingDevice();
  await lab.start(tun);
  tun.count(PACKET);
  await lab.advance(19_500);
  await lab.logger.shutdown();
  // Else a reader would take the time since 5 s for silence of a node that nobody heard of.
  assert.equal(lab.sink.reports.at(-1)!.totals.endNs, ns(19_500));
});

test("Logger reports every minute under traffic", async () => {
  const lab = new LoggerLab();
  const tun = new FakeDevice();
  await lab.start(tun);
  for (let window = 0; window < 60; window++) {
    tun.count(PACKET);
    await lab.advance(5_000);
  }
  assert.deepEqual(lab.sink.reports.map(({ atMs }) => atMs - 1_000), [
    65_000,
    125_000,
    185_000,
    245_000,
  ]);
  await lab.logger.shutdown();
  assert.equal(lab.sink.reports.length, 5);
});

test("Logger's totals name the first window's start and the last one's end, and what devices say", async () => {
  const lab = new LoggerLab();
  const [tun, sock] = [new TellingDevice(), new FakeDevice()];
  lab.logger.reconfigRoutes(ROUTES);
  await lab.start(tun, sock);
  assert.deepEqual([lab.logger.totals()!.startNs, lab.logger.totals()!.endNs], [0n, 0n]);
  tun.count(PACKET);
  sock.count(PHYSICAL);
  await lab.advance(5_000);
  tun.count(TO_SUBNET);
  await lab.advance(1_000);
  await lab.logger.shutdown();
  const [{ totals }] = lab.sink.reports;
  assert.deepEqual([totals.startNs, totals.endNs], [ns(0) + 1n, ns(6_000)]);
  assert.deepEqual([totals.windows, totals.messages, totals.byClass.rows], [2, 2, 3]);
  assert.deepEqual(classesSeen(totals), ["virtual", "subnet", "physical"]);
  assert.deepEqual(totals.tun, { txPackets: 2, txBytes: 200, rxPackets: 0, rxBytes: 0 });
  assert.equal(totals.sock, null);
  assert.equal(lab.logger.totals(), null);
});
