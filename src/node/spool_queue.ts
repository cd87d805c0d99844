/**
 * The order of what waits: segments from the oldest to the newest, and which entries are in flight.
 *
 * In: records at the end. Out: entries from the beginning, which stay until they are settled. What is in flight is always
 * at the beginning, so that "delivered up to" is one offset per segment.
 * Not here: the disk's state, limits, gap records.
 */
import type { BatchSize } from "../logtail/mod.ts";
import { type RecordInfo, SEGMENT_HEADER_BYTES } from "./spool_record.ts";
import { DiskSegment, MemorySegment, type Segment, type WaitingPart } from "./spool_segment.ts";

/** One entry to upload. */
export interface SpoolEntry {
  readonly procId: number;
  readonly procSeq: number;
  /** One JSON object and its newline. */
  readonly bytes: Uint8Array;
}

/** Entries to upload in one request. */
export interface SpoolBatch {
  readonly entries: readonly SpoolEntry[];
}

/** An entry that is offered and unanswered. */
export interface InFlight {
  readonly segment: Segment;
  /** Where its record ends. */
  readonly end: number;
  readonly info: RecordInfo;
  readonly bytes: Uint8Array;
}

/** See file header. */
export class SpoolQueue {
  #segments: Segment[] = [];
  #inFlight: readonly InFlight[] = [];

  /** In order; those in memory come last. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Entries that wait, those in flight included. */
  get records(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.records, 0);
  }

  /** Bytes of the segments in memory or on disk. */
  bytes(isVolatile: boolean): number {
    return this.#segments.reduce((sum, s) => sum + (s.isVolatile === isVolatile ? s.bytes : 0), 0);
  }

  /** Whether something waits in memory. */
  get hasVolatile(): boolean {
    return this.#segments.some(({ isVolatile }) => isVolatile);
  }

  get diskSegments(): DiskSegment[] {
    return this.#segments.filter((segment) => segment instanceof DiskSegment);
  }

  /** Puts what a former process left in front. */
  unshift(segments: readonly Segment[]): void {
    this.#segments.unshift(...segments);
  }

  push(segment: Segment): void {
    this.#segments.push(segment);
  }

  /** @param segmentBytes Length from which on a segment is sealed. */
  appendToMemory(record: Uint8Array, info: RecordInfo, segmentBytes: number): void {
    let last = this.#segments.at(-1);
    const isOpen = last !== undefined && last.isVolatile && !last.isSealed &&
      last.bytes + record.length <= segmentBytes;
    if (last === undefined || !isOpen) {
      if (last !== undefined) last.isSealed = true;
      last = new MemorySegment(info.startNs);
      this.#segments.push(last);
    }
    last.add(record, info);
  }

  /** Oldest segment that may be dropped: nothing in it is in flight. */
  oldestIdle(isVolatile: boolean): Segment | undefined {
    return this.#segments.find((segment) =>
      segment.isVolatile === isVolatile && !this.#inFlight.some((item) => item.segment === segment)
    );
  }

  /**
   * Puts entries in flight, up to the first damage behind one; when some are, only those that fit stay so.
   * @param lose Takes damage at the beginning of the queue, which is then settled.
   * @throws {SystemCallError} If a read fails; what was read before is in flight.
   */
  collect(size: BatchSize, lose: (segment: Segment, part: WaitingPart) => void): void {
    if (this.#inFlight.length > 0) {
      const misfit = this.#inFlight.findIndex(({ bytes }) => !takes(size, bytes));
      if (misfit > 0) this.#inFlight = this.#inFlight.slice(0, misfit);
      return;
    }
    const batch: InFlight[] = [];
    this.#inFlight = batch;
    for (const segment of this.#segments) {
      for (const part of segment.waiting(false)) {
        const bytes = part.kind === "record" ? part.payload : null;
        if (part.kind === "damage" || bytes === null) {
          if (batch.length > 0) return;
          lose(segment, part);
          segment.ackedBytes = part.end;
          if (part.kind === "record") segment.startNs = part.info.startNs;
          continue;
        }
        if (!takes(size, bytes)) return;
        batch.push({ segment, end: part.end, info: part.info, bytes });
        segment.offeredBytes = Math.max(segment.offeredBytes, part.end);
      }
    }
  }

  /** What is in flight; null = nothing. */
  batch(): SpoolBatch | null {
    if (this.#inFlight.length === 0) return null;
    return {
      entries: this.#inFlight.map(({ info: { procId, procSeq }, bytes }) => ({
        ...{ procId, procSeq, bytes },
      })),
    };
  }

  /** Takes off what is in flight and in the batch; what is in flight and not in the batch waits again. */
  settle(batch: SpoolBatch, each: (item: InFlight) => void): void {
    const names = new Set(batch.entries.map(nameOf));
    for (const item of this.#inFlight) {
      if (!names.has(nameOf(item.info))) break;
      item.segment.ackedBytes = item.end;
      item.segment.startNs = item.info.startNs;
      item.segment.records--;
      each(item);
    }
    this.#inFlight = [];
  }

  /** Takes out the segments in which nothing waits and to which nothing will be added. @returns Those on disk. */
  takeDone(): DiskSegment[] {
    const isDone = (segment: Segment) => segment.isDone && (segment.isSealed || segment.isVolatile);
    const done = this.diskSegments.filter(isDone);
    this.#segments = this.#segments.filter((segment) => !isDone(segment));
    return done;
  }

  /** Puts another segment with the same waiting records, and none before them, in a segment's place. */
  replace(segment: Segment, copy: Segment): void {
    const shift = segment.ackedBytes - SEGMENT_HEADER_BYTES;
    copy.records = segment.records;
    copy.endNs = segment.endNs;
    copy.offeredBytes = Math.max(SEGMENT_HEADER_BYTES, segment.offeredBytes - shift);
    copy.isSealed = segment.isSealed;
    copy.isCutOff = segment.isCutOff;
    this.#segments = this.#segments.map((other) => other === segment ? copy : other);
    this.#inFlight = this.#inFlight.map((item) =>
      item.segment === segment ? { ...item, segment: copy, end: item.end - shift } : item
    );
  }
}

/** Name of an entry: no two have the same. */
export function nameOf(entry: { readonly procId: number; readonly procSeq: number }): string {
  return `${entry.procId}/${entry.procSeq}`;
}

function takes(size: BatchSize, bytes: Uint8Array): boolean {
  if (!size.takes(bytes.length)) return false;
  size.add(bytes.length);
  return true;
}
