/**
 * Conservation: whatever the kernel gave to or took from the interface stands in the books exactly once, in packets
 * and bytes, and the flow log's lines sum up to the same.
 *
 * Run alone: `deno test -A tests/system/conservation_test.ts` (root; needs wireguard-go, wg, ip, ping, iperf3).
 * Method: traffic of every kind that can leave a machine, routed and not, with peers that are there, gone and never
 * reached; then the equations of conservation.ts.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FLOWS_MAX_MIN } from "../../src/limits.ts";
import { proveConservation } from "./support/conservation.ts";
import { type Lab, withLab } from "./support/namespaces.ts";
import { INNER, OUTER, type Pair, pairConfig, startPair } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { statusAtRest } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { iperf, ping, startIperfServer, waitForPing } from "./support/traffic.ts";
import { makeKeyPair, type PeerConfig } from "./support/tunnels.ts";
import { waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "iperf3") || notOurs();

/** One connection of a flow-log line. Zero members are left out of the file. */
interface LoggedFlow {
  readonly proto?: number;
  readonly src: string;
  readonly dst: string;
  readonly txPkts?: number;
  readonly txBytes?: number;
  readonly rxPkts?: number;
  readonly rxBytes?: number;
}

/** One line of the flow log. */
interface LoggedWindow {
  readonly start: string;
  readonly end: string;
  readonly virtualTraffic?: readonly LoggedFlow[];
  readonly physicalTraffic?: readonly LoggedFlow[];
}

/** Windows with traffic; the report at the end has none, and spans them all. */
function readFlowLog(path: string): LoggedWindow[] {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.map((line): LoggedWindow => JSON.parse(line)).filter((window) =>
    window.virtualTraffic !== undefined || window.physicalTraffic !== undefined
  );
}

function sumFlows(flows: readonly LoggedFlow[]) {
  const sum = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
  for (const flow of flows) {
    sum.txPackets += flow.txPkts ?? 0;
    sum.txBytes += flow.txBytes ?? 0;
    sum.rxPackets += flow.rxPkts ?? 0;
    sum.rxBytes += flow.rxBytes ?? 0;
  }
  return sum;
}

/** Windows are not empty, do not overlap, and end on the grid but for the last. */
function proveWindows(windows: readonly LoggedWindow[], periodMs: number): void {
  windows.forEach((window, index) => {
    // Date.parse cuts off the nanosecond by which a window begins behind the end of the one before.
    const lengthMs = Date.parse(window.end) - Date.parse(window.start);
    assert.ok(lengthMs > 0, `${window.start} lasts ${lengthMs} ms`);
    const next = windows[index + 1];
    if (next === undefined) return;
    assert.ok(Date.parse(window.end) <= Date.parse(next.start), `${window.end} overlaps`);
    assert.equal(Date.parse(window.end) % periodMs, 0, `${window.end} is not on the grid`);
  });
}

/** Starts ours (left, flow log into a file) and wireguard-go (right), with further peers on the left. */
async function startLogged(
  lab: Lab,
  more: readonly PeerConfig[] = [],
  flowLogLines: readonly string[] = [],
): Promise<Pair & { readonly flowLogPath: string }> {
  const flowLogPath = join(lab.directory, "flows.ndjson");
  const keys = { left: makeKeyPair(), right: makeKeyPair() };
  const options = { left: SUBJECT, right: REFERENCE, initiator: "left" } as const;
  const base = pairConfig("left", keys, options);
  const pair = await startPair(lab, {
    ...options,
    config: {
      left: {
        keys: keys.left,
        peers: [...base.peers, ...more],
        timers: { RekeyAttempt: 3, RekeyTimeout: 1 },
        flowLog: ["Period = 1", `Output = ${flowLogPath}`, ...flowLogLines],
      },
      right: pairConfig("right", keys, options),
    },
  });
  await waitForPing(pair.left.namespace, INNER.right[4]);
  return { ...pair, flowLogPath };
}

test("books balance over multicast, neighbour discovery and unrouted packets", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const pair = await startLogged(lab);
    const { left } = pair;
    left.namespace.ip(
      `address add fe80::1/64 dev ${left.name} nodad`,
      `route add 10.99.0.0/16 dev ${left.name}`,
      `route add fd99::/16 dev ${left.name}`,
      `route add 224.0.0.0/4 dev ${left.name}`,
    );
    const brief = { count: 4, waitS: 1, intervalS: 0.01 };
    const targets = ["10.99.1.1", "fd99::1", "224.0.0.1", "239.1.2.3", `ff02::1%${left.name}`];
    targets.push(`ff02::2%${left.name}`);
    await Promise.all(targets.map((target) => ping(left.namespace, target, brief)));
    await ping(left.namespace, INNER.right[6], { ...brief, payloadBytes: 5000 });

    const status = await proveConservation(left);
    assert.ok(status!.counters.outNoRoute.packets >= 6 * 4, "the unrouted packets were seen");
  });
});

test("books balance when peers are unreachable, unknown or removed", { skip }, async () => {
  await withLab(async (lab) => {
    const silent = makeKeyPair().publicKey;
    const unreachable = makeKeyPair().publicKey;
    const pair = await startLogged(lab, [
      { publicKey: silent, allowedIps: ["10.81.0.0/24"] },
      { publicKey: unreachable, allowedIps: ["10.82.0.0/24"], endpoint: "192.0.2.99:9" },
    ]);
    const { left } = pair;
    const flood = { count: 300, waitS: 1, intervalS: 0.002 };
    await Promise.all([
      ping(left.namespace, "10.81.0.1", { count: 10, waitS: 1 }),
      ping(left.namespace, "10.82.0.1", flood),
    ]);
    await waitUntil("the handshake is given up", async () => {
      return (await statusAtRest(left)).waitingPackets === 0;
    }, { timeoutMs: 30_000 });
    const { counters } = (await proveConservation(left))!;
    assert.equal(counters.outNoEndpoint.packets, 10);
    assert.ok(counters.outQueueFull.packets > 0, "the queue overflowed");
    assert.equal(counters.outQueueFull.packets + counters.outHandshakeFailed.packets, 300);

    await ping(left.namespace, "10.82.0.1", { count: 3, waitS: 1, intervalS: 0.01 });
    left.namespace.mustSync(["wg", "set", left.name, "peer", unreachable, "remove"]);
    await ping(left.namespace, "10.82.0.1", { count: 3, waitS: 1, intervalS: 0.01 });
    const after = (await proveConservation(left))!;
    assert.equal(
      after.counters.outHandshakeFailed.packets,
      counters.outHandshakeFailed.packets + 3,
    );
    assert.equal(after.counters.outNoRoute.packets, counters.outNoRoute.packets + 3);
  });
});

test("flow log's lines sum up to what the interface carried", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right, flowLogPath } = await startLogged(lab);
    await startIperfServer(right.namespace, INNER.right[4]);
    await iperf(left.namespace, INNER.right[4], { seconds: 3, streams: 4 });
    await iperf(left.namespace, INNER.right[4], { seconds: 1, reverse: true });
    const pings = await ping(left.namespace, INNER.right[6], { count: 10, payloadBytes: 100 });
    assert.equal(pings.received, 10);
    const status = (await proveConservation(left))!;
    const { code } = await left.stop();
    assert.equal(code, 0);

    const windows = readFlowLog(flowLogPath);
    assert.ok(windows.length >= 3, `${windows.length} windows`);
    proveWindows(windows, 1_000);
    const flows = windows.flatMap((window) => window.virtualTraffic ?? []);
    const { txPackets, txBytes, rxPackets, rxBytes } = status.flowLog.virtual;
    assert.deepEqual(sumFlows(flows), { txPackets, txBytes, rxPackets, rxBytes });

    const icmp = flows.filter((flow) => flow.proto === 58 && flow.dst.includes(INNER.right[6]));
    const pingBytes = 10 * (40 + 8 + 100);
    assert.deepEqual(sumFlows(icmp), {
      ...{ txPackets: 10, txBytes: pingBytes, rxPackets: 10, rxBytes: pingBytes },
    });
    const tcp = flows.filter((flow) => flow.proto === 6);
    assert.ok(tcp.length >= 5, "each stream has rows of its own");
    assert.ok(tcp.every((flow) => flow.src.startsWith(`${INNER.left[4]}:`)), "src is our side");
    assert.ok(tcp.every((flow) => flow.dst === `${INNER.right[4]}:5201`), "dst is the server");
  });
});

test("more flows than the table holds are folded, never lost", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, flowLogPath } = await startLogged(lab, [], [`FlowsMax = ${FLOWS_MAX_MIN}`]);
    // In portions, so that the queue of the device, which holds 500, does not overflow before the node has its turn.
    const script = `for port in $(seq 2000 2999); do
      echo x > /dev/udp/${INNER.right[4]}/$port
      [ $((port % 100)) = 0 ] && sleep 0.02
    done`;
    await left.namespace.run(["bash", "-c", script]);
    const status = (await proveConservation(left))!;
    assert.equal(status.link!.txDropped, 0, "the device's queue held everything");
    await left.stop();
    const windows = readFlowLog(flowLogPath);
    const flows = windows.flatMap((window) => window.virtualTraffic ?? []);
    const { txPackets, txBytes, rxPackets, rxBytes } = status.flowLog.virtual;
    assert.deepEqual(sumFlows(flows), { txPackets, txBytes, rxPackets, rxBytes });
    const udp = flows.filter((flow) => flow.proto === 17);
    // Each worker has a table of its own.
    const rowsMax = (FLOWS_MAX_MIN + 1) * windows.length * status.workers.length;
    assert.ok(udp.length <= rowsMax, `${udp.length} rows`);
    assert.equal(sumFlows(udp).txPackets, 1000);
    assert.equal(sumFlows(udp).txBytes, 1000 * (20 + 8 + 2));
  });
});

test("physical rows sum up to the datagrams of the peer", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right, flowLogPath } = await startLogged(lab);
    await ping(left.namespace, INNER.right[4], { count: 50, intervalS: 0.005 });
    const { peers, counters } = await statusAtRest(left);
    const { physicalTx, physicalRx } = peers[0]!;
    assert.equal(physicalTx.packets, counters.udpSent.packets);
    assert.equal(physicalTx.bytes, counters.udpSent.bytes);
    assert.equal(physicalRx.packets, counters.udpReceived.packets);
    assert.equal(physicalRx.bytes, counters.udpReceived.bytes);
    const dump = right.peerDump();
    assert.equal(physicalTx.bytes, dump.rxBytes, "wireguard-go received what ours sent");
    assert.equal(physicalRx.bytes, dump.txBytes, "ours received what wireguard-go sent");
    await left.stop();

    const rows = readFlowLog(flowLogPath).flatMap((window) => window.physicalTraffic ?? []);
    assert.ok(rows.every((row) => row.proto === undefined), "proto is 0");
    assert.ok(rows.every((row) => row.src === `${INNER.right[4]}:0`), "src is the peer inside");
    assert.ok(rows.every((row) => row.dst === `${OUTER.right[4]}:51820`), "dst is its endpoint");
    assert.deepEqual(sumFlows(rows), {
      txPackets: physicalTx.packets,
      txBytes: physicalTx.bytes,
      rxPackets: physicalRx.packets,
      rxBytes: physicalRx.bytes,
    });
  });
});
