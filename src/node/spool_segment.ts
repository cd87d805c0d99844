/**
 * One stretch of a spool: on disk, or in memory where there is no disk or it fails. Both hold the same bytes.
 *
 * In: whole records, appended. Out: the same in order, and what became of those that are damaged. A segment is sealed when
 * nothing will be added; then its length is known beside it, so that a file cut short is found out.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import type { SpoolFiles } from "./spool_files.ts";
import {
  type RecordInfo,
  scanSegment,
  SEGMENT_HEADER_BYTES,
  SEGMENT_WINDOW_BYTES,
  segmentHeader,
} from "./spool_record.ts";

/** Times in a row that a file may refuse to be read before what it refuses is given up. */
export const READ_ATTEMPTS_MAX = 5;
/** A disk fails by sectors; what lies around a bad one is still read. */
const PAGE_BYTES = 4_096;

/** What waits at one place of a segment. */
export type WaitingPart =
  | {
    readonly kind: "record";
    readonly offset: number;
    readonly end: number;
    readonly info: RecordInfo;
    /** null = the entry's bytes are damaged. */
    readonly payload: Uint8Array | null;
  }
  | {
    readonly kind: "damage";
    readonly offset: number;
    readonly end: number;
    /** What was here is of a window between these: of the records around it, or of the whole segment. */
    readonly startNs: bigint;
    readonly endNs: bigint;
  };

/** A stretch of records, written at its end and read from its beginning. */
export abstract class Segment {
  /** Bytes written, header included. */
  bytes = SEGMENT_HEADER_BYTES;
  /** Records that wait. */
  records = 0;
  /** All before this offset is delivered or declared lost. */
  ackedBytes = SEGMENT_HEADER_BYTES;
  /** All before this offset may have been sent. */
  offeredBytes = SEGMENT_HEADER_BYTES;
  /** Whether nothing will be added. */
  isSealed = false;
  /** Whether its end is where a process stopped in the middle, so that what is damaged there was never whole. */
  isCutOff = false;
  /** From the start of the last window settled, or of the first, to the inclusive end of the last one. */
  startNs: bigint;
  endNs: bigint;

  /** @param startNs Start of the first window in it. */
  constructor(startNs: bigint) {
    this.startNs = startNs;
    this.endNs = startNs;
  }

  /** Whether a kill takes it. */
  abstract readonly isVolatile: boolean;

  /** Appends a record. @throws {SystemCallError} If the disk fails; then nothing of it counts. */
  abstract append(record: Uint8Array): void;
  /**
   * Reads up to `length` bytes.
   * @param force Zeros stand for what cannot be read, at once instead of after READ_ATTEMPTS_MAX attempts.
   */
  abstract read(offset: number, length: number, force: boolean): Uint8Array;

  /** Whether nothing in it waits. */
  get isDone(): boolean {
    return this.ackedBytes >= this.bytes;
  }

  /** Appends a record and counts it. @throws {SystemCallError} As append(). */
  add(record: Uint8Array, info: RecordInfo): void {
    this.append(record);
    this.count(info);
  }

  /** Counts a record that stands in it. */
  count(info: RecordInfo): void {
    this.records++;
    if (info.startNs < this.startNs) this.startNs = info.startNs;
    if (info.endNs > this.endNs) this.endNs = info.endNs;
  }

  /** Reads what waits, part by part; neighbouring damage is one part. @throws {SystemCallError} As read(). */
  *waiting(force: boolean): Generator<WaitingPart> {
    let from = this.ackedBytes;
    let damagedFrom = -1;
    let startNs = this.startNs;
    const damage = (end: number, endNs: bigint): WaitingPart => {
      return { kind: "damage", offset: damagedFrom, end, startNs, endNs };
    };
    while (from < this.bytes) {
      const length = Math.min(SEGMENT_WINDOW_BYTES, this.bytes - from);
      const window = this.read(from, length, force);
      let next = from;
      for (const part of scanSegment(window, from + length >= this.bytes)) {
        const offset = from + part.offset;
        next = from + part.end;
        if (part.kind === "damage") {
          if (damagedFrom < 0) damagedFrom = offset;
          continue;
        }
        if (damagedFrom >= 0) yield damage(offset, part.info.endNs);
        damagedFrom = -1;
        startNs = part.info.startNs;
        yield { ...part, offset, end: next };
      }
      from = next;
    }
    if (damagedFrom >= 0) yield damage(this.bytes, this.endNs);
  }
}

const NAME = /^([0-9a-f]{8})\.seg$/;

/** A segment in a file. */
export class DiskSegment extends Segment {
  readonly isVolatile = false;
  /** Whether all of it survives a power failure. */
  isSynced = false;
  readonly #files: SpoolFiles;
  readonly #name: string;
  #readFailures = 0;

  private constructor(files: SpoolFiles, readonly id: number, startNs: bigint) {
    super(startNs);
    this.#files = files;
    this.#name = `${id.toString(16).padStart(8, "0")}.seg`;
  }

  /**
   * Makes a new one.
   * @param records Bytes that stand in it from the beginning.
   * @throws {SystemCallError} If it cannot; then nothing of it counts.
   */
  static make(files: SpoolFiles, id: number, startNs: bigint, records: Uint8Array): DiskSegment {
    const segment = new DiskSegment(files, id, startNs);
    const bytes = new Uint8Array(SEGMENT_HEADER_BYTES + records.length);
    bytes.set(segmentHeader(id));
    bytes.set(records, SEGMENT_HEADER_BYTES);
    try {
      files.write(segment.#name, 0, bytes);
    } catch (error) {
      attempt(() => files.remove(segment.#name));
      throw error;
    }
    segment.bytes = bytes.length;
    return segment;
  }

  /** Takes over the one that a former process left. @param bytes Its length. */
  static found(files: SpoolFiles, id: number, startNs: bigint, bytes: number): DiskSegment {
    const segment = new DiskSegment(files, id, startNs);
    segment.bytes = bytes;
    segment.isSealed = true;
    return segment;
  }

  /** Has zeros stand for what cannot be read from now on: its file was not there when the spool was opened. */
  giveUp(): void {
    this.#readFailures = READ_ATTEMPTS_MAX;
    this.isSynced = true;
  }

  /** Ids of the segments in a directory, in order. */
  static idsIn(names: readonly string[]): number[] {
    return names.flatMap((name) => {
      const match = NAME.exec(name);
      return match === null ? [] : [parseInt(match[1], 16)];
    }).sort((a, b) => a - b);
  }

  /** Length of a segment's file. @throws {SystemCallError} If the system does not say. */
  static fileBytes(files: SpoolFiles, id: number): number {
    return files.size(new DiskSegment(files, id, 0n).#name);
  }

  append(record: Uint8Array): void {
    this.isSynced = false;
    try {
      this.#files.write(this.#name, this.bytes, record);
    } catch (error) {
      // What stands behind the end counts for nothing, for a sealed segment's length is written down.
      this.isSealed = true;
      attempt(() => this.#files.truncate(this.#name, this.bytes));
      throw error;
    }
    this.bytes += record.length;
  }

  read(offset: number, length: number, force: boolean): Uint8Array {
    const end = Math.min(offset + length, this.bytes);
    const bytes = new Uint8Array(end - offset);
    try {
      // A file that is shorter than it should be goes on in zeros, which are no records.
      bytes.set(this.#files.read(this.#name, offset, bytes.length));
      this.#readFailures = 0;
    } catch (error) {
      if (!force && !this.#isGivenUp(error)) throw error;
      for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
        const page = Math.min(PAGE_BYTES, bytes.length - at);
        attempt(() => bytes.set(this.#files.read(this.#name, offset + at, page), at));
      }
    }
    return bytes;
  }

  /** Has it survive a power failure. @throws {SystemCallError} If the disk fails. */
  sync(): void {
    if (this.isSynced) return;
    this.#files.sync(this.#name);
    this.isSynced = true;
  }

  /** Whether somebody removed its file. */
  isGone(): boolean {
    return meetsGone(() => this.#files.sync(this.#name));
  }

  /** Gives its room back. @throws {SystemCallError} If the system refuses. */
  remove(): void {
    this.#files.remove(this.#name);
  }

  /** Other errors than these do not say that the bytes are gone: they may be read when rights or descriptors are back. */
  #isGivenUp(error: unknown): boolean {
    const errno = error instanceof SystemCallError ? error.errno : 0;
    if (errno !== ERRNO.EIO && errno !== ERRNO.ENOENT) return false;
    return ++this.#readFailures >= READ_ATTEMPTS_MAX;
  }
}

/** A segment in memory. */
export class MemorySegment extends Segment {
  readonly isVolatile = true;
  #memory = new Uint8Array(4_096);

  append(record: Uint8Array): void {
    const needed = this.bytes + record.length;
    if (needed > this.#memory.length) {
      const larger = new Uint8Array(Math.max(needed, this.#memory.length * 2));
      larger.set(this.#memory);
      this.#memory = larger;
    }
    this.#memory.set(record, this.bytes);
    this.bytes = needed;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#memory.subarray(offset, Math.min(offset + length, this.bytes));
  }
}

/** Whether an error says that a file is not there. */
export function isGoneError(error: unknown): boolean {
  return error instanceof SystemCallError && error.errno === ERRNO.ENOENT;
}

/** Whether a call fails because a file is not there. */
export function meetsGone(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    return isGoneError(error);
  }
}

/** Runs what may fail without harm. */
function attempt(run: () => void): void {
  try {
    run();
  } catch {
    // Said at the call: the error that counts is another one.
  }
}
