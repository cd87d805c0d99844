/**
 * Goal: later fragments find their first one's ports, hostile ones never borrow ports, and the cache never grows.
 * Method: datagrams cut by hand; then random histories against a Map with the same bounds (fast-check commands).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decode,
  FragmentCache,
  HASH_SECRET_WORDS,
  INFO_WORDS,
  KEY,
  KEY_WORDS,
} from "../../../src/packet/mod.ts";
import { fragment, ipv4, ipv6, tcp, udp } from "./packets.ts";

const SECRET = Uint32Array.from({ length: HASH_SECRET_WORDS }, (_, at) => at * 0x9e3779b9);
const PORTS_UDP = 0x14e90035;

/** Decodes and resolves; returns proto and ports. */
function see(cache: FragmentCache, packet: Uint8Array, nowMs = 0): readonly [number, number] {
  const key = new Uint32Array(KEY_WORDS);
  const info = new Uint32Array(INFO_WORDS);
  decode(new DataView(packet.buffer), 0, packet.length, key, info);
  cache.resolve(key, info, nowMs);
  return [key[KEY.HEAD] & 0xff, key[KEY.PORTS]];
}

const first = (id: number) => ipv4({ id, proto: 17, moreFragments: true, payload: udp() });
const later = (id: number, offsetBlocks = 185) =>
  ipv4({ id, proto: 17, offsetBlocks, payload: [1, 2, 3] });

test("FragmentCache gives later fragments their first one's proto and ports", () => {
  const cache = new FragmentCache(SECRET);
  assert.deepEqual(see(cache, first(7)), [17, PORTS_UDP]);
  assert.deepEqual(see(cache, later(7)), [17, PORTS_UDP]);
  assert.deepEqual(see(cache, later(7, 370)), [17, PORTS_UDP], "as often as they come");
  const first6 = ipv6({ extensions: [fragment(0, true, 9)], proto: 17, payload: udp() });
  // RFC 8200 §4.5: the next header of a later fragment may be another.
  const later6 = ipv6({ extensions: [fragment(185, false, 9)], proto: 60, payload: [1] });
  see(cache, first6);
  assert.deepEqual(see(cache, later6), [17, PORTS_UDP]);
});

test("FragmentCache leaves a later fragment alone whose first one it has not seen", () => {
  const cache = new FragmentCache(SECRET);
  see(cache, first(7));
  const strangers = {
    "another id": later(8),
    "another proto": ipv4({ id: 7, proto: 6, offsetBlocks: 185, payload: [1] }),
    "another source": ipv4({ id: 7, proto: 17, offsetBlocks: 185, src: [1, 2, 3, 4], payload: [] }),
    "another destination": ipv4({ id: 7, proto: 17, offsetBlocks: 185, dst: [1, 2, 3, 4] }),
    "the way back": ipv4({
      ...{ id: 7, proto: 17, offsetBlocks: 185 },
      src: [100, 64, 0, 2],
      dst: [100, 64, 0, 1],
    }),
  };
  for (const [name, packet] of Object.entries(strangers)) {
    assert.deepEqual(see(cache, packet), [255, 0], name);
  }
});

test("FragmentCache never gives ports to a fragment that could overwrite them", () => {
  const cache = new FragmentCache(SECRET);
  see(cache, first(7));
  for (const offsetBlocks of [1, 9]) assert.deepEqual(see(cache, later(7, offsetBlocks)), [0, 0]);
  assert.deepEqual(see(cache, later(7, 10)), [17, PORTS_UDP]);
});

test("FragmentCache joins later fragments to a first one whose transport is unreadable", () => {
  const cache = new FragmentCache(SECRET);
  see(cache, first(7));
  // The same id again, with 8 bytes of TCP: the old datagram's ports must not be lent.
  const short = ipv4({ id: 7, proto: 17, moreFragments: true, payload: tcp().slice(0, 4) });
  assert.deepEqual(see(cache, short), [0, 0]);
  assert.deepEqual(see(cache, later(7)), [0, 0]);
});

test("FragmentCache forgets after its time, counted from the last first fragment", () => {
  const cache = new FragmentCache(SECRET, { slots: 8, ttlMs: 100 });
  see(cache, first(7), 1_000);
  assert.deepEqual(see(cache, later(7), 1_099), [17, PORTS_UDP]);
  assert.deepEqual(see(cache, later(7), 1_100), [255, 0]);
  see(cache, first(7), 1_100);
  assert.deepEqual(see(cache, later(7), 1_199), [17, PORTS_UDP]);
  assert.equal(cache.used, 1);
});

test("FragmentCache under a flood of first fragments pushes out the oldest and stays its size", () => {
  const slots = 16;
  const cache = new FragmentCache(SECRET, { slots, ttlMs: 1_000 });
  for (let id = 0; id < 10_000; id++) {
    see(cache, first(id));
    assert.ok(cache.used <= slots);
  }
  for (let id = 9_980; id < 10_000; id++) {
    assert.deepEqual(see(cache, later(id)), id < 10_000 - slots ? [255, 0] : [17, PORTS_UDP]);
  }
});

test("FragmentCache ignores packets that are no fragments", () => {
  const cache = new FragmentCache(SECRET);
  assert.deepEqual(see(cache, ipv4({ id: 7, proto: 17, payload: udp() })), [17, PORTS_UDP]);
  assert.equal(cache.used, 0);
  assert.deepEqual(see(cache, later(7)), [255, 0]);
});

/** A Map in insertion order with the cache's bounds. */
class Model {
  readonly entries = new Map<string, { ports: number; seenMs: number }>();
  nowMs = 0;
  joined = 0;
  pushedOut = 0;
  constructor(readonly slots: number, readonly ttlMs: number) {}
}

class First implements fc.Command<Model, FragmentCache> {
  constructor(readonly host: number, readonly id: number, readonly port: number) {}
  check = () => true;
  run(model: Model, cache: FragmentCache): void {
    const ports = (0x1000 << 16) | this.port;
    const packet = ipv4({
      ...{ id: this.id, proto: 17, moreFragments: true, src: [10, 0, 0, this.host] },
      payload: [0x10, 0, 0, this.port, 0, 8, 0, 0],
    });
    assert.deepEqual(see(cache, packet, model.nowMs), [17, ports]);
    const name = `${this.host}/${this.id}`;
    if (!model.entries.has(name) && model.entries.size === model.slots) {
      model.entries.delete(model.entries.keys().next().value!);
      model.pushedOut++;
    }
    model.entries.set(name, { ports, seenMs: model.nowMs });
    assert.equal(cache.used, model.entries.size);
  }
  toString = () => `First(${this.host}, ${this.id}, ${this.port})`;
}

class Later implements fc.Command<Model, FragmentCache> {
  constructor(readonly host: number, readonly id: number) {}
  check = () => true;
  run(model: Model, cache: FragmentCache): void {
    const packet = ipv4({
      ...{ id: this.id, proto: 17, offsetBlocks: 20, src: [10, 0, 0, this.host] },
    });
    const entry = model.entries.get(`${this.host}/${this.id}`);
    const known = entry !== undefined && model.nowMs - entry.seenMs < model.ttlMs;
    if (known) model.joined++;
    const wanted = known ? [17, entry.ports] : [255, 0];
    assert.deepEqual(see(cache, packet, model.nowMs), wanted);
  }
  toString = () => `Later(${this.host}, ${this.id})`;
}

class Wait implements fc.Command<Model, FragmentCache> {
  constructor(readonly forMs: number) {}
  check = () => true;
  run(model: Model): void {
    model.nowMs += this.forMs;
  }
  toString = () => `Wait(${this.forMs})`;
}

test("FragmentCache equals a Map with the same bounds over random histories", () => {
  const hosts = fc.nat({ max: 2 });
  const ids = fc.nat({ max: 3 });
  const commands = [
    fc.tuple(hosts, ids, fc.nat({ max: 255 })).map((args) => new First(...args)),
    fc.tuple(hosts, ids).map((args) => new Later(...args)),
    fc.nat({ max: 40 }).map((ms) => new Wait(ms)),
  ];
  let joined = 0;
  let pushedOut = 0;
  fc.assert(
    fc.property(
      fc.commands(commands, { maxCommands: 100, size: "max" }),
      fc.integer({ min: 1, max: 6 }),
      (history, slots) => {
        const model = new Model(slots, 100);
        const real = new FragmentCache(SECRET, { slots, ttlMs: 100 });
        fc.modelRun(() => ({ model, real }), history);
        joined += model.joined;
        pushedOut += model.pushedOut;
      },
    ),
    { seed: 20260102, numRuns: 300 },
  );
  assert.ok(joined > 300 && pushedOut > 300, `joined ${joined}, pushed out ${pushedOut}`);
});
