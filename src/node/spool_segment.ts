/**
 * One stretch of a spool: on disk, or in memory where there is no disk or it fails. Both hold the same bytes.
 *
 * In: whole records, appended. Out: their bytes again, and how far they were offered and acknowledged.
 */
import { SEGMENT_HEADER_BYTES, segmentHeader } from "./spool_record.ts";
import type { SpoolFiles } from "./spool_files.ts";

/** A stretch of records, written at its end and read from its beginning. */
export abstract class Segment {
  /** Bytes written, header included. */
  bytes = SEGMENT_HEADER_BYTES;
  /** Records that are not yet acknowledged. */
  records = 0;
  /** All before this offset is delivered or declared lost. */
  ackedBytes = SEGMENT_HEADER_BYTES;
  /** All before this offset may have been sent. */
  offeredBytes = SEGMENT_HEADER_BYTES;

  /** Whether a kill takes it. */
  abstract readonly isVolatile: boolean;

  /** Appends a record. @throws {SystemCallError} If the disk fails; then nothing of it counts. */
  abstract append(record: Uint8Array): void;
  /** Reads up to `length` bytes. */
  abstract read(offset: number, length: number): Uint8Array;
  /** Has it survive a power failure. */
  abstract sync(): void;
  /** Gives its room back. */
  abstract remove(): void;

  /** Whether nothing in it waits. */
  get isDone(): boolean {
    return this.ackedBytes >= this.bytes;
  }
}

const NAME = /^([0-9a-f]{8})\.seg$/;

/** A segment in a file. */
export class DiskSegment extends Segment {
  readonly isVolatile = false;
  readonly #files: SpoolFiles;
  readonly #name: string;

  private constructor(files: SpoolFiles, readonly id: number) {
    super();
    this.#files = files;
    this.#name = `${id.toString(16).padStart(8, "0")}.seg`;
  }

  /** Makes a new one. @throws {SystemCallError} If it cannot; then no file is left. */
  static make(files: SpoolFiles, id: number): DiskSegment {
    const segment = new DiskSegment(files, id);
    try {
      files.write(segment.#name, 0, segmentHeader(id));
    } catch (error) {
      try {
        files.remove(segment.#name);
      } catch {
        // The error that counts is the first; an empty segment does no harm.
      }
      throw error;
    }
    return segment;
  }

  /** Takes over the one that a former process wrote. */
  static found(files: SpoolFiles, id: number): DiskSegment {
    const segment = new DiskSegment(files, id);
    segment.bytes = files.size(segment.#name);
    return segment;
  }

  /** Ids of the segments in a directory, in order. */
  static idsIn(names: readonly string[]): number[] {
    return names.flatMap((name) => {
      const match = NAME.exec(name);
      return match === null ? [] : [parseInt(match[1], 16)];
    }).sort((a, b) => a - b);
  }

  append(record: Uint8Array): void {
    try {
      this.#files.write(this.#name, this.bytes, record);
    } catch (error) {
      try {
        this.#files.truncate(this.#name, this.bytes);
      } catch {
        // The torn record will be found and declared as one that may have arrived.
      }
      throw error;
    }
    this.bytes += record.length;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#files.read(this.#name, offset, Math.min(length, this.bytes - offset));
  }

  sync(): void {
    this.#files.sync(this.#name);
  }

  remove(): void {
    this.#files.remove(this.#name);
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

  sync(): void {}

  remove(): void {
    this.#memory = new Uint8Array(0);
  }
}
