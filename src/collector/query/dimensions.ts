/**
 * What rows are grouped by: a word of a key for each row, and a name for each word.
 *
 * In: rows, whose addresses are whose. Out: columns of keys; texts of keys. Words are numbers of the store (streams,
 * addresses), of the nodes, or of prefixes met so far.
 */
import { CLASS } from "../../netlog/mod.ts";
import { CLASS_NAMES } from "../../counters.ts";
import { maskPrefix, parseAddress, prefixText } from "../../packet/mod.ts";
import type { StoreReader } from "../store.ts";
import type { NodeBook } from "./node_book.ts";
import type { Dimension, Json } from "./question.ts";
import type { SelectedPart } from "./selection.ts";

/** Keys of one block of rows. */
export interface KeyBlock {
  /** One column for each dimension. */
  readonly words: readonly Uint32Array[];
  /** Row of each key; a row stands twice where both its ends count. */
  readonly rows: Uint32Array;
  readonly count: number;
}

/** Writes the word of each of `count` rows. */
type WordWriter = (
  part: SelectedPart,
  rows: Uint32Array,
  count: number,
  words: Uint32Array,
) => void;

/** Rows per block. */
const BLOCK_ROWS = 2_048;

/** See file header. */
export class KeyWriter {
  readonly #dimensions: readonly Dimension[];
  readonly #writers: readonly WordWriter[];
  readonly #words: readonly Uint32Array[];
  readonly #rows = new Uint32Array(BLOCK_ROWS * 2);
  readonly #labels: readonly ((word: number) => string)[];
  readonly #nets: NetTable;
  readonly #owners: AddressTable;

  constructor(
    dimensions: readonly Dimension[],
    reader: StoreReader,
    nodes: NodeBook,
    { netBits4, netBits6 }: { netBits4: number; netBits6: number },
  ) {
    this.#dimensions = dimensions;
    this.#nets = new NetTable(reader, netBits4, netBits6);
    this.#owners = new AddressTable((address) => nodes.owner(address)?.index ?? 0);
    this.#words = dimensions.map(() => new Uint32Array(BLOCK_ROWS * 2));
    this.#writers = dimensions.map((dimension) => this.#writerOf(dimension));
    const label = (dimension: Dimension): (word: number) => string => {
      switch (dimension) {
        case "class":
          return (word) => CLASS_NAMES[word];
        case "node":
          return (word) => nodes.streamLabel(word);
        case "peer":
          return (word) => {
            const node = nodes.nodes[word - 1];
            return node === undefined ? "" : node.name || node.nodeId;
          };
        case "srcNet":
        case "dstNet":
          return (word) => this.#nets.text(word);
        case "src":
        case "dst":
        case "host":
          return (word) => reader.addressText(word);
        default:
          return String;
      }
    };
    this.#labels = dimensions.map(label);
  }

  /** Calls `use` with the keys of a part's rows, block by block. */
  forEachBlock(part: SelectedPart, use: (block: KeyBlock) => void): void {
    const hasBothEnds = this.#dimensions.includes("host");
    for (let start = 0; start < part.count; start += BLOCK_ROWS) {
      let count = Math.min(BLOCK_ROWS, part.count - start);
      const rows = this.#rows;
      for (let index = 0; index < count; index++) rows[index] = part.rows[start + index];
      if (hasBothEnds) {
        const { src, dst } = part.columns;
        const single = count;
        for (let index = 0; index < single; index++) {
          const row = rows[index];
          // An end without address, and a connection of an address with itself, count once.
          if (dst[row] !== 0 && src[row] !== 0 && src[row] !== dst[row]) rows[count++] = row;
        }
        this.#writeHosts(part, rows, single, count);
      }
      for (const [word, write] of this.#writers.entries()) {
        write(part, rows, count, this.#words[word]);
      }
      use({ words: this.#words, rows, count });
    }
  }

  /** Rows behind `single` stand for their second end. */
  #writeHosts(part: SelectedPart, rows: Uint32Array, single: number, count: number): void {
    const { src, dst } = part.columns;
    const words = this.#words[this.#dimensions.indexOf("host")];
    for (let index = 0; index < single; index++) {
      const row = rows[index];
      words[index] = src[row] === 0 ? dst[row] : src[row];
    }
    for (let index = single; index < count; index++) words[index] = dst[rows[index]];
  }

  /** A key as people read it. */
  label(key: readonly number[]): Record<string, Json> {
    return Object.fromEntries(this.#dimensions.map((dimension, index) => {
      const word = key[index];
      const isNumber = dimension === "proto" || dimension === "sport" || dimension === "dport";
      return [dimension, isNumber ? word : this.#labels[index](word)];
    }));
  }

  #writerOf(dimension: Dimension): WordWriter {
    switch (dimension) {
      case "class":
        return (part, rows, count, words) => copy(part.columns.classCode, rows, count, words);
      case "node":
        return (part, rows, count, words) => copy(part.columns.stream, rows, count, words);
      case "proto":
        return (part, rows, count, words) => copy(part.columns.proto, rows, count, words);
      case "src":
        return (part, rows, count, words) => copy(part.columns.src, rows, count, words);
      case "dst":
        return (part, rows, count, words) => copy(part.columns.dst, rows, count, words);
      case "sport":
        return (part, rows, count, words) => copy(part.columns.srcPort, rows, count, words);
      case "dport":
        return (part, rows, count, words) => copy(part.columns.dstPort, rows, count, words);
      case "host":
        return () => {};
      case "srcNet":
        return (part, rows, count, words) => this.#nets.write(part.columns.src, rows, count, words);
      case "dstNet":
        return (part, rows, count, words) => this.#nets.write(part.columns.dst, rows, count, words);
      case "peer":
        return (part, rows, count, words) => {
          const { src, dst, classCode } = part.columns;
          for (let index = 0; index < count; index++) {
            const row = rows[index];
            // Of the UDP side, src is the peer's overlay address (DESIGN, accounting rules).
            words[index] = this.#owners.word(
              classCode[row] === CLASS.PHYSICAL ? src[row] : dst[row],
            );
          }
        };
    }
  }
}

function copy(
  column: Uint8Array | Uint16Array | Uint32Array,
  rows: Uint32Array,
  count: number,
  words: Uint32Array,
): void {
  for (let index = 0; index < count; index++) words[index] = column[rows[index]];
}

/** A word for each address, found when it is first asked for. */
class AddressTable {
  readonly #find: (address: number) => number;
  /** Word + 1 by number of the address; 0 = not asked for yet. */
  #words = new Uint32Array(1_024);

  constructor(find: (address: number) => number) {
    this.#find = find;
  }

  word(address: number): number {
    if (address >= this.#words.length) {
      const grown = new Uint32Array(2 ** Math.ceil(Math.log2(address + 1)));
      grown.set(this.#words);
      this.#words = grown;
    }
    const known = this.#words[address];
    if (known !== 0) return known - 1;
    const word = this.#find(address);
    this.#words[address] = word + 1;
    return word;
  }
}

/** The prefix around each address; 0 = no address. */
class NetTable {
  readonly #texts = [""];
  readonly #byText = new Map<string, number>([["", 0]]);
  readonly #words: AddressTable;

  constructor(reader: StoreReader, bits4: number, bits6: number) {
    this.#words = new AddressTable((number) => {
      const address = parseAddress(reader.addressText(number));
      if (address === null) return 0;
      const prefixBits = address.family === 4 ? bits4 : bits6;
      const text = prefixText(maskPrefix({ ...address, prefixBits }));
      let word = this.#byText.get(text);
      if (word === undefined) {
        word = this.#texts.push(text) - 1;
        this.#byText.set(text, word);
      }
      return word;
    });
  }

  text(word: number): string {
    return this.#texts[word];
  }

  write(column: Uint32Array, rows: Uint32Array, count: number, words: Uint32Array): void {
    for (let index = 0; index < count; index++) {
      words[index] = this.#words.word(column[rows[index]]);
    }
  }
}
