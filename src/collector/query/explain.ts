/**
 * Why a connection is in its class, as far as the log tells.
 *
 * In: a connection as its node writes it. Out: its rows, class and reason, both ends' nodes, the other end's rows of the same
 * connection, the messages that it stood in as they came, the physical rows of the same peer in the same windows. A log does
 * not hold routes, so the reason is that of the rules (SPEC 5.2) and of the nodes known by address; `tunlog explain` on the
 * node itself names the route.
 */
import { CLASS_NAMES, type ClassName } from "../../counters.ts";
import { CLASS, type Message } from "../../netlog/mod.ts";
import type { StoredMessage } from "../store.ts";
import { completenessJson, type QueryContext } from "./context.ts";
import { truncated } from "./engine.ts";
import {
  connectionFlows,
  type ConnectionNumbers,
  connectionNumbers,
  flowJson,
  type FoundFlow,
  windowsKept,
} from "./flows.ts";
import { messageOf, type QueryNode } from "./node_book.ts";
import type { ExplainQuestion, Json } from "./question.ts";
import { rangeJson } from "./times.ts";

/** Messages shown in full: of 256 KiB each at most. */
const MESSAGES_MAX = 3;
/** Skew of clocks and length of windows by which the other end's rows may lie elsewhere. */
const OTHER_END_MS = 65_000;

/** Answers a question for the reason of a class. */
export function answerExplain(context: QueryContext, question: ExplainQuestion): Json {
  const { range, limit, nowMs, connection } = question;
  const numbers = connectionNumbers(context, connection);
  const flows = numbers === null ? [] : connectionFlows(context, numbers, range, limit + 1);
  const shown = flows.slice(0, limit);
  const node = context.nodes.find(connection.node);
  const peer = numbers === null ? null : context.nodes.owner(numbers.dst);
  const messages = messagesOf(context, shown);
  const other = numbers === null || peer === null
    ? null
    : otherEnd(context, numbers, peer, shown, limit);
  const streams = [...(node?.streams ?? []), ...(peer?.streams ?? [])];
  const { kept, notes } = windowsKept(context, streams, range);
  return {
    range: rangeJson(range),
    notes,
    classes: classesOf(shown, messages, node, peer, connection.dst),
    node: nodeJson(node),
    peer: nodeJson(peer),
    flows: shown.map((flow) => flowJson(context, flow)),
    otherEnd: other === null ? null : other.map((flow) => flowJson(context, flow)),
    physical: physicalFlows(context, shown, peer, limit).map((flow) => flowJson(context, flow)),
    messages: messages.slice(0, MESSAGES_MAX).map(({ stored }) => ({
      entry: stored.id,
      stream: stored.stream,
      procId: stored.procId,
      procSeq: stored.procSeq,
      json: entryJson(context, stored),
    })),
    truncated: truncated({ rows: context.guard.isFull, flows: flows.length > limit }),
    rowsRead: context.guard.rows,
    completeness: completenessJson(context, streams, range, nowMs, kept),
  };
}

interface ShownMessage {
  readonly stored: StoredMessage;
  readonly message: Message | null;
}

function messagesOf({ reader }: QueryContext, flows: readonly FoundFlow[]): ShownMessage[] {
  const ids = [...new Set(flows.map(({ window }) => window.id))];
  return ids.flatMap((id) => {
    const stored = reader.message(id);
    return stored === null ? [] : [{ stored, message: messageOf(stored) }];
  });
}

/** The entry as it is handed out again; null = it is gone. */
function entryJson(
  { reader, nodes }: QueryContext,
  { id, stream, receivedMs }: StoredMessage,
): Json {
  const collection = nodes.streams.get(stream)?.collection;
  if (collection === undefined) return null;
  const [entry] = reader.entries({
    collection,
    streams: [stream],
    fromMs: Math.floor(receivedMs),
    after: id - 1,
    limit: 1,
  });
  return entry?.id === id ? entry.json : null;
}

function classesOf(
  flows: readonly FoundFlow[],
  messages: readonly ShownMessage[],
  node: QueryNode | null,
  peer: QueryNode | null,
  dst: string,
): Json {
  const codes = [...new Set(flows.map(({ columns, at }) => columns.classCode[at]))];
  return codes.map((code) => {
    const own = flows.filter(({ columns, at }) => columns.classCode[at] === code);
    const entry = own[0].window.id;
    const extension = messages.find(({ stored }) => stored.id === entry)?.message?.extension;
    const name = CLASS_NAMES[code];
    return {
      class: name,
      list: name === "unknown" ? "exit" : name,
      windows: own.length,
      reason: reasonOf(name, node, peer, dst),
      ...(code === CLASS.EXIT && { exitMode: extension?.exitMode ?? "zero" }),
    };
  });
}

function reasonOf(
  name: ClassName,
  node: QueryNode | null,
  peer: QueryNode | null,
  dst: string,
): string {
  const self = node?.name || node?.nodeId || "the node";
  const other = peer === null ? "" : peer.name || peer.nodeId;
  switch (name) {
    case "virtual":
      return peer === null
        ? "Both ends lie in the overlay's ranges; no node is known to have the destination"
        : `Both ends lie in the overlay's ranges: ${self} talked to ${other}`;
    case "subnet":
      return "One end lies in a prefix that a node routes and that is no default route; the other " +
        "in the overlay, or in such a prefix too";
    case "exit":
      return dst === ""
        ? "One end lies outside of the overlay and of all routed prefixes but a default route; its " +
          "address was left out before the log was sent"
        : "One end lies outside of the overlay and of all routed prefixes but a default route";
    case "unknown":
      return "No route that was valid then explains an end, not even a default route";
    case "physical":
      return `Datagrams of the tunnel itself between ${self} and the peer's endpoint`;
  }
}

function nodeJson(node: QueryNode | null): Json {
  if (node === null) return null;
  const { nodeId, name, addresses, streams } = node;
  return { nodeId, name, addresses, streams, logs: streams.length > 0 };
}

/** What the other end says of the same connection at about the same time: its rows have the ends swapped. */
function otherEnd(
  context: QueryContext,
  numbers: ConnectionNumbers,
  peer: QueryNode,
  flows: readonly FoundFlow[],
  limit: number,
): FoundFlow[] {
  if (flows.length === 0 || peer.streams.length === 0) return [];
  const fromMs = flows[0].endMs - OTHER_END_MS;
  const toMs = flows.at(-1)!.endMs + OTHER_END_MS;
  const { proto, src, dst, srcPort, dstPort } = numbers;
  return connectionFlows(
    context,
    {
      streams: peer.streams,
      proto,
      src: dst,
      dst: src,
      srcPort: dstPort,
      dstPort: srcPort,
    },
    { fromMs, toMs },
    limit,
  );
}

/** Physical rows of the peer in the windows that the connection stood in. */
function physicalFlows(
  context: QueryContext,
  flows: readonly FoundFlow[],
  peer: QueryNode | null,
  limit: number,
): FoundFlow[] {
  const { reader, nodes, guard } = context;
  const found: FoundFlow[] = [];
  if (peer === null) return found;
  const seen = new Set<string>();
  for (const { window, endMs } of flows) {
    const key = `${window.stream} ${window.startNs}`;
    if (seen.has(key) || found.length >= limit) continue;
    seen.add(key);
    guard.check();
    // A window may be split: its physical rows may stand in another of its messages.
    for (const part of reader.windows(window.stream, endMs - 1, endMs)) {
      if (part.startNs !== window.startNs) continue;
      const message = reader.message(part.id);
      if (message === null) continue;
      const { columns, first, rowCount } = message;
      for (let at = first; at < first + rowCount; at++) {
        const isPeer = columns.classCode[at] === CLASS.PHYSICAL &&
          nodes.owner(columns.src[at]) === peer;
        if (isPeer) found.push({ window: part, endMs, row: at - first, columns, at });
      }
    }
  }
  return found.slice(0, limit);
}
