/**
 * Goal: what belongs to an established session allocates nothing per packet: look-up, sealing, receiving, timers.
 * Method: growth of V8's heap per packet, minimum over rounds. The cipher is left out: what the library behind
 * CryptoPort allocates is its own affair (platform tests).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import {
  Board,
  type CarriedPeer,
  Carrier,
  CarrierBoard,
  type Carrying,
  createBoard,
  RECEIVE,
  RESULT,
  RESULT_WORDS,
  WireGuard,
  type WireGuardEvents,
} from "../../../src/wireguard/mod.ts";
import type { AeadKey } from "../../../src/ports.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { ScriptedCrypto } from "../../support/scripted_crypto.ts";
import { allowed4, endpoint4, labBuffer } from "../../support/wireguard_lab.ts";

const PACKETS = 20_000;
const ROUNDS = 12;
/** Less than the smallest object there is, so that one object in every second call would show. */
const BYTES_PER_PACKET_MAX = 4;
const PACKET_BYTES = 100;
const BATCH_PACKETS = 16;
const OFFSET = 16;

/** A cipher that lets everything pass as it is. */
const NO_CIPHER: AeadKey = { seal: () => {}, open: () => true, destroy: () => {} };

class PlainCrypto extends ScriptedCrypto {
  override aeadKey(): AeadKey {
    return NO_CIPHER;
  }
}

/** Two WireGuards whose messages reach one another at once. @param boards Where carriers find their sessions. */
function connectedPair(boards: readonly (Board | null)[]): [WireGuard, WireGuard] {
  const port = CRYPTO_PORTS.at(-1)!;
  const endpoint = endpoint4(0x7f000001);
  const result = new Uint32Array(RESULT_WORDS);
  const pair: WireGuard[] = [];
  for (const side of [0, 1]) {
    const events: WireGuardEvents = {
      send: (_peer, bytes) => {
        const buffer = labBuffer(bytes.length);
        buffer.bytes.set(bytes);
        pair[1 - side].receive(buffer, 0, bytes.length, endpoint, 0, result);
      },
      sessionReady: () => 0,
      sessionFailed: () => {},
    };
    const crypto = new PlainCrypto(port, (output) => port.random(output));
    const wireguard = new WireGuard({ crypto, events, board: boards[side]! });
    wireguard.configure({ privateKey: new Uint8Array(32).fill(side + 1) }, 0, 1e12);
    pair.push(wireguard);
  }
  for (const side of [1, 0]) {
    pair[side].configure(
      {
        peers: [{
          publicKey: pair[1 - side].snapshot().publicKey,
          endpoint,
          allowedIps: [allowed4(0x0a000000, 24), allowed4(0x0a000001, 32)],
        }],
      },
      0,
      1e12,
    );
  }
  const [first] = pair[0].peers();
  pair[0].seal(first, labBuffer(256), OFFSET, PACKET_BYTES);
  return [pair[0], pair[1]];
}

/** Carriers of what two WireGuards have agreed. */
function connectedCarriers(): [Carrier, Carrier] {
  const memories = [0, 1].map(() => createBoard({ peersMax: 4, sessionsMax: 4, carriers: 1 }));
  const pair = connectedPair(memories.map((memory) => new Board(memory, () => {})));
  // The responder's session is confirmed by the first packet.
  const buffer = labBuffer(256);
  const [peer] = pair[0].peers();
  const length = pair[0].seal(peer!, buffer, OFFSET, PACKET_BYTES);
  pair[1].receive(buffer, 0, length, endpoint4(0x7f000001), 0, new Uint32Array(RESULT_WORDS));
  const [first, second] = memories.map((memory, side) => {
    const crypto = new PlainCrypto(CRYPTO_PORTS.at(-1)!, () => {});
    const board = new CarrierBoard(memory, 0, () => {});
    const carrier = new Carrier({ crypto, board, mtuBytes: 1_420 });
    carrier.change(pair[side]!.takeRouteChanges());
    return carrier;
  });
  return [first!, second!];
}

for (
  const [name, connect] of [
    ["WireGuard", (): [Carrying, Carrying] => connectedPair([null, null])],
    ["Carrier", (): [Carrying, Carrying] => connectedCarriers()],
  ] as const
) {
  test(
    `${name}: seal(), receive(), peerByDestination() and sourceAllowed() allocate nothing per packet`,
    {
      skip: process.versions.bun === undefined
        ? false
        : "JavaScriptCore does not tell its heap exactly",
    },
    () => measure(...connect()),
  );
}

function measure(a: Carrying, b: Carrying): void {
  const buffer = labBuffer(2048);
  const { view } = buffer;
  const endpoints = endpoint4(0x7f000001);
  const result = new Uint32Array(RESULT_WORDS);
  view.setUint8(OFFSET, 0x45);
  view.setUint32(OFFSET + 12, 0x0a000001);
  view.setUint32(OFFSET + 16, 0x0a000001);
  let nowMs = 2.25;
  let taken = 0;
  const move = (from: Carrying, to: Carrying): void => {
    const peer = from.peerByDestination(view, OFFSET) as CarriedPeer;
    const length = from.seal(peer, buffer, OFFSET, PACKET_BYTES);
    const status = to.receive(buffer, 0, length, endpoints, 0, result);
    if (status !== RECEIVE.DATA) return;
    if (to.sourceAllowed(to.peer(result[RESULT.PEER]), view, result[RESULT.OFFSET])) taken++;
    to.peer(result[RESULT.PEER]).addRx(1, length);
  };
  const pass = (): void => {
    for (let count = 0; count < PACKETS; count += 2) {
      // Once per batch, as the data plane does. Time has a fraction, as the clock gives it: a box for it would show.
      if (count % BATCH_PACKETS === 0) {
        nowMs += 0.0625;
        a.setTime(nowMs, 1e12 + nowMs);
        b.setTime(nowMs, 1e12 + nowMs);
      }
      move(a, b);
      move(b, a);
    }
  };
  for (let warm = 0; warm < 10; warm++) pass();
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.memoryUsage().heapUsed;
    pass();
    const grown = process.memoryUsage().heapUsed - before;
    // A collection in between makes the growth negative: it says nothing.
    if (grown >= 0) least = Math.min(least, grown / PACKETS);
  }
  assert.equal(taken, PACKETS * (ROUNDS + 10));
  assert.ok(least < BYTES_PER_PACKET_MAX, `${least} bytes per packet`);
}
