/**
 * The last window of a node that ends under traffic is delivered, every time (SPEC 1.8; the original: 0 of 100).
 *
 * Run alone: `deno test -A tests/system/flow_log_shutdown_test.ts` (root; needs wireguard-go, wg, ip, rtmon, ping).
 * Method: real nodes, in several pairs of namespaces at once so that the machine is busy, are started and ended by SIGTERM
 * while packets come and go, with windows of a minute: all that a node counted is in its last window. After each end the rows
 * in the sink must be the interface's own counters, as the kernel said them when it removed the interface.
 * TUNLOG_SHUTDOWNS sets how many shutdowns there are.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { type LinkWitness, startLinkWitness } from "./support/link_witness.ts";
import { LogBooks, proveEqual, type Sums } from "./support/log_books.ts";
import { type LogSink, startLogSink } from "./support/log_sink.ts";
import { END_MS_MAX } from "./support/logged_pairs.ts";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import { INNER, makeWire, pairConfig } from "./support/pairs.ts";
import { Random } from "./support/random.ts";
import { cannotRun } from "./support/runtimes.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { startPing } from "./support/traffic.ts";
import { makeKeyPair, startTunnel, type Tunnel, type TunnelConfig } from "./support/tunnels.ts";
import { pause, waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "rtmon") || notOurs();

const SHUTDOWNS = Number(process.env.TUNLOG_SHUTDOWNS ?? 200);
/** Pairs at once. */
const LANES = 4;
/** Each way, from two pings. */
const PACKETS_BEFORE_END_MIN = 20;

/** One pair of namespaces in which node after node is started. */
interface Lane {
  readonly namespace: Namespace;
  readonly name: string;
  readonly config: TunnelConfig;
  readonly stateDirectory: string;
  readonly sink: LogSink;
  readonly witness: LinkWitness;
}

async function openLane(lab: Lab): Promise<Lane> {
  const { left, right } = makeWire(lab);
  const sink = await startLogSink(left);
  const witness = await startLinkWitness(left);
  const keys = { left: makeKeyPair(), right: makeKeyPair() };
  const options = { left: SUBJECT, right: REFERENCE, initiator: "left" } as const;
  const stateDirectory = join(lab.directory, `state-${left.name}`);
  const config: TunnelConfig = {
    // The first keepalive begins the session, so that the other end can send at once.
    ...pairConfig("left", keys, { ...options, persistentKeepaliveS: 25 }),
    // The kernel is the witness: it counts packets one by one only where there are no super-packets.
    offloads: "udp",
    flowLog: ["Period = 60", `Collector = ${sink.url}`, `StateDirectory = ${stateDirectory}`],
  };
  await startTunnel(REFERENCE, right, pairConfig("right", keys, options));
  // They go on over all ends, so that packets come until the last moment of each.
  startPing(right, INNER.left[4], 0.002);
  startPing(right, INNER.left[6], 0.003);
  return { namespace: left, name: lab.interfaceName(), config, stateDirectory, sink, witness };
}

function packetsOf({ namespace, name }: Tunnel): { rx: number; tx: number } {
  const [link] = namespace.ipJson("-s", "link", "show", "dev", name);
  return { rx: link.stats64.rx.packets, tx: link.stats64.tx.packets };
}

/** Starts a node, ends it under traffic, and returns what the kernel counted. */
async function liveOnce(lane: Lane, life: number, random: Random): Promise<Sums> {
  const { namespace, config, name, witness } = lane;
  const tunnel = await startTunnel(SUBJECT, namespace, config, { name });
  await waitUntil("packets come and go", () => {
    const { rx, tx } = packetsOf(tunnel);
    return Math.min(rx, tx) >= PACKETS_BEFORE_END_MIN;
  }, { intervalMs: 10 });
  await pause(random.below(50));
  const { code, stderr } = await tunnel.process.stop("SIGTERM", END_MS_MAX);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /not delivered|bug/, "nothing is left");
  return await witness.end(name, life);
}

/** Proves that all of one life is in the sink. @returns Entries that the sink had before and has now. */
function proveDelivered(lane: Lane, kernel: Sums, entriesBefore: number): number {
  const entries = lane.sink.entries();
  const books = new LogBooks(entries.slice(entriesBefore).map(({ text }) => text));
  assert.deepEqual(books.gaps, [], "nothing is declared lost");
  assert.equal(books.repetitions, 0);
  assert.equal(books.procIds.length, 1, "one process wrote");
  const [procId] = books.procIds as [number];
  const report = books.report(procId);
  assert.ok(report !== undefined, "the report came, too");
  assert.ok(report.windows <= 2, "a minute has at most one end in such a short life");
  const rows = books.tunnel(procId);
  assert.ok(Math.min(rows.rxPackets, rows.txPackets) >= PACKETS_BEFORE_END_MIN);
  proveEqual(rows, report.dropped, kernel);
  const spool = join(lane.stateDirectory, "spool");
  assert.ok(existsSync(spool));
  assert.deepEqual(readdirSync(spool).filter((name) => name.endsWith(".seg")), []);
  return entries.length;
}

test(`last window is delivered at ${SHUTDOWNS} of ${SHUTDOWNS} ends under traffic`, {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const lanes = await Promise.all(Array.from({ length: LANES }, () => openLane(lab)));
    let started = 0;
    let delivered = 0;
    await Promise.all(lanes.map(async (lane, index) => {
      const random = new Random(index + 1);
      let entries = 0;
      for (let life = 1; started++ < SHUTDOWNS; life++) {
        entries = proveDelivered(lane, await liveOnce(lane, life, random), entries);
        delivered++;
      }
    }));
    assert.equal(delivered, SHUTDOWNS);
  });
});
