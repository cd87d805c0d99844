/**
 * A pair whose left end is a node of ours that sends its flow log to a sink, with the kernel as witness.
 *
 * In: lines of [FlowLog]. Out: both ends, the sink, and proofs that nothing is missing from what it was sent. All traffic is the
 * test's own.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { CollectorStatus } from "../../../src/node/collector_output.ts";
import { must } from "./command.ts";
import { type LinkWitness, startLinkWitness } from "./link_witness.ts";
import { addSums, LogBooks, NO_TRAFFIC, proveEqual, type Sums } from "./log_books.ts";
import { type LogSink, startLogSink } from "./log_sink.ts";
import type { Lab } from "./namespaces.ts";
import { silencePorts } from "./numbered_datagrams.ts";
import { INNER, makeWire, pairConfig } from "./pairs.ts";
import { programCommand, ROOT, type Runtime } from "./runtimes.ts";
import { nodeStatus } from "./status.ts";
import { REFERENCE, SUBJECT } from "./subjects.ts";
import { waitForPing } from "./traffic.ts";
import { makeKeyPair, type StartOptions, startTunnel, type Tunnel } from "./tunnels.ts";
import { waitUntil } from "./wait.ts";

/**
 * How long the end of a process may take. Its own work is a matter of a second at most, but then the kernel removes the TUN
 * device, for which it waits until every core has passed a quiet state (synchronize_rcu_expedited): with all cores busy that has
 * taken more than 10 s.
 */
export const END_MS_MAX = 60_000;

/** How it is set up. */
export interface LoggedOptions {
  /** Default: the subject. */
  readonly runtime?: Runtime;
  /** Further lines of [FlowLog]; the sink and a directory for its state are given. */
  readonly flowLog?: readonly string[];
  /** Instead of a directory of its own. */
  readonly stateDirectory?: string;
  /** The peer's, besides its own addresses. */
  readonly allowedIps?: readonly string[];
  readonly start?: StartOptions;
}

/** See file header. */
export class LoggedPair {
  /** How often the left interface has ended. */
  #ends = 0;

  constructor(
    public left: Tunnel,
    readonly right: Tunnel,
    readonly sink: LogSink,
    readonly links: LinkWitness,
    readonly stateDirectory: string,
  ) {}

  /** What the sink has. */
  books(): LogBooks {
    return new LogBooks(this.sink.entries().map(({ text }) => text));
  }

  /** What the node says of its way to the sink. */
  async collector(): Promise<CollectorStatus> {
    return (await nodeStatus(this.left)).flowLog.collector!;
  }

  /** `tunlog status` as people read it. */
  async statusText(): Promise<string> {
    const { name, implementation } = this.left;
    const runtime = implementation as Runtime;
    return await must(programCommand(runtime, ["status", name]), { cwd: ROOT });
  }

  /** Waits until the node says so. */
  async waitForCollector(
    what: string,
    condition: (status: CollectorStatus) => boolean,
    timeoutMs = 60_000,
  ): Promise<CollectorStatus> {
    return await waitUntil(what, async () => {
      const status = await this.collector();
      return condition(status) && status;
    }, { timeoutMs, intervalMs: 200 });
  }

  /** Waits until the sink has had so many requests. */
  async waitForRequests(count: number): Promise<void> {
    await waitUntil(`request ${count}`, () => this.sink.requests().length >= count);
  }

  /** Ends the left node in order. @returns The last counters of its interface. */
  async end(): Promise<Sums> {
    const { code, stderr } = await this.left.process.stop("SIGTERM", END_MS_MAX);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /bug/);
    return await this.links.end(this.left.name, ++this.#ends);
  }

  /** Starts the left node anew with the same configuration but for some lines. */
  async restart(flowLog: readonly string[] = this.left.config.flowLog!): Promise<void> {
    const { namespace, name, config, implementation } = this.left;
    this.left = await startTunnel(implementation, namespace, { ...config, flowLog }, { name });
    await waitForPing(namespace, INNER.right[4]);
  }
}

/** Starts sink, witness and both ends, and waits for the session. */
export async function startLoggedPair(
  lab: Lab,
  options: LoggedOptions = {},
): Promise<LoggedPair> {
  const { left, right } = makeWire(lab);
  silencePorts(right);
  const sink = await startLogSink(left);
  const links = await startLinkWitness(left);
  const keys = { left: makeKeyPair(), right: makeKeyPair() };
  const implementations = { left: SUBJECT, right: REFERENCE } as const;
  const { stateDirectory = join(lab.directory, `state-${left.name}`) } = options;
  const base = pairConfig("left", keys, implementations);
  const config = {
    ...base,
    peers: base.peers.map((peer) => ({
      ...peer,
      allowedIps: [...peer.allowedIps, ...options.allowedIps ?? []],
    })),
    // The kernel is the witness: it counts packets one by one only where there are no super-packets.
    offloads: "udp" as const,
    flowLog: [`Collector = ${sink.url}`, `StateDirectory = ${stateDirectory}`]
      .concat(options.flowLog ?? []),
  };
  const [ours, other] = await Promise.all([
    startTunnel(options.runtime ?? SUBJECT, left, config, options.start),
    startTunnel(REFERENCE, right, pairConfig("right", keys, implementations)),
  ]);
  await waitForPing(left, INNER.right[4]);
  return new LoggedPair(ours, other, sink, links, stateDirectory);
}

/**
 * Proves that what the sink has of a process, and what gap records declare lost of it, is what the kernel counted; each entry
 * of it came or is declared. By default of the only process.
 */
export function proveComplete(books: LogBooks, kernel: Sums, procId = books.procIds[0]!): void {
  assert.deepEqual(books.missingNames(), []);
  const report = books.report(procId);
  assert.ok(report !== undefined, "the last report came");
  const lost = books.lostRanges(procId).map(({ sums }) => {
    assert.ok(sums !== null, "all that was lost is known");
    return sums;
  });
  const logged = addSums(books.tunnel(procId), ...lost);
  assert.notDeepEqual(logged, NO_TRAFFIC);
  assert.deepEqual(report.tun, logged, "the node's own books say the same");
  proveEqual(logged, report.dropped, kernel);
}
