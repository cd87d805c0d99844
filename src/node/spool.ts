/**
 * Holds the flow log's entries until the collector has them (SPEC 6.2 points 2, 7, 16, 17).
 *
 * In: entries with what they are about. Out: batches to upload, gap records first, each the same until it is settled.
 * Guarantees: what is read is not consumed; over the limit the oldest go, a segment at a time, but never what is offered
 * and unanswered; every entry is delivered, or declared in a gap record once, with its window, its traffic by class and
 * direction, and the cause, or it waits. An error of the disk is never thrown: the spool goes on in memory
 * (SPOOL_MEMORY_BYTES_MAX) and moves to disk at the next sync() that succeeds. A kill takes what is in memory only; the
 * next process declares the time from the last window that was synced on as `killed`, unless this one could never write
 * to its directory.
 * Durability: append() writes and does not fsync, so that a kill takes nothing; sync(), once per window, fsyncs the
 * segment and the state, so that a power failure takes a window at most. The state is fsynced before a batch is offered
 * first, for what was offered must be known when it is lost, and (twice, into both its places) before a gap record is and
 * before a segment is removed; answers are written without fsync: a power failure repeats some uploads, which the
 * collector knows by their names. The state file (1 MiB) and refused entries (8 MiB) come on top of `bytesMax`.
 * Not here: when to upload, back-off, compression.
 */
import {
  GAP_HOLD_OFF_MS,
  SPOOL_MEMORY_BYTES_MAX,
  SPOOL_SEGMENT_BYTES,
  SPOOL_SEGMENTS_MAX,
  SPOOL_SEGMENTS_MIN,
} from "../limits.ts";
import { BatchSize, entryLine, type GapCause, gapText, type LostRange } from "../logtail/mod.ts";
import type { ClockPort } from "../ports.ts";
import { nsOfWallMs } from "../time_text.ts";
import { mustStop, SpoolDisk } from "./spool_disk.ts";
import type { SpoolFiles } from "./spool_files.ts";
import { type SpoolLoss, SpoolLosses } from "./spool_losses.ts";
import {
  encodeRecord,
  type EntryMeta,
  type RecordInfo,
  SEGMENT_HEADER_BYTES,
} from "./spool_record.ts";
import { nameOf, type SpoolBatch, SpoolQueue } from "./spool_queue.ts";
import { unknownLoss } from "./spool_recovery.ts";
import { DiskSegment, MemorySegment, type Segment, type WaitingPart } from "./spool_segment.ts";
import type { SpoolState } from "./spool_state.ts";

export type { SpoolBatch, SpoolEntry } from "./spool_queue.ts";
export type { SpoolLoss } from "./spool_losses.ts";

/** How a spool is. */
export interface SpoolStatus {
  /** Entries that wait, gap records included. */
  readonly entries: number;
  /** Bytes of the segments that hold them. */
  readonly bytes: number;
  /** Where new entries go. */
  readonly where: "disk" | "memory";
  /** What fails on the disk; null = nothing. */
  readonly lastError: string | null;
  /** Since the spool was opened, what came to light then included. */
  readonly lost: Readonly<Record<GapCause, SpoolLoss>>;
}

/** What a spool is made of. */
export interface SpoolOptions {
  /** null = memory only. */
  readonly files: SpoolFiles | null;
  /** Bound of all segments. */
  readonly bytesMax: number;
  /** Of this process. */
  readonly procId: number;
  /** Next proc_seq of this process, for gap records. */
  readonly nextSeq: () => number;
  readonly clock: ClockPort;
  readonly warn: (message: string) => void;
}

/** See file header. */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #disk: SpoolDisk | null;
  readonly #losses = new SpoolLosses();
  readonly #queue = new SpoolQueue();
  /** Files that are done with, and stay until the state that says so is durable. */
  #done: DiskSegment[] = [];
  /** Whether the gap record under way is on disk, so that it is offered. */
  #isGapSaved = false;
  /** What close() returned; null = not closed. */
  #closedEntries: number | null = null;
  #startedNs = 0n;
  /** End of the last window appended, and of the last one of which everything is on disk or settled. */
  #appendedNs = 0n;
  #coveredNs = 0n;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#disk = options.files === null ? null : new SpoolDisk(options.files, options.warn);
  }

  /**
   * Takes over what a former process left.
   * @throws {RangeError} If a later version of tunlog wrote it; {SystemCallError} EBUSY if a living process has it open.
   */
  open(): void {
    this.#startedNs = this.#wallNs();
    if (this.#disk === null) return;
    try {
      this.#takeOver(this.#disk);
    } catch (error) {
      if (mustStop(error)) throw error;
      this.#disk.fail(error);
    }
  }

  /** Keeps an entry. Never throws. @param entry Copied. */
  append(procSeq: number, meta: EntryMeta, entry: Uint8Array): void {
    const info = { ...meta, procId: this.#options.procId, procSeq };
    if (meta.endNs > this.#appendedNs) this.#appendedNs = meta.endNs;
    let record: Uint8Array;
    try {
      record = encodeRecord(info, entry);
    } catch {
      return this.#losses.add(lostRange(info, "tooLarge", false));
    }
    if (this.#mayUseDisk() && !this.#makeRoom(false, record.length)) {
      return this.#losses.add(lostRange(info, "full", false));
    }
    if (this.#mayUseDisk() && this.#appendToDisk(record, info)) return;
    if (this.#makeRoom(true, record.length)) {
      this.#queue.appendToMemory(record, info, segmentBytes(this.#memoryBytesMax));
    } else this.#losses.add(lostRange(info, this.#memoryCause, false));
  }

  /**
   * Returns what to upload next, and marks it as offered. null = nothing waits that could be uploaded now.
   * @param entriesMax At least 1.
   */
  offer(entriesMax: number, bodyBytesMax: number): SpoolBatch | null {
    if (this.#closedEntries !== null) return null;
    const size = new BatchSize(entriesMax, bodyBytesMax);
    if (this.#queue.batch() !== null) return this.#offerEntries(size);
    // Damage that is found on the way to the next entry may leave a gap record and no entry.
    return this.#offerGap() ?? this.#offerEntries(size) ?? this.#offerGap();
  }

  /** Forgets what the collector has. */
  delivered(batch: SpoolBatch): void {
    if (this.#isGap(batch)) this.#losses.settle();
    else this.#queue.settle(batch, () => {});
    this.#takeDone();
    this.#write(false);
  }

  /** Gives up what the collector refuses for good; a gap record is held back instead. */
  setAside(batch: SpoolBatch, cause: "refused" | "tooLarge"): void {
    if (this.#isGap(batch)) {
      this.#losses.hold(this.#options.clock.nowMs() + GAP_HOLD_OFF_MS);
      return;
    }
    const refused: Uint8Array[] = [];
    this.#queue.settle(batch, ({ info, bytes }) => {
      refused.push(bytes);
      this.#losses.add(lostRange(info, cause, true));
    });
    this.#disk?.setAside(refused);
    this.#takeDone();
    this.#write(false);
  }

  /** Has all survive a power failure, and tries again what the disk refused. Once per window, after its last entry. */
  sync(): void {
    const disk = this.#disk;
    if (disk === null || this.#closedEntries !== null) return;
    disk.retry();
    // Before that, the gap record of this process would stand beside a former one's; there is room for one.
    if (!disk.isOpen && this.#losses.frozen === null) disk.try(() => this.#takeOver(disk));
    if (disk.isOpen) {
      this.#moveToDisk(disk);
      this.#removeDone();
      const coveredNs = this.#coveredNs;
      if (!this.#queue.hasVolatile) this.#coveredNs = this.#appendedNs;
      const isSynced = disk.sync(this.#queue.diskSegments) && this.#write(false) &&
        disk.syncState();
      if (!isSynced) this.#coveredNs = coveredNs;
      if (!isSynced && disk.isGone) this.#saveVanished(disk);
    }
    disk.endRetry();
  }

  /** Ends in order; safe to call twice. @returns Entries, gap records included, that wait on disk for the next start. */
  close(): number {
    this.#closedEntries ??= this.#close();
    return this.#closedEntries;
  }

  /** Tells how it is. */
  status(): SpoolStatus {
    return {
      entries: this.#queue.records + this.#losses.records,
      bytes: this.#queue.bytes(true) + this.#queue.bytes(false),
      where: this.#mayUseDisk() ? "disk" : "memory",
      lastError: this.#disk?.error ?? null,
      lost: this.#losses.totals(),
    };
  }

  #close(): number {
    const disk = this.#disk;
    this.sync();
    const onDisk = this.#queue.diskSegments.reduce((sum, { records }) => sum + records, 0);
    const inMemory = this.#queue.records - onDisk;
    if (inMemory > 0) {
      this.#options.warn(`${inMemory} entries of the flow log are in memory only and are lost`);
    }
    if (disk === null || !disk.isOpen) return this.#queue.records + this.#losses.records;
    // If the state can be written after all, the next start declares them exactly, and not as of a killed process.
    for (const segment of this.#queue.segments.filter((known) => known.isVolatile)) {
      this.#drop(segment, this.#memoryCause);
    }
    for (const segment of this.#queue.segments) segment.isSealed = true;
    this.#takeDone();
    this.#removeDone();
    disk.write({ ...this.#state(), writer: null }, true);
    disk.close();
    return onDisk + this.#losses.records;
  }

  // ---- Appending ----------------------------------------------------------------------------------------------------

  /** Whether the next entry goes to disk; behind entries in memory it must not, for order. */
  #mayUseDisk(): boolean {
    return this.#disk !== null && this.#disk.isUsable && !this.#queue.segments.at(-1)?.isVolatile;
  }

  #appendToDisk(record: Uint8Array, info: RecordInfo): boolean {
    const disk = this.#disk!;
    return disk.try(() => {
      const last = this.#queue.diskSegments.at(-1);
      const isFull = last !== undefined &&
        last.bytes + record.length > segmentBytes(this.#options.bytesMax);
      if (last !== undefined && !last.isSealed && !isFull) return last.add(record, info);
      if (last !== undefined) last.isSealed = true;
      const next = disk.make(info.startNs, record);
      next.count(info);
      this.#queue.push(next);
      this.#takeDone();
      this.#write(false);
    });
  }

  /**
   * Drops the oldest segments until a record fits.
   * @param isVolatile Whether it is to go to memory.
   * @returns Whether it fits; not when what is in flight stands in the way, or it is too long by itself.
   */
  #makeRoom(isVolatile: boolean, recordBytes: number): boolean {
    const limit = isVolatile ? this.#memoryBytesMax : this.#options.bytesMax;
    const needed = recordBytes + SEGMENT_HEADER_BYTES;
    if (needed > limit) return false;
    while (this.#queue.bytes(isVolatile) + needed > limit) {
      const oldest = this.#queue.oldestIdle(isVolatile);
      if (oldest === undefined) return false;
      this.#drop(oldest, isVolatile ? this.#memoryCause : "full");
    }
    if (!isVolatile) this.#removeDone();
    return true;
  }

  get #memoryBytesMax(): number {
    const { bytesMax } = this.#options;
    return this.#disk === null ? bytesMax : Math.min(bytesMax, SPOOL_MEMORY_BYTES_MAX);
  }

  get #memoryCause(): "full" | "memory" {
    return this.#disk === null ? "full" : "memory";
  }

  // ---- Losing -------------------------------------------------------------------------------------------------------

  #drop(segment: Segment, cause: GapCause): void {
    for (const part of segment.waiting(true)) this.#lose(segment, part, cause);
    segment.ackedBytes = segment.bytes;
    segment.isSealed = true;
    this.#takeDone();
  }

  /** @param cause Of a record that is whole or of which this does not matter; null = it is lost by damage. */
  #lose(segment: Segment, part: WaitingPart, cause: GapCause | null): void {
    const isOffered = part.offset < segment.offeredBytes;
    const damage = segment.isCutOff && part.end === segment.bytes ? "torn" : "damaged";
    if (part.kind === "damage") {
      const range = unknownLoss(damage, part.startNs, part.endNs);
      return this.#losses.add({ ...range, offered: isOffered });
    }
    segment.records--;
    this.#losses.add(lostRange(part.info, cause ?? damage, isOffered));
  }

  #takeDone(): void {
    this.#done.push(...this.#queue.takeDone());
  }

  /** Removes files that are done with. Before that, the state must say durably that nothing is missed. */
  #removeDone(): void {
    if (this.#done.length === 0 || !this.#write(true)) return;
    const done = this.#done;
    this.#done = [];
    // One that stays is found and removed at the next start.
    this.#disk!.try(() => done.forEach((segment) => segment.remove()));
  }

  // ---- Offering -----------------------------------------------------------------------------------------------------

  #offerGap(): SpoolBatch | null {
    const { procId, nextSeq, clock } = this.#options;
    if (this.#losses.isHeld(clock.nowMs())) return null;
    if (this.#losses.frozen === null) {
      if (this.#losses.pending.length === 0) return null;
      this.#losses.freeze((lost) => {
        const procSeq = nextSeq();
        const about = { clientTimeNs: this.#wallNs(), procId, procSeq };
        return { procId, procSeq, line: entryLine(gapText(lost), about) };
      });
      this.#isGapSaved = false;
    }
    // Without a state on disk none is there that could declare the same losses again.
    this.#isGapSaved ||= !this.#disk?.isOpen || this.#write(true);
    if (!this.#isGapSaved) return null;
    const { line, ...name } = this.#losses.frozen!;
    return { entries: [{ ...name, bytes: new TextEncoder().encode(line) }] };
  }

  #offerEntries(size: BatchSize): SpoolBatch | null {
    const isRepeated = this.#queue.batch() !== null;
    try {
      this.#queue.collect(size, (segment, part) => this.#lose(segment, part, null));
      this.#disk?.noteRead(null);
    } catch (error) {
      this.#disk?.noteRead(error);
    }
    this.#takeDone();
    const batch = this.#queue.batch();
    // Were it forgotten that they were offered, they could be declared lost after the collector stored them. A disk that
    // does not take the mark does not keep them from being uploaded.
    if (!isRepeated && this.#write(false) && batch !== null) this.#disk!.syncState();
    return batch;
  }

  #isGap(batch: SpoolBatch): boolean {
    const { frozen } = this.#losses;
    return frozen !== null && batch.entries.some((entry) => nameOf(entry) === nameOf(frozen));
  }

  // ---- Disk ---------------------------------------------------------------------------------------------------------

  #takeOver(disk: SpoolDisk): void {
    const found = disk.open(this.#wallNs());
    this.#queue.unshift(found.segments);
    this.#done.push(...found.leftOver);
    this.#losses.takeOver(found.lost, found.frozen);
    this.#isGapSaved = true;
    this.#write(true);
    this.#removeDone();
  }

  /** Moves entries from memory to disk, in order, as far as it takes them. */
  #moveToDisk(disk: SpoolDisk): void {
    for (const segment of this.#queue.segments.filter(({ isVolatile }) => isVolatile)) {
      const from = segment.ackedBytes;
      if (!this.#makeRoom(false, segment.bytes - from) || !disk.isUsable) return;
      const moved = disk.try(() => {
        const records = segment.read(from, segment.bytes - from, false);
        this.#queue.replace(segment, disk.make(segment.startNs, records));
      });
      if (!moved) return;
    }
  }

  /** Takes entries back into memory whose file somebody removed: they can be read as long as the file is open. */
  #saveVanished(disk: SpoolDisk): void {
    const isStateGone = disk.isStateGone();
    for (const segment of this.#queue.diskSegments) {
      if (!isStateGone && !segment.isGone()) continue;
      const copy = new MemorySegment(segment.startNs);
      disk.try(() => {
        copy.append(segment.read(segment.ackedBytes, segment.bytes - segment.ackedBytes, false));
        this.#queue.replace(segment, copy);
        segment.remove();
      });
    }
    if (isStateGone) disk.close();
  }

  #write(durable: boolean): boolean {
    return this.#disk?.write(this.#state(), durable) ?? false;
  }

  #state(): SpoolState {
    return {
      segments: this.#queue.diskSegments.map((segment) => ({
        id: segment.id,
        startNs: segment.startNs,
        ackedBytes: segment.ackedBytes,
        offeredBytes: segment.offeredBytes,
        endBytes: segment.isSealed ? segment.bytes : 0,
        endNs: segment.isSealed ? segment.endNs : 0n,
      })),
      nextId: this.#disk!.nextId,
      lost: this.#losses.pending,
      frozen: this.#losses.frozen,
      writer: { procId: this.#options.procId, startedNs: this.#startedNs },
      coveredNs: this.#coveredNs,
    };
  }

  #wallNs(): bigint {
    return nsOfWallMs(this.#options.clock.wallMs());
  }
}

/** Length from which on a segment is sealed. */
function segmentBytes(bytesMax: number): number {
  return Math.max(
    bytesMax / SPOOL_SEGMENTS_MAX,
    Math.min(bytesMax / SPOOL_SEGMENTS_MIN, SPOOL_SEGMENT_BYTES),
  );
}

function lostRange(info: RecordInfo, cause: GapCause, offered: boolean): LostRange {
  const { procId, procSeq, startNs, endNs, sums } = info;
  return {
    ...{ cause, procId, firstSeq: procSeq, lastSeq: procSeq, entries: 1 },
    ...{ startNs, endNs, sums, offered },
  };
}
