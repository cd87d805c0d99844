/**
 * A log to look at: an hour of four nodes that talk, with what the page must be able to show.
 *
 * In: a collector's address, a range of time. Out: uploads as nodes make them. Between nodes both ends' books agree but for
 * one direction, in which packets are lost. One node declares a gap, one leaves entries out without a word, one has a name
 * that would like to be markup. The same range gives the same log.
 */
import { createHash } from "node:crypto";
import {
  BatchSize,
  encodeObjectEntry,
  frameBatch,
  gapText,
  type LostRange,
  NO_SUMS,
} from "../../src/logtail/mod.ts";
import { type Connection, NO_COUNTS, writeMessage, writeReport } from "../../src/netlog/mod.ts";

/** A name that would like to be markup, with quotes and a mark that turns the text around. */
export const MARKUP_NAME = `<img src=x onerror="hit()">\u202e'"&`;
/** Names of the nodes. */
export const PAGE_NODES: readonly string[] = ["alpha", "beta", "gamma", MARKUP_NAME];
/** Length of a window. */
export const PAGE_WINDOW_MS = 5_000;
/** Windows of the declared gap and of what is missing, counted from the log's first; ends not included. */
const GAP_WINDOWS = [330, 366];
const MISSING_WINDOWS = [520, 532];
const GAP_NODE = 1;
const MISSING_NODE = 2;

const PORTS = [443, 22, 5432, 9100, 53];

/** See file header. */
export class PageLog {
  readonly #url: string;
  readonly #startMs: number;
  readonly #names: readonly string[];
  readonly #seqs = PAGE_NODES.map(() => 0);
  #window = 0;

  /** @param startMs Of the first window; multiple of PAGE_WINDOW_MS. @param names As many as PAGE_NODES. */
  constructor(url: string, startMs: number, names: readonly string[] = PAGE_NODES) {
    this.#url = url;
    this.#startMs = startMs;
    this.#names = names;
  }

  /** End of the newest window. */
  get endMs(): number {
    return this.#startMs + this.#window * PAGE_WINDOW_MS;
  }

  /** Posts all windows that end by then. @returns How many rows. */
  async postUntil(endMs: number): Promise<number> {
    const batches = PAGE_NODES.map((_name, node) => new Batch(this.#url, node));
    let rows = 0;
    while (this.endMs + PAGE_WINDOW_MS <= endMs) {
      for (const [node, batch] of batches.entries()) rows += await this.#write(node, batch);
      this.#window++;
    }
    for (const batch of batches) await batch.send();
    return rows;
  }

  async #write(node: number, batch: Batch): Promise<number> {
    const window = this.#window;
    const procSeq = ++this.#seqs[node];
    const startMs = this.#startMs + window * PAGE_WINDOW_MS;
    const metadata = { procId: 100 + node, procSeq, clientTimeNs: nsOf(startMs + PAGE_WINDOW_MS) };
    const isLost = node === GAP_NODE && isWithin(window, GAP_WINDOWS);
    const isMissing = node === MISSING_NODE && isWithin(window, MISSING_WINDOWS);
    if (isLost || isMissing) {
      if (isLost && window === GAP_WINDOWS[1] - 1) await this.#writeGap(node, batch, procSeq);
      return 0;
    }
    const message = {
      ...{ nodeId: `n${node}`, startNs: nsOf(startMs), endNs: nsOf(startMs + PAGE_WINDOW_MS) - 1n },
      srcNode: { nodeId: `n${node}`, name: this.#names[node], addresses: [overlay(node)] },
      dstNodes: [],
      virtual: virtualRows(node, window),
      subnet: subnetRows(node, window),
      exit: exitRows(node, window),
      physical: physicalRows(node, window),
      extension: {},
    };
    await batch.add(encodeObjectEntry(bytesOf(writeMessage(message)), metadata));
    if (window % 12 === 11) await this.#writeReport(node, batch, startMs + PAGE_WINDOW_MS);
    return message.virtual.length + message.subnet.length + message.exit.length +
      message.physical.length;
  }

  async #writeGap(node: number, batch: Batch, lastSeq: number): Promise<void> {
    const [first, end] = GAP_WINDOWS;
    const entries = end - first;
    const sums = {
      ...NO_SUMS,
      virtual: {
        txPackets: 51_234n,
        txBytes: 9_007_199_254_740_993n,
        rxPackets: 48_000n,
        rxBytes: 61_000_123n,
      },
    };
    const range: LostRange = {
      ...{
        cause: "full",
        procId: 100 + node,
        firstSeq: lastSeq - entries + 1,
        lastSeq,
        entries,
        sums,
      },
      ...{ startNs: nsOf(this.#startMs + first * PAGE_WINDOW_MS), offered: false },
      endNs: nsOf(this.#startMs + end * PAGE_WINDOW_MS) - 1n,
    };
    const procSeq = ++this.#seqs[node];
    const metadata = { procId: 100 + node, procSeq, clientTimeNs: range.endNs };
    await batch.add(encodeObjectEntry(bytesOf(gapText([range])), metadata));
  }

  async #writeReport(node: number, batch: Batch, endMs: number): Promise<void> {
    const procSeq = ++this.#seqs[node];
    const report = {
      ...{ nodeId: `n${node}`, startNs: nsOf(this.#startMs), endNs: nsOf(endMs) - 1n },
      ...{ windows: this.#window, messages: procSeq - 1, rows: 0, foldedRows: 0, traffic: {} },
      ...{ tun: null, sock: null, stale: NO_COUNTS, drops: {}, lost: {} },
      waitingEntries: node === GAP_NODE ? 3 : 0,
    };
    const metadata = { procId: 100 + node, procSeq, clientTimeNs: nsOf(endMs) };
    await batch.add(encodeObjectEntry(bytesOf(writeReport(report)), metadata));
  }
}

/** Entries of one node, posted when a body is full. */
class Batch {
  readonly #url: string;
  #entries: Uint8Array[] = [];
  #size = new BatchSize(128, 200_000);

  constructor(url: string, node: number) {
    this.#url = `${url}/c/page/${createHash("sha256").update(`page ${node}`).digest("hex")}`;
  }

  async add(entry: Uint8Array): Promise<void> {
    if (!this.#size.takes(entry.length)) await this.send();
    this.#size.add(entry.length);
    this.#entries.push(entry);
  }

  async send(): Promise<void> {
    if (this.#entries.length === 0) return;
    const body = frameBatch(this.#entries);
    this.#entries = [];
    this.#size = new BatchSize(128, 200_000);
    const response = await fetch(this.#url, { method: "POST", body: new Uint8Array(body) });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`Cannot post log: status is ${response.status}`);
  }
}

// ---- Rows -----------------------------------------------------------------------------------------------------------

/** What `from` sends to `to` in a window. The same number whichever end asks. */
function sent(from: number, to: number, window: number): number {
  const wave = 1 + 0.7 * Math.sin(window / 60 + from * 2 + to) +
    0.3 * Math.sin(window / 9 + to * 3);
  const burst = from === 0 && to === 2 && window % 180 > 140 ? 5 : 1;
  return Math.max(
    0,
    Math.round(wave * burst * (from === to ? 0 : 14 + 11 * noise(from * 7 + to, window))),
  );
}

/** Of them, what arrives: on one way some packets do not. */
function received(from: number, to: number, window: number): number {
  const packets = sent(from, to, window);
  return from === 0 && to === 2 && window % 180 > 140
    ? packets - Math.floor(packets / 10)
    : packets;
}

function virtualRows(node: number, window: number): Connection[] {
  return PAGE_NODES.flatMap((_name, peer) => {
    if (peer === node) return [];
    const [client, server] = node < peer ? [node, peer] : [peer, node];
    const port = PORTS[(client + server) % PORTS.length];
    const ends = [`${overlay(client)}:${40_000 + server}`, `${overlay(server)}:${port}`];
    const [src, dst] = node === client ? ends : ends.reverse();
    const tx = sent(node, peer, window);
    const rx = received(peer, node, window);
    if (tx + rx === 0) return [];
    return [row(port === 53 ? 17 : 6, src, dst, tx, tx * 1_180, rx, rx * 1_180)];
  });
}

function subnetRows(node: number, window: number): Connection[] {
  return [1, 2, 3].map((host) => {
    const packets = Math.round((18 + 16 * Math.sin(window / 80 + host)) * (node === 0 ? 2 : 0.6));
    const dst = `10.0.${host}.${10 + node}:${PORTS[host % 4]}`;
    return row(
      6,
      `${overlay(node)}:${50_000 + host}`,
      dst,
      packets,
      packets * 140,
      packets * 2,
      packets * 2_600,
    );
  });
}

function exitRows(node: number, window: number): Connection[] {
  if (node > 1) return [];
  const packets = Math.round(20 + 14 * noise(90 + node, Math.floor(window / 24)));
  return [row(0, "", "", packets, packets * 210, packets * 2, packets * 1_900)];
}

/** The tunnel's own datagrams: 60 bytes more for each packet that it carries. */
function physicalRows(node: number, window: number): Connection[] {
  const rows = virtualRows(node, window);
  return PAGE_NODES.flatMap((_name, peer) => {
    const carried = rows.find(({ dst }) => dst.startsWith(`${overlay(peer)}:`));
    if (peer === node || carried === undefined) return [];
    const { txPackets, txBytes, rxPackets, rxBytes } = carried;
    const bytes = (count: number | bigint, size: number | bigint) =>
      Number(count) * 60 + Number(size);
    return [
      row(
        ...[0, `${overlay(peer)}:0`, `192.0.2.${10 + peer}:51820`, Number(txPackets)] as const,
        ...[bytes(txPackets, txBytes), Number(rxPackets), bytes(rxPackets, rxBytes)] as const,
      ),
    ];
  });
}

function row(
  ...[proto, src, dst, txPackets, txBytes, rxPackets, rxBytes]: [
    number,
    string,
    string,
    number,
    number,
    number,
    number,
  ]
): Connection {
  return { proto, src, dst, folded: false, txPackets, txBytes, rxPackets, rxBytes };
}

function overlay(node: number): string {
  return `100.64.0.${node + 1}`;
}

/** 0 .. 1, the same for the same numbers. */
function noise(a: number, b: number): number {
  const mixed = Math.imul(Math.imul(a + 1, 0x9e3779b1) ^ (b + 1), 0x85ebca6b);
  return ((mixed ^ (mixed >>> 15)) >>> 8) / 2 ** 24;
}

function isWithin(window: number, [from, to]: readonly number[]): boolean {
  return window >= from && window < to;
}

function nsOf(ms: number): bigint {
  return BigInt(ms) * 1_000_000n;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
