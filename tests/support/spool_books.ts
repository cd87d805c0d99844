/**
 * Books of a spool's entries, and a process that writes them: what was appended, what the collector stored, what was
 * declared lost; and the law that holds between the three.
 */
import assert from "node:assert/strict";
import {
  CLASS_NAMES,
  type ClassName,
  type ClassSums,
  type TrafficSums,
} from "../../src/counters.ts";
import { addSums, type LostRange, NO_SUMS, parseGap } from "../../src/logtail/mod.ts";
import type { EntryMeta } from "../../src/node/spool_record.ts";
import { Spool, type SpoolBatch } from "../../src/node/spool.ts";
import { MemoryClock } from "../../src/platform/memory.ts";
import { type MemoryDisk, MemorySpoolFiles } from "./memory_spool_files.ts";

/** Name of an entry. */
export function nameText(procId: number, procSeq: number): string {
  return `${procId}/${procSeq}`;
}

/** Sums that differ in every class and direction, and with every number. */
export function sumsOf(number: number): ClassSums {
  const sums = CLASS_NAMES.map((name, index): [ClassName, TrafficSums] => {
    const base = BigInt(number * 100 + index * 10);
    return [name, {
      txPackets: base + 1n,
      txBytes: (base + 2n) << 40n,
      rxPackets: base + 3n,
      rxBytes: base + 4n,
    }];
  });
  return Object.fromEntries(sums) as Record<ClassName, TrafficSums>;
}

interface Appended extends EntryMeta {
  readonly procId: number;
  readonly procSeq: number;
  readonly text: string;
}

/** What is left of an entry. */
export type Fate = "stored" | "declared" | "unknown" | "waiting";

/** See file header. */
export class SpoolBooks {
  /** By name, in order. */
  readonly appended = new Map<string, Appended>();
  /** What the collector has, by name, in order of first arrival. */
  readonly stored = new Map<string, string>();

  append(procId: number, procSeq: number, meta: EntryMeta, text: string): void {
    this.appended.set(nameText(procId, procSeq), { ...meta, procId, procSeq, text });
  }

  /** The collector takes a batch; what it has already must be the same. */
  store(batch: SpoolBatch): void {
    for (const { procId, procSeq, bytes } of batch.entries) {
      const name = nameText(procId, procSeq);
      const text = new TextDecoder().decode(bytes);
      assert.equal(text, this.stored.get(name) ?? text, `${name} is the same when it comes again`);
      const appended = this.appended.get(name);
      if (appended !== undefined) assert.equal(text, appended.text);
      else assert.ok(text.includes('"gap":{'), `${name} was never appended: ${text}`);
      this.stored.set(name, text);
    }
  }

  /** All ranges that were declared. */
  declared(): LostRange[] {
    return [...this.stored].flatMap(([name, text]) =>
      this.appended.has(name) ? [] : parseGap(text)
    );
  }

  /** Appended entries that a range names. */
  named(range: LostRange): Appended[] {
    return [...this.appended.values()].filter(({ procId, procSeq }) =>
      range.entries > 0 && range.sums !== null && procId === range.procId &&
      procSeq >= range.firstSeq && procSeq <= range.lastSeq
    );
  }

  /**
   * Checks the law: each entry is stored, or declared once with its exact window and sums, or of an unknown loss's window,
   * or waits. Of those that were offered and declared, some may be stored.
   * @param options.waits Names that may wait; none.
   * @param options.inOrder Whether the collector must have them in order; yes.
   * @returns How many have which fate.
   */
  check(
    { waits = () => false, inOrder = true }: {
      waits?: (name: string) => boolean;
      inOrder?: boolean;
    } = {},
  ): Record<Fate, number> {
    const ranges = this.declared();
    const rangeByName = new Map<string, LostRange>();
    for (const range of ranges) {
      if (range.sums === null) continue;
      const named = this.named(range);
      assert.equal(named.length, range.entries, `entries of ${describe(range)}`);
      assert.deepEqual(named.map(({ sums }) => sums).reduce(addSums, NO_SUMS), range.sums);
      assert.equal(minNs(named.map(({ startNs }) => startNs)), range.startNs);
      assert.equal(-minNs(named.map(({ endNs }) => -endNs)), range.endNs);
      if (range.offered) assert.equal(range.entries, 1, "offered entries are named singly");
      for (const { procId, procSeq } of named) {
        const name = nameText(procId, procSeq);
        assert.ok(!rangeByName.has(name), `${name} is declared twice`);
        rangeByName.set(name, range);
      }
    }
    const fates: Record<Fate, number> = { stored: 0, declared: 0, unknown: 0, waiting: 0 };
    const unknown = ranges.filter(({ sums }) => sums === null);
    for (const [name, entry] of this.appended) {
      const range = rangeByName.get(name);
      if (this.stored.has(name)) {
        fates.stored++;
        assert.ok(range === undefined || range.offered, `${name} is stored and declared lost`);
      } else if (range !== undefined) fates.declared++;
      else if (waits(name)) fates.waiting++;
      else {
        fates.unknown++;
        const covers = (u: LostRange) => u.startNs <= entry.startNs && entry.endNs <= u.endNs;
        assert.ok(unknown.some(covers), `${name} is neither stored nor declared`);
      }
    }
    if (inOrder) this.#checkOrder();
    return fates;
  }

  /** Per process, what the collector stored first was appended first. */
  #checkOrder(): void {
    const last = new Map<number, number>();
    for (const name of this.stored.keys()) {
      const entry = this.appended.get(name);
      if (entry === undefined) continue;
      const before = last.get(entry.procId) ?? 0;
      assert.ok(before < entry.procSeq, `${name} comes after ${before}`);
      last.set(entry.procId, entry.procSeq);
    }
  }
}

function describe(range: LostRange): string {
  return `${range.cause} ${range.procId}/${range.firstSeq}..${range.lastSeq}`;
}

function minNs(values: readonly bigint[]): bigint {
  return values.reduce((min, value) => value < min ? value : min);
}

const WINDOW_NS = 5_000_000_000n;

/** Makes an entry of the window of 5 s that ends at `wallMs`. @param length Of its text, at least 60. */
export function makeEntry(
  procId: number,
  procSeq: number,
  wallMs: number,
  length: number,
): { meta: EntryMeta; text: string } {
  const endNs = BigInt(wallMs) * 1_000_000n - 1n;
  const head = `{"procId":${procId},"procSeq":${procSeq},"fill":"`;
  return {
    meta: { startNs: endNs - WINDOW_NS + 1n, endNs, sums: sumsOf(procSeq) },
    text: `${head}${"x".repeat(Math.max(0, length - head.length - 3))}"}\n`,
  };
}

/** A process with a spool. */
export class SpoolProcess {
  readonly files: MemorySpoolFiles | null;
  readonly spool: Spool;
  readonly warnings: string[] = [];
  #seq = 0;

  constructor(
    readonly books: SpoolBooks,
    readonly disk: MemoryDisk | null,
    readonly procId: number,
    bytesMax: number,
    readonly clock: MemoryClock = new MemoryClock(),
  ) {
    this.files = disk === null ? null : new MemorySpoolFiles(disk);
    this.spool = new Spool({
      files: this.files,
      bytesMax,
      procId,
      nextSeq: () => ++this.#seq,
      clock,
      warn: (message) => void this.warnings.push(message),
    });
  }

  get isKilled(): boolean {
    return this.files?.isKilled ?? false;
  }

  /** Appends an entry of the next window. @param length Of the entry in bytes. @returns Its number. */
  append(length: number = 200): number {
    this.clock.advance(5_000);
    return this.appendToWindow(length);
  }

  /** Appends an entry to the window that ends now. */
  appendToWindow(length: number = 200): number {
    const procSeq = ++this.#seq;
    const { meta, text } = makeEntry(this.procId, procSeq, this.clock.wallMs(), length);
    this.books.append(this.procId, procSeq, meta, text);
    this.spool.append(procSeq, meta, new TextEncoder().encode(text));
    return procSeq;
  }

  /** Uploads all; the collector takes everything. @returns Batches. */
  drain(entriesMax: number = 8, bodyBytesMax: number = 262_144): number {
    let failures = 0;
    for (let batches = 0; batches < 10_000;) {
      const batch = this.spool.offer(entriesMax, bodyBytesMax);
      if (batch === null && (this.spool.status().lastError === null || ++failures > 10)) {
        return batches;
      }
      if (batch === null) continue;
      batches++;
      assert.ok(batch.entries.length > 0 && batch.entries.length <= entriesMax);
      this.books.store(batch);
      this.spool.delivered(batch);
    }
    throw new Error("Cannot drain: there is always more");
  }
}
