/**
 * The whole of tunlog: nodes carry traffic, the collector has what the kernel counted, however nodes and collector end.
 *
 * Run alone: `deno test -A tests/system/collector_end_to_end_test.ts` (root; needs wg, ip, rtmon, nft, ping, curl). Method:
 * three real nodes in namespaces with a LAN, an internet and `tunlog collect`; the API is asked by curl. Witnesses know
 * nothing of us: the kernel's last counters of each interface, and nftables' counters by address.
 * TUNLOG_COLLECTOR_DOWN_S sets how long the collector is away. Its kills: collector_kill_test.ts; what both ends' books say
 * of losses and lies: collector_reconcile_test.ts; the one in a node's process: collector_embedded_test.ts.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { COMPLETE_LAG_MS } from "../../src/limits.ts";
import {
  CollectorLab,
  INTERNET_HOST,
  LAN_HOST,
  type NodeName,
  NODES,
  OVERLAY,
  WITNESSED,
} from "./support/collector_lab.ts";
import {
  between,
  type CollectorProcess,
  countersOf,
  type Json,
  waitForWindows,
} from "./support/collector_process.ts";
import { addSums, NO_TRAFFIC, proveEqual, type Sums } from "./support/log_books.ts";
import { withLab } from "./support/namespaces.ts";
import { cannotRun } from "./support/runtimes.ts";
import { notOurs } from "./support/subjects.ts";
import {
  curlSha256,
  type HttpServer,
  startHttpServer,
  startPing,
  stopPing,
  waitForPing,
} from "./support/traffic.ts";
import { pause, waitUntil } from "./support/wait.ts";

const skip = cannotRun("rtmon", "nft", "curl") || notOurs();

const DOWN_MS = Number(process.env.TUNLOG_COLLECTOR_DOWN_S ?? 20) * 1_000;
const DOWNLOAD_BYTES = 200_000;
/** Classes that each node's traffic is of. */
const CLASSES: Readonly<Record<NodeName, readonly (typeof WITNESSED)[number][]>> = {
  alpha: ["virtual", "subnet", "exit"],
  beta: ["virtual", "subnet"],
  gamma: ["virtual", "exit"],
};

/** Traffic of all classes, at a pace, until it is stopped. */
class Traffic {
  readonly #pings: ReturnType<typeof startPing>[] = [];
  #servers: readonly HttpServer[] = [];

  constructor(readonly lab: CollectorLab) {}

  async start(): Promise<void> {
    const { hub, lan, places } = this.lab;
    const { alpha, beta, gamma } = places;
    for (const address of [...Object.values(OVERLAY.beta), ...Object.values(OVERLAY.gamma)]) {
      await waitForPing(alpha.namespace, address);
      this.#pings.push(startPing(alpha.namespace, address));
    }
    for (const address of [LAN_HOST, INTERNET_HOST]) {
      await waitForPing(alpha.namespace, address);
      this.#pings.push(startPing(alpha.namespace, address));
    }
    // Those that others begin.
    this.#pings.push(startPing(lan, OVERLAY.alpha[4]));
    this.#pings.push(startPing(gamma.namespace, OVERLAY.alpha[4]));
    this.#servers = await Promise.all([
      startHttpServer(beta.namespace, OVERLAY.beta[4], DOWNLOAD_BYTES),
      startHttpServer(lan, LAN_HOST, DOWNLOAD_BYTES),
      startHttpServer(hub, INTERNET_HOST, DOWNLOAD_BYTES),
    ]);
  }

  /** TCP of all classes. */
  async download(): Promise<void> {
    for (const { url, sha256 } of this.#servers) {
      assert.equal(await curlSha256(this.lab.places.alpha.namespace, url), sha256);
    }
  }

  async stop(): Promise<void> {
    for (const child of this.#pings) {
      const { sent, received } = await stopPing(child);
      assert.ok(received > 0 && received >= sent - 1, `${received} of ${sent} came back`);
    }
  }
}

/** Bytes of each node's peers as `wg` tells them, once no datagram is under way any more. */
async function datagramBytes(lab: CollectorLab): Promise<Map<string, { tx: number; rx: number }>> {
  const read = () =>
    new Map(
      NODES.flatMap((name) =>
        lab.nodes.get(name)!.peerDumps().map(({ allowedIps, txBytes, rxBytes }) =>
          [`${name} ${allowedIps[0]!.split("/")[0]}`, { tx: txBytes, rx: rxBytes }] as const
        )
      ),
    );
  let last = JSON.stringify([...read()]);
  await waitUntil("no datagram is under way", async () => {
    // Longer than what a session still owes is put off, see collector_lab.ts.
    await pause(2_500);
    const next = JSON.stringify([...read()]);
    const isAtRest = next === last;
    last = next;
    return isAtRest;
  }, { timeoutMs: 60_000 });
  return read();
}

/** Proves a node's rows by class, as the API and as the store has them, to the byte. */
async function proveClasses(
  lab: CollectorLab,
  name: NodeName,
  kernel: Sums,
  range: ReturnType<typeof between>,
): Promise<void> {
  const { collector } = lab;
  const stored = collector.storedSums(name);
  for (const tier of ["auto", "raw", "minute", "hour"]) {
    assert.deepEqual(await collector.sums(name, { ...range, tier }), stored, `${name}, ${tier}`);
  }
  const { virtual, subnet, exit, unknown, physical, ...others } = stored;
  assert.deepEqual([unknown, others], [NO_TRAFFIC, {}], "all classes are held against the kernel");
  const witnessed = lab.witnessed(name);
  const { refused } = witnessed;
  assert.deepEqual({ ...witnessed, ...{ virtual, subnet, exit } }, witnessed, name);
  proveEqual(addSums(virtual, subnet, exit), refused, kernel);
  const used = WITNESSED.filter((each) => each !== "refused" && witnessed[each].txPackets > 100);
  assert.deepEqual(used, CLASSES[name]);
  assert.ok(physical.txPackets > witnessed.virtual.txPackets, "handshakes are there as well");
}

/** Proves that physical rows are the peers' datagrams: by our own counters, and by those of the other end. */
async function proveDatagrams(
  collector: CollectorProcess,
  peers: ReadonlyMap<string, { tx: number; rx: number }>,
  range: ReturnType<typeof between>,
): Promise<void> {
  const filter = "class physical";
  const { groups } = await collector.ask("/top", { ...range, by: "node,src", filter, tier: "raw" });
  const rows = new Map<string, Sums>(
    groups.map((group: Json) => [`${group.node} ${group.src}`, countersOf(group)]),
  );
  assert.deepEqual([...rows.keys()].sort(), [...peers.keys()].sort());
  for (const [key, { tx, rx }] of peers) {
    const { txBytes, rxBytes } = rows.get(key)!;
    assert.deepEqual({ tx: txBytes, rx: rxBytes }, { tx, rx }, key);
  }
  for (const name of ["beta", "gamma"] as const) {
    const there = rows.get(`alpha ${OVERLAY[name][4]}`)!;
    const back = rows.get(`${name} ${OVERLAY.alpha[4]}`)!;
    const swapped = {
      txPackets: back.rxPackets,
      txBytes: back.rxBytes,
      rxPackets: back.txPackets,
      rxBytes: back.txBytes,
    };
    assert.deepEqual(there, swapped, `alpha and ${name} saw the same datagrams`);
  }
}

/** Waits until what was counted until then is said to be complete or not. */
async function waitForVerdict(endMs: number): Promise<void> {
  await pause(Math.max(0, endMs + COMPLETE_LAG_MS + 500 - Date.now()));
}

/** Proves that nothing is missing of any node, and that both ends agree. */
async function proveHealthy(
  collector: CollectorProcess,
  range: ReturnType<typeof between>,
): Promise<void> {
  const { nodes, completeness } = await collector.ask("/nodes", { ...range, check: true });
  assert.deepEqual(nodes.map((node: Json) => node.name).sort(), [...NODES]);
  for (const { name, streams } of nodes) {
    assert.equal(streams.length, 1);
    const { share, gapMs, missingMs, silentMs, processes } = streams[0];
    assert.deepEqual([share, gapMs, missingMs, silentMs], [1, 0, 0, 0], name);
    assert.deepEqual(processes.map((each: Json) => each.law), [{ state: "kept" }]);
  }
  assert.equal(completeness.share, 1);
  assert.deepEqual((await collector.ask("/gaps", range)).gaps, []);
  for (const skew of ["2s", "0s"]) {
    const { pairs, alarms } = await collector.ask("/reconcile", { ...range, skew });
    assert.equal(alarms, 0);
    assert.deepEqual(
      pairs.map(({ nodes }: Json) => nodes.toSorted().join()).sort(),
      ["alpha,beta", "alpha,gamma"],
    );
    for (const { directions, verdicts } of pairs) {
      assert.ok(verdicts.good > 0);
      for (const { verdict, sentPackets, lostPackets, lostBytes } of directions) {
        assert.equal(verdict, "good");
        assert.ok(sentPackets[0] > 500, "much was compared");
        assert.deepEqual([lostPackets[0], lostBytes[0]], [0, 0]);
      }
    }
  }
}

test(
  `bytes by class are the kernel's at every node; a collector down for ${
    DOWN_MS / 1_000
  } s costs nothing`,
  { skip },
  async () => {
    await withLab(async (netLab) => {
      const lab = await CollectorLab.open(netLab);
      const { collector } = lab;
      const startMs = Date.now();
      await collector.start();
      await lab.start("beta", "gamma", "alpha");
      const traffic = new Traffic(lab);
      await traffic.start();
      await traffic.download();
      await waitUntil("windows of all nodes", async () => {
        const { nodes } = await collector.ask("/nodes");
        return nodes.filter(({ logs }: Json) => logs).length === NODES.length;
      }, { timeoutMs: 60_000 });

      await collector.stop();
      const downMs = Date.now();
      await traffic.download();
      await pause(DOWN_MS - (Date.now() - downMs));
      await collector.start();
      await traffic.download();
      // Behind its last window a node that has nothing to log is silent, alive or not.
      const endMs = Date.now();
      await traffic.stop();
      const peers = await datagramBytes(lab);
      const kernel = await Promise.all(NODES.map((name) => lab.end(name)));

      const all = between(startMs, Date.now() + 1_000);
      for (const [index, name] of NODES.entries()) {
        await proveClasses(lab, name, kernel[index]!, all);
      }
      await proveDatagrams(collector, peers, all);
      await waitForVerdict(endMs);
      await proveHealthy(collector, between(startMs, endMs));
      await collector.stop();
    });
  },
);

/** State of each node's time in a range: its share, and ms that are lost, declared or not. */
async function lossesOf(
  collector: CollectorProcess,
  range: ReturnType<typeof between>,
): Promise<Record<string, { share: number; gapMs: number; missingMs: number }>> {
  const { nodes } = await collector.ask("/nodes", range);
  return Object.fromEntries(nodes.map(({ name, streams: [stream] }: Json) => {
    const { share, gapMs, missingMs } = stream;
    return [name, { share, gapMs, missingMs }];
  }));
}

test("what a killed node lost is a gap of that node and time; one that is ended has none", {
  skip,
}, async () => {
  await withLab(async (netLab) => {
    const lab = await CollectorLab.open(netLab);
    const { collector, places: { alpha } } = lab;
    await collector.start();
    await lab.start("beta", "gamma", "alpha");
    const others = [OVERLAY.beta[4], OVERLAY.gamma[4]];
    for (const address of others) await waitForPing(alpha.namespace, address);
    const startMs = Date.now();
    const pings = others.map((address) => startPing(alpha.namespace, address));
    for (const name of NODES) await waitForWindows(collector, name, 4);
    const killedFromMs = Date.now();
    await lab.kill("gamma");
    const killedMs = Date.now();
    await lab.start("gamma");
    await waitForPing(alpha.namespace, OVERLAY.gamma[4], 30_000);
    // Far enough from the gap that its time is another.
    await pause(2_000);
    const endedMs = Date.now();
    await lab.end("beta");
    await lab.start("beta");
    await waitForPing(alpha.namespace, OVERLAY.beta[4], 30_000);
    await pause(2_000);
    const endMs = Date.now();
    for (const child of pings) await stopPing(child);
    await Promise.all(NODES.map((name) => lab.end(name)));
    await waitForVerdict(endMs);

    const all = between(startMs, endMs);
    const { gaps } = await collector.ask("/gaps", all);
    assert.deepEqual(
      gaps.map(({ kind, node, cause }: Json) => ({ kind, node, cause })),
      [{ kind: "declared", node: "gamma", cause: "killed" }],
    );
    const [fromMs, toMs] = [Date.parse(gaps[0].from), Date.parse(gaps[0].to)];
    // What is open when it dies is the window, and the one before while it is being written down.
    assert.ok(killedFromMs - 2_500 <= fromMs && fromMs <= killedMs, `${gaps[0].from}`);
    assert.ok(killedFromMs <= toMs && toMs <= endedMs, `${gaps[0].to}`);

    const lost = await lossesOf(collector, between(fromMs, toMs));
    assert.ok(lost.gamma!.share < 1 && lost.gamma!.gapMs > 0, JSON.stringify(lost.gamma));
    const nothing = { gapMs: 0, missingMs: 0 };
    assert.deepEqual([lost.alpha, lost.beta], Array(2).fill({ share: 1, ...nothing }));
    const before = await lossesOf(collector, between(startMs, fromMs));
    assert.deepEqual(before, {
      alpha: { share: 1, ...nothing },
      beta: { share: 1, ...nothing },
      gamma: { share: 1, ...nothing },
    });
    const whole = await lossesOf(collector, all);
    assert.deepEqual({ ...whole.alpha, ...nothing }, { share: 1, ...nothing });
    const { share: _, ...ended } = whole.beta!;
    assert.deepEqual(ended, nothing, "the one that was ended was silent, and lost nothing");
    const { completeness } = await collector.ask("/top", { ...between(fromMs, toMs), by: "node" });
    assert.deepEqual(completeness.nodes.map(({ node }: Json) => node), ["gamma"]);
    await collector.stop();
  });
});
