/**
 * Our node against Debian's wireguard-go: either side begins, IPv4 and IPv6 outside and inside, preshared key, both
 * runtimes, and ours against ours.
 *
 * Run alone: `deno test -A tests/system/interop_test.ts` (root; needs wireguard-go, wg, ip, ping).
 * Method: two namespaces, a tunnel in each, pings of both families through it; `wg` is asked what it sees.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withLab } from "./support/namespaces.ts";
import { INNER, type PairOptions, startPair } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, waitForPing } from "./support/traffic.ts";
import { makePresharedKey } from "./support/tunnels.ts";

const skip = cannotRun("wireguard-go");

/** Starts the pair, sends both families both ways and checks what `wg` reports on both ends. */
async function proveTunnel(options: PairOptions): Promise<void> {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, options);
    const first = options.initiator === "right" ? right : left;
    const firstTarget = options.initiator === "right" ? INNER.left : INNER.right;
    await waitForPing(first.namespace, firstTarget[4]);
    for (const family of [4, 6] as const) {
      const there = await ping(left.namespace, INNER.right[family], { count: 10 });
      assert.deepEqual(there, { sent: 10, received: 10, duplicates: 0 }, `IPv${family} to right`);
      const back = await ping(right.namespace, INNER.left[family], { count: 10 });
      assert.deepEqual(back, { sent: 10, received: 10, duplicates: 0 }, `IPv${family} to left`);
    }
    for (const tunnel of [left, right]) {
      const peer = tunnel.peerDump();
      assert.notEqual(peer.latestHandshakeS, 0, `${tunnel.name} reports a handshake`);
      // 41 pings of 84 or 104 bytes; each is at least 128 bytes as a transport message.
      assert.ok(peer.rxBytes > 40 * 128, `${tunnel.name} received ${peer.rxBytes} bytes`);
      assert.ok(peer.txBytes > 40 * 128, `${tunnel.name} sent ${peer.txBytes} bytes`);
      assert.notEqual(peer.endpoint, null, `${tunnel.name} knows its peer's endpoint`);
    }
  });
}

for (const outer of [4, 6] as const) {
  for (const initiator of ["left", "right"] as const) {
    const who = initiator === "left" ? "ours" : REFERENCE;
    test(`tunnel with ${REFERENCE} carries both families over IPv${outer} when ${who} begins`, {
      skip,
    }, async () => {
      await proveTunnel({ left: SUBJECT, right: REFERENCE, outer, initiator });
    });
  }
}

for (const initiator of ["left", "right"] as const) {
  const who = initiator === "left" ? "ours" : REFERENCE;
  test(`tunnel with ${REFERENCE} and a preshared key comes up when ${who} begins`, {
    skip,
  }, async () => {
    await proveTunnel({
      left: SUBJECT,
      right: REFERENCE,
      initiator,
      presharedKey: makePresharedKey(),
    });
  });
}

test(`tunnel with ${REFERENCE} comes up when both begin at once`, { skip }, async () => {
  await proveTunnel({ left: SUBJECT, right: REFERENCE, persistentKeepaliveS: 1 });
});

test("tunnel with a preshared key on one side only never carries a packet", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, { left: SUBJECT, right: REFERENCE });
    left.namespace.mustSync(
      ["wg", "set", left.name, "peer", right.publicKey, "preshared-key", "/dev/stdin"],
      { input: makePresharedKey() },
    );
    const result = await ping(left.namespace, INNER.right[4], { count: 5, waitS: 1 });
    assert.equal(result.received, 0);
    assert.equal(left.peerDump().latestHandshakeS, 0);
  });
});

const bothOurs = SUBJECT === "wireguard-go" ? "the subject is wireguard-go" : skip;
for (const [left, right] of [["deno", "deno"], ["deno", "bun"], ["bun", "deno"]] as const) {
  for (const outer of [4, 6] as const) {
    test(`tunnel from ours on ${left} to ours on ${right} carries both families over IPv${outer}`, {
      skip: bothOurs,
    }, async () => {
      await proveTunnel({ left, right, outer, initiator: "left" });
    });
  }
}

test("tunnel from ours on bun to wireguard-go comes up whichever begins", {
  skip: bothOurs,
}, async () => {
  await proveTunnel({ left: "bun", right: REFERENCE, initiator: "left" });
  await proveTunnel({ left: "bun", right: REFERENCE, initiator: "right" });
});
