/**
 * Several data-plane workers on the real kernel: queues of the device and sockets of one port, several peers, sessions
 * that renew and peers that roam under traffic, and books that balance.
 *
 * The other system tests run with several workers by TUNLOG_SYSTEM_WORKERS=2.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { proveConservation } from "./support/conservation.ts";
import { withLab } from "./support/namespaces.ts";
import { cannotRun } from "./support/runtimes.ts";
import { endpointText, INNER, makeWire, OUTER, PORT, startPair } from "./support/pairs.ts";
import { nodeStatus } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import {
  iperf,
  ping,
  startIperfServer,
  startPing,
  stopPing,
  waitForPing,
} from "./support/traffic.ts";
import { type Implementation, makeKeyPair, startTunnel } from "./support/tunnels.ts";
import { waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "iperf3") || notOurs();
const WORKERS = 2;
const SHORT_TIMERS = { RekeyAfter: 2, RejectAfter: 60, RekeyTimeout: 0.5, KeepaliveTimeout: 1 };

for (const other of [REFERENCE, SUBJECT] as readonly Implementation[]) {
  test(`${WORKERS} workers carry streams with ${other} through renewals, and the books balance`, {
    skip,
  }, async () => {
    await withLab(async (lab) => {
      const side = { workers: WORKERS };
      const pair = await startPair(lab, {
        ...{ left: SUBJECT, right: other, config: { left: side, right: side } },
        timers: SHORT_TIMERS,
      });
      const { left, right } = pair;
      await waitForPing(left.namespace, INNER.right[4]);
      await startIperfServer(right.namespace, INNER.right[4]);
      const stream = startPing(left.namespace, INNER.right[4], 0.02);
      const handshakes = new Set<number>();
      for (
        const options of [{}, { reverse: true }, {
          udp: { payloadBytes: 1_000, bitsPerSecond: 50e6 },
        }]
      ) {
        const result = await iperf(left.namespace, INNER.right[4], {
          ...{ seconds: 3, streams: 8 },
          ...options,
        });
        assert.ok(result.bytes > 1_000_000, `${result.bytes} bytes`);
        handshakes.add(left.peerDump().latestHandshakeS);
      }
      const { duplicates } = await stopPing(stream);
      assert.equal(duplicates, 0);
      assert.ok(handshakes.size >= 2, "the session was renewed");
      for (const tunnel of [left, right]) {
        const status = await proveConservation(tunnel);
        if (status === null) continue;
        assert.equal(status.workers.length, WORKERS);
        const { inReplay, inAuthentication } = status.counters;
        assert.equal(inAuthentication.packets, 0);
        // Who is put aside by the scheduler with what it has sealed may fall out of the window, but seldom.
        assert.ok(inReplay.packets < status.counters.udpReceived.packets / 100);
      }
    });
  });
}

test("many peers are received by all workers", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const wire = makeWire(lab);
    const hub = makeKeyPair();
    const peers = Array.from({ length: 6 }, (_, index) => ({
      keys: makeKeyPair(),
      address: `10.78.${index}.1`,
    }));
    const node = await startTunnel(SUBJECT, wire.left, {
      keys: hub,
      listenPort: PORT,
      addresses: ["10.78.100.1/16"],
      workers: 2,
      peers: peers.map(({ keys, address }) => ({
        publicKey: keys.publicKey,
        allowedIps: [`${address}/32`],
      })),
    });
    for (const [index, { keys, address }] of peers.entries()) {
      const namespace = lab.namespace(`peer${index}`);
      lab.link(
        { namespace, addresses: [`198.51.${index}.2/24`] },
        { namespace: wire.left, addresses: [`198.51.${index}.1/24`] },
      );
      await startTunnel(REFERENCE, namespace, {
        ...{ keys, addresses: [`${address}/16`] },
        peers: [{
          publicKey: hub.publicKey,
          allowedIps: ["10.78.100.1/32"],
          endpoint: endpointText(`198.51.${index}.1`, PORT),
        }],
      });
      await waitForPing(namespace, "10.78.100.1");
      assert.equal(
        (await ping(namespace, "10.78.100.1", { count: 50, intervalS: 0.01 })).received,
        50,
      );
    }
    const status = await proveConservation(node);
    assert.equal(status!.workers.length, 2);
    assert.ok(status!.workers.every((packets) => packets > 100), `${status!.workers}`);
    assert.equal(status!.peers.every((peer) => peer.physicalRx.packets >= 50), true);
  });
});

test("many flows of one way are read by all workers", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = await startPair(lab, {
      ...{ left: SUBJECT, right: REFERENCE, initiator: "left" },
      config: { left: { workers: WORKERS } },
    });
    await waitForPing(left.namespace, INNER.right[4]);
    const before = await nodeStatus(left);
    // What comes back, errors of ICMP, comes from one peer and so to one worker.
    const script = `for port in $(seq 2000 2399); do
      echo x > /dev/udp/${INNER.right[4]}/$port
      [ $((port % 100)) = 0 ] && sleep 0.02
    done`;
    await left.namespace.run(["bash", "-c", script]);
    const after = (await proveConservation(left))!;
    const read = after.workers.map((packets, worker) => packets - before.workers[worker]!);
    assert.ok(read.every((packets) => packets > 100), `${read} of 400 and their errors`);
  });
});

test("a peer that roams is followed whichever worker hears it, in mid-stream", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const side = { workers: WORKERS };
    const pair = await startPair(lab, {
      ...{ left: SUBJECT, right: SUBJECT, initiator: "left" },
      config: { left: side, right: side },
    });
    const { left, right } = pair;
    await waitForPing(left.namespace, INNER.right[4]);
    const handshakeS = right.peerDump().latestHandshakeS;
    const stream = startPing(left.namespace, INNER.right[4], 0.01);
    for (const port of [47_000, 47_001, 47_002, 47_003, PORT]) {
      left.namespace.mustSync(["wg", "set", left.name, "listen-port", String(port)]);
      await waitUntil(
        "the other side sees the new port",
        () => right.peerDump().endpoint === endpointText(OUTER.left[4], port),
      );
      const { received } = await ping(right.namespace, INNER.left[4], { count: 5 });
      assert.equal(received, 5, `answers from port ${port}`);
    }
    assert.equal(right.peerDump().latestHandshakeS, handshakeS, "no handshake was needed");
    assert.equal((await stopPing(stream)).duplicates, 0);
    await proveConservation(left);
    const { peers } = await nodeStatus(right);
    assert.ok(peers[0]!.roams >= 5);
  });
});

test("a port that another node shares between its workers is taken", { skip }, async () => {
  await withLab(async (lab) => {
    const wire = makeWire(lab);
    const config = (address: string) => ({
      ...{ keys: makeKeyPair(), listenPort: PORT, addresses: [address], peers: [], workers: 2 },
    });
    await startTunnel(SUBJECT, wire.left, config("10.79.0.1/24"));
    await assert.rejects(
      startTunnel(SUBJECT, wire.left, config("10.80.0.1/24")),
      /EADDRINUSE|another program uses this port/,
    );
  });
});
