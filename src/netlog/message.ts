/**
 * From the rows of one window to its messages: classify, apply the exit mode, sort, merge what is equal, encode, cut.
 *
 * In: rows of both devices; routes, overlay ranges, nodes and exit mode. Out: messages (schema.ts). Guarantees: sums over
 * the messages equal sums over the rows, exactly, by class; lists are sorted by source, destination, protocol, addresses
 * in the order none, IPv4, IPv6, then by their bytes, then by port (SPEC 1.8.7); no key stands twice in a list of a window.
 *
 * Addresses are numbered once, and all that depends on an address alone, its facts, its node, its text and its rank
 * among all addresses, is found once per address. A row then costs a few array reads and its bytes
 * (tests/bench/classify_bench.ts).
 */
import { ADDRESS_WORDS, type Family } from "../packet/mod.ts";
import { AddressTable, NO_ADDRESS } from "./address_table.ts";
import { CLASS, type Classifier, classOf } from "./classify.ts";
import type { ClassTotals } from "./class_totals.ts";
import { CountsSum } from "./counts.ts";
import type { StatisticsRow } from "./device.ts";
import { ExitAddresses } from "./exit_addresses.ts";
import { type ExitPolicy, keepsPorts } from "./exit_mode.ts";
import { type EncodedMessage, type MessageFrame, MessageParts } from "./message_parts.ts";
import type { NodeSource } from "./nodes.ts";
import { RadixSorter } from "./radix.ts";
import {
  AddressBytes,
  closeRow,
  openRow,
  ROW_BYTES_MAX,
  writeComma,
  writeCountMembers,
  writeEndName,
} from "./row_bytes.ts";
import type { NodeInfo } from "./schema.ts";
import { HEAD_FOLDED, HEAD_OTHER, HEAD_PHYSICAL, ROW_COUNTS, WindowRows } from "./window_rows.ts";

/** Index in LISTS by class. */
const LIST_BY_CLASS: readonly number[] = [0, 1, 2, 2, 3];
const LIST_SHIFT = 30;
const RANK_MASK = 2 ** LIST_SHIFT - 1;

/** Bytes of rows for which memory is kept from window to window. */
const ROW_MEMORY_KEPT = 1 << 22;
const ROW_MEMORY_MIN = 1 << 16;

/** What a window's rows are seen by. */
export interface WindowView {
  readonly classifier: Classifier;
  readonly nodes: NodeSource;
  readonly window: Pick<MessageFrame, "startNs" | "endNs" | "lengthMs">;
}

/** Collects the rows of one window and encodes them. Used again for the next window. */
export class WindowEncoder {
  readonly #addresses: AddressTable;
  readonly #rows: WindowRows;
  readonly #exit: ExitAddresses;
  readonly #exitPolicy: ExitPolicy;
  readonly #text = new AddressBytes();
  readonly #rowSorter = new RadixSorter();
  readonly #addressSorter = new RadixSorter();
  #output = new Uint8Array(ROW_MEMORY_MIN);
  /** By address number. */
  #facts = new Uint32Array(0);
  #nodes: (NodeInfo | null)[] = [];
  /** By row: class, addresses as they are written, and the columns that rows are sorted by (see #sortRows). */
  #classes = new Uint8Array(0);
  #srcs = new Uint32Array(0);
  #dsts = new Uint32Array(0);
  #dstPortProto = new Uint32Array(0);
  #srcPort = new Uint32Array(0);
  #dstRank = new Uint32Array(0);
  #listSrcRank = new Uint32Array(0);

  /**
   * @param secret HASH_SECRET_WORDS random words, against addresses that are chosen to be slow.
   * @param rowsMax For tests.
   */
  constructor(secret: Uint32Array, exitPolicy: ExitPolicy, rowsMax?: number) {
    this.#addresses = new AddressTable(secret);
    this.#rows = new WindowRows(this.#addresses, rowsMax);
    this.#exitPolicy = exitPolicy;
    this.#exit = new ExitAddresses(exitPolicy);
  }

  /** Whether no row was added. */
  get isEmpty(): boolean {
    return this.#rows.isEmpty;
  }

  /** Adds one row. @throws {RangeError} If a counter is not a safe integer. */
  add(row: StatisticsRow, isPhysical: boolean): void {
    this.#rows.add(row, isPhysical);
  }

  /** Forgets the rows. */
  clear(): void {
    this.#rows.clear();
    this.#addresses.clear();
    if (this.#output.length > ROW_MEMORY_KEPT) this.#output = new Uint8Array(ROW_MEMORY_MIN);
  }

  /** Makes the messages of the rows added; they stay until clear(). Nothing added: no message. */
  encode({ classifier, nodes, window }: WindowView): EncodedMessage[] {
    if (this.isEmpty) return [];
    const self = nodes.self();
    this.#learnAddresses(classifier, nodes);
    this.#classifyRows(nodes);
    const order = this.#sortRows();
    const parts = new MessageParts({ ...window, self, exitMode: this.#exitPolicy.mode });
    this.#encodeRows(order, parts, self);
    return parts.write(this.#output);
  }

  /** Rows in the columns, and one each for what found no room there. */
  get #items(): number {
    return this.#rows.count + 2;
  }

  /** Finds facts and node of each address. */
  #learnAddresses(classifier: Classifier, nodes: NodeSource): void {
    const addresses = this.#addresses;
    const { count, words } = addresses;
    if (this.#facts.length < count) this.#facts = new Uint32Array(Math.ceil(count * 1.25));
    this.#nodes = [null];
    for (let number = 1; number < count; number++) {
      const family = addresses.family(number) as Family;
      this.#facts[number] = classifier.factsOf(words, number * ADDRESS_WORDS, family);
      this.#nodes.push(nodes.byAddress(words, number * ADDRESS_WORDS, family));
    }
  }

  /** Fills the columns of all rows. */
  #classifyRows(nodes: NodeSource): void {
    const { heads, srcs, dsts, ports, count } = this.#rows;
    this.#reserve();
    this.#exit.begin(this.#addresses.count, nodes);
    const facts = this.#facts;
    const keepPorts = keepsPorts(this.#exitPolicy.mode);
    for (let row = 0; row < count; row++) {
      const head = heads[row];
      const src = srcs[row];
      const dst = dsts[row];
      const code = (head & HEAD_PHYSICAL) !== 0 ? CLASS.PHYSICAL : classOf(facts[src], facts[dst]);
      const isExit = code === CLASS.EXIT || code === CLASS.UNKNOWN;
      this.#classes[row] = code;
      this.#srcs[row] = isExit ? this.#exitAddress(src) : src;
      this.#dsts[row] = isExit ? this.#exitAddress(dst) : dst;
      const hasPorts = !isExit || keepPorts;
      this.#srcPort[row] = hasPorts ? ports[row] >>> 16 : 0;
      this.#dstPortProto[row] = hasPorts ? ((ports[row] & 0xffff) << 8) | (head & 0xff) : 0;
      this.#listSrcRank[row] = LIST_BY_CLASS[code] << LIST_SHIFT;
    }
    for (const [index, code] of [CLASS.UNKNOWN, CLASS.PHYSICAL].entries()) {
      const row = count + index;
      this.#classes[row] = code;
      this.#srcs[row] = NO_ADDRESS;
      this.#dsts[row] = NO_ADDRESS;
      this.#srcPort[row] = 0;
      this.#dstPortProto[row] = 0;
      this.#listSrcRank[row] = LIST_BY_CLASS[code] << LIST_SHIFT;
    }
  }

  #exitAddress(number: number): number {
    return this.#exit.replacement(this.#addresses, number, this.#nodes[number] !== null);
  }

  /** @returns Rows in the order of the wire. */
  #sortRows(): Uint32Array {
    const ranks = this.#rankAddresses();
    const items = this.#items;
    for (let row = 0; row < items; row++) {
      this.#listSrcRank[row] = (this.#listSrcRank[row] | ranks[this.#srcs[row]]) >>> 0;
      this.#dstRank[row] = ranks[this.#dsts[row]];
    }
    const columns = [this.#dstPortProto, this.#dstRank, this.#srcPort, this.#listSrcRank];
    return this.#rowSorter.sort(columns, items);
  }

  /** @returns By address number: its place among all addresses of the window. */
  #rankAddresses(): Uint32Array {
    const addresses = this.#addresses;
    const { count, words } = addresses;
    const families = new Uint32Array(count);
    const columns = [3, 2, 1, 0].map((word) => {
      const column = new Uint32Array(count);
      for (let number = 1; number < count; number++) {
        column[number] = words[number * ADDRESS_WORDS + word];
      }
      return column;
    });
    for (let number = 0; number < count; number++) families[number] = addresses.family(number);
    const order = this.#addressSorter.sort([...columns, families], count);
    const ranks = new Uint32Array(count);
    for (let rank = 0; rank < count; rank++) ranks[order[rank]] = rank & RANK_MASK;
    return ranks;
  }

  /** Writes rows and tells `parts` of each; equal ones as one. */
  #encodeRows(order: Uint32Array, parts: MessageParts, self: NodeInfo | null): void {
    this.#text.begin(this.#addresses.count);
    const items = this.#items;
    const sum = new CountsSum();
    let start = 0;
    for (let from = 0, to = 0; from < items; from = to) {
      const row = order[from];
      to = from + 1;
      while (to < items && this.#isSame(row, order[to])) to++;
      if (start + ROW_BYTES_MAX + 1 > this.#output.length) this.#growOutput();
      const end = to === from + 1 && row < this.#rows.count
        ? this.#writeRow(start, row)
        : this.#writeMerged(start, order, from, to, sum);
      if (end === start) continue;
      const isPhysical = this.#classes[row] === CLASS.PHYSICAL;
      const totals = parts.addRow(
        this.#listSrcRank[row] >>> LIST_SHIFT,
        start,
        end,
        this.#nodeToName(this.#srcs[row], self),
        // An endpoint is no overlay address.
        isPhysical ? null : this.#nodeToName(this.#dsts[row], self),
      );
      for (let at = from; at < to; at++) this.#addTotals(totals, order[at]);
      start = end;
    }
  }

  /** Node that a row's address names, if it is another than the node itself. */
  #nodeToName(number: number, self: NodeInfo | null): NodeInfo | null {
    const node = number < this.#nodes.length ? this.#nodes[number] : null;
    return node === null || node === self || node.nodeId === self?.nodeId ? null : node;
  }

  #isSame(a: number, b: number): boolean {
    return this.#dstPortProto[a] === this.#dstPortProto[b] &&
      this.#dstRank[a] === this.#dstRank[b] &&
      this.#srcPort[a] === this.#srcPort[b] && this.#listSrcRank[a] === this.#listSrcRank[b];
  }

  #writeRow(start: number, row: number): number {
    const counts = this.#rows.counts;
    const at = row * ROW_COUNTS;
    const end = writeCountMembers(
      this.#output,
      this.#writeKey(start, row),
      counts[at],
      counts[at + 1],
      counts[at + 2],
      counts[at + 3],
    );
    return this.#close(start, end, (this.#rows.heads[row] & HEAD_FOLDED) !== 0);
  }

  /** Writes several rows as one; where nothing was counted, nothing. */
  #writeMerged(
    start: number,
    order: Uint32Array,
    from: number,
    to: number,
    sum: CountsSum,
  ): number {
    sum.clear();
    let folded = false;
    for (let at = from; at < to; at++) {
      this.#addCounts(sum, order[at]);
      folded ||= this.#isFolded(order[at]);
    }
    if (sum.isZero) return start;
    const { txPackets, txBytes, rxPackets, rxBytes } = sum;
    const key = this.#writeKey(start, order[from]);
    const end = writeCountMembers(this.#output, key, txPackets, txBytes, rxPackets, rxBytes);
    return this.#close(start, end, folded);
  }

  #writeKey(start: number, row: number): number {
    const output = this.#output;
    const dstPortProto = this.#dstPortProto[row];
    let at = openRow(output, start, dstPortProto & 0xff);
    at = this.#writeEnd(at, this.#srcs[row], this.#srcPort[row], true);
    return this.#writeEnd(at, this.#dsts[row], dstPortProto >>> 8, false);
  }

  #writeEnd(at: number, number: number, port: number, isSrc: boolean): number {
    if (number === NO_ADDRESS) return at;
    const output = this.#output;
    const addresses = this.#addresses;
    const family = addresses.family(number) as Family;
    at = writeEndName(output, at, isSrc);
    const words = addresses.words;
    at = this.#text.write(output, at, number, words, number * ADDRESS_WORDS, family, port);
    return writeComma(output, at);
  }

  #close(start: number, end: number, folded: boolean): number {
    return writeComma(this.#output, closeRow(this.#output, start, end, folded));
  }

  #isFolded(row: number): boolean {
    const { count, heads } = this.#rows;
    if (row < count) return (heads[row] & HEAD_FOLDED) !== 0;
    return !this.#rows.beyond(row > count).isZero;
  }

  #addCounts(sum: CountsSum, row: number): void {
    const { count, counts } = this.#rows;
    if (row >= count) {
      sum.addCounts(this.#rows.beyond(row > count));
      return;
    }
    const at = row * ROW_COUNTS;
    sum.add(counts[at], counts[at + 1], counts[at + 2], counts[at + 3]);
  }

  #addTotals(totals: ClassTotals, row: number): void {
    const isInColumns = row < this.#rows.count;
    this.#addCounts(totals.byClass[this.#classes[row]], row);
    if (!isInColumns || (this.#rows.heads[row] & HEAD_OTHER) !== 0) {
      this.#addCounts(totals.other, row);
    }
    if (!isInColumns && this.#rows.beyond(row > this.#rows.count).isZero) return;
    totals.rows++;
    if (this.#isFolded(row)) totals.foldedRows++;
  }

  #reserve(): void {
    const items = this.#items;
    const room = this.#classes.length;
    if (items <= room && room <= Math.max(items * 4, 1 << 16)) return;
    const rows = Math.ceil(items * 1.25);
    this.#classes = new Uint8Array(rows);
    this.#srcs = new Uint32Array(rows);
    this.#dsts = new Uint32Array(rows);
    this.#dstPortProto = new Uint32Array(rows);
    this.#srcPort = new Uint32Array(rows);
    this.#dstRank = new Uint32Array(rows);
    this.#listSrcRank = new Uint32Array(rows);
  }

  #growOutput(): void {
    const output = new Uint8Array(this.#output.length * 2);
    output.set(this.#output);
    this.#output = output;
  }
}
