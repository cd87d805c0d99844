/**
 * Goal: timers go by what carriers send and receive, and carriers wake the first worker only when something begins.
 * Method: two ends in one thread; after the handshake only carriers are given packets; time is virtual.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { MemoryClock, MemoryNetwork } from "../../../src/platform/memory.ts";
import type { PeerUpdate, Timing } from "../../../src/wireguard/mod.ts";
import { parseAddress } from "../../../src/packet/mod.ts";
import { packet, PORT } from "./data_plane_lab.ts";
import { WorkersEnd } from "./workers_lab.ts";

const HERE = "10.0.0.1";
const THERE = "10.0.0.2";
const KINDS = { initiation: 1, data: 4 } as const;

/** Two ends with a session that is settled: nothing is owed or awaited. */
function lab(change: Partial<PeerUpdate> = {}, timing: Partial<Timing> = {}, settleMs = 40_000) {
  const clock = new MemoryClock();
  const network = new MemoryNetwork(clock, 1);
  const parts = { clock, network, workers: 3, timing };
  const a = new WorkersEnd({ ...parts, address: "192.0.2.1" });
  const b = new WorkersEnd({ ...parts, address: "192.0.2.2" });
  /** What is sent: from whom, kind and length, at what time. */
  const sent: { from: string; kind: number; length: number; atMs: number }[] = [];
  network.filter = ({ source, payload }) => {
    const from = source === a.udp.boundTo ? "a" : "b";
    sent.push({ from, kind: payload[0]!, length: payload.length, atMs: clock.nowMs() });
    return true;
  };
  /** Steps first workers when their timers are due, or when they are woken, as poll does. */
  const run = (ms: number, stepMs = 100): void => {
    for (let elapsed = 0; elapsed < ms; elapsed += stepMs) {
      clock.advance(stepMs);
      for (const end of [a, b]) {
        for (const [index, lane] of end.lanes.entries()) {
          if (index === 0 ? isDue(end) : lane.wake.pending) lane.dataPlane.step(0);
        }
      }
    }
  };
  const isDue = (end: WorkersEnd): boolean =>
    end.lanes[0]!.wake.pending || end.wireguard.nextDeadlineMs <= clock.nowMs();
  a.meet(b, [`${THERE}/32`], change);
  b.meet(a, [`${HERE}/32`]);
  a.inject(packet(HERE, THERE, 60));
  for (let round = 0; round < 5; round++) {
    a.stepAll();
    b.stepAll();
  }
  run(settleMs);
  sent.length = 0;
  return { clock, network, a, b, run, sent };
}

/** Has a carrier of `from` send one packet, and one of `to` receive it. */
function pass(from: WorkersEnd, to: WorkersEnd, lanes = [1, 1]): void {
  const there = from.address.endsWith(".1");
  const had = to.tun.written.length;
  from.inject(there ? packet(HERE, THERE, 60) : packet(THERE, HERE, 60));
  from.step(lanes[0]!);
  to.step(lanes[1]!);
  assert.equal(to.tun.written.length, had + 1);
}

test("data that only carriers moved is answered by a keepalive after 10 s, once", () => {
  const { a, b, run, sent, clock } = lab();
  const startMs = clock.nowMs();
  pass(a, b);
  run(60_000);
  const answers = sent.filter(({ from }) => from === "b");
  assert.equal(answers.length, 1);
  assert.equal(answers[0]!.length, 32);
  const waitedMs = answers[0]!.atMs - startMs;
  assert.ok(waitedMs >= 10_000 && waitedMs <= 10_200, `${waitedMs}`);
  assert.ok(sent.every(({ kind }) => kind === KINDS.data), "the keepalive was answer enough");
});

test("data that came while an answer was owed is owed another keepalive", () => {
  const { a, b, run, sent } = lab();
  pass(a, b);
  run(3_000);
  pass(a, b, [2, 2]);
  run(60_000);
  assert.equal(sent.filter(({ from }) => from === "b").length, 2);
});

test("a debt that begins while the first worker looks for something else is paid in time", () => {
  const { a, b, run, sent, clock } = lab();
  // It waits for an answer, for 15 s; what it then owes is due before those are over.
  pass(b, a);
  run(1_000);
  pass(a, b);
  const startMs = clock.nowMs();
  run(60_000);
  const answer = sent.findLast(({ from }) => from === "b")!;
  assert.equal(answer.length, 32);
  assert.ok(answer.atMs - startMs >= 10_000 && answer.atMs - startMs <= 10_200);
});

test("an answer by any carrier is answer enough", () => {
  const { a, b, run, sent } = lab();
  pass(a, b, [1, 1]);
  run(5_000);
  pass(b, a, [2, 2]);
  // Now a owes one, and b nothing.
  run(60_000);
  assert.deepEqual(sent.map(({ from }) => from), ["a", "b", "a"]);
});

test("a carrier that hears nothing for 15 s makes the first worker begin a handshake", () => {
  const { a, run, sent, network, clock } = lab();
  const { filter } = network;
  network.filter = (datagram) => filter!(datagram) && false;
  a.inject(packet(HERE, THERE, 60));
  a.step(1);
  const startMs = clock.nowMs();
  run(14_900);
  assert.ok(sent.every(({ kind }) => kind === KINDS.data));
  run(1_000);
  const initiation = sent.find(({ kind }) => kind === KINDS.initiation);
  assert.ok(initiation !== undefined, "a handshake was begun");
  assert.ok(initiation.atMs - startMs >= 15_000 && initiation.atMs - startMs <= 15_500);
});

test("a carrier that seals with an old session has it renewed, at once and by the initiator only", () => {
  const { a, b, run, sent } = lab();
  run(85_000);
  sent.length = 0;
  pass(b, a);
  run(200);
  assert.ok(sent.every(({ kind }) => kind === KINDS.data), "the responder does not");
  pass(a, b);
  run(200);
  assert.equal(sent.filter(({ kind }) => kind === KINDS.initiation).length, 1);
});

test("an initiator that only receives renews before the session ends, though carriers receive", () => {
  // It answers by keepalives, at 60 and 120 s. That past 100 s would renew it as well; the last minute begins at 115.
  const timing = { rekeyAfterTimeMs: 100_000, keepaliveTimeoutMs: 60_000 };
  const { a, b, run, sent, clock } = lab({}, timing, 5_000);
  const startMs = clock.nowMs() - 5_000;
  const initiations = () => sent.filter(({ kind }) => kind === KINDS.initiation);
  while (initiations().length === 0) {
    pass(b, a, [1, 2]);
    run(1_000);
  }
  assert.equal(initiations()[0]!.from, "a");
  const ageMs = initiations()[0]!.atMs - startMs;
  assert.ok(ageMs >= 115_000 && ageMs < 118_000, `${ageMs}`);
});

test("persistent keepalives are put off by what carriers send", () => {
  const { a, b, run, sent, clock } = lab({ persistentKeepaliveS: 25 });
  run(30_000);
  const keepalives = () => sent.filter(({ from, length }) => from === "a" && length === 32).length;
  const before = keepalives();
  assert.ok(before >= 1, "an idle pair has them");
  for (let elapsed = 0; elapsed < 40_000; elapsed += 5_000) {
    pass(a, b);
    pass(b, a);
    run(5_000);
  }
  assert.equal(keepalives(), before);
  const lastMs = clock.nowMs() - 5_000;
  run(21_000);
  const last = sent.findLast(({ from, length }) => from === "a" && length === 32)!;
  // The answer that is owed comes first, and counts.
  assert.ok(last.atMs > lastMs && keepalives() === before + 1);
  run(30_000);
  assert.equal(keepalives(), before + 2);
});

test("an idle pair with carriers sleeps: no deadline but the end of its keys", () => {
  const { a, b, run, clock } = lab();
  pass(a, b);
  pass(b, a);
  run(30_000);
  for (const end of [a, b]) {
    assert.ok(end.wireguard.nextDeadlineMs - clock.nowMs() > 400_000);
  }
});

test("carriers wake the first worker when something begins, not for each packet", () => {
  const { a, b, run } = lab();
  let wakes = 0;
  for (let count = 0; count < 400; count++) {
    pass(a, b, [1 + count % 2, 1 + count % 2]);
    pass(b, a, [1 + count % 2, 1 + count % 2]);
    wakes += Number(a.lanes[0]!.wake.pending) + Number(b.lanes[0]!.wake.pending);
    run(100);
  }
  assert.ok(wakes >= 1 && wakes <= 10, `${wakes} in 40 s`);
});

test("a carrier that hears a peer elsewhere has all workers send there, and says so once", () => {
  const { a, b, run } = lab();
  pass(a, b, [1, 1]);
  a.udp.move(parseAddress("192.0.2.77")!.addressWords, PORT);
  pass(a, b, [1, 1]);
  assert.ok(b.lanes[0]!.wake.pending);
  run(100);
  pass(a, b, [2, 2]);
  assert.ok(!b.lanes[0]!.wake.pending, "it knows");
  const [peer] = b.wireguard.peers();
  assert.equal(peer!.roams, 1);
  for (const lane of [0, 1, 2]) pass(b, a, [lane, 1]);
});
