// Goal: one handshake at a time per peer, and nothing of an earlier one left in the table.
// Method: an Initiator by itself, its context made by hand.
import { test } from "node:test";
import assert from "node:assert/strict";
import { IndexTable } from "../../../src/wireguard/index_table.ts";
import { Initiator, type InitiatorContext } from "../../../src/wireguard/initiator.ts";
import { INITIATION, readWord } from "../../../src/wireguard/messages.ts";
import {
  Identity,
  Noise,
  type PendingHandshake,
  SessionKeys,
} from "../../../src/wireguard/noise.ts";
import { PresentTime } from "../../../src/wireguard/time.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";

const crypto = CRYPTO_PORTS.at(-1)!;

function makeContext(): InitiatorContext {
  let index = 0;
  const time = new PresentTime();
  time.set(0, 1e12);
  return {
    crypto,
    time,
    noise: new Noise(crypto),
    handshakes: new IndexTable<PendingHandshake>(),
    drawIndex: () => ++index,
    identity: new Identity(crypto, new Uint8Array(32).fill(1)),
    timestampWallMs: 0,
  };
}

const peerKey = new Identity(crypto, new Uint8Array(32).fill(2)).publicKey;

test("Initiator.begin() puts a handshake in place of the one before and wipes that", () => {
  const context = makeContext();
  const initiator = new Initiator(context, 0, peerKey);
  const indices = [1, 2, 3].map(() => readWord(initiator.begin()!, INITIATION.SENDER));
  assert.deepEqual(indices, [1, 2, 3]);
  assert.equal(context.handshakes.count, 1);
  const pending = context.handshakes.get(3)!;
  assert.ok(pending.chainingKey.some((byte) => byte !== 0));
  initiator.drop();
  assert.equal(context.handshakes.count, 0);
  assert.ok(pending.chainingKey.every((byte) => byte === 0));
});

test("Initiator.finish() without a handshake under way is 0", () => {
  const initiator = new Initiator(makeContext(), 0, peerKey);
  assert.equal(initiator.finish(new Uint8Array(92), new Uint8Array(32), new SessionKeys()), 0);
});

test("Initiator without a key of ours, or with a peer of low order, begins nothing", () => {
  const context = makeContext();
  const lowOrder = new Initiator(context, 0, new Uint8Array(32));
  assert.equal(lowOrder.staticStatic(), null);
  assert.equal(lowOrder.begin(), null);
  context.identity = null;
  assert.equal(new Initiator(context, 0, peerKey).begin(), null);
  assert.equal(context.handshakes.count, 0);
});

test("Initiator.yields() is true for exactly one of two ends", () => {
  const context = makeContext();
  const own = context.identity!.publicKey;
  const there = new Initiator(context, 0, peerKey).yields();
  context.identity = new Identity(crypto, new Uint8Array(32).fill(2));
  const back = new Initiator(context, 0, own).yields();
  assert.notEqual(there, back);
});

test("Initiator.reset() computes the shared secret anew", () => {
  const context = makeContext();
  const initiator = new Initiator(context, 0, peerKey);
  const before = initiator.staticStatic()!.slice();
  context.identity = new Identity(crypto, new Uint8Array(32).fill(3));
  initiator.reset();
  assert.notDeepEqual(initiator.staticStatic(), before);
});
