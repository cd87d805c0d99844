// Goal: who may begin, who is answered, what an attacker who sees, keeps, repeats or alters messages can reach.
// Method: nodes over a network in memory; a tap keeps messages, which are then played back from anywhere.
import { test } from "node:test";
import assert from "node:assert/strict";
import { RECEIVE, SEAL } from "../../../src/wireguard/mod.ts";
import { ENDPOINT } from "../../../src/ports.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { ScriptedCrypto } from "../../support/scripted_crypto.ts";
import {
  endpoint4,
  labBuffer,
  type LabNode,
  type Tapped,
  WireGuardLab,
} from "../../support/wireguard_lab.ts";

const DELAY_MS = 10;
const INITIATION = 1;
const RESPONSE = 2;
const COOKIE = 3;
const DATA = 4;
const STRANGER = endpoint4(0xcb007109, 4242);

/** Hands a datagram to a node as if it came from `from`. @returns Its status. */
function inject(node: LabNode, bytes: Uint8Array, from: Uint32Array = STRANGER): number {
  const buffer = labBuffer(2048);
  buffer.bytes.set(bytes, 16);
  return node.take(buffer, 16, bytes.length, from, 0);
}

/** What can be seen of a node from outside; equal means that nothing has changed. */
function visible(node: LabNode): unknown {
  return [node.wireguard.snapshot(), node.wireguard.nextDeadlineMs, node.crypto.keysAlive];
}

/** A lab whose tap keeps what was sent. */
function tapped(options: Parameters<typeof WireGuardLab.pair>[0] = {}) {
  const made = WireGuardLab.pair({ faults: { delayMs: DELAY_MS }, ...options });
  const sent: Tapped[] = [];
  made.lab.tap = (datagram) => sent.push(datagram);
  const find = (from: LabNode, type: number): Uint8Array => {
    const found = sent.find((datagram) => datagram.from === from && datagram.bytes[0] === type);
    assert.ok(found !== undefined, `node ${from.index} sent no message of type ${type}`);
    return found.bytes;
  };
  return { ...made, sent, find };
}

// ---- Beginning ----------------------------------------------------------------------------------------------------

for (const crypto of CRYPTO_PORTS) {
  test(`a packet waits for the handshake and goes first (${crypto.name})`, () => {
    const { lab, a, b, sent } = tapped({ oneSided: true, crypto });
    const id = lab.send(a, b);
    lab.run(1_000);
    assert.ok(b.delivered.has(id));
    assert.deepEqual(sent.map(({ bytes }) => bytes[0]), [INITIATION, RESPONSE, DATA]);
    assert.equal(a.ready.length, 1);
    assert.equal(b.ready.length, 1);
    const handshakes = [a, b].map((node) => node.wireguard.snapshot().peers[0].lastHandshakeWallMs);
    assert.deepEqual(handshakes, [lab.wallMs - 980, lab.wallMs - 970]);
  });
}

test("a responder answers where the initiation came from and cannot begin before", () => {
  const { lab, a, b } = tapped({ oneSided: true });
  const id = lab.send(b, a);
  assert.equal(b.sendPacket(a, id, 100), SEAL.NO_ENDPOINT);
  assert.equal(b.peerOf(a).hasEndpoint, false);
  lab.send(a, b);
  lab.run(1_000);
  assert.deepEqual(
    b.peerOf(a).endpoint.subarray(0, ENDPOINT.LOCAL_ADDRESS),
    a.endpoint.subarray(0, ENDPOINT.LOCAL_ADDRESS),
  );
  assert.equal(b.peerOf(a).roams, 0);
  const back = lab.send(b, a);
  lab.run(1_000);
  assert.ok(a.delivered.has(back));
});

test("equal preshared keys agree, different ones do not", () => {
  const presharedKey = new Uint8Array(32).fill(9);
  const { lab, a, b } = tapped({ presharedKey });
  lab.send(a, b);
  lab.run(1_000);
  assert.equal(b.delivered.size, 1);

  const other = tapped({ presharedKey });
  other.b.wireguard.configure(
    { peers: [{ publicKey: other.a.publicKey, presharedKey: new Uint8Array(32) }] },
    other.lab.nowMs,
    other.lab.wallMs,
  );
  other.lab.send(other.a, other.b);
  other.lab.run(10_000);
  assert.equal(other.b.delivered.size, 0);
  assert.ok(other.a.count(RECEIVE.HANDSHAKE_INVALID) >= 1);
  assert.equal(other.a.wireguard.snapshot().peers[0].lastHandshakeWallMs, 0);
});

test("a node without a private key neither begins nor answers", () => {
  const { lab, a, b, find } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  b.wireguard.configure({ privateKey: new Uint8Array(32) }, lab.nowMs, lab.wallMs);
  assert.equal(b.sendPacket(a, 1, 100), SEAL.NO_HANDSHAKE);
  assert.equal(inject(b, find(a, INITIATION)), RECEIVE.MAC_INVALID);
  assert.equal(inject(b, find(a, DATA)), RECEIVE.UNKNOWN_SESSION);
  assert.ok(b.wireguard.snapshot().publicKey.every((byte) => byte === 0));
});

test("a peer whose key is a point of low order is never answered", () => {
  const { lab, a, b } = tapped();
  a.wireguard.configure(
    { peers: [{ publicKey: new Uint8Array(32), endpoint: b.endpoint, persistentKeepaliveS: 1 }] },
    lab.nowMs,
    lab.wallMs,
  );
  const peer = a.wireguard.peerByKey(new Uint8Array(32))!;
  const buffer = labBuffer(256);
  assert.equal(a.wireguard.seal(peer, buffer, 16, 100), SEAL.NO_HANDSHAKE);
  assert.equal(lab.nextMs, Infinity);
});

test("receiver indices are random, never 0, never one that is in use", () => {
  const lab = new WireGuardLab();
  // The words that are drawn for indices: 0 and the first one again are passed over.
  const words = [0x11111111, 0, 0x11111111, 0x22222222];
  const port = CRYPTO_PORTS.at(-1)!;
  const original = lab.addNode();
  let isScripted = false;
  const crypto = new ScriptedCrypto(port, (output) => {
    if (!isScripted || output.length !== 4) return port.random(output);
    new DataView(output.buffer).setUint32(0, words.shift()!, true);
  });
  const sent: number[] = [];
  const node =
    new (original.wireguard.constructor as new (options: unknown) => typeof original.wireguard)({
      crypto,
      events: {
        send: (_: unknown, bytes: Uint8Array) =>
          sent.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true)),
        sessionReady: () => 0,
        sessionFailed: () => {},
      },
    });
  isScripted = true;
  node.configure({ privateKey: new Uint8Array(32).fill(1) }, 0, 0);
  for (let index = 0; index < 2; index++) {
    const other = lab.addNode();
    node.configure(
      {
        peers: [{ publicKey: other.publicKey, endpoint: other.endpoint, persistentKeepaliveS: 1 }],
      },
      0,
      1_000,
    );
  }
  assert.deepEqual(sent, [0x11111111, 0x22222222]);
});

// ---- Both at once -------------------------------------------------------------------------------------------------

test("both ends initiate at once: both have a session after one round trip, and all arrives", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const { lab, a, b } = WireGuardLab.pair({ seed, faults: { delayMs: 5, jitterMs: 20 } });
    const ids = [lab.send(a, b), lab.send(b, a), lab.send(a, b), lab.send(b, a)];
    lab.run(100);
    assert.deepEqual([a.delivered.size, b.delivered.size], [2, 2], `seed ${seed}`);
    assert.equal(a.waitingPackets + b.waitingPackets, 0);
    for (let step = 0; step < 50; step++) {
      ids.push(lab.send(a, b), lab.send(b, a));
      lab.run(100);
    }
    assert.equal(a.delivered.size + b.delivered.size, ids.length, `seed ${seed}`);
    // And no more handshakes follow.
    assert.ok(a.ready.length + b.ready.length <= 4, `seed ${seed}`);
  }
});

test("both ends initiate at once and go on sending: renewals do not collide for ever", () => {
  for (let seed = 1; seed <= 3; seed++) {
    const { lab, a, b } = WireGuardLab.pair({ seed, faults: { delayMs: DELAY_MS } });
    const initiations: number[] = [];
    lab.tap = ({ bytes, atMs }) => {
      if (bytes[0] === INITIATION) initiations.push(atMs);
    };
    lab.send(a, b);
    lab.send(b, a);
    lab.run(119_000);
    // Both ends send every millisecond around each renewal.
    for (let renewal = 0; renewal < 3; renewal++) {
      for (let step = 0; step < 1_500; step++) {
        lab.send(a, b);
        lab.send(b, a);
        lab.run(1);
      }
      for (let second = 0; second < 118; second += 2) {
        lab.send(a, b);
        lab.send(b, a);
        lab.run(2_000);
      }
    }
    lab.run(1_000);
    assert.equal(a.delivered.size + b.delivered.size, lab.sentPackets.size, `seed ${seed}`);
    assert.ok(initiations.length <= 2 + 3 + 1, `seed ${seed}: ${initiations.length} initiations`);
  }
});

test("both ends initiate at once and lose messages: it still converges", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const { lab, a, b } = WireGuardLab.pair({ seed, faults: { delayMs: 5, lossRate: 0.4 } });
    lab.send(a, b);
    lab.send(b, a);
    lab.run(60_000);
    lab.network.faults.lossRate = 0;
    // What lies under a session that the other end has lost is lost, until 15 s of silence bring a new one.
    for (let second = 0; second < 20; second++) {
      lab.send(a, b);
      lab.send(b, a);
      lab.run(1_000);
    }
    const last = [lab.send(a, b), lab.send(b, a)];
    lab.run(1_000);
    assert.ok(b.delivered.has(last[0]) && a.delivered.has(last[1]), `seed ${seed}`);
  }
});

test("a handshake that ends in either role ends the other", () => {
  const { lab, a, b, find } = tapped();
  // b's response to a's initiation is held back; b's own handshake comes about.
  let held: Uint8Array | null = null;
  lab.network.filter = ({ payload }) => {
    if (payload[0] !== RESPONSE || held !== null) return true;
    held = payload;
    return false;
  };
  lab.send(a, b);
  lab.run(1);
  lab.send(b, a);
  lab.run(1_000);
  assert.equal(a.delivered.size + b.delivered.size, 2);
  assert.deepEqual(held, find(b, RESPONSE));
  assert.equal(inject(a, held!), RECEIVE.HANDSHAKE_INVALID);
});

// ---- Replay and forgery -------------------------------------------------------------------------------------------

test("an initiation that is played back is refused and moves nothing", () => {
  const { lab, a, b, find } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  const before = visible(b);
  assert.equal(inject(b, find(a, INITIATION)), RECEIVE.HANDSHAKE_REPLAY);
  assert.deepEqual(visible(b), before);
});

test("an older initiation that comes late is refused", () => {
  const { lab, a, b, sent } = tapped();
  lab.network.faults.lossRate = 1;
  lab.send(a, b);
  lab.run(6_000);
  const [older, newer] = sent.filter(({ bytes }) => bytes[0] === INITIATION);
  assert.equal(inject(b, newer.bytes), RECEIVE.HANDSHAKE);
  lab.run(1_000);
  assert.equal(inject(b, older.bytes), RECEIVE.HANDSHAKE_REPLAY);
});

test("initiations of one peer are taken no more often than every 20 ms", () => {
  const { lab, a, b, sent } = tapped();
  lab.network.faults.lossRate = 1;
  lab.send(a, b);
  lab.run(16_000);
  const [first, second, third] = sent.filter(({ bytes }) => bytes[0] === INITIATION);
  assert.equal(inject(b, first.bytes), RECEIVE.HANDSHAKE);
  lab.run(19);
  assert.equal(inject(b, second.bytes), RECEIVE.HANDSHAKE_REPLAY);
  lab.run(1);
  assert.equal(inject(b, third.bytes), RECEIVE.HANDSHAKE);
});

test("a response is taken once, and only while its handshake is under way", () => {
  const { lab, a, b, find } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  const before = visible(a);
  assert.equal(inject(a, find(b, RESPONSE)), RECEIVE.HANDSHAKE_INVALID);
  assert.deepEqual(visible(a), before);
});

test("the response to an initiation that was repeated since is refused", () => {
  const { lab, a, b, find } = tapped();
  lab.network.filter = ({ payload }) => payload[0] !== RESPONSE;
  lab.send(a, b);
  lab.run(6_000);
  assert.equal(inject(a, find(b, RESPONSE)), RECEIVE.HANDSHAKE_INVALID);
});

test("an initiation by a key that is no peer's is refused, and so is our own reflected", () => {
  const { lab, a, b, find } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  b.wireguard.configure({ replacePeers: true }, lab.nowMs, lab.wallMs);
  assert.equal(inject(b, find(a, INITIATION)), RECEIVE.UNKNOWN_PEER);
  assert.equal(inject(a, find(a, INITIATION)), RECEIVE.MAC_INVALID);
});

test("a clock that is set back does not keep a node from beginning", () => {
  const { lab, a, b } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  lab.clock.stepWall(-3_600_000);
  lab.run(200_000);
  const id = lab.send(a, b);
  lab.run(1_000);
  assert.ok(b.delivered.has(id));
  assert.equal(b.count(RECEIVE.HANDSHAKE_REPLAY), 0);
});

test("a peer that was removed and added again after the clock was set back is still understood", () => {
  const { lab, a, b } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  lab.clock.stepWall(-3_600_000);
  const { peers } = a.wireguard.snapshot();
  a.wireguard.configure({ replacePeers: true, peers: [] }, lab.nowMs, lab.wallMs);
  const { publicKey, allowedIps } = peers[0];
  a.wireguard.configure(
    { peers: [{ publicKey, allowedIps, endpoint: b.endpoint }] },
    lab.nowMs,
    lab.wallMs,
  );
  lab.run(6_000);
  const id = lab.send(a, b);
  lab.run(1_000);
  assert.ok(b.delivered.has(id));
});

// ---- Roaming ------------------------------------------------------------------------------------------------------

test("a peer is followed by authentic data to its new address and port", () => {
  const { lab, a, b } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  const moved = endpoint4(0xc6336401, 999);
  a.move(moved);
  lab.send(a, b);
  lab.run(100);
  assert.equal(b.peerOf(a).roams, 1);
  const id = lab.send(b, a);
  lab.run(100);
  assert.ok(a.delivered.has(id));
  assert.deepEqual(b.wireguard.snapshot().peers[0].endpoint!.slice(0, 7), moved.slice(0, 7));
});

test("a peer is followed by an authentic initiation and by an authentic response", () => {
  for (const mover of ["initiator", "responder"]) {
    const { lab, a, b } = tapped();
    lab.send(a, b);
    lab.run(200_000);
    const node = mover === "initiator" ? a : b;
    const other = mover === "initiator" ? b : a;
    const moved = endpoint4(0xc6336401, 999).slice(ENDPOINT.ADDRESS, ENDPOINT.PORT);
    if (mover === "initiator") a.socket.move(moved, 999);
    // The responder moves while the initiation is on its way; what goes to its old address is sent on.
    lab.network.filter = mover === "initiator" ? null : (datagram) => {
      if (datagram.payload[0] === INITIATION && b.socket.port !== 999) {
        b.socket.move(moved, 999);
        inject(b, datagram.payload, a.endpoint);
        return false;
      }
      return true;
    };
    lab.send(a, b);
    lab.run(100);
    assert.equal(other.peerOf(node).endpoint[ENDPOINT.PORT], 999, mover);
    assert.equal(other.peerOf(node).roams, 1, mover);
  }
});

test("a peer is not followed by what is replayed or forged", () => {
  const { lab, a, b, find, sent } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  const before = visible(b);
  for (const { bytes, from } of [...sent]) {
    if (from !== a) continue;
    assert.ok(inject(b, bytes) >= RECEIVE.MALFORMED);
    for (const index of [4, 20, bytes.length - 1]) {
      const forged = bytes.slice();
      forged[index] ^= 1;
      assert.ok(inject(b, forged) >= RECEIVE.MALFORMED);
    }
  }
  assert.deepEqual(visible(b), before);
  assert.ok(find(a, DATA).length > 0);
});

test("a new local address alone is not roaming", () => {
  const { lab, a, b, sent } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  lab.network.faults.lossRate = 1;
  lab.send(a, b);
  const from = a.endpoint.slice();
  from[ENDPOINT.LOCAL_ADDRESS + 3] = 77;
  assert.equal(inject(b, sent.at(-1)!.bytes, from), RECEIVE.DATA);
  assert.equal(b.peerOf(a).endpoint[ENDPOINT.LOCAL_ADDRESS + 3], 77);
  assert.equal(b.peerOf(a).roams, 0);
});

test("the local address is forgotten when an initiation is repeated", () => {
  const { lab, a, b } = tapped();
  lab.send(a, b);
  lab.run(200_000);
  const local = (): Uint32Array => a.peerOf(b).endpoint.slice(ENDPOINT.LOCAL_ADDRESS);
  lab.network.faults.lossRate = 1;
  lab.send(a, b);
  lab.run(4_900);
  assert.ok(local().some((word) => word !== 0));
  lab.run(600);
  assert.ok(local().every((word) => word === 0));
});

test("the local address is forgotten when data goes unanswered", () => {
  const { lab, a, b } = tapped();
  lab.send(a, b);
  lab.run(1_000);
  const local = (): Uint32Array => a.peerOf(b).endpoint.slice(ENDPOINT.LOCAL_ADDRESS);
  lab.run(200_000);
  lab.send(b, a);
  lab.run(1_000);
  assert.ok(local().some((word) => word !== 0));
  lab.network.faults.lossRate = 1;
  lab.send(a, b);
  lab.run(16_000);
  assert.ok(local().every((word) => word === 0));
});

// ---- Load ---------------------------------------------------------------------------------------------------------

test("under load a handshake is answered by a cookie, and taken with it", () => {
  const { lab, a, b, sent } = tapped({ oneSided: true });
  const load = () => b.wireguard.setUnderLoad(true, lab.nowMs);
  load();
  const agreements = b.crypto.agreements;
  lab.send(a, b);
  lab.run(500);
  assert.equal(b.crypto.agreements, agreements, "a key agreement for a stranger under load");
  assert.equal(b.count(RECEIVE.COOKIE_REQUIRED), 1);
  assert.equal(a.count(RECEIVE.COOKIE), 1);
  assert.equal(b.peerOf(a).hasEndpoint, false);
  lab.run(4_400);
  load();
  lab.run(1_000);
  const [first, second] = sent.filter(({ bytes }) => bytes[0] === INITIATION);
  assert.ok(first.bytes.subarray(132).every((byte) => byte === 0));
  assert.ok(second.bytes.subarray(132).some((byte) => byte !== 0));
  assert.equal(b.count(RECEIVE.HANDSHAKE), 1);
  assert.equal(b.delivered.size, 1);
});

test("a response, too, must show a cookie to an initiator under load", () => {
  const { lab, a, b } = tapped({ oneSided: true });
  lab.send(a, b);
  a.wireguard.setUnderLoad(true, lab.nowMs);
  lab.run(500);
  assert.equal(a.count(RECEIVE.COOKIE_REQUIRED), 1);
  assert.equal(b.count(RECEIVE.COOKIE), 1);
  lab.run(4_400);
  a.wireguard.setUnderLoad(true, lab.nowMs);
  lab.run(1_000);
  assert.equal(a.count(RECEIVE.HANDSHAKE), 1);
  assert.equal(b.delivered.size, 1);
});

test("a cookie is for one address and port, and for two minutes", () => {
  const { lab, a, b, sent } = tapped({ oneSided: true });
  b.wireguard.setUnderLoad(true, lab.nowMs);
  lab.send(a, b);
  lab.run(4_900);
  lab.network.faults.lossRate = 1;
  lab.run(500);
  const { bytes } = sent.filter((datagram) => datagram.bytes[0] === INITIATION)[1];
  const ask = (from: Uint32Array): number => {
    b.wireguard.setUnderLoad(true, lab.nowMs);
    return inject(b, bytes, from);
  };
  const otherPort = a.endpoint.slice();
  otherPort[ENDPOINT.PORT]++;
  const otherAddress = a.endpoint.slice();
  otherAddress[ENDPOINT.ADDRESS + 3]++;
  assert.equal(ask(otherPort), RECEIVE.COOKIE_REQUIRED);
  assert.equal(ask(otherAddress), RECEIVE.COOKIE_REQUIRED);
  lab.run(120_000 - lab.nowMs + 1_000 - 1);
  const forged = bytes.slice();
  forged[140] ^= 1;
  assert.equal(
    inject(b, forged, a.endpoint),
    RECEIVE.HANDSHAKE,
    "not under load, mac2 is not looked at",
  );
  assert.equal(ask(a.endpoint), RECEIVE.HANDSHAKE_REPLAY, "the cookie holds");
  lab.run(20);
  assert.equal(ask(a.endpoint), RECEIVE.COOKIE_REQUIRED, "the cookie has expired");
});

test("an initiator uses a cookie for 115 s", () => {
  const { lab, a, b, sent } = tapped({ oneSided: true });
  b.wireguard.setUnderLoad(true, lab.nowMs);
  lab.send(a, b);
  lab.run(50);
  lab.network.faults.lossRate = 1;
  const startMs = lab.nowMs;
  for (let step = 0; step < 25; step++) {
    lab.run(5_000);
    lab.send(a, b);
  }
  const repeats = sent.filter(({ bytes, atMs }) => bytes[0] === INITIATION && atMs > startMs);
  for (const { bytes, atMs } of repeats) {
    const hasMac2 = bytes.subarray(132).some((byte) => byte !== 0);
    assert.equal(hasMac2, atMs < startMs - 30 + 115_000, `${atMs - startMs} ms`);
  }
  assert.ok(repeats.length > 22);
});

test("a cookie reply that is forged, for another message, or played back is refused", () => {
  const { lab, a, b, find } = tapped({ oneSided: true });
  b.wireguard.setUnderLoad(true, lab.nowMs);
  lab.network.filter = ({ payload }) => payload[0] !== COOKIE;
  lab.send(a, b);
  lab.run(100);
  const reply = find(b, COOKIE);
  assert.equal(reply.length, 64);
  for (const index of [4, 8, 31, 32, 63]) {
    const forged = reply.slice();
    forged[index] ^= 1;
    assert.equal(inject(a, forged), RECEIVE.HANDSHAKE_INVALID, `byte ${index}`);
  }
  assert.equal(inject(a, reply), RECEIVE.COOKIE);
  assert.equal(inject(a, reply), RECEIVE.HANDSHAKE_INVALID);
  lab.run(5_500);
  assert.equal(inject(a, reply), RECEIVE.HANDSHAKE_INVALID);
});

test("a cookie reply moves no endpoint", () => {
  const { lab, a, b, find } = tapped({ oneSided: true });
  b.wireguard.setUnderLoad(true, lab.nowMs);
  lab.network.filter = ({ payload }) => payload[0] !== COOKIE;
  lab.send(a, b);
  lab.run(100);
  assert.equal(inject(a, find(b, COOKIE), STRANGER), RECEIVE.COOKIE);
  assert.deepEqual(a.peerOf(b).endpoint, b.endpoint);
});

test("under load a source with cookies gets 5 handshakes at once and 20 a second", () => {
  const { lab, a, b, sent } = tapped({ oneSided: true });
  b.wireguard.setUnderLoad(true, lab.nowMs);
  lab.send(a, b);
  lab.run(4_900);
  lab.network.faults.lossRate = 1;
  lab.run(500);
  const { bytes } = sent.filter((datagram) => datagram.bytes[0] === INITIATION)[1];
  b.wireguard.setUnderLoad(true, lab.nowMs);
  const statuses = Array.from({ length: 8 }, () => inject(b, bytes, a.endpoint));
  assert.deepEqual(statuses.slice(0, 5), [
    RECEIVE.HANDSHAKE,
    ...Array(4).fill(RECEIVE.HANDSHAKE_REPLAY),
  ]);
  assert.deepEqual(statuses.slice(5), Array(3).fill(RECEIVE.RATE_LIMITED));
});

test("a flood of handshakes brings about load by itself, and load ends a second after it", () => {
  const { lab, a, b, find } = tapped({ oneSided: true });
  lab.send(a, b);
  lab.run(2_000);
  const initiation = find(a, INITIATION);
  const statuses = new Set(Array.from({ length: 100 }, () => inject(b, initiation)));
  assert.deepEqual([...statuses], [RECEIVE.HANDSHAKE_REPLAY]);
  assert.equal(inject(b, initiation), RECEIVE.COOKIE_REQUIRED);
  lab.run(1_000);
  assert.equal(inject(b, initiation), RECEIVE.HANDSHAKE_REPLAY);
});

test("messages with a wrong mac1 do not count as load", () => {
  const { lab, a, b, find } = tapped({ oneSided: true });
  lab.send(a, b);
  lab.run(1_000);
  const initiation = find(a, INITIATION);
  const forged = initiation.slice();
  forged[116] ^= 1;
  for (let index = 0; index < 1_000; index++) assert.equal(inject(b, forged), RECEIVE.MAC_INVALID);
  assert.equal(inject(b, initiation), RECEIVE.HANDSHAKE_REPLAY);
});
