/**
 * Ordinary traffic through our node: ping of all sizes, downloads, iperf3 over TCP and UDP, floods of small packets.
 *
 * Run alone: `deno test -A tests/system/traffic_test.ts` (root; needs wireguard-go, wg, ip, ping, curl, iperf3).
 * Method: every program's own verdict, then the books: see conservation.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { proveConservation } from "./support/conservation.ts";
import { type Lab, withLab } from "./support/namespaces.ts";
import { INNER, type Pair, startPair } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { REFERENCE, SUBJECT } from "./support/subjects.ts";
import {
  curlSha256,
  iperf,
  ping,
  startHttpServer,
  startIperfServer,
  waitForPing,
} from "./support/traffic.ts";

const skip = cannotRun("wireguard-go", "curl", "iperf3");

/** Bytes of IPv4 and UDP headers: what a 64-byte packet holds besides its payload. */
const IPV4_UDP_BYTES = 28;

/** Runs `body` on a pair of ours (left) and wireguard-go (right), then proves that every packet is in the books. */
async function withTraffic(body: (pair: Pair, lab: Lab) => Promise<void>): Promise<void> {
  await withLab(async (lab) => {
    const pair = await startPair(lab, { left: SUBJECT, right: REFERENCE, initiator: "left" });
    await waitForPing(pair.left.namespace, INNER.right[4]);
    await body(pair, lab);
    await proveConservation(pair.left);
  });
}

test("ping of every size up to fragments passes", { skip }, async () => {
  await withTraffic(async ({ left, right }) => {
    for (const family of [4, 6] as const) {
      // Around the padding's 16 bytes, the MTU of 1420 exactly and one above it, and several fragments.
      const headerBytes = family === 4 ? 28 : 48;
      const atMtu = 1420 - headerBytes;
      for (const payloadBytes of [0, 1, 15, 16, 17, 1000, atMtu - 1, atMtu, atMtu + 1, 9000]) {
        const options = { count: 3, payloadBytes, intervalS: 0.01 };
        const there = await ping(left.namespace, INNER.right[family], options);
        assert.equal(there.received, 3, `${payloadBytes} bytes over IPv${family} from ours`);
        const back = await ping(right.namespace, INNER.left[family], options);
        assert.equal(back.received, 3, `${payloadBytes} bytes over IPv${family} to ours`);
      }
    }
  });
});

test("ping flood loses nothing", { skip }, async () => {
  await withTraffic(async ({ left }) => {
    const options = { count: 2_000, intervalS: 0, extra: ["-f"] };
    const { received, duplicates } = await ping(left.namespace, INNER.right[4], options);
    assert.equal(received, 2_000);
    assert.equal(duplicates, 0);
  });
});

test("curl of a file gives the same bytes in both directions and families", { skip }, async () => {
  await withTraffic(async ({ left, right }) => {
    for (const family of [4, 6] as const) {
      for (
        const [client, server, address] of [[left, right, INNER.right], [
          right,
          left,
          INNER.left,
        ]] as const
      ) {
        const http = await startHttpServer(server.namespace, address[family], 8_000_000);
        assert.equal(await curlSha256(client.namespace, http.url), http.sha256);
      }
    }
  });
});

for (const reverse of [false, true]) {
  const way = reverse ? "towards ours" : "from ours";
  test(`iperf3 over TCP ${way} moves data`, { skip }, async () => {
    await withTraffic(async ({ left, right }) => {
      await startIperfServer(right.namespace, INNER.right[4]);
      const one = await iperf(left.namespace, INNER.right[4], { seconds: 2, reverse });
      assert.ok(one.bytes > 1_000_000, `${one.bytes} bytes by one stream`);
      const eight = await iperf(left.namespace, INNER.right[4], {
        seconds: 2,
        reverse,
        streams: 8,
      });
      assert.ok(eight.bytes > 1_000_000, `${eight.bytes} bytes by eight streams`);
    });
  });

  test(`iperf3 over UDP ${way} moves data at a modest rate with little loss`, {
    skip,
  }, async () => {
    await withTraffic(async ({ left, right }) => {
      await startIperfServer(right.namespace, INNER.right[4]);
      const udp = { payloadBytes: 1300, bitsPerSecond: 20_000_000 };
      const result = await iperf(left.namespace, INNER.right[4], { seconds: 2, reverse, udp });
      assert.ok(result.datagramsSent > 1_000, `${result.datagramsSent} datagrams`);
      // Room for a busy machine; what the tunnel itself loses shows in the books.
      assert.ok(
        result.datagramsLost < result.datagramsSent / 20,
        `${result.datagramsLost} of ${result.datagramsSent} datagrams were lost`,
      );
    });
  });

  test(`flood of 64-byte packets ${way} leaves the node alive and the books right`, {
    skip,
  }, async () => {
    await withTraffic(async ({ left, right }) => {
      await startIperfServer(right.namespace, INNER.right[4]);
      const udp = { payloadBytes: 64 - IPV4_UDP_BYTES, bitsPerSecond: 0 };
      const result = await iperf(left.namespace, INNER.right[4], { seconds: 2, reverse, udp });
      assert.ok(result.datagramsSent > 10_000, `${result.datagramsSent} datagrams`);
      assert.ok(result.datagramsSent > result.datagramsLost, "some datagrams came through");
      const after = await ping(left.namespace, INNER.right[4], { count: 5 });
      assert.equal(after.received, 5);
    });
  });
}
