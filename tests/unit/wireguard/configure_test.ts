// Goal: configuration does what `wg set` says, all or nothing, and what is taken away leaves nothing behind.
// Method: updates and snapshots of one node, with a second one where sessions matter.
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  type DeviceUpdate,
  type Peer,
  type PeerUpdate,
  SEAL,
  WireGuard,
} from "../../../src/wireguard/mod.ts";
import { ENDPOINT_WORDS } from "../../../src/ports.ts";
import { PEERS_MAX } from "../../../src/limits.ts";
import { hex } from "../../support/hex.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { allowed4, endpoint4, labBuffer, WireGuardLab } from "../../support/wireguard_lab.ts";

const crypto = CRYPTO_PORTS.at(-1)!;
const ENDPOINT_1 = endpoint4(0xc0000201);

/** A key that is told from others by one byte; as good a public key as any. */
const key = (number: number): Uint8Array => {
  const bytes = new Uint8Array(32).fill(7);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
};

/** A WireGuard that writes down what it asks of its owner. */
function node(update: DeviceUpdate = { privateKey: key(1) }) {
  const sent: Uint8Array[] = [];
  const failed: Peer[] = [];
  const wireguard = new WireGuard({
    crypto,
    events: {
      send: (_peer, bytes) => sent.push(bytes.slice()),
      sessionReady: () => 0,
      sessionFailed: (peer) => failed.push(peer),
    },
  });
  const configure = (change: DeviceUpdate): void => wireguard.configure(change, 1_000, 1e12);
  const setPeer = (peer: PeerUpdate): void => configure({ peers: [peer] });
  configure(update);
  return { wireguard, configure, setPeer, sent, failed };
}

/** The peer that a packet to `address` goes to. */
function route(wireguard: WireGuard, address: number): Peer | null {
  const packet = labBuffer(20);
  packet.view.setUint8(0, 0x45);
  packet.view.setUint32(16, address);
  return wireguard.peerByDestination(packet.view, 0);
}

test("configure() sets and keeps what it is told", () => {
  const { wireguard, setPeer } = node();
  setPeer({
    publicKey: key(2),
    presharedKey: key(3),
    endpoint: ENDPOINT_1,
    persistentKeepaliveS: 25,
    allowedIps: [allowed4(0x0a000005, 24)],
  });
  const expected = {
    publicKey: key(2),
    presharedKey: key(3),
    endpoint: ENDPOINT_1,
    lastHandshakeWallMs: 0,
    txDatagrams: 0,
    txBytes: 0,
    rxDatagrams: 0,
    rxBytes: 0,
    roams: 0,
    persistentKeepaliveS: 25,
    allowedIps: [allowed4(0x0a000000, 24)],
  };
  assert.deepEqual(wireguard.snapshot().peers, [expected]);
  setPeer({ publicKey: key(2) });
  assert.deepEqual(wireguard.snapshot().peers, [expected]);
});

test("snapshot() is a copy", () => {
  const { wireguard, setPeer } = node();
  setPeer({ publicKey: key(2), endpoint: ENDPOINT_1 });
  const before = wireguard.snapshot();
  for (const bytes of [before.privateKey, before.publicKey, before.peers[0].publicKey]) {
    bytes.fill(0);
  }
  before.peers[0].endpoint!.fill(0);
  assert.deepEqual(wireguard.snapshot().peers[0].endpoint, ENDPOINT_1);
  assert.notDeepEqual(wireguard.snapshot().privateKey, before.privateKey);
  assert.ok(wireguard.peerByKey(key(2)) !== null);
});

test("configure() gives the private key clamped and the public key of RFC 7748 §6.1", () => {
  const privateKey = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const { wireguard } = node({ privateKey });
  const snapshot = wireguard.snapshot();
  const publicKey = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  assert.deepEqual(snapshot.publicKey, publicKey);
  assert.deepEqual([snapshot.privateKey[0], snapshot.privateKey[31]], [0x70, 0x6a]);
});

test("configure() takes a prefix from the peer that has it when another gets it", () => {
  const { wireguard, setPeer } = node();
  setPeer({ publicKey: key(2), allowedIps: [allowed4(0x0a000000, 24), allowed4(0x0a000100, 24)] });
  setPeer({ publicKey: key(3), allowedIps: [allowed4(0x0a000000, 24)] });
  const [second, third] = wireguard.snapshot().peers;
  assert.deepEqual(second.allowedIps, [allowed4(0x0a000100, 24)]);
  assert.deepEqual(third.allowedIps, [allowed4(0x0a000000, 24)]);
  assert.deepEqual(route(wireguard, 0x0a000001)!.publicKey, key(3));
  assert.equal(wireguard.peerByKey(key(2))!.overlayAddress[3], 0x0a000100);
});

test("configure() replaces, removes and adds AllowedIPs in this order", () => {
  const { wireguard, setPeer } = node();
  const allowedIps = () => wireguard.snapshot().peers[0].allowedIps;
  setPeer({ publicKey: key(2), allowedIps: [allowed4(1, 32), allowed4(2, 32)] });
  setPeer({
    publicKey: key(2),
    removeAllowedIps: [allowed4(1, 32)],
    allowedIps: [allowed4(3, 32)],
  });
  assert.deepEqual(allowedIps(), [allowed4(2, 32), allowed4(3, 32)]);
  setPeer({ publicKey: key(2), replaceAllowedIps: true, allowedIps: [allowed4(4, 32)] });
  assert.deepEqual(allowedIps(), [allowed4(4, 32)]);
  setPeer({ publicKey: key(3), removeAllowedIps: [allowed4(4, 32)] });
  assert.deepEqual(allowedIps(), [allowed4(4, 32)], "taken from a peer that does not own it");
  setPeer({ publicKey: key(2), replaceAllowedIps: true });
  assert.deepEqual(allowedIps(), []);
  assert.equal(route(wireguard, 4), null);
});

test("peerByDestination() and sourceAllowed() look at the right fields of either family", () => {
  const { wireguard, setPeer } = node();
  const v6 = {
    family: 6 as const,
    addressWords: Uint32Array.of(0xfd000000, 0, 0, 1),
    prefixBits: 128,
  };
  setPeer({ publicKey: key(2), allowedIps: [allowed4(0x0a000001, 32), v6] });
  setPeer({ publicKey: key(3), allowedIps: [allowed4(0, 0)] });
  const [second, third] = [wireguard.peerByKey(key(2))!, wireguard.peerByKey(key(3))!];
  const packet = labBuffer(64);
  const at = 3;
  packet.view.setUint8(at, 0x45);
  packet.view.setUint32(at + 12, 0x0a000001);
  packet.view.setUint32(at + 16, 0x0a000002);
  assert.equal(wireguard.peerByDestination(packet.view, at), third);
  assert.ok(wireguard.sourceAllowed(second, packet.view, at));
  assert.ok(!wireguard.sourceAllowed(third, packet.view, at), "a longer match is another peer's");
  packet.view.setUint8(at, 0x60);
  for (let word = 0; word < 4; word++) {
    packet.view.setUint32(at + 8 + word * 4, v6.addressWords[word] ^ 1);
    packet.view.setUint32(at + 24 + word * 4, v6.addressWords[word]);
  }
  assert.equal(wireguard.peerByDestination(packet.view, at), second);
  assert.ok(!wireguard.sourceAllowed(second, packet.view, at));
});

test("a peer's overlay address is its first single address, else the base of its first prefix", () => {
  const { wireguard, setPeer } = node();
  const overlay = () => {
    const peer = wireguard.peerByKey(key(2))!;
    return [peer.overlayFamily, ...peer.overlayAddress];
  };
  setPeer({ publicKey: key(2) });
  assert.deepEqual(overlay(), [0, 0, 0, 0, 0]);
  setPeer({ publicKey: key(2), allowedIps: [allowed4(0x0a000011, 28)] });
  assert.deepEqual(overlay(), [4, 0, 0, 0xffff, 0x0a000010]);
  const addressWords = Uint32Array.of(0xfd000000, 0, 0, 9);
  setPeer({ publicKey: key(2), allowedIps: [{ family: 6, addressWords, prefixBits: 128 }] });
  assert.deepEqual(overlay(), [6, 0xfd000000, 0, 0, 9]);
  setPeer({ publicKey: key(2), replaceAllowedIps: true });
  assert.deepEqual(overlay(), [0, 0, 0, 0, 0]);
});

test("configure() with updateOnly changes a peer but makes none", () => {
  const { wireguard, setPeer } = node();
  setPeer({ publicKey: key(2), updateOnly: true, endpoint: ENDPOINT_1 });
  assert.equal(wireguard.peerCount, 0);
  setPeer({ publicKey: key(2) });
  setPeer({ publicKey: key(2), updateOnly: true, endpoint: ENDPOINT_1 });
  assert.deepEqual(wireguard.snapshot().peers[0].endpoint, ENDPOINT_1);
});

test("configure() removes a peer with all that was its own", () => {
  const { wireguard, setPeer, failed } = node();
  setPeer({
    publicKey: key(2),
    endpoint: ENDPOINT_1,
    persistentKeepaliveS: 1,
    allowedIps: [allowed4(0, 0)],
  });
  assert.ok(wireguard.nextDeadlineMs < Infinity);
  const peer = wireguard.peerByKey(key(2))!;
  setPeer({ publicKey: key(2), remove: true });
  assert.deepEqual(failed, [peer]);
  assert.deepEqual([wireguard.peerCount, wireguard.nextDeadlineMs], [0, Infinity]);
  assert.equal(route(wireguard, 1), null);
  assert.equal(wireguard.peerByKey(key(2)), null);
  setPeer({ publicKey: key(2), remove: true });
  assert.equal(wireguard.peerCount, 0);
});

test("configure() gives the slot of a removed peer to the next", () => {
  const { wireguard, setPeer } = node();
  for (let number = 2; number < 6; number++) setPeer({ publicKey: key(number) });
  setPeer({ publicKey: key(3), allowedIps: [allowed4(0, 0)] });
  const { slot } = wireguard.peerByKey(key(3))!;
  setPeer({ publicKey: key(3), remove: true });
  setPeer({ publicKey: key(9), allowedIps: [allowed4(5, 32)] });
  assert.equal(wireguard.peerByKey(key(9))!.slot, slot);
  assert.equal(wireguard.peer(slot), wireguard.peerByKey(key(9)));
  assert.equal(route(wireguard, 5)!.slot, slot);
  assert.equal(route(wireguard, 6), null, "the removed peer's prefix");
  assert.deepEqual([...wireguard.peers()].map((peer) => peer.publicKey[3]), [2, 4, 5, 9]);
});

test("configure() with replacePeers leaves only the peers of the update", () => {
  const { wireguard, setPeer, configure, failed } = node();
  setPeer({ publicKey: key(2), endpoint: ENDPOINT_1, allowedIps: [allowed4(1, 32)] });
  setPeer({ publicKey: key(3) });
  configure({ replacePeers: true, peers: [{ publicKey: key(2) }] });
  assert.equal(failed.length, 2);
  const { peers } = wireguard.snapshot();
  assert.deepEqual(peers.map((peer) => [peer.publicKey, peer.endpoint]), [[key(2), null]]);
  assert.deepEqual(peers[0].allowedIps, []);
});

test("configure() passes over a peer with our own public key, and drops one that becomes so", () => {
  const { wireguard, setPeer, configure } = node();
  setPeer({ publicKey: wireguard.snapshot().publicKey });
  assert.equal(wireguard.peerCount, 0);
  const other = node({ privateKey: key(5) }).wireguard.snapshot().publicKey;
  setPeer({ publicKey: other });
  assert.equal(wireguard.peerCount, 1);
  configure({ privateKey: key(5) });
  assert.equal(wireguard.peerCount, 0);
});

test("configure() refuses what is malformed and changes nothing", () => {
  const { wireguard, setPeer, configure } = node();
  setPeer({ publicKey: key(2), endpoint: ENDPOINT_1, allowedIps: [allowed4(1, 32)] });
  const before = wireguard.snapshot();
  const publicKey = key(3);
  const noPort = ENDPOINT_1.slice();
  noPort[5] = 0;
  const wrong: DeviceUpdate[] = [
    { privateKey: new Uint8Array(31) },
    { peers: [{ publicKey: new Uint8Array(33) }] },
    { peers: [{ publicKey, presharedKey: new Uint8Array(0) }] },
    { peers: [{ publicKey, endpoint: new Uint32Array(ENDPOINT_WORDS) }] },
    { peers: [{ publicKey, endpoint: new Uint32Array(3) }] },
    { peers: [{ publicKey, endpoint: noPort }] },
    { peers: [{ publicKey, persistentKeepaliveS: -1 }] },
    { peers: [{ publicKey, persistentKeepaliveS: 65_536 }] },
    { peers: [{ publicKey, persistentKeepaliveS: 1.5 }] },
    { peers: [{ publicKey, allowedIps: [allowed4(1, 33)] }] },
    { peers: [{ publicKey, allowedIps: [allowed4(1, -1)] }] },
    { peers: [{ publicKey, removeAllowedIps: [allowed4(1, 0.5)] }] },
  ];
  for (const update of wrong) {
    // A good peer in front: it must not be made either.
    const mixed = { ...update, peers: [{ publicKey: key(8) }, ...update.peers ?? []] };
    assert.throws(() => configure({ replacePeers: true, ...mixed }), RangeError);
    assert.deepEqual(wireguard.snapshot(), before);
  }
});

test("configure() never says a key when it refuses", () => {
  const { configure } = node();
  try {
    configure({ privateKey: new Uint8Array(31).fill(0xab) });
    assert.fail("not refused");
  } catch (error) {
    assert.match(String(error), /private key must have 32 bytes, has 31/);
    assert.doesNotMatch(String(error), /ab|171/);
  }
});

test("configure() holds PEERS_MAX peers and no more", () => {
  const { wireguard, configure, setPeer } = node();
  const peers = Array.from({ length: PEERS_MAX }, (_, index) => ({ publicKey: key(index + 10) }));
  configure({ peers });
  assert.equal(wireguard.peerCount, PEERS_MAX);
  assert.throws(() => setPeer({ publicKey: key(1) }), /more than 65536 peers/);
  // One goes, another comes.
  configure({ peers: [{ publicKey: key(10), remove: true }, { publicKey: key(1) }] });
  assert.equal(wireguard.peerCount, PEERS_MAX);
  // A peer that is there already may be named again.
  setPeer({ publicKey: key(11), endpoint: ENDPOINT_1 });
  configure({ replacePeers: true, peers: peers.slice(0, 3) });
  assert.equal(wireguard.peerCount, 3);
});

test("a new private key ends all sessions and makes new ones", () => {
  const { lab, a, b } = WireGuardLab.pair();
  lab.send(a, b);
  lab.run(1_000);
  a.wireguard.configure({ privateKey: key(77) }, lab.nowMs, lab.wallMs);
  assert.equal(a.crypto.keysAlive, 0);
  const { publicKey } = a.wireguard.snapshot();
  assert.notDeepEqual(publicKey, a.publicKey);
  b.wireguard.configure(
    {
      peers: [
        { publicKey: a.publicKey, remove: true },
        { publicKey, endpoint: a.endpoint, allowedIps: [allowed4(a.overlay, 32)] },
      ],
    },
    lab.nowMs,
    lab.wallMs,
  );
  const id = lab.send(a, b);
  lab.run(6_000);
  assert.ok(b.delivered.has(id));
});

test("under a new private key nothing begins by itself that was waited for under the old one", () => {
  const { lab, a, b } = WireGuardLab.pair();
  lab.send(a, b);
  lab.run(1_000);
  // Data that b's answer is awaited for.
  lab.send(a, b);
  a.wireguard.configure({ privateKey: key(77) }, lab.nowMs, lab.wallMs);
  let sent = 0;
  lab.tap = ({ from }) => sent += from === a ? 1 : 0;
  lab.run(600_000);
  assert.equal(sent, 0);
});

test("the same private key again changes nothing", () => {
  const { lab, a, b } = WireGuardLab.pair();
  lab.send(a, b);
  lab.run(1_000);
  const { privateKey } = a.wireguard.snapshot();
  a.wireguard.configure({ privateKey }, lab.nowMs, lab.wallMs);
  assert.equal(a.crypto.keysAlive, 2);
  const id = lab.send(a, b);
  lab.run(10);
  assert.ok(b.delivered.has(id));
});

test("a handshake under way goes on under a new private key, and fails without one", () => {
  const { configure, wireguard, setPeer, sent, failed } = node();
  setPeer({ publicKey: key(2), endpoint: ENDPOINT_1, allowedIps: [allowed4(0, 0)] });
  const buffer = labBuffer(256);
  const peer = wireguard.peerByKey(key(2))!;
  assert.equal(wireguard.seal(peer, buffer, 16, 40), SEAL.NO_SESSION);
  assert.equal(sent.length, 1);
  configure({ privateKey: key(6) });
  assert.equal(sent.length, 2);
  assert.deepEqual(failed, []);
  configure({ privateKey: new Uint8Array(32) });
  assert.deepEqual(failed, [peer]);
  wireguard.tick(wireguard.nextDeadlineMs, 1e12);
  assert.equal(wireguard.nextDeadlineMs, Infinity);
  assert.equal(sent.length, 2);
});

test("a persistent keepalive begins when key, endpoint and interval are all there, whichever comes last", () => {
  const parts: PeerUpdate[] = [
    { publicKey: key(2) },
    { publicKey: key(2), endpoint: ENDPOINT_1 },
    { publicKey: key(2), persistentKeepaliveS: 10 },
  ];
  for (const last of [0, 1, 2]) {
    const { setPeer, configure, sent } = node({});
    const steps = [
      () => configure({ privateKey: key(1) }),
      () => setPeer(parts[1]),
      () => setPeer(parts[2]),
    ];
    setPeer(parts[0]);
    steps.forEach((step, index) => index === last || step());
    assert.equal(sent.length, 0, `${last}`);
    steps[last]();
    assert.equal(sent.length, 1, `${last}`);
  }
});

test("seal() pads to 16 bytes but not beyond the MTU", () => {
  const { lab, a, b } = WireGuardLab.pair();
  lab.send(a, b);
  lab.run(100);
  const buffer = labBuffer(2048);
  const sealed = (length: number): number => {
    buffer.bytes.fill(0xee);
    return a.wireguard.seal(a.peerOf(b), buffer, 16, length) - 32;
  };
  assert.equal(a.wireguard.mtuBytes, 1420);
  assert.deepEqual([1, 15, 16, 17, 1408].map(sealed), [16, 16, 16, 32, 1408]);
  assert.deepEqual([1409, 1419, 1420, 1421, 1500].map(sealed), [1420, 1420, 1420, 1421, 1500]);
  a.wireguard.mtuBytes = 1500;
  assert.deepEqual([1409, 1500].map(sealed), [1424, 1500]);
});
