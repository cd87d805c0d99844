/**
 * Cutting a window's rows into messages that servers take.
 *
 * In: rows as bytes, one after another in their final order. Out: the bytes of one or more messages, each at most
 * MESSAGE_BYTES_MAX long by exact count, each with the nodes that its own rows name.
 */
import {
  EXTENSION_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  NODE_BYTES_MAX,
  NODE_ID_CHARS_MAX,
} from "../limits.ts";
import { ClassTotals } from "./class_totals.ts";
import type { ExitMode } from "./exit_mode.ts";
import { bytesOf, LIST_OPENING_BYTES } from "./row_bytes.ts";
import {
  DST_NODES_OPENING,
  type Extension,
  messageHead,
  type NodeInfo,
  writeExtension,
  writeNode,
} from "./schema.ts";

/** One message, ready to be written. */
export interface EncodedMessage {
  /** JSON, at most MESSAGE_BYTES_MAX; nobody else's. */
  readonly bytes: Uint8Array;
  /** 1 .. parts. */
  readonly part: number;
  /** Messages of the window. */
  readonly parts: number;
  /** Sums of what it holds. */
  readonly totals: ClassTotals;
}

/** What all parts of a window have in common. */
export interface MessageFrame {
  readonly self: NodeInfo | null;
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Absent where the labels say it. */
  readonly lengthMs?: number;
  readonly exitMode: ExitMode;
}

/** Rows of one list within one part: where their bytes start and end, a comma behind each. */
interface Segment {
  readonly list: number;
  readonly start: number;
  end: number;
}

interface Part {
  readonly segments: Segment[];
  readonly nodes: NodeInfo[];
  readonly totals: ClassTotals;
  bytes: number;
}

/** Node objects as bytes; a node is the same object from window to window as long as nothing about it changes. */
const nodeBytesByInfo = new WeakMap<NodeInfo, Uint8Array>();

const DST_NODES_OPENING_BYTES = bytesOf(DST_NODES_OPENING);
/** `]` of a list, `}` of the message. */
const CLOSING_BYTES = 1;
const COMMA_BYTES = 1;

/** Plans the parts of one window. */
export class MessageParts {
  readonly #frame: MessageFrame;
  readonly #head: Uint8Array;
  readonly #parts: Part[] = [];
  /** Last part in which each node stands. */
  readonly #partByNode = new Map<NodeInfo, Part>();
  #part!: Part;

  constructor(frame: MessageFrame) {
    this.#frame = frame;
    const { self, startNs, endNs } = frame;
    const selfText = self === null ? null : new TextDecoder().decode(nodeBytes(self));
    const nodeId = (self?.nodeId ?? "").slice(0, NODE_ID_CHARS_MAX);
    this.#head = bytesOf(messageHead(nodeId, startNs, endNs, selfText));
    this.#openPart();
  }

  /**
   * Adds the next row.
   * @param list Index in LISTS; never less than that of the row before.
   * @param start Where its bytes start; they end before a comma at `end` - 1.
   * @param srcNode Node to be named, or null; never the node itself.
   * @returns Sums of the part that the row has come into, for the caller to add to.
   */
  addRow(
    list: number,
    start: number,
    end: number,
    srcNode: NodeInfo | null,
    dstNode: NodeInfo | null,
  ): ClassTotals {
    let bytes = this.#bytesOfRow(list, end - start, srcNode, dstNode);
    if (this.#part.bytes + bytes > MESSAGE_BYTES_MAX && this.#part.segments.length > 0) {
      this.#openPart();
      bytes = this.#bytesOfRow(list, end - start, srcNode, dstNode);
    }
    const part = this.#part;
    part.bytes += bytes;
    const segment = part.segments.at(-1);
    if (segment?.list === list) segment.end = end;
    else part.segments.push({ list, start, end });
    if (srcNode !== null) this.#addNode(srcNode);
    if (dstNode !== null) this.#addNode(dstNode);
    return part.totals;
  }

  /** Writes the messages. @param rows Holds the bytes of all rows. */
  write(rows: Uint8Array): EncodedMessage[] {
    const parts = this.#parts.length;
    return this.#parts.map((part, index) => ({
      bytes: this.#writePart(part, index + 1, rows),
      part: index + 1,
      parts,
      totals: part.totals,
    }));
  }

  #openPart(): void {
    this.#part = {
      segments: [],
      nodes: [],
      totals: new ClassTotals(),
      bytes: this.#head.length + EXTENSION_BYTES_MAX + CLOSING_BYTES,
    };
    this.#parts.push(this.#part);
  }

  /** Bytes that the part at hand grows by with a row. @param rowBytes Its comma included. */
  #bytesOfRow(
    list: number,
    rowBytes: number,
    srcNode: NodeInfo | null,
    dstNode: NodeInfo | null,
  ): number {
    // The first row of a list has no comma in front.
    const opening = this.#part.segments.at(-1)?.list === list
      ? 0
      : LIST_OPENING_BYTES[list].length + CLOSING_BYTES - COMMA_BYTES;
    let bytes = rowBytes + opening;
    const isNew = (node: NodeInfo) => this.#partByNode.get(node) !== this.#part;
    if (srcNode !== null && isNew(srcNode)) bytes += nodeBytes(srcNode).length + COMMA_BYTES;
    if (dstNode !== null && dstNode !== srcNode && isNew(dstNode)) {
      bytes += nodeBytes(dstNode).length + COMMA_BYTES;
    }
    const bytesOfNodes = bytes - rowBytes - opening;
    const isFirstNode = bytesOfNodes > 0 && this.#part.nodes.length === 0;
    // The opening's bytes and the bracket; one comma less than nodes.
    return isFirstNode
      ? bytes + DST_NODES_OPENING_BYTES.length + CLOSING_BYTES - COMMA_BYTES
      : bytes;
  }

  #addNode(node: NodeInfo): void {
    if (this.#partByNode.get(node) === this.#part) return;
    this.#partByNode.set(node, this.#part);
    this.#part.nodes.push(node);
  }

  #writePart(part: Part, number: number, rows: Uint8Array): Uint8Array {
    const extension = bytesOf(`${writeExtension(this.#extension(part, number))}}`);
    const reserved = EXTENSION_BYTES_MAX + CLOSING_BYTES;
    if (extension.length > reserved) throw new Error("Cannot write a message: extension too long");
    const output = new Uint8Array(part.bytes - reserved + extension.length);
    output.set(this.#head);
    let at = writeNodes(output, this.#head.length, part.nodes);
    for (const { list, start, end } of part.segments) {
      const opening = LIST_OPENING_BYTES[list];
      output.set(opening, at);
      output.set(rows.subarray(start, end), at + opening.length);
      at += opening.length + end - start;
      // In place of the last row's comma.
      output[at - 1] = BRACKET_CLOSE;
    }
    output.set(extension, at);
    if (at + extension.length !== output.length) {
      throw new Error(`Cannot write a message: planned ${output.length} bytes, wrote ${at}`);
    }
    return output;
  }

  #extension({ totals }: Part, number: number): Extension {
    const { lengthMs, exitMode } = this.#frame;
    const unknown = totals.of("unknown");
    const parts = this.#parts.length;
    return {
      ...(parts > 1 && { part: number, parts }),
      ...(lengthMs !== undefined && { lengthMs }),
      ...(exitMode !== "zero" && { exitMode }),
      ...(!unknown.isZero && { unknown }),
      ...(!totals.other.isZero && { other: totals.other }),
    };
  }
}

const [BRACKET_CLOSE, COMMA] = bytesOf("],");

/** Writes other nodes, sorted by their ids. */
function writeNodes(output: Uint8Array, at: number, nodes: readonly NodeInfo[]): number {
  if (nodes.length === 0) return at;
  output.set(DST_NODES_OPENING_BYTES, at);
  at += DST_NODES_OPENING_BYTES.length;
  for (const node of nodes.toSorted((a, b) => a.nodeId < b.nodeId ? -1 : 1)) {
    const bytes = nodeBytes(node);
    output.set(bytes, at);
    at += bytes.length;
    output[at++] = COMMA;
  }
  output[at - 1] = BRACKET_CLOSE;
  return at;
}

/** A node as JSON; one that would fill a good part of the message only by its id. */
function nodeBytes(node: NodeInfo): Uint8Array {
  let bytes = nodeBytesByInfo.get(node);
  if (bytes === undefined) {
    bytes = bytesOf(writeNode(node));
    if (bytes.length > NODE_BYTES_MAX) {
      bytes = bytesOf(writeNode({ nodeId: node.nodeId.slice(0, NODE_ID_CHARS_MAX) }));
    }
    nodeBytesByInfo.set(node, bytes);
  }
  return bytes;
}
