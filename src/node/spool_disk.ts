/**
 * A spool's directory: its state file, new segments, refused entries, and whether the disk works.
 *
 * In: what is to be kept. Out: whether it is. A disk that fails is said once, and once when it works again; the spool goes
 * on in memory meanwhile. No error of the disk leaves this class but through open() and make().
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { SPOOL_REFUSED_BYTES_MAX } from "../limits.ts";
import type { SpoolFiles } from "./spool_files.ts";
import { type Recovered, recoverSpool } from "./spool_recovery.ts";
import { DiskSegment, isGoneError, meetsGone } from "./spool_segment.ts";
import { type SpoolState, SpoolStateFile } from "./spool_state.ts";

/** Entries that the collector refused for good, one JSON object a line; the second is the one before. */
export const REFUSED_NAMES = ["refused.ndjson", "refused.old.ndjson"] as const;

/** See file header. */
export class SpoolDisk {
  /** Whether what is in the directory is taken over. */
  isOpen = false;
  readonly #files: SpoolFiles;
  readonly #stateFile: SpoolStateFile;
  readonly #warn: (message: string) => void;
  #nextId = 1;
  /** Whether files were made whose names would not survive a power failure. */
  #hasNewNames = true;
  #writeError: string | null = null;
  #readError: string | null = null;
  #isGone = false;
  /** Whether people were told that writing fails. */
  #isFailing = false;

  constructor(files: SpoolFiles, warn: (message: string) => void) {
    this.#files = files;
    this.#stateFile = new SpoolStateFile(files);
    this.#warn = warn;
  }

  /** What fails; null = nothing. */
  get error(): string | null {
    return this.#writeError ?? this.#readError;
  }

  /** Whether new entries may go to disk. */
  get isUsable(): boolean {
    return this.isOpen && this.#writeError === null;
  }

  get nextId(): number {
    return this.#nextId;
  }

  /**
   * Locks the directory and looks at what a former process left.
   * @throws If it cannot; see mustStop().
   */
  open(nowNs: bigint): Recovered {
    this.#files.lock();
    try {
      this.#stateFile.reserve();
      const found = recoverSpool(this.#files, this.#stateFile, nowNs);
      this.#nextId = Math.max(this.#nextId, found.nextId);
      this.#hasNewNames = true;
      this.isOpen = true;
      return found;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Makes a segment. @throws {SystemCallError} If it cannot. */
  make(startNs: bigint, records: Uint8Array): DiskSegment {
    this.#hasNewNames = true;
    // The number of one that fails is not used again: nobody knows what is left of it.
    return DiskSegment.make(this.#files, this.#nextId++, startNs, records);
  }

  /** Writes the state. @returns Whether it is written. */
  write(state: SpoolState, durable: boolean): boolean {
    return this.isOpen && this.try(() => {
      this.#stateFile.write(state, durable);
      if (durable) this.#syncNames();
    });
  }

  /** Whether what failed last is a file that is not there. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Whether somebody removed the state file, most likely with its directory. */
  isStateGone(): boolean {
    return meetsGone(() => this.#stateFile.sync());
  }

  /** Has segments survive a power failure. @returns Whether they do. */
  sync(segments: readonly DiskSegment[]): boolean {
    return this.try(() => {
      for (const segment of segments) segment.sync();
      this.#syncNames();
    });
  }

  /** Has the state that was written last survive a power failure. @returns Whether it does. */
  syncState(): boolean {
    return this.try(() => this.#stateFile.sync());
  }

  /** Writes refused entries beside the spool. */
  setAside(entries: readonly Uint8Array[]): void {
    if (!this.isOpen) return;
    const length = entries.reduce((sum, entry) => sum + entry.length, 0);
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const entry of entries) {
      bytes.set(entry, offset);
      offset += entry.length;
    }
    const [name, oldName] = REFUSED_NAMES;
    this.try(() => {
      let size = this.#files.size(name);
      if (size > 0 && size + length > SPOOL_REFUSED_BYTES_MAX) {
        this.#files.rename(name, oldName);
        size = 0;
      }
      this.#files.write(name, size, bytes);
    });
  }

  /** Runs what writes. @returns Whether it did. */
  try(run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Notes that writing fails. */
  fail(error: unknown): void {
    this.#writeError = textOf(error);
    this.#isGone = isGoneError(error);
    if (!this.#isFailing) {
      this.#warn(`${this.#writeError}; the spool goes on in memory`);
    }
    this.#isFailing = true;
  }

  /** Notes whether reading fails; null = it does not. */
  noteRead(error: unknown): void {
    const before = this.#readError;
    this.#readError = error === null ? null : textOf(error);
    if (before === null && this.#readError !== null) this.#warn(this.#readError);
    if (before !== null && this.#readError === null) this.#warn("The spool can be read again");
  }

  /** Has writing tried again; endRetry() tells how it went. */
  retry(): void {
    this.#writeError = null;
  }

  endRetry(): void {
    if (this.#writeError !== null || !this.#isFailing) return;
    this.#isFailing = false;
    this.#warn(`The spool is on disk again in "${this.#files.directory}"`);
  }

  /** Closes files and gives the lock back. */
  close(): void {
    this.isOpen = false;
    try {
      this.#files.close();
    } catch {
      // The kernel closes what is left; nothing is lost by it.
    }
  }

  #syncNames(): void {
    if (!this.#hasNewNames) return;
    this.#files.syncDirectory();
    this.#hasNewNames = false;
  }
}

/** Whether an error of open() is one that must not be passed over: a later version's spool, or a living owner's. */
export function mustStop(error: unknown): boolean {
  if (error instanceof SystemCallError) return error.errno === ERRNO.EBUSY;
  return error instanceof RangeError;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
