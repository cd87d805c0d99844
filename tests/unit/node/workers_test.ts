/**
 * Goal: several workers are one node: no counter is sent twice, no datagram taken twice, each packet is counted in one
 * place, and sessions begin, renew, move and end as with one worker, in whatever order workers have their turns.
 * Method: ends with several workers in one thread, stepped in random order under a virtual clock (fixed seeds).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  MemoryClock,
  MemoryNetwork,
  type NetworkFaults,
  SeededRandom,
} from "../../../src/platform/memory.ts";
import type { Timing } from "../../../src/wireguard/mod.ts";
import { boardViews, SESSION } from "../../../src/wireguard/board_layout.ts";
import { parseAddress, parsePrefix } from "../../../src/packet/mod.ts";
import { packet, PORT } from "./data_plane_lab.ts";
import { WorkersEnd, type WorkersEndOptions } from "./workers_lab.ts";

const HERE = "10.0.0.1";
const THERE = "10.0.0.2";

/** Two ends that know each other, and a watch over the counters of all that is sent. */
function lab(
  options: {
    seed: number;
    workers?: number;
    faults?: Partial<NetworkFaults>;
    timing?: Partial<Timing>;
  } & Pick<WorkersEndOptions, "relayBytes" | "sessionsMax">,
) {
  const { seed, workers = 3, faults, ...others } = options;
  const clock = new MemoryClock();
  const random = new SeededRandom(seed);
  const network = new MemoryNetwork(clock, seed, faults);
  const parts = { ...{ clock, network, workers }, ...others };
  const a = new WorkersEnd({ ...parts, address: "192.0.2.1" });
  const b = new WorkersEnd({ ...parts, address: "192.0.2.2" });
  a.meet(b, [`${THERE}/32`]);
  b.meet(a, [`${HERE}/32`]);
  /** Index and counter of each data message that was sent. */
  const sent = new Set<string>();
  /** Data messages sent, handshakes by their first byte. */
  const kinds = [0, 0, 0, 0, 0];
  network.filter = ({ payload }) => {
    const kind = payload[0]!;
    kinds[kind]!++;
    if (kind !== 4) return true;
    const name = Array.from(payload.subarray(4, 16), (byte) => byte.toString(16)).join(".");
    assert.ok(!sent.has(name), "a counter was used twice");
    sent.add(name);
    return true;
  };
  /** Lets `ms` pass, and all workers have their turns in random order. */
  const run = (ms: number, stepMs = 5): void => {
    for (let elapsed = 0; elapsed < ms; elapsed += stepMs) {
      clock.advance(stepMs);
      for (let turn = 0; turn < 2 * workers; turn++) {
        const end = random.happens(0.5) ? a : b;
        end.step(random.below(workers));
      }
    }
    // Whoever was left out has its turn.
    for (let round = 0; round < 3; round++) {
      a.stepAll();
      b.stepAll();
    }
  };
  const finish = (): void => {
    for (const end of [a, b]) {
      end.assertConserved();
      const written = new Set(end.tun.written.map((bytes) => bytes.join()));
      assert.equal(written.size, end.tun.written.length, "a packet was delivered twice");
    }
  };
  return { clock, random, network, a, b, run, finish, kinds };
}

/** Packets that a lane carried in and out. */
function carried(end: WorkersEnd, lane: number) {
  const { counters } = end.lanes[lane]!;
  return { out: counters.value("udpSent").packets, in: counters.value("tunWritten").packets };
}

test("carriers carry an established session in both directions, and the first worker makes it", () => {
  const { a, b, run, finish } = lab({ seed: 1 });
  const first = packet(HERE, THERE, 100);
  a.inject(first);
  // A carrier reads it and hands it over.
  a.step(1);
  assert.equal(a.waitingPackets, 1);
  run(50);
  assert.deepEqual(b.tun.written, [first]);
  for (let lane = 0; lane < 3; lane++) {
    const before = carried(a, lane).out;
    a.inject(packet(HERE, THERE, 200));
    a.step(lane);
    assert.equal(carried(a, lane).out, before + 1, `worker ${lane} sealed it`);
    const had = carried(b, lane).in;
    b.step(lane);
    assert.equal(carried(b, lane).in, had + 1, `worker ${lane} opened it`);
  }
  assert.deepEqual(a.counters.outRelayFull.packets + b.counters.inRelayFull.packets, 0);
  finish();
});

for (let seed = 1; seed <= 6; seed++) {
  test(`random turns over a shaky network: nothing twice, nothing lost uncounted (seed ${seed})`, () => {
    const timing = { rekeyAfterTimeMs: 3_000, rejectAfterTimeMs: 30_000 };
    const faults = { lossRate: 0.02, duplicateRate: 0.1, reorderRate: 0.1, jitterMs: 20 };
    const world = lab({ seed, workers: 2 + seed % 3, faults, timing });
    const { a, b, network, random, run, finish, kinds } = world;
    let moves = 0;
    for (let round = 0; round < 1_500; round++) {
      const [end, src, dst] = random.happens(0.5) ? [a, HERE, THERE] : [b, THERE, HERE];
      for (let left = random.below(4); left > 0; left--) {
        end.inject(packet(src, dst, 60 + random.below(1_300), [1_000 + random.below(9), 53]));
      }
      run(random.happens(0.02) ? 1_000 : random.below(3) * 5, 5);
      if (random.happens(0.005)) {
        // It roams: the other end must follow whichever worker hears of it.
        moves++;
        const words = parseAddress(`192.0.2.${10 + moves}`)!.addressWords;
        a.udp.move(words, PORT);
      }
      if (random.happens(0.003)) {
        b.configure({ peers: [{ publicKey: a.publicKey, remove: true }] });
        b.meet(a, [`${HERE}/32`]);
        // It knows the first address only; what moved must say where it is.
        a.inject(packet(HERE, THERE, 60));
      }
    }
    run(60_000, 50);
    assert.ok(kinds[1]! > 10, `sessions were renewed, by ${kinds[1]} initiations`);
    assert.ok(moves > 0);
    for (const end of [a, b]) {
      for (let lane = 0; lane < end.lanes.length; lane++) {
        assert.ok(carried(end, lane).out > 50 && carried(end, lane).in > 50, "all workers carry");
      }
    }
    // Whatever had been done to them, they are a pair again.
    Object.assign(network.faults, { lossRate: 0, duplicateRate: 0, reorderRate: 0, jitterMs: 0 });
    run(30_000, 50);
    const before = [a.tun.written.length, b.tun.written.length];
    for (let count = 0; count < 20; count++) {
      a.inject(packet(HERE, THERE, 60));
      b.inject(packet(THERE, HERE, 60));
      run(5);
    }
    const after = [a.tun.written.length, b.tun.written.length];
    assert.deepEqual(after, before.map((packets) => packets + 20));
    finish();
  });
}

test("without faults everything arrives, through every renewal", () => {
  const { a, b, random, run, finish, kinds } = lab({
    ...{
      seed: 3,
      timing: { rekeyAfterTimeMs: 2_000, rejectAfterTimeMs: 20_000, rekeyTimeoutMs: 500 },
    },
    // One way must not be faster than the detour over the first worker by more than a receiver's patience.
    faults: { delayMs: 3 },
  });
  for (let round = 0; round < 3_000; round++) {
    a.inject(packet(HERE, THERE, 60 + random.below(500)));
    if (round % 3 === 0) b.inject(packet(THERE, HERE, 60 + random.below(500)));
    run(5);
  }
  run(100);
  assert.ok(kinds[1]! > 4, `${kinds[1]} initiations`);
  assert.equal(b.tun.written.length, a.injected.packets);
  assert.equal(a.tun.written.length, b.injected.packets);
  finish();
});

test("a datagram given to two workers at once is taken by one", () => {
  const { a, b, network, run, finish } = lab({ seed: 4 });
  a.inject(packet(HERE, THERE, 60));
  run(50);
  network.faults.duplicateRate = 1;
  const before = b.tun.written.length;
  for (let count = 0; count < 20; count++) {
    a.inject(packet(HERE, THERE, 60));
    a.step(count % 3);
    // Each worker's turn takes all that waits, so one copy is put back for the next.
    b.step(count % 3);
    b.step((count + 1) % 3);
  }
  assert.equal(b.tun.written.length, before + 20);
  assert.equal(b.counters.inReplay.packets, 20);
  finish();
});

test("what a full ring does not take is dropped and counted", () => {
  const { a, b, network, run, finish } = lab({ seed: 5, relayBytes: 1_024 });
  for (let count = 0; count < 30; count++) a.inject(packet(HERE, THERE, 100));
  a.step(1);
  const { outRelayFull } = a.counters;
  assert.ok(outRelayFull.packets > 15 && outRelayFull.packets < 25, `${outRelayFull.packets}`);
  assert.equal(a.waitingPackets, 30 - outRelayFull.packets);
  run(100);
  // At the other end the same, for what comes before the session is confirmed is left to its first worker.
  const had = b.counters.inRelayFull.packets;
  assert.equal(b.tun.written.length, 30 - outRelayFull.packets - had);
  const junk = new Uint8Array(100).fill(9);
  junk.set([4, 0, 0, 0, 1, 2, 3, 4]);
  network.filter = null;
  for (let count = 0; count < 30; count++) {
    network.transmit({
      family: 4,
      source: "nobody",
      destination: b.udp.boundTo,
      payload: junk,
      sourceWords: new Uint32Array(12).fill(4),
    });
  }
  // A batch is small at first and twice the last when that was full.
  for (let turn = 0; turn < 3; turn++) b.step(2);
  const refused = b.counters.inRelayFull.packets - had;
  assert.ok(refused > 15 && refused < 30, `${refused}`);
  run(50);
  assert.equal(b.counters.inUnknownSession.packets, 30 - refused);
  finish();
});

test("a peer that was removed is carried by nobody, not even before carriers know its successor", () => {
  const { a, b, network, clock, run, finish } = lab({ seed: 6 });
  const c = new WorkersEnd({ clock, network, workers: 1, address: "192.0.2.3" });
  c.meet(a, [`${HERE}/32`]);
  a.inject(packet(HERE, THERE, 60));
  run(50);
  const delivered = b.tun.written.length;
  // The slot goes to another peer while carriers still hold the old one's routes.
  a.tells = false;
  a.configure({ peers: [{ publicKey: b.publicKey, remove: true }] });
  a.meet(c, ["10.0.0.3/32"]);
  c.inject(packet("10.0.0.3", HERE, 60));
  for (let round = 0; round < 10; round++) {
    run(5);
    c.stepAll();
  }
  assert.equal(a.tun.written.length, 1, "the new peer has a session");
  for (const lane of [1, 2]) {
    a.inject(packet(HERE, THERE, 60));
    a.step(lane);
  }
  run(50);
  c.stepAll();
  assert.equal(b.tun.written.length, delivered);
  assert.equal(c.tun.written.length, 0, "the new peer does not get the old one's packets");
  assert.equal(a.counters.outNoRoute.packets, 2);
  // What the new peer sends is its own until carriers know it, and then, too.
  c.inject(packet(THERE, HERE, 60));
  c.stepAll();
  a.step(1);
  a.step(0);
  assert.equal(a.counters.inBadSource.packets, 1);
  a.tell();
  c.inject(packet("10.0.0.3", HERE, 60));
  c.stepAll();
  a.step(1);
  assert.equal(carried(a, 1).in, 1);
  const [peer] = a.wireguard.peers();
  assert.ok(peer!.rxDatagrams >= 3 && peer!.rxDatagrams < 8, "counts of its own");
  finish();
});

test("a session that ends in the middle of a carrier's turn opens and seals nothing any more", () => {
  const { a, b, run, finish } = lab({ seed: 10 });
  a.inject(packet(HERE, THERE, 60));
  run(50);
  for (const [from, to] of [[a, b], [b, a]] as const) {
    from.inject(packet(from === a ? HERE : THERE, from === a ? THERE : HERE, 60));
    from.step(1);
    to.step(1);
  }
  assert.ok(carried(b, 1).in === 1 && carried(b, 1).out >= 1);
  // It looks for ended sessions when a turn begins; here it has begun.
  b.lanes[1]!.carrier!.setTime = () => {};
  b.tells = false;
  b.configure({ peers: [{ publicKey: a.publicKey, remove: true }] });
  a.inject(packet(HERE, THERE, 60));
  a.step(1);
  b.inject(packet(THERE, HERE, 60));
  const before = carried(b, 1);
  b.step(1);
  b.step(0);
  assert.deepEqual(carried(b, 1), before);
  assert.equal(b.counters.inUnknownSession.packets, 1);
  assert.equal(b.counters.outNoRoute.packets, 1);
  finish();
});

test("carriers give up a session's keys when it ends, though nothing comes for them any more", () => {
  const { a, b, run } = lab({ seed: 7 });
  a.inject(packet(HERE, THERE, 60));
  run(50);
  for (const lane of [1, 2]) {
    a.inject(packet(HERE, THERE, 60));
    a.step(lane);
  }
  const wakes = a.lanes.map((lane) => lane.wake.pending);
  a.configure({ peers: [{ publicKey: b.publicKey, remove: true }] });
  assert.ok(a.lanes.slice(1).every((lane, index) => lane.wake.pending && !wakes[index + 1]));
  a.stepAll();
  const { words, session, sessionsMax } = boardViews(a.board);
  for (let place = 0; place < sessionsMax; place++) {
    const base = session(place);
    assert.equal(words[base + SESSION.HOLDERS], 0);
    const keys = words.subarray(base + SESSION.SEND_KEY, base + SESSION.SEND_KEY + 16);
    assert.ok(keys.every((word) => word === 0));
  }
});

test("more sessions than the board holds are carried by the first worker alone", () => {
  const { a, b, run, finish } = lab({ seed: 8, sessionsMax: 1 });
  const round = (): void => {
    for (const lane of [0, 1, 2]) {
      a.inject(packet(HERE, THERE, 60));
      a.step(lane);
    }
    run(50);
  };
  round();
  round();
  const before = carried(a, 1).out + carried(a, 2).out;
  assert.ok(before >= 2, "the only place is taken and used");
  // The next session finds it held by the one before.
  run(121_000, 500);
  round();
  const renewed = carried(a, 1).out + carried(a, 2).out;
  round();
  assert.equal(carried(a, 1).out + carried(a, 2).out, renewed);
  assert.equal(b.tun.written.length, a.injected.packets);
  finish();
});

test("AllowedIPs that moved are checked by every worker", () => {
  const { a, b, run, finish } = lab({ seed: 9 });
  a.inject(packet(HERE, THERE, 60));
  run(50);
  const before = b.tun.written.length;
  b.configure({
    peers: [{
      publicKey: a.publicKey,
      replaceAllowedIps: true,
      allowedIps: [parsePrefix("10.0.0.9/32")!],
    }],
  });
  for (const lane of [0, 1, 2]) {
    a.inject(packet(HERE, THERE, 60));
    a.stepAll();
    b.step(lane);
  }
  run(20);
  assert.equal(b.tun.written.length, before);
  assert.equal(b.counters.inBadSource.packets, 3);
  finish();
});
