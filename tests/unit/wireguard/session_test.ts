// Goal: transport messages are laid out as whitepaper §5.4.6 says, open once, and never past a session's end.
// Method: two sessions with mirrored keys; counters at both sides of each limit; every byte around is poisoned.
import { test } from "node:test";
import assert from "node:assert/strict";
import { RECEIVE } from "../../../src/wireguard/mod.ts";
import { SessionKeys } from "../../../src/wireguard/noise.ts";
import { Session } from "../../../src/wireguard/session.ts";
import { PresentTime } from "../../../src/wireguard/time.ts";
import { completeTiming, type Timing } from "../../../src/wireguard/timing.ts";
import { labBuffer } from "../../support/wireguard_lab.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { hex } from "../../support/hex.ts";

const crypto = CRYPTO_PORTS.at(-1)!;
/** The present of all sessions here; they are born at 1 s. */
const time = new PresentTime();
const OFFSET = 32;
const POISON = 0xa5;

/** Sessions of both ends. */
function pair(changes: Partial<Timing> = {}, isInitiator = true): [Session, Session] {
  const timing = completeTiming(changes);
  const keys = new SessionKeys();
  keys.send.fill(1);
  keys.receive.fill(2);
  const mirrored = new SessionKeys();
  mirrored.send.fill(2);
  mirrored.receive.fill(1);
  time.set(1_000, 0);
  return [
    new Session(crypto, timing, time, {
      peerSlot: 0,
      localIndex: 7,
      remoteIndex: 0xfedcba98,
      isInitiator,
      keys,
    }),
    new Session(crypto, timing, time, {
      peerSlot: 0,
      localIndex: 0xfedcba98,
      remoteIndex: 7,
      isInitiator: !isInitiator,
      keys: mirrored,
    }),
  ];
}

/** Seals `text`; returns the message. */
function seal(session: Session, text: string): Uint8Array {
  const buffer = labBuffer(256);
  buffer.bytes.fill(POISON);
  const plaintext = new TextEncoder().encode(text);
  buffer.bytes.set(plaintext, OFFSET);
  const length = session.seal(buffer, OFFSET, plaintext.length);
  assert.equal(length, plaintext.length + 32);
  const message = buffer.bytes.slice(OFFSET - 16, OFFSET - 16 + length);
  buffer.bytes.fill(POISON, OFFSET - 16, OFFSET - 16 + length);
  assert.ok(buffer.bytes.every((byte) => byte === POISON), "wrote outside the message");
  return message;
}

/** Opens a message. @returns The plaintext, or the status that refused it. */
function open(session: Session, message: Uint8Array, nowMs = 2_000): string | number {
  const buffer = labBuffer(256);
  buffer.bytes.fill(POISON);
  buffer.bytes.set(message, 5);
  time.set(nowMs, 0);
  const status = session.open(buffer, 5, message.length);
  const isUntouched = buffer.bytes.every((byte, index) =>
    byte === POISON || (index >= 5 && index < 5 + message.length)
  );
  assert.ok(isUntouched, "wrote outside the message");
  if (status !== RECEIVE.DATA) return status;
  return new TextDecoder().decode(buffer.bytes.subarray(5 + 16, 5 + message.length - 16));
}

/** The session at another time. */
function at(nowMs: number, session: Session): Session {
  time.set(nowMs, 0);
  return session;
}

/** Overwrites the counter of a message. */
function withCounter(message: Uint8Array, counter: bigint): Uint8Array {
  const changed = message.slice();
  new DataView(changed.buffer).setBigUint64(8, counter, true);
  return changed;
}

test("Session.seal() writes type, receiver and counter in front", () => {
  const [a] = pair();
  assert.deepEqual(
    seal(a, "").subarray(0, 16),
    hex(`
    04 00 00 00             # type, reserved
    98 ba dc fe             # receiver, little endian
    00 00 00 00 00 00 00 00 # counter`),
  );
  assert.deepEqual(seal(a, "x").subarray(8, 16), hex("01 00 00 00 00 00 00 00"));
});

test("Session opens what the other end sealed, once", () => {
  const [a, b] = pair();
  const messages = ["one", "", "three"].map((text) => seal(a, text));
  assert.equal(open(b, messages[2]), "three");
  assert.equal(open(b, messages[0]), "one");
  assert.equal(open(b, messages[1]), "");
  for (const message of messages) assert.equal(open(b, message), RECEIVE.REPLAY);
  assert.equal(open(a, seal(b, "back")), "back");
});

test("Session.open() refuses an altered message and takes the true one after", () => {
  const [a, b] = pair();
  const message = seal(a, "hello");
  for (let index = 8; index < message.length; index++) {
    const altered = message.slice();
    altered[index] ^= 0x10;
    // A counter that is turned beyond 2^53 is past the session's end.
    const expected = index === 15 ? RECEIVE.EXPIRED_SESSION : RECEIVE.AUTHENTICATION;
    assert.equal(open(b, altered), expected, `byte ${index}`);
  }
  assert.equal(open(b, message), "hello");
});

test("Session.open() refuses what the session itself sealed", () => {
  const [a] = pair();
  assert.equal(open(a, seal(a, "mirror")), RECEIVE.AUTHENTICATION);
});

test("Session.open() refuses counters from rejectAfterMessages on, up to the largest of the wire", () => {
  const [a, b] = pair();
  const message = seal(a, "x");
  const end = 2n ** 53n - 2n ** 13n - 1n;
  assert.equal(open(b, withCounter(message, end - 1n)), RECEIVE.AUTHENTICATION);
  for (const counter of [end, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    assert.equal(open(b, withCounter(message, counter)), RECEIVE.EXPIRED_SESSION, `${counter}`);
  }
});

test("Session.open() takes a message until the session is 180 s old, not then", () => {
  const [a, b] = pair();
  assert.equal(open(b, seal(a, "x"), 180_999), "x");
  assert.equal(open(b, seal(a, "x"), 181_000), RECEIVE.EXPIRED_SESSION);
});

test("Session.maySeal() ends by age and by count", () => {
  const [a] = pair({ rekeyAfterMessages: 2, rejectAfterMessages: 3 });
  assert.ok(at(180_999, a).maySeal());
  assert.ok(!at(181_000, a).maySeal());
  for (let message = 0; message < 3; message++) {
    assert.ok(at(2_000, a).maySeal());
    seal(a, "x");
  }
  assert.ok(!at(2_000, a).maySeal());
});

test("Session.wantsRenewal() is for either end by count, for the initiator by age", () => {
  const [initiator, responder] = pair({ rekeyAfterMessages: 2 });
  for (const session of [initiator, responder]) assert.ok(!at(120_999, session).wantsRenewal());
  assert.ok(at(121_000, initiator).wantsRenewal());
  assert.ok(!at(181_000, responder).wantsRenewal());
  for (const session of [initiator, responder]) {
    seal(session, "x");
    assert.ok(!at(2_000, session).wantsRenewal());
    seal(session, "x");
    assert.ok(at(2_000, session).wantsRenewal());
  }
});
