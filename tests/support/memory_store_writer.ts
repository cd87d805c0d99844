/**
 * A StoreWriter in memory, for tests of what stands in front of it: keeps every entry with its rows as objects.
 *
 * It answers repetitions as a store does, and fails when it is told to.
 */
import { ADDRESS_WORDS, addressText, parseAddress } from "../../src/packet/mod.ts";
import { CLASS_NAMES } from "../../src/counters.ts";
import { COUNTERS, ROW_FOLDED } from "../../src/collector/rows.ts";
import type {
  CommitResult,
  IngestBatch,
  MessageEntry,
  OtherEntry,
  StoreWriter,
  Stream,
} from "../../src/collector/store.ts";

/** One row as it stands in a store. */
export interface PlainRow {
  readonly class: string;
  readonly proto: number;
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly counters: readonly bigint[];
  readonly folded: boolean;
}

/** One entry with its rows. */
export interface PlainEntry {
  readonly entry: MessageEntry | OtherEntry;
  readonly rows: readonly PlainRow[];
}

/** See file header. */
export class MemoryStoreWriter implements StoreWriter {
  readonly kept: PlainEntry[] = [];
  commits = 0;
  /** Thrown by the next commits, in their order; null = that one succeeds. */
  readonly failures: (Error | null)[] = [];
  /** Called with each batch before it is taken; may throw. */
  inspect: (batch: IngestBatch) => void = () => {};
  readonly #streams = new Map<string, Stream>();
  readonly #addresses = [""];
  readonly #numbers = new Map<string, number>([["", 0]]);
  readonly #names = new Set<string>();

  stream(collection: string, publicId: string, nowMs: number): Stream {
    const key = `${collection} ${publicId}`;
    const known = this.#streams.get(key);
    if (known !== undefined) return known;
    const stream: Stream = {
      ...{ number: this.#streams.size + 1, collection, publicId },
      ...{ firstSeenMs: nowMs, lastSeenMs: nowMs, adoptedMs: null },
      ...{ nodeId: "", nodeName: "", bodyBytes: 0 },
    };
    this.#streams.set(key, stream);
    return stream;
  }

  streams(): readonly Stream[] {
    return [...this.#streams.values()];
  }

  adopt(collection: string, publicId: string, adoptedMs: number | null): Stream {
    const stream = { ...this.stream(collection, publicId, 0), adoptedMs };
    this.#streams.set(`${collection} ${publicId}`, stream);
    return stream;
  }

  address(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      if (parseAddress(text.replace(/%.*/, "")) === null) throw new RangeError(`"${text}"`);
      number = this.#addresses.push(text) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }

  addressOfWords(words: Uint32Array, wordOffset: number, family: 4 | 6): number {
    const own = words.slice(wordOffset, wordOffset + ADDRESS_WORDS);
    return this.address(addressText(own, 0, family));
  }

  commit(batch: IngestBatch): CommitResult {
    const failure = this.failures.shift() ?? null;
    if (failure !== null) throw failure;
    this.inspect(batch);
    this.commits++;
    let repeated = 0;
    let rows = 0;
    for (const entry of batch.entries) {
      const name = `${entry.stream} ${entry.procId} ${entry.procSeq}`;
      if (entry.procId !== 0 && this.#names.has(name)) {
        repeated++;
        continue;
      }
      this.#names.add(name);
      const own = entry.kind === "message" ? this.#rowsOf(batch, entry) : [];
      rows += own.length;
      this.kept.push({ entry, rows: own });
    }
    return { stored: batch.entries.length - repeated, repeated, rows };
  }

  #rowsOf({ columns }: IngestBatch, { firstRow, rowCount, stream }: MessageEntry): PlainRow[] {
    return Array.from({ length: rowCount }, (_, index) => {
      const row = firstRow + index;
      if (row >= columns.count) throw new Error(`row ${row} of ${columns.count}`);
      if (columns.stream[row] !== stream) throw new Error(`row ${row} is of another stream`);
      return {
        class: CLASS_NAMES[columns.classCode[row]],
        proto: columns.proto[row],
        src: this.#addresses[columns.src[row]],
        dst: this.#addresses[columns.dst[row]],
        srcPort: columns.srcPort[row],
        dstPort: columns.dstPort[row],
        counters: COUNTERS.map((_, counter) =>
          columns.beyond.get(row * COUNTERS.length + counter) ??
            BigInt(columns.counters[counter][row])
        ),
        folded: (columns.flags[row] & ROW_FOLDED) !== 0,
      };
    });
  }

  maintain(): boolean {
    return false;
  }

  sizeBytes(): number {
    return 0;
  }

  close(): void {}
}
