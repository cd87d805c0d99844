/**
 * Offloads of the real kernel, level by level: what the node uses is what it was told, traffic passes, and the books
 * balance with the kernel's own.
 *
 * Run alone: `deno test -A tests/system/offload_test.ts` (root; needs wireguard-go, wg, ip, ping, iperf3). Other system
 * tests run at another level with TUNLOG_SYSTEM_OFFLOADS=none, tun or udp.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { OffloadChoice } from "../../src/node/config.ts";
import { proveConservation } from "./support/conservation.ts";
import { withLab } from "./support/namespaces.ts";
import { INNER, type Pair, startPair } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { nodeStatus } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import {
  iperf,
  type IperfOptions,
  ping,
  startIperfServer,
  waitForPing,
} from "./support/traffic.ts";
import type { Implementation } from "./support/tunnels.ts";

const skip = notOurs() || cannotRun("wireguard-go", "iperf3");

const LEVELS: readonly OffloadChoice[] = ["auto", "none", "tun", "udp"];
const USES_TUN: readonly OffloadChoice[] = ["auto", "tun"];
const USES_UDP: readonly OffloadChoice[] = ["auto", "udp"];

/** Runs iperf3 against a server of its own: one that has just served may say that it is busy. */
async function measured({ left, right }: Pair, address: string, options: IperfOptions) {
  const server = await startIperfServer(right.namespace, address);
  const result = await iperf(left.namespace, address, options);
  await server.stop("SIGKILL");
  return result;
}

/** TCP both ways over both families, UDP both ways, pings. */
async function carryTraffic(pair: Pair): Promise<void> {
  for (const family of [4, 6] as const) {
    const address = INNER.right[family];
    for (const options of [{ seconds: 1 }, { seconds: 1, reverse: true, streams: 3 }]) {
      const { bytes } = await measured(pair, address, options);
      assert.ok(bytes > 1_000_000, `TCP over IPv${family}: ${bytes} bytes`);
    }
    const udp = { payloadBytes: 1100, bitsPerSecond: 40e6 };
    for (const reverse of [false, true]) {
      const { datagramsSent, datagramsLost } = await measured(pair, address, {
        ...{ seconds: 1, udp, reverse },
      });
      assert.ok(
        datagramsLost < datagramsSent / 2,
        `UDP: ${datagramsLost} of ${datagramsSent} lost`,
      );
    }
    assert.equal((await ping(pair.left.namespace, address, { count: 5 })).received, 5);
  }
}

for (const level of LEVELS) {
  for (const other of [SUBJECT, REFERENCE] as const) {
    test(`Offloads = ${level} carries all traffic with ${other}, and the books balance`, {
      skip,
    }, () => carriesAll(level, other));
  }
}

async function carriesAll(level: OffloadChoice, other: Implementation): Promise<void> {
  await withLab(async (lab) => {
    const side = { offloads: level };
    const pair = await startPair(lab, {
      ...{ left: SUBJECT, right: other, config: { left: side, right: side } },
    });
    await waitForPing(pair.left.namespace, INNER.right[4]);
    await carryTraffic(pair);
    for (const tunnel of [pair.left, pair.right]) {
      const status = await proveConservation(tunnel);
      if (status === null) continue;
      const usesTun = USES_TUN.includes(level);
      const usesUdp = USES_UDP.includes(level);
      assert.deepEqual(status.offloads, [
        ...(usesTun ? ["read TCP and UDP", "write TCP and UDP"] : []),
        ...(usesUdp ? ["send", "receive"] : []),
      ]);
      const { tunReadSplit, tunWrittenJoined } = status.counters;
      assert.equal(tunReadSplit.packets > 0, usesTun, "super-packets were read");
      assert.equal(tunWrittenJoined.packets > 0, usesTun, "super-packets were written");
    }
  });
}

test("a path narrower than the datagrams gets them one by one, and nothing is lost", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const pair = await startPair(lab, { left: SUBJECT, right: SUBJECT, mtu: 1420 });
    const { left, right } = pair;
    await waitForPing(left.namespace, INNER.right[4]);
    // Behind the nodes' backs: they keep their MTU, so that every full packet is fragmented outside.
    for (const { namespace } of [left, right]) {
      const [wire] = JSON.parse(
        namespace.mustSync(["ip", "-j", "address", "show", "to", "192.0.2.0/24"]),
      );
      namespace.ip(`link set ${wire.ifname} mtu 1300`);
    }
    await startIperfServer(right.namespace, INNER.right[4]);
    const { bytes } = await iperf(left.namespace, INNER.right[4], { seconds: 1 });
    assert.ok(bytes > 1_000_000, `${bytes} bytes`);
    const status = await nodeStatus(left);
    assert.ok(
      status.offloads.includes("send (not to 1 path that refuses it)"),
      `${status.offloads}`,
    );
    assert.equal(status.counters.sendTooBig.packets, 0);
    assert.equal(status.counters.sendFailed.packets, 0);
    await proveConservation(left);
    await proveConservation(right);
  });
});
