// Goal: every timer of whitepaper §6, on both ends, to the millisecond or within its jitter.
// Method: two nodes over a network in memory with 10 ms of delay and a virtual clock; a tap writes down what is sent.
import { test } from "node:test";
import assert from "node:assert/strict";
import { RECEIVE, SEAL } from "../../../src/wireguard/mod.ts";
import {
  labBuffer,
  type LabNode,
  type LabOptions,
  type Tapped,
  WireGuardLab,
} from "../../support/wireguard_lab.ts";

const DELAY_MS = 10;
const INITIATION = 1;
const RESPONSE = 2;
const DATA = 4;
const KEEPALIVE_BYTES = 32;

/** A pair with an established session whose initiator is `a`, and what is sent from then on. */
function established(options: LabOptions & { persistentKeepaliveS?: number } = {}) {
  const { lab, a, b } = WireGuardLab.pair({ faults: { delayMs: DELAY_MS }, ...options });
  const birthMs = lab.nowMs;
  lab.send(a, b);
  lab.run(4 * DELAY_MS);
  assert.equal(b.delivered.size, 1);
  const sent: Tapped[] = [];
  lab.tap = (datagram) => sent.push(datagram);
  /** Times since the initiation at which `from` sent messages of `type`. */
  const times = (from: LabNode, type: number, keepalive = false): number[] =>
    sent.filter((datagram) =>
      datagram.from === from && datagram.bytes[0] === type &&
      (datagram.bytes.length === KEEPALIVE_BYTES) === keepalive
    ).map((datagram) => datagram.atMs - birthMs);
  /** Lets time pass until `atMs` after the initiation. */
  const until = (atMs: number): void => lab.run(birthMs + atMs - lab.nowMs);
  return { lab, a, b, sent, times, until };
}

// ---- Renewal ------------------------------------------------------------------------------------------------------

test("an initiator that sends renews the session at 120 s, not before", () => {
  const { lab, a, b, times, until } = established();
  for (let atMs = 1_000; atMs <= 125_000; atMs += 500) {
    until(atMs);
    lab.send(a, b);
  }
  // The initiator's session is born with the response, one round trip after the initiation.
  const [renewedMs, ...more] = times(a, INITIATION);
  assert.ok(renewedMs >= 120_000 + 2 * DELAY_MS && renewedMs <= 120_520, `${renewedMs}`);
  assert.deepEqual(more, []);
  assert.deepEqual(times(b, INITIATION), []);
  lab.run(1_000);
  assert.equal(b.delivered.size, lab.sentPackets.size);
});

test("a responder that sends does not renew the session at 120 s", () => {
  const { lab, a, b, times, until } = established();
  for (let atMs = 1_000; atMs <= 160_000; atMs += 1_000) {
    until(atMs);
    lab.send(b, a);
  }
  assert.deepEqual(times(b, INITIATION), []);
});

test("an initiator that only receives renews the session once, at 165 s", () => {
  const { lab, a, b, times, until } = established();
  // The first keepalive, which is sending, too, would be due 10 s after the first of these.
  until(160_000);
  for (let atMs = 160_500; atMs <= 168_000; atMs += 500) {
    until(atMs);
    lab.send(b, a);
  }
  const renewals = times(a, INITIATION);
  assert.equal(renewals.length, 1);
  assert.ok(renewals[0] >= 165_000 && renewals[0] <= 165_600, `${renewals[0]}`);
  assert.deepEqual(times(a, DATA).filter((atMs) => atMs < 165_000), []);
});

test("the renewal of a session that is only received on is asked for once, not by each packet", () => {
  // Keepalives are so far off that a does not send by itself: 400 - 100 - 5 = 295 s is the age in question.
  const { lab, a, b, times, until } = established({
    timing: { rejectAfterTimeMs: 400_000, keepaliveTimeoutMs: 100_000 },
  });
  until(294_000);
  lab.network.filter = ({ payload }) => payload[0] === DATA;
  for (let atMs = 294_500; atMs < 393_000; atMs += 1_000) {
    until(atMs);
    lab.send(b, a);
  }
  assert.equal(times(a, INITIATION)[0], 295_510);
  // Given up 90 s after, though packets went on coming in.
  assert.ok(times(a, INITIATION).at(-1)! < 295_510 + 90_000);
  assert.equal(a.failed.length, 1);
});

test("a session neither seals nor opens at 180 s", () => {
  const { lab, a, b, until } = established();
  until(179_900);
  // A datagram sealed at the end of the session's life comes in after it.
  lab.network.faults.delayMs = 200;
  const late = lab.send(b, a);
  until(180_300);
  assert.ok(!a.delivered.has(late));
  assert.equal(a.count(RECEIVE.EXPIRED_SESSION), 1);
  assert.equal(b.sendPacket(a, late, 100), SEAL.NO_SESSION);
});

test("a responder whose session has ended initiates itself", () => {
  const { lab, a, b, times, until } = established();
  until(181_000);
  lab.send(b, a);
  lab.run(1_000);
  assert.equal(times(b, INITIATION).length, 1);
  assert.equal(a.delivered.size, 1);
});

test("a session seals rejectAfterMessages messages and no more", () => {
  const { lab, a, b, times } = established({
    timing: { rekeyAfterMessages: 100, rejectAfterMessages: 110 },
  });
  lab.run(6_000);
  lab.network.faults.lossRate = 1;
  // The packet that opened the session was its first message.
  let sealed = 1;
  for (; a.waitingPackets === 0; sealed++) {
    assert.equal(times(a, INITIATION).length, sealed >= 100 ? 1 : 0, `after ${sealed}`);
    lab.send(a, b);
  }
  assert.equal(sealed - 1, 110);
  assert.equal(times(a, DATA).length, 109);
  // The handshake that was asked for at 100 messages brings the next session.
  lab.network.faults.lossRate = 0;
  lab.run(6_000);
  assert.equal(a.waitingPackets, 0);
  assert.equal(b.delivered.size, 2);
});

test("a responder renews by count, too", () => {
  const { lab, a, b, times } = established({
    timing: { rekeyAfterMessages: 50, rejectAfterMessages: 60 },
  });
  lab.run(6_000);
  for (let packet = 0; packet < 49; packet++) lab.send(b, a);
  assert.equal(times(b, INITIATION).length, 0);
  lab.send(b, a);
  assert.equal(times(b, INITIATION).length, 1);
  lab.run(1_000);
  assert.equal(b.ready.length, 2);
  assert.equal(a.delivered.size, 50);
});

// ---- Keepalives ---------------------------------------------------------------------------------------------------

test("data that is not answered by data is answered by one keepalive after 10 s", () => {
  const { lab, a, b, sent, times, until } = established();
  // The first packet came in at 30 ms.
  until(60_000);
  assert.deepEqual(times(b, DATA, true), [3 * DELAY_MS + 10_000]);
  assert.equal(sent.length, 1);
  assert.equal(a.count(RECEIVE.KEEPALIVE), 1);
  assert.equal(b.wireguard.snapshot().peers[0].rxDatagrams, 2);
  assert.ok(lab.nextMs > lab.nowMs);
});

test("data that comes in while a keepalive waits is answered by a second one", () => {
  const { lab, a, b, times, until } = established();
  until(5_000);
  lab.send(a, b);
  until(60_000);
  assert.deepEqual(times(b, DATA, true), [10_030, 20_030]);
});

test("data that is answered by data within 10 s is not answered by a keepalive", () => {
  const { lab, a, b, times, until } = established();
  until(9_000);
  lab.send(b, a);
  until(18_500);
  assert.deepEqual(times(b, DATA, true), []);
  until(60_000);
  // What answers the answer: one keepalive of the other end.
  assert.deepEqual(times(a, DATA, true), [19_010]);
  assert.deepEqual(times(b, DATA, true), []);
});

test("a keepalive is not answered", () => {
  const { a, b, sent, until } = established();
  until(100_000);
  assert.equal(sent.length, 1);
  assert.equal(a.count(RECEIVE.KEEPALIVE) + b.count(RECEIVE.KEEPALIVE), 1);
});

test("persistent keepalives begin at once, come at their interval, and open the session by themselves", () => {
  const { lab, a, b } = WireGuardLab.pair({ faults: { delayMs: DELAY_MS }, oneSided: true });
  const sent: Tapped[] = [];
  lab.tap = (datagram) => sent.push(datagram);
  const startMs = lab.nowMs;
  a.wireguard.configure(
    { peers: [{ publicKey: b.publicKey, persistentKeepaliveS: 25 }] },
    lab.nowMs,
    lab.wallMs,
  );
  lab.run(110_000);
  const seen = sent.map(({ from, bytes, atMs }) => [from.index, bytes[0], atMs - startMs]);
  assert.deepEqual(seen, [
    [0, INITIATION, 0],
    [1, RESPONSE, 10],
    [0, DATA, 20], // confirms the session
    [0, DATA, 25_020],
    [0, DATA, 50_020],
    [0, DATA, 75_020],
    [0, DATA, 100_020],
  ]);
});

test("persistent keepalives go on through renewals and are put off by other traffic", () => {
  const { lab, a, b, times, until } = established({ persistentKeepaliveS: 25 });
  until(20_000);
  lab.send(a, b);
  until(44_000);
  // Both ends have the interval; b's packets put a's off, too.
  assert.ok(times(a, DATA, true).every((atMs) => atMs >= 45_000));
  until(3_600_000);
  const { lastHandshakeWallMs } = a.wireguard.snapshot().peers[0];
  assert.ok(lab.wallMs - lastHandshakeWallMs < 150_000);
});

test("persistent keepalives can be switched off", () => {
  const { lab, a, b, until } = established({ persistentKeepaliveS: 25 });
  for (const [own, other] of [[a, b], [b, a]]) {
    own.wireguard.configure(
      { peers: [{ publicKey: other.publicKey, persistentKeepaliveS: 0 }] },
      lab.nowMs,
      lab.wallMs,
    );
  }
  const sent: Tapped[] = [];
  until(15_000);
  lab.tap = (datagram) => sent.push(datagram);
  until(3_600_000);
  assert.deepEqual(sent, []);
  assert.equal(lab.nextMs, Infinity);
});

test("persistent keepalives try for ever to reach a peer that is gone", () => {
  const { a, b, times, until } = established({ persistentKeepaliveS: 25 });
  b.socket.close();
  until(3_600_000);
  const tries = times(a, INITIATION);
  assert.ok(tries.at(-1)! > 3_570_000);
  assert.ok(tries.length > 300, `${tries.length} tries`);
});

// ---- Lost sessions ------------------------------------------------------------------------------------------------

test("a sender that hears nothing for 15 s begins a new handshake", () => {
  const { lab, a, b, times, until } = established();
  until(30_000);
  lab.network.faults.lossRate = 1;
  lab.send(a, b);
  until(44_999);
  assert.deepEqual(times(a, INITIATION), []);
  until(45_334);
  assert.equal(times(a, INITIATION).length, 1);
});

test("anything authentic that comes in keeps a sender from beginning a new handshake", () => {
  const { lab, a, b, times, until } = established();
  until(30_000);
  lab.send(a, b);
  until(100_000);
  assert.deepEqual(times(a, INITIATION), []);
  assert.deepEqual(times(b, DATA, true), [10_030, 40_010]);
});

test("a restarted peer is found again by the one that sends", () => {
  const { lab, a, b, until } = established();
  until(30_000);
  // All sessions of b are gone, as after a restart.
  const privateKey = b.wireguard.snapshot().privateKey;
  b.wireguard.configure({ privateKey: new Uint8Array(32) }, lab.nowMs, lab.wallMs);
  b.wireguard.configure({ privateKey }, lab.nowMs, lab.wallMs);
  const lost = lab.send(a, b);
  until(50_000);
  assert.ok(!b.delivered.has(lost));
  assert.equal(b.count(RECEIVE.UNKNOWN_SESSION), 1);
  const found = lab.send(a, b);
  until(51_000);
  assert.ok(b.delivered.has(found));
});

// ---- Attempts -----------------------------------------------------------------------------------------------------

test("initiations are repeated after 5 s and up to 333 ms, for 90 s, and then no more", () => {
  const { lab, a, b } = WireGuardLab.pair();
  b.socket.close();
  const sent: Tapped[] = [];
  lab.tap = (datagram) => sent.push(datagram);
  const startMs = lab.nowMs;
  lab.send(a, b);
  lab.run(89_000);
  assert.equal(a.failed.length, 0);
  assert.equal(a.waitingPackets, 1);
  lab.run(3_600_000);
  assert.ok(sent.every((datagram) => datagram.bytes[0] === INITIATION));
  const gaps = sent.slice(1).map((datagram, index) => datagram.atMs - sent[index].atMs);
  assert.ok(gaps.every((gap) => gap >= 5_000 && gap <= 5_334), `${gaps}`);
  assert.ok(new Set(gaps.map(Math.round)).size > 5, "no jitter");
  assert.ok(sent.at(-1)!.atMs - startMs < 90_000);
  assert.ok(sent.length === 17 || sent.length === 18, `${sent.length} initiations`);
  assert.deepEqual([a.failed.length, a.droppedPackets, a.waitingPackets], [1, 1, 0]);
  assert.equal(lab.nextMs, Infinity);
});

test("a response that comes after the attempts were given up is refused", () => {
  const { lab, a, b } = WireGuardLab.pair({ faults: { delayMs: DELAY_MS } });
  const held: Uint8Array[] = [];
  lab.network.filter = ({ payload }) => {
    if (payload[0] === RESPONSE) held.push(payload);
    return payload[0] === INITIATION;
  };
  lab.send(a, b);
  lab.run(100_000);
  assert.equal(a.failed.length, 1);
  const buffer = labBuffer(256);
  assert.ok(held.length > 10);
  for (const response of held) {
    buffer.bytes.set(response);
    assert.equal(
      a.take(buffer, 0, response.length, b.endpoint, 0),
      RECEIVE.HANDSHAKE_INVALID,
    );
  }
});

test("each packet that wants a session extends the attempts", () => {
  const { lab, a, b } = WireGuardLab.pair();
  b.socket.close();
  lab.send(a, b);
  lab.run(60_000);
  lab.send(a, b);
  lab.run(89_000);
  assert.equal(a.failed.length, 0);
  lab.run(10_000);
  assert.equal(a.failed.length, 1);
});

test("a flood of packets without a session makes no more initiations than one in 5 s", () => {
  const { lab, a, b } = WireGuardLab.pair();
  b.socket.close();
  let initiations = 0;
  lab.tap = () => initiations++;
  for (let step = 0; step < 600; step++) {
    lab.send(a, b);
    lab.run(100);
  }
  assert.ok(initiations >= 11 && initiations <= 12, `${initiations}`);
  assert.equal(a.waitingPackets, 128);
  assert.equal(a.droppedPackets, 600 - 128);
});

test("a session comes about though the confirmation is lost and only the responder has something to send", () => {
  const { lab, a, b } = WireGuardLab.pair({ faults: { delayMs: DELAY_MS } });
  // a's keepalive, which confirms the session, is lost; b's own initiation is put off by its response.
  lab.network.filter = ({ payload }) => payload[0] !== DATA;
  a.wireguard.configure(
    { peers: [{ publicKey: b.publicKey, persistentKeepaliveS: 60_000 }] },
    lab.nowMs,
    lab.wallMs,
  );
  lab.run(15);
  lab.send(b, a);
  lab.run(1_000);
  assert.equal(b.waitingPackets, 1);
  lab.network.filter = null;
  lab.run(6_000);
  assert.equal(b.waitingPackets, 0);
  assert.equal(a.delivered.size, 1);
});

// ---- Silence ------------------------------------------------------------------------------------------------------

test("an idle pair says nothing, erases its keys at 540 s, and has no deadline any more", () => {
  const { lab, a, b, sent, until } = established();
  until(60_000);
  sent.length = 0;
  assert.deepEqual([a.crypto.keysAlive, b.crypto.keysAlive], [2, 2]);
  until(539_000);
  assert.deepEqual([a.crypto.keysAlive, b.crypto.keysAlive], [2, 2]);
  until(541_000);
  assert.deepEqual([a.crypto.keysAlive, b.crypto.keysAlive], [0, 0]);
  assert.deepEqual(sent, []);
  assert.equal(lab.nextMs, Infinity);
  // And it comes back when asked.
  const id = lab.send(b, a);
  lab.run(1_000);
  assert.ok(a.delivered.has(id));
});

test("a node that was just configured has no deadline", () => {
  const { lab } = WireGuardLab.pair();
  assert.equal(lab.nextMs, Infinity);
});

test("tick() wakes an idle pair seldom", () => {
  const { lab, a, b } = established();
  let ticks = 0;
  for (const { wireguard } of [a, b]) {
    const tick = wireguard.tick.bind(wireguard);
    wireguard.tick = (nowMs, wallMs) => {
      ticks++;
      tick(nowMs, wallMs);
    };
  }
  lab.run(3_600_000);
  assert.ok(ticks <= 10, `${ticks} ticks in an hour`);
});

test("two sessions are kept through renewals, the present one and the one before", () => {
  const { lab, a, b, until } = established();
  let most = 0;
  for (let atMs = 1_000; atMs < 1_200_000; atMs += 1_000) {
    until(atMs);
    lab.send(a, b);
    lab.send(b, a);
    most = Math.max(most, a.crypto.keysAlive, b.crypto.keysAlive);
  }
  // Two keys each.
  assert.equal(most, 4);
  assert.equal(a.delivered.size + b.delivered.size, lab.sentPackets.size - 2);
});
