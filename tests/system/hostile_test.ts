/**
 * Hostile and broken datagrams at the UDP port: nothing crashes, nothing changes, each is counted under its reason.
 *
 * Run alone: `deno test -A tests/system/hostile_test.ts` (root; needs wireguard-go, wg, ip, ping, tcpdump).
 * Method: genuine datagrams are captured on the wire and sent again, cut or damaged, from another port; others are
 * made up. Before and after, `wg show dump` must say the same but for byte counts, and each counter's growth is exact.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { blake2s } from "@noble/hashes/blake2.js";
import { Buffer } from "node:buffer";
import type { CounterName } from "../../src/counters.ts";
import {
  type CapturedDatagram,
  MESSAGE,
  sendDatagrams,
  startCapture,
  withBitFlipped,
} from "./support/datagrams.ts";
import { withLab } from "./support/namespaces.ts";
import { INNER, OUTER, type Pair, PORT, startPair } from "./support/pairs.ts";
import { Random } from "./support/random.ts";
import { cannotRun } from "./support/runtimes.ts";
import { counterGrowth, nodeStatus, statusAtRest } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, waitForPing } from "./support/traffic.ts";
import { makeKeyPair, startTunnel } from "./support/tunnels.ts";

const skip = cannotRun("wireguard-go", "tcpdump");

const INITIATION_BYTES = 148;
const RESPONSE_BYTES = 92;
const COOKIE_BYTES = 64;
/** Header and tag of an empty transport message. */
const DATA_BYTES_MIN = 32;
/** Largest payload of a UDP datagram over IPv4. */
const UDP_PAYLOAD_BYTES_MAX = 65_507;

const TARGET = { address: OUTER.left[4], port: PORT };

/** What one kind of attack must do to the counters: nothing but this. */
type Growth = Partial<Record<CounterName, number>>;

/** Sends `datagrams` to the left tunnel and checks that they change nothing but `expected`. */
async function proveRefused(
  pair: Pair,
  datagrams: readonly Uint8Array[],
  expected: Growth,
): Promise<void> {
  const { left, right } = pair;
  const ours = left.implementation !== "wireguard-go";
  const state = left.stateDump();
  const before = ours ? await statusAtRest(left) : null;
  await sendDatagrams(right.namespace, TARGET, datagrams);
  if (before !== null) {
    const growth = counterGrowth(before, await statusAtRest(left));
    assert.deepEqual(growth, { udpReceived: datagrams.length, ...expected });
  }
  assert.equal(left.stateDump(), state, "wg show dump changed");
  assert.ok(left.process.running, "it still runs");
}

/** Starts a pair without keepalives, in which the right side begins, and captures what the right side sends. */
async function withVictim(
  body: (pair: Pair, captured: readonly CapturedDatagram[], random: Random) => Promise<void>,
): Promise<void> {
  await withLab(async (lab) => {
    const pair = await startPair(lab, { left: SUBJECT, right: REFERENCE, initiator: "right" });
    const capture = await startCapture(pair.right.namespace, "link0", PORT);
    await waitForPing(pair.right.namespace, INNER.left[4]);
    await ping(pair.right.namespace, INNER.left[4], { count: 10, intervalS: 0.01 });
    const captured = await capture.take(2 + 2 * 11);
    await body(pair, captured.filter((each) => each.source === OUTER.right[4]), new Random(42));
    const after = await ping(pair.right.namespace, INNER.left[4], { count: 10 });
    assert.equal(after.received, 10, "the tunnel works as before");
  });
}

function ofType(captured: readonly CapturedDatagram[], type: number): Uint8Array[] {
  return captured.map((each) => each.payload).filter((payload) => payload[0] === type);
}

/** A message of the right type and length, all else random. */
function randomMessage(random: Random, type: number, length: number): Uint8Array {
  const bytes = random.bytes(length);
  bytes.set([type, 0, 0, 0]);
  return bytes;
}

/** Puts the right mac1 in a handshake message for the owner of `publicKey` (whitepaper §5.4.4). */
function withMac1(message: Uint8Array, publicKey: string): Uint8Array {
  const label = new TextEncoder().encode("mac1----");
  const key = blake2s(Buffer.concat([label, Buffer.from(publicKey, "base64")]));
  const macOffset = message.length - 32;
  const mac1 = blake2s(message.subarray(0, macOffset), { key, dkLen: 16 });
  message.set(mac1, macOffset);
  message.fill(0, macOffset + 16);
  return message;
}

test("datagrams that are no WireGuard message are counted as malformed", { skip }, async () => {
  await withVictim(async (pair, _captured, random) => {
    const random1To1400 = Array.from({ length: 200 }, () => {
      const bytes = random.bytes(1 + random.below(1400));
      // A first byte that no message type has, so that chance cannot make it one.
      bytes[0] = 5 + random.below(250);
      return bytes;
    });
    const wrongLengths = [
      randomMessage(random, MESSAGE.INITIATION, INITIATION_BYTES - 1),
      randomMessage(random, MESSAGE.INITIATION, INITIATION_BYTES + 1),
      randomMessage(random, MESSAGE.RESPONSE, RESPONSE_BYTES - 1),
      randomMessage(random, MESSAGE.RESPONSE, RESPONSE_BYTES + 1),
      randomMessage(random, MESSAGE.COOKIE, COOKIE_BYTES - 1),
      randomMessage(random, MESSAGE.COOKIE, COOKIE_BYTES + 1),
      randomMessage(random, MESSAGE.DATA, DATA_BYTES_MIN - 1),
      randomMessage(random, MESSAGE.DATA, 4),
    ];
    const reservedBytes = randomMessage(random, MESSAGE.INITIATION, INITIATION_BYTES);
    reservedBytes[2] = 1;
    const datagrams = [
      ...[new Uint8Array(0), Uint8Array.of(1), Uint8Array.of(4, 0, 0)],
      ...[reservedBytes, new Uint8Array(148), ...wrongLengths, ...random1To1400],
    ];
    await proveRefused(pair, datagrams, { inMalformed: datagrams.length });
  });
});

test("largest datagrams that UDP can carry are refused like any other", { skip }, async () => {
  await withVictim(async (pair, captured, random) => {
    const strange = [20_000, 40_000, UDP_PAYLOAD_BYTES_MAX]
      .map((length) => randomMessage(random, MESSAGE.DATA, length));
    await proveRefused(pair, strange, { inUnknownSession: strange.length });

    const known = strange.map((bytes) => {
      const copy = bytes.slice();
      // Receiver and a counter that is ahead, from a genuine message.
      copy.set(ofType(captured, MESSAGE.DATA)[0]!.subarray(0, 16));
      copy[9] = 0x10;
      return copy;
    });
    await proveRefused(pair, known, { inAuthentication: known.length });
  });
});

test("forged handshake messages are counted by what is wrong with them", { skip }, async () => {
  await withVictim(async (pair, captured, random) => {
    const { publicKey } = pair.left;
    const noMac = [
      ...Array.from(
        { length: 20 },
        () => randomMessage(random, MESSAGE.INITIATION, INITIATION_BYTES),
      ),
      ...Array.from({ length: 20 }, () => randomMessage(random, MESSAGE.RESPONSE, RESPONSE_BYTES)),
    ];
    await proveRefused(pair, noMac, { inMacInvalid: noMac.length });

    // mac2 is not looked at unless under load, so a bit turned there would leave the message genuine.
    const [initiation] = ofType(captured, MESSAGE.INITIATION);
    const flipped = Array.from({ length: 20 }, () => {
      return withBitFlipped(initiation!, 32 + random.below((INITIATION_BYTES - 16) * 8 - 32));
    });
    await proveRefused(pair, flipped, { inMacInvalid: flipped.length });

    const noSecret = [
      ...Array.from({ length: 4 }, () => {
        return withMac1(randomMessage(random, MESSAGE.INITIATION, INITIATION_BYTES), publicKey);
      }),
      ...Array.from({ length: 4 }, () => {
        return withMac1(randomMessage(random, MESSAGE.RESPONSE, RESPONSE_BYTES), publicKey);
      }),
      ...Array.from({ length: 4 }, () => randomMessage(random, MESSAGE.COOKIE, COOKIE_BYTES)),
    ];
    await proveRefused(pair, noSecret, { inHandshakeInvalid: noSecret.length });
  });
});

test("replayed handshake messages change neither session nor endpoint", { skip }, async () => {
  await withVictim(async (pair, captured) => {
    const [initiation] = ofType(captured, MESSAGE.INITIATION);
    await proveRefused(pair, [initiation!, initiation!], { inHandshakeReplay: 2 });
  });
});

test("replayed, damaged, cut and strange data messages are refused", { skip }, async () => {
  await withVictim(async (pair, captured, random) => {
    const data = ofType(captured, MESSAGE.DATA).filter((each) => each.length > DATA_BYTES_MIN);
    assert.ok(data.length >= 10, `${data.length} data messages were captured`);
    await proveRefused(pair, [...data, ...data], { inReplay: 2 * data.length });

    // A counter ahead of all received ones, so that the replay window is not what refuses it.
    const fresh = data[0]!.slice();
    fresh[9] = 0x10;
    const headerBits = 16 * 8;
    const damaged = Array.from({ length: 50 }, () => {
      return withBitFlipped(fresh, headerBits + random.below(fresh.length * 8 - headerBits));
    });
    await proveRefused(pair, [fresh, ...damaged], { inAuthentication: 1 + damaged.length });

    const strange = data.map((each) => withBitFlipped(each, 32 + random.below(32)));
    await proveRefused(pair, strange, { inUnknownSession: strange.length });

    const cut = Array.from({ length: DATA_BYTES_MIN }, (_, length) => fresh.slice(0, length));
    await proveRefused(pair, cut, { inMalformed: cut.length });
  });
});

test("handshake by a stranger's key is counted as such and gets no answer", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, {
      left: SUBJECT,
      right: REFERENCE,
      initiator: "right",
    });
    await waitForPing(right.namespace, INNER.left[4]);
    const state = left.stateDump();
    const stranger = await startTunnel(REFERENCE, right.namespace, {
      keys: makeKeyPair(),
      listenPort: PORT + 1,
      addresses: ["10.78.0.9/24"],
      peers: [{
        publicKey: left.publicKey,
        allowedIps: ["10.78.0.0/24"],
        endpoint: `${OUTER.left[4]}:${PORT}`,
      }],
    });
    const { received } = await ping(right.namespace, "10.78.0.1", { count: 2, waitS: 1 });
    assert.equal(received, 0);
    assert.equal(stranger.peerDump().latestHandshakeS, 0);
    assert.equal(left.stateDump(), state);
    if (left.implementation !== "wireguard-go") {
      const { counters } = await nodeStatus(left);
      assert.ok(counters.inUnknownPeer.packets >= 1);
    }
  });
});

test("flood of handshakes with a right mac1 does not keep a peer out", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, {
      left: SUBJECT,
      right: REFERENCE,
      initiator: "right",
    });
    const random = new Random(9);
    const flood = Array.from({ length: 3_000 }, () => {
      return withMac1(
        randomMessage(random, MESSAGE.INITIATION, INITIATION_BYTES),
        left.publicKey,
      );
    });
    const flooding = sendDatagrams(right.namespace, TARGET, flood);
    await waitForPing(right.namespace, INNER.left[4], 30_000);
    await flooding;
    await waitForPing(right.namespace, INNER.left[4]);
    assert.ok(left.process.running);
    if (left.implementation !== "wireguard-go") {
      const { counters } = await statusAtRest(left);
      const refused = ["inHandshakeInvalid", "inCookieRequired", "inRateLimited"] as const;
      const counted = refused.reduce((sum, name) => sum + counters[name].packets, 0);
      // The socket buffer holds them all; a peer's own initiation may be among those that need a cookie.
      assert.ok(counted >= flood.length, `${counted} of ${flood.length} were counted as refused`);
    }
  });
});

test("packet from a source outside the peer's AllowedIPs is dropped and counted", {
  skip: skip || notOurs(),
}, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, {
      left: SUBJECT,
      right: REFERENCE,
      initiator: "right",
    });
    await waitForPing(right.namespace, INNER.left[4]);
    right.namespace.ip(`address add 10.99.0.1/32 dev ${right.name}`);
    const before = await statusAtRest(left);
    const extra = ["-I", "10.99.0.1"];
    const { received } = await ping(right.namespace, INNER.left[4], { count: 5, waitS: 1, extra });
    assert.equal(received, 0);
    const growth = counterGrowth(before, await statusAtRest(left));
    assert.equal(growth.inBadSource, 5);
    assert.equal(growth.tunWritten, undefined);
  });
});
