/**
 * kill -9 at random moments: what was durable is delivered once, and what was not is declared.
 *
 * Run alone: `deno test -A tests/system/flow_log_kill_test.ts` (root; needs wireguard-go, wg, ip, rtmon, nft, tcpdump).
 * Method: a real node with windows of a second is killed 50 times, at any moment from its first instruction on, while
 * datagrams go both ways no two of which are of one connection; the last node is ended in order. Two witnesses know nothing
 * of the node: tcpdump, which saw each datagram on the interface, and the kernel, which says the interface's counters when it
 * removes it. So each datagram is found in the log, or is missing at the end of a life and within a time that is declared.
 * TUNLOG_KILLS sets how many kills there are.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { type LinkWitness, startLinkWitness } from "./support/link_witness.ts";
import { LogBooks, type LogGap, type LogRow, type Sums, tunnelRows } from "./support/log_books.ts";
import { type LogSink, startLogSink } from "./support/log_sink.ts";
import { END_MS_MAX } from "./support/logged_pairs.ts";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import {
  DatagramWitness,
  type SeenDatagram,
  silencePorts,
  startNumberedDatagrams,
} from "./support/numbered_datagrams.ts";
import { INNER, makeWire, pairConfig } from "./support/pairs.ts";
import { Random } from "./support/random.ts";
import { cannotRun, type Runtime } from "./support/runtimes.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import {
  makeKeyPair,
  renderConfig,
  spawnProgram,
  startTunnel,
  type TunnelConfig,
  writeConfig,
} from "./support/tunnels.ts";
import { pause, waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "rtmon", "nft", "tcpdump") || notOurs();

const KILLS = Number(process.env.TUNLOG_KILLS ?? 50);
/** Pairs of namespaces at once. */
const LANES = 2;
/** Kills of a node that is not up yet, in 100; they come at any time of its start. */
const EARLY_PERCENT = 20;
const START_MS_MAX = 600;
/** From when it is up: its first uploads come two seconds after its start. */
const LIFE_MS_MAX = 3_500;
const PERIOD_NS = 1_000_000_000n;
/** Each way. */
const DATAGRAM_INTERVAL_MS = 10;
const SOURCE_PORT = { left: 401, right: 402 } as const;

/** One node from its start to its end. */
interface Life {
  readonly endNs: bigint;
  /** What the kernel counted; null = it had no interface yet. */
  readonly kernel: Sums | null;
}

interface Lane {
  readonly lab: Lab;
  readonly namespace: Namespace;
  readonly name: string;
  readonly config: TunnelConfig;
  readonly sink: LogSink;
  readonly links: LinkWitness;
  readonly datagrams: DatagramWitness;
}

async function openLane(lab: Lab): Promise<Lane> {
  const { left, right } = makeWire(lab);
  for (const namespace of [left, right]) {
    silencePorts(namespace);
    // Router solicitations and the like would be traffic that nobody numbered.
    namespace.sysctl("net.ipv6.conf.default.disable_ipv6=1");
  }
  const sink = await startLogSink(left);
  const links = await startLinkWitness(left);
  const datagrams = new DatagramWitness(left, INNER.left[4]);
  await datagrams.ready();
  const keys = { left: makeKeyPair(), right: makeKeyPair() };
  const options = { left: SUBJECT, right: REFERENCE, initiator: "left" } as const;
  // Without keepalives: the node's own datagrams begin the session, when its interface is up. What came earlier, it would count
  // as received, and the kernel would refuse it.
  const only4 = (side: "left" | "right", peer: "left" | "right") => {
    const config = pairConfig(side, keys, options);
    return {
      ...config,
      addresses: [`${INNER[side][4]}/24`],
      peers: config.peers.map((each) => ({ ...each, allowedIps: [`${INNER[peer][4]}/32`] })),
    };
  };
  const state = join(lab.directory, `state-${left.name}`);
  const config: TunnelConfig = {
    ...only4("left", "right"),
    timers: { RekeyTimeout: 0.5 },
    // The kernel is the witness: it counts packets one by one only where there are no super-packets.
    offloads: "udp",
    flowLog: ["Period = 1", `Collector = ${sink.url}`, `StateDirectory = ${state}`],
  };
  await startTunnel(REFERENCE, right, only4("right", "left"));
  const intervalMs = DATAGRAM_INTERVAL_MS;
  const { left: ownPort, right: otherPort } = SOURCE_PORT;
  await startNumberedDatagrams(right, INNER.left[4], { sourcePort: otherPort, intervalMs });
  await startNumberedDatagrams(left, INNER.right[4], { sourcePort: ownPort, intervalMs });
  return { lab, namespace: left, name: lab.interfaceName(), config, sink, links, datagrams };
}

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** Starts a node, and kills it at some time; without `random` it ends in order after some windows. */
async function live(lane: Lane, random: Random | null): Promise<Life> {
  const { namespace, name, config, links } = lane;
  const interfaces = links.ended(name).length;
  const path = writeConfig(namespace, name, renderConfig(config));
  const node = spawnProgram(SUBJECT as Runtime, namespace, path);
  const isEarly = random?.chance(EARLY_PERCENT) ?? false;
  if (!isEarly) await node.waitForOutput(/is up/);
  await pause(random?.below(isEarly ? START_MS_MAX : LIFE_MS_MAX) ?? LIFE_MS_MAX);
  assert.ok(node.running, `it is there to be ended\n${node.report()}`);
  const signal = random === null ? "SIGTERM" : "SIGKILL";
  const { code, stderr } = await node.stop(signal, END_MS_MAX);
  assert.equal(code, random === null ? 0 : null, stderr);
  await waitUntil("interface is gone", () => !namespace.hasInterface(name), { intervalMs: 5 });
  const endNs = nowNs();
  await links.settle();
  const ended = links.ended(name);
  assert.ok(ended.length <= interfaces + 1);
  return { endNs, kernel: ended[interfaces] ?? null };
}

/** Name of the datagram that a row stands for: a connection seen from our side. */
function nameOf({ proto, src = "", dst = "", txPkts = 0, rxPkts = 0 }: LogRow): string {
  assert.equal(proto, 17, "there are no other packets");
  const [own, other] = [src, dst].map((side) => side.slice(side.lastIndexOf(":") + 1));
  assert.equal(txPkts + rxPkts, 1, `${src} ${dst}: one datagram`);
  return txPkts === 1 ? `${own}>${other}` : `${other}>${own}`;
}

/** What one kill took. */
interface Loss {
  readonly gap: LogGap;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

/** Proves the laws of one life. @returns What is missing of it; null = nothing. */
function proveLife(
  life: Life,
  seen: readonly SeenDatagram[],
  logged: ReadonlyMap<string, number>,
  gaps: readonly LogGap[],
): Loss | null {
  const missing = (direction: "rx" | "tx") => {
    const all = seen.filter((each) => each.direction === direction);
    const firstLost = all.findIndex(({ name }) => !logged.has(name));
    const lost = firstLost < 0 ? [] : all.slice(firstLost);
    // What was counted later than something that is lost is lost, too: nothing is missing in between.
    assert.ok(lost.every(({ name }) => !logged.has(name)), `${direction}: a hole`);
    return { all, lost };
  };
  const rx = missing("rx");
  const tx = missing("tx");
  const kernel = life.kernel ?? { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
  const bytes = (datagrams: readonly SeenDatagram[]) =>
    datagrams.reduce((sum, each) => sum + each.bytes, 0);
  assert.deepEqual([rx.all.length, bytes(rx.all)], [kernel.rxPackets, kernel.rxBytes], "witnesses");
  // Of what the kernel put into the device's queue, the node has taken the first ones.
  assert.ok(tx.all.length >= kernel.txPackets);
  const taken = tx.all.slice(0, kernel.txPackets);
  assert.equal(bytes(taken), kernel.txBytes, "witnesses");
  const lostTx = taken.slice(tx.all.length - tx.lost.length);
  assert.ok(tx.all.length - tx.lost.length <= taken.length, "nothing is logged that was not taken");
  const lost = [...rx.lost, ...lostTx].toSorted((a, b) => a.wallNs < b.wallNs ? -1 : 1);
  if (lost.length === 0) return null;
  const lastNs = lost.at(-1)!.wallNs;
  // A datagram that was sent is seen when it enters the device's queue, before the node takes it: maybe a window before.
  const waitedNs = rx.lost.length === 0 ? PERIOD_NS : 0n;
  const firstNs = (rx.lost[0] ?? lostTx[0]!).wallNs + waitedNs;
  const gap = gaps.find(({ startNs, endNs }) => startNs <= firstNs && lastNs <= endNs);
  assert.ok(gap !== undefined, `${lost.length} lost ${firstNs}..${lastNs}, undeclared`);
  assert.ok(lost[0]!.wallNs >= gap.startNs - PERIOD_NS);
  return { gap, firstNs: firstNs - waitedNs, lastNs };
}

/**
 * Proves that each row stands for a datagram that was on the interface, and no two for the same.
 * @returns Bytes by name.
 */
function proveLogged(books: LogBooks, seen: readonly SeenDatagram[]): Map<string, number> {
  const bytesByName = new Map(seen.map(({ name, bytes }) => [name, bytes]));
  const logged = new Map<string, number>();
  // The last node took its interface down first, and refused what came until it stopped.
  const { rxPackets, rxBytes } = books.report(books.procIds.at(-1)!)!.dropped;
  const refused = { rxPackets: 0, rxBytes: 0 };
  for (const message of books.messages) {
    const gap = books.gaps.find(({ procId }) => procId === message.procId);
    assert.ok(gap === undefined || message.endNs < gap.startNs, "no window is logged and lost");
    for (const row of tunnelRows(message)) {
      const name = nameOf(row);
      const { txBytes = 0, rxBytes = 0 } = row;
      assert.ok(!logged.has(name), `${name} is logged once`);
      logged.set(name, txBytes + rxBytes);
      if (bytesByName.has(name)) assert.equal(txBytes + rxBytes, bytesByName.get(name), name);
      else {
        assert.equal(txBytes, 0, `${name} was never sent`);
        refused.rxPackets++;
        refused.rxBytes += rxBytes;
      }
    }
  }
  assert.deepEqual(refused, { rxPackets, rxBytes }, "what was refused is reported");
  return logged;
}

/** Proves the laws of one lane. @returns What the kills took. */
async function proveLane(lane: Lane, lives: readonly Life[]): Promise<Loss[]> {
  const seen = await lane.datagrams.end();
  const books = new LogBooks(lane.sink.entries().map(({ text }) => text));
  assert.deepEqual(books.missingNames(), []);
  assert.ok(books.gaps.every(({ cause }) => cause === "killed"), "nothing else was lost");
  const procIds = books.gaps.map(({ procId }) => procId);
  assert.equal(new Set(procIds).size, procIds.length, "each kill is declared once");
  assert.ok(books.gaps.length <= lives.length);

  const logged = proveLogged(books, seen);
  assert.ok(logged.size > seen.length / 2, `${logged.size} of ${seen.length} are logged`);
  const losses: Loss[] = [];
  let beginNs = 0n;
  for (const life of lives) {
    const own = seen.filter(({ wallNs }) => beginNs < wallNs && wallNs <= life.endNs);
    const loss = proveLife(life, own, logged, books.gaps);
    if (loss !== null) losses.push(loss);
    beginNs = life.endNs;
  }
  assert.equal(losses.at(-1) === undefined || losses.at(-1)!.lastNs <= lives.at(-2)!.endNs, true);
  return losses;
}

test(`${KILLS} kills lose open windows and nothing else, and each loss is declared`, {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const lanes = await Promise.all(Array.from({ length: LANES }, () => openLane(lab)));
    let started = 0;
    const losses = await Promise.all(lanes.map(async (lane, index) => {
      const random = new Random(index + 1);
      const lives: Life[] = [];
      while (started++ < KILLS) lives.push(await live(lane, random));
      lives.push(await live(lane, null));
      return await proveLane(lane, lives);
    }));
    const all = losses.flat();
    assert.ok(all.length > KILLS / 2, `${all.length} kills took something`);
    // A kill takes the open window; if it comes while the one before is being written down, that one as well, but no more.
    const windows = all.map(({ firstNs, lastNs }) => lastNs / PERIOD_NS - firstNs / PERIOD_NS + 1n);
    assert.ok(windows.every((count) => count <= 2n), `${windows}`);
    const open = windows.filter((count) => count === 1n).length;
    assert.ok(open > all.length * 3 / 4, `${open} of ${all.length} losses lie in the open window`);
  });
});
