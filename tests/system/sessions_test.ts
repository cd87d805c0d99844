/**
 * Sessions that live through what networks do: rekeys, roaming, NAT rebinding, loss and damage.
 *
 * Run alone: `deno test -A tests/system/sessions_test.ts` (root; needs wireguard-go, wg, ip, ping, curl).
 * Method: a ping stream or a download goes on through the tunnel while its session or endpoint is exchanged beneath it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withLab } from "./support/namespaces.ts";
import { endpointText, INNER, makeWire, OUTER, PORT, startPair } from "./support/pairs.ts";
import { PROXY_ADDRESS, startProxy } from "./support/proxy.ts";
import { cannotRun } from "./support/runtimes.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import {
  curlSha256,
  ping,
  startHttpServer,
  startPing,
  stopPing,
  waitForPing,
} from "./support/traffic.ts";
import type { TimersConfig } from "./support/tunnels.ts";
import { waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "curl");

/** Short enough to see several sessions in seconds, in the proportions of the whitepaper's. */
const SHORT_TIMERS: TimersConfig = {
  RekeyAfter: 2,
  RejectAfter: 8,
  RekeyAttempt: 8,
  RekeyTimeout: 1,
  KeepaliveTimeout: 3,
};

for (const other of [REFERENCE, SUBJECT] as const) {
  const whom = other === REFERENCE ? REFERENCE : "ours";
  test(`rekey by time towards ${whom} loses no packet`, { skip: skip || notOurs() }, async () => {
    await withLab(async (lab) => {
      const { left, right } = await startPair(lab, {
        left: SUBJECT,
        right: other,
        initiator: "left",
        // Far from the end of a session, so that its age alone can be what renews it.
        timers: { ...SHORT_TIMERS, RejectAfter: 60 },
      });
      await waitForPing(left.namespace, INNER.right[4]);
      const stream = startPing(left.namespace, INNER.right[4], 0.01);
      const handshakes = new Set<number>();
      await waitUntil("four sessions have followed each other", () => {
        handshakes.add(right.peerDump().latestHandshakeS);
        return handshakes.size >= 4;
      }, { timeoutMs: 20_000 });
      const { sent, received, duplicates } = await stopPing(stream);
      // The last request may still be under way when ping is stopped.
      assert.ok(sent - received <= 1, `${sent - received} of ${sent} pings were lost`);
      assert.equal(duplicates, 0);
    });
  });
}

for (const mover of ["left", "right"] as const) {
  const who = mover === "left" ? "ours" : REFERENCE;
  test(`roaming of ${who} to a new address and port is followed in mid-stream`, {
    skip,
  }, async () => {
    await withLab(async (lab) => {
      const wire = makeWire(lab);
      const options = { left: SUBJECT, right: REFERENCE, initiator: mover } as const;
      const pair = await startPair(lab, options, wire);
      const moving = pair[mover];
      const staying = pair[mover === "left" ? "right" : "left"];
      const target = INNER[mover === "left" ? "right" : "left"][4];
      await waitForPing(moving.namespace, target);
      const handshakeS = staying.peerDump().latestHandshakeS;
      const stream = startPing(moving.namespace, target, 0.01);

      moving.namespace.ip(
        "address add 192.0.2.77/24 dev link0",
        `address delete ${OUTER[mover][4]}/24 dev link0`,
      );
      // The kernel drops the secondary addresses of a prefix with the primary one unless told otherwise.
      moving.namespace.ip("address replace 192.0.2.77/24 dev link0");
      moving.namespace.mustSync(["wg", "set", moving.name, "listen-port", "47000"]);

      await waitUntil(
        "the other side sees the new endpoint",
        () => staying.peerDump().endpoint === "192.0.2.77:47000",
      );
      const after = await ping(moving.namespace, target, { count: 20 });
      assert.equal(after.received, 20);
      const back = await ping(staying.namespace, INNER[mover][4], { count: 20 });
      assert.equal(back.received, 20);
      assert.equal(staying.peerDump().latestHandshakeS, handshakeS, "no handshake was needed");
      const { duplicates } = await stopPing(stream);
      assert.equal(duplicates, 0);
    });
  });
}

test("roaming from IPv4 to IPv6 and back needs no handshake", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, {
      left: SUBJECT,
      right: REFERENCE,
      initiator: "left",
    });
    await waitForPing(left.namespace, INNER.right[4]);
    const handshakeS = right.peerDump().latestHandshakeS;
    for (const family of [6, 4] as const) {
      const endpoint = endpointText(OUTER.right[family], PORT);
      left.namespace.mustSync(
        ["wg", "set", left.name, "peer", right.publicKey, "endpoint", endpoint],
      );
      const { received } = await ping(left.namespace, INNER.right[4], { count: 10 });
      assert.equal(received, 10);
      assert.equal(right.peerDump().endpoint, endpointText(OUTER.left[family], PORT));
      assert.equal(left.peerDump().endpoint, endpoint);
    }
    assert.equal(right.peerDump().latestHandshakeS, handshakeS);
  });
});

test("NAT rebinding of the peer is followed without a handshake", { skip }, async () => {
  await withLab(async (lab) => {
    const proxy = await startProxy(lab, 7);
    const { left, right } = await startPair(lab, {
      left: REFERENCE,
      right: SUBJECT,
      initiator: "left",
      endpoints: proxy.endpoints,
    }, { left: proxy.namespaces.left, right: proxy.namespaces.right });
    await waitForPing(left.namespace, INNER.right[4]);
    const handshakeS = right.peerDump().latestHandshakeS;
    for (
      const [address, port] of [
        [PROXY_ADDRESS.middleRight, 40_001],
        [PROXY_ADDRESS.middleRightOther, 40_002],
      ] as const
    ) {
      const outside = await proxy.rebind(address, port);
      const { received } = await ping(left.namespace, INNER.right[4], { count: 10 });
      assert.equal(received, 10);
      assert.equal(right.peerDump().endpoint, outside);
    }
    assert.equal(right.peerDump().latestHandshakeS, handshakeS);
  });
});

for (const lossPercent of [0, 2, 10]) {
  test(`tunnel works at ${lossPercent} % loss with duplicates, reordering and bit errors`, {
    skip,
  }, async () => {
    await withLab(async (lab) => {
      const proxy = await startProxy(lab, 100 + lossPercent);
      await proxy.setFaults({
        lossPercent,
        duplicatePercent: 5,
        reorderPercent: 5,
        flipPercent: lossPercent === 0 ? 0 : 1,
      });
      const { left, right } = await startPair(lab, {
        left: SUBJECT,
        right: REFERENCE,
        initiator: "left",
        endpoints: proxy.endpoints,
        timers: { ...SHORT_TIMERS, RekeyAfter: 3 },
      }, { left: proxy.namespaces.left, right: proxy.namespaces.right });
      await waitForPing(left.namespace, INNER.right[4], 30_000);

      const pings = await ping(left.namespace, INNER.right[4], { count: 200, intervalS: 0.01 });
      // Whatever the network doubles, the replay window lets through once.
      assert.equal(pings.duplicates, 0);
      // Two ways of loss and bit errors: 78 % expected at the worst setting; half is far outside chance.
      const least = lossPercent === 0 ? 200 : 100;
      assert.ok(pings.received >= least, `${pings.received} of 200 pings came back`);

      for (const [client, server] of [["left", "right"], ["right", "left"]] as const) {
        const namespaces = { left: left.namespace, right: right.namespace };
        const http = await startHttpServer(namespaces[server], INNER[server][4], 300_000);
        assert.equal(await curlSha256(namespaces[client], http.url), http.sha256);
      }
      const { toLeft } = await proxy.counts();
      assert.ok(toLeft.duplicated > 0 && toLeft.reordered > 0, "the proxy did its work");
      assert.equal(toLeft.lost > 0, lossPercent > 0);
    });
  });
}
