/**
 * Which nodes there are, and whose an address is.
 *
 * In: streams and their newest messages. Out: nodes with names, addresses, streams; names for filters. A node's addresses are
 * those that its newest message states; where it states none, those from which it sent virtual traffic. Nodes that others
 * name but that do not log themselves are known too.
 */
import { CLASS, type Message, parseMessage } from "../../netlog/mod.ts";
import { prefixText } from "../../packet/mod.ts";
import {
  addId,
  type FilterResolver,
  type IdSet,
  makeIdSet,
  matchesPattern,
} from "../filter/mod.ts";
import type { ProcessState, StoredMessage, StoreReader, Stream } from "../store.ts";
import { ceilMsOfTime } from "./intervals.ts";

/** One node. */
export interface QueryNode {
  /** From 1; what keys of groups hold. */
  readonly index: number;
  /** "" = not known. */
  readonly nodeId: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** Numbers of the streams that it wrote, newest last; none for a node that does not log. */
  readonly streams: readonly number[];
}

/** How far before its newest window a stream's messages are looked at, and how many. */
const NEWEST_MS = 120_000;
const NEWEST_MESSAGES = 4;

interface MutableNode {
  index: number;
  nodeId: string;
  name: string;
  addresses: string[];
  streams: number[];
}

/** See file header. */
export class NodeBook implements FilterResolver {
  readonly #reader: StoreReader;
  readonly #nodes: MutableNode[] = [];
  readonly #byId = new Map<string, MutableNode>();
  readonly #byStream = new Map<number, MutableNode>();
  /** By number of an address. */
  readonly #owners = new Map<number, MutableNode>();
  readonly streams: ReadonlyMap<number, Stream>;

  constructor(reader: StoreReader, processes: readonly ProcessState[]) {
    this.#reader = reader;
    const streams = reader.streams();
    this.streams = new Map(streams.map((stream) => [stream.number, stream]));
    const newestNs = new Map<number, bigint>();
    for (const { stream, lastEndNs } of processes) {
      if (lastEndNs !== null && lastEndNs > (newestNs.get(stream) ?? -1n)) {
        newestNs.set(stream, lastEndNs);
      }
    }
    // Streams that were heard of last speak first: an address that moved to another node is the new one's.
    const bySeen = [...streams].sort((a, b) => b.lastSeenMs - a.lastSeenMs || a.number - b.number);
    const peers: Message[] = [];
    // Orphans may say anything: who is not adopted owns no address that another has.
    for (
      const stream of [
        ...bySeen.filter(isAdopted),
        ...bySeen.filter((each) => !isAdopted(each)),
      ]
    ) {
      peers.push(...this.#addStream(stream, newestNs.get(stream.number) ?? null));
    }
    for (const { dstNodes } of peers) {
      for (const { nodeId, name, addresses } of dstNodes) {
        this.#own(this.#node(nodeId, name ?? ""), addresses ?? []);
      }
    }
    for (const node of this.#nodes) node.streams.sort((a, b) => a - b);
  }

  #addStream(stream: Stream, newestNs: bigint | null): Message[] {
    const node = this.#node(stream.nodeId, stream.nodeName, `stream ${stream.number}`);
    node.streams.push(stream.number);
    this.#byStream.set(stream.number, node);
    if (newestNs === null) return [];
    const endMs = ceilMsOfTime(newestNs);
    const windows = this.#reader.windows(stream.number, endMs - NEWEST_MS, endMs);
    const found: Message[] = [];
    let states = false;
    for (const { id } of windows.slice(-NEWEST_MESSAGES).reverse()) {
      const stored = this.#reader.message(id);
      const message = stored === null ? null : messageOf(stored);
      if (stored === null) continue;
      if (message !== null) found.push(message);
      const stated = message?.srcNode?.addresses ?? [];
      if (!states && stated.length > 0) {
        states = true;
        this.#own(node, stated);
      } else if (!states) this.#own(node, this.#virtualSources(stored));
    }
    return isAdopted(stream) ? found : [];
  }

  #virtualSources({ columns, first, rowCount }: StoredMessage): string[] {
    const numbers = new Set<number>();
    for (let row = first; row < first + rowCount; row++) {
      if (columns.classCode[row] === CLASS.VIRTUAL && columns.src[row] !== 0) {
        numbers.add(columns.src[row]);
      }
    }
    return [...numbers].map((number) => this.#reader.addressText(number));
  }

  #node(nodeId: string, name: string, key = nodeId): MutableNode {
    const id = nodeId === "" ? key : nodeId;
    let node = this.#byId.get(id);
    if (node === undefined) {
      node = { index: this.#nodes.length + 1, nodeId, name, addresses: [], streams: [] };
      this.#nodes.push(node);
      this.#byId.set(id, node);
    }
    if (node.name === "") node.name = name;
    return node;
  }

  #own(node: MutableNode, addresses: readonly string[]): void {
    for (const address of addresses) {
      const number = numberOf(this.#reader, address);
      if (number === null || (number !== 0 && this.#owners.has(number))) continue;
      if (number !== 0) this.#owners.set(number, node);
      if (!node.addresses.includes(address)) node.addresses.push(address);
    }
  }

  /** All nodes, by index - 1. */
  get nodes(): readonly QueryNode[] {
    return this.#nodes;
  }

  /** Node that has the address of this number; null = nobody known. */
  owner(address: number): QueryNode | null {
    return this.#owners.get(address) ?? null;
  }

  /** Node that wrote the stream. */
  ofStream(stream: number): QueryNode | null {
    return this.#byStream.get(stream) ?? null;
  }

  /** What people call a stream: its node's name, else its id, else the stream's own. */
  streamLabel(stream: number): string {
    const known = this.streams.get(stream);
    return known === undefined
      ? `stream ${stream}`
      : known.nodeName || known.nodeId || known.publicId.slice(0, 12);
  }

  addressesWithin(prefixes: Parameters<FilterResolver["addressesWithin"]>[0]): IdSet {
    return prefixes.map((prefix) => this.#reader.addressesWithin(prefixText(prefix)))
      .reduce(union, new Uint8Array(0));
  }

  addressesOfNodes(patterns: readonly string[]): IdSet {
    const numbers = [...this.#owners].filter(([, node]) => isNamed(node, patterns))
      .map(([number]) => number);
    return idSet(numbers);
  }

  streamsOfNodes(patterns: readonly string[]): IdSet {
    const found = [...this.streams.values()].filter((stream) =>
      isNamed({ nodeId: stream.nodeId, name: stream.nodeName }, patterns) ||
      patterns.some((pattern) => matchesPattern(pattern, stream.publicId))
    );
    return idSet(found.map(({ number }) => number));
  }

  /** Node by name, id, or address; null = there is none. */
  find(text: string): QueryNode | null {
    const named = this.#nodes.find(({ nodeId, name }) => name === text || nodeId === text) ??
      this.#nodes.find(({ addresses }) => addresses.includes(text));
    if (named !== undefined) return named;
    const stream = [...this.streams.values()].find(({ publicId }) => publicId === text);
    return stream === undefined ? null : this.ofStream(stream.number);
  }
}

function isAdopted(stream: Stream): boolean {
  return stream.adoptedMs !== null;
}

function isNamed(node: { nodeId: string; name: string }, patterns: readonly string[]): boolean {
  return patterns.some((pattern) =>
    (node.nodeId !== "" && matchesPattern(pattern, node.nodeId)) ||
    (node.name !== "" && matchesPattern(pattern, node.name))
  );
}

/** null = the text is no address. */
function numberOf(reader: StoreReader, address: string): number | null {
  try {
    return reader.addressNumber(address);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** What stands beside a message's rows; null if it cannot be read. */
export function messageOf(stored: StoredMessage): Message | null {
  try {
    return parseMessage(stored.restJson);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function idSet(numbers: readonly number[]): IdSet {
  const set = makeIdSet(numbers.reduce((max, number) => Math.max(max, number), 0));
  for (const number of numbers) addId(set, number);
  return set;
}

function union(a: IdSet, b: IdSet): IdSet {
  const [longer, shorter] = a.length >= b.length ? [a, b] : [b, a];
  const both = longer.slice();
  for (let index = 0; index < shorter.length; index++) both[index] |= shorter[index];
  return both;
}
