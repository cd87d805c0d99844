/**
 * A spool's directory in memory, with faults on order: the n-th call fails, writes are short, the process is killed in the
 * middle of a call, power fails and takes what was not synced.
 *
 * A MemoryDisk is the directory; MemorySpoolFiles is what one process sees of it. Calls are numbered from 0.
 */
import { ERRNO, SystemCallError } from "../../src/errors.ts";
import type { SpoolFiles } from "../../src/node/spool_files.ts";

/** One call on the files. */
export interface FileCall {
  readonly index: number;
  readonly operation: Exclude<keyof SpoolFiles, "directory">;
  readonly name: string;
  /** Valid iff the operation is a read or write; else 0. */
  readonly offset: number;
  readonly length: number;
}

/** What goes wrong at one call. */
export type FileFault =
  /** It is refused; of a write, so many bytes are done first. */
  | { readonly errno: number; readonly writtenBytes?: number }
  /** The process ends in it; of a write, so many bytes are done first. All later calls fail. */
  | { readonly kill: true; readonly writtenBytes?: number };

const PAGE_BYTES = 4_096;
const ZEROS = new Uint8Array(PAGE_BYTES);

/** Content of a file. Never changed in place, so that copies share it; a state file of 1 MiB is written often. */
class Content {
  static readonly EMPTY = new Content(0, []);

  private constructor(readonly length: number, readonly pages: readonly Uint8Array[]) {}

  static of(bytes: Uint8Array): Content {
    return Content.EMPTY.with(0, bytes);
  }

  with(offset: number, bytes: Uint8Array): Content {
    const length = Math.max(this.length, offset + bytes.length);
    const pages = [...this.pages];
    while (pages.length * PAGE_BYTES < length) pages.push(ZEROS);
    for (let done = 0; done < bytes.length;) {
      const within = (offset + done) % PAGE_BYTES;
      const part = bytes.subarray(done, done + PAGE_BYTES - within);
      const index = (offset + done - within) / PAGE_BYTES;
      done += part.length;
      if (pages[index] === ZEROS && isZero(part)) continue;
      pages[index] = pages[index].slice();
      pages[index].set(part, within);
    }
    return new Content(length, pages);
  }

  cut(length: number): Content {
    const whole = Math.floor(length / PAGE_BYTES);
    const start = new Content(whole * PAGE_BYTES, this.pages.slice(0, whole));
    return start.with(start.length, this.read(start.length, length - start.length));
  }

  read(offset: number, length: number): Uint8Array {
    const end = Math.max(offset, Math.min(this.length, offset + length));
    const bytes = new Uint8Array(end - offset);
    for (let done = 0; done < bytes.length;) {
      const within = (offset + done) % PAGE_BYTES;
      const page = this.pages[(offset + done - within) / PAGE_BYTES];
      const part = page.subarray(within, within + bytes.length - done);
      if (page !== ZEROS) bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if (bytes[index] !== 0) return false;
  return true;
}

interface MemoryFile {
  content: Content;
  synced: Content;
}

/** The directory. */
export class MemoryDisk {
  /** By name. */
  readonly files = new Map<string, MemoryFile>();
  /** What the directory was when it was synced last. */
  syncedNames = new Map<string, MemoryFile>();
  /** Decides about each call; null = it works. */
  fault: (call: FileCall) => FileFault | null = () => null;
  calls = 0;
  /** Who has the lock. */
  owner: MemorySpoolFiles | null = null;

  /** Another directory with the same bytes, as after a kill. */
  copy(): MemoryDisk {
    const disk = new MemoryDisk();
    for (const [name, { content }] of this.files) {
      disk.files.set(name, { content, synced: content });
    }
    disk.syncedNames = new Map(disk.files);
    return disk;
  }

  /** Puts a file's content. */
  put(name: string, bytes: Uint8Array): void {
    const content = Content.of(bytes);
    this.files.set(name, { content, synced: content });
  }

  /** Cuts a file short. */
  cut(name: string, length: number): void {
    const content = this.files.get(name)!.content.cut(length);
    this.files.set(name, { content, synced: content });
  }

  /** Flips one bit of a file. */
  flip(name: string, bit: number): void {
    const { content } = this.files.get(name)!;
    const byte = content.read(bit >> 3, 1);
    byte[0] ^= 1 << (bit & 7);
    const flipped = content.with(bit >> 3, byte);
    this.files.set(name, { content: flipped, synced: flipped });
  }

  /** Content of a file. */
  bytes(name: string): Uint8Array {
    const { content } = this.files.get(name)!;
    return content.read(0, content.length);
  }

  /**
   * Takes away what was not synced, names and bytes.
   * @param keeps Whether an unsynced change of this file happens to be on disk already.
   */
  powerCut(keeps: (name: string) => boolean = () => false): void {
    const names = new Map(this.syncedNames);
    for (const [name, file] of this.files) if (keeps(name)) names.set(name, file);
    for (const [name, file] of names) {
      if (!keeps(name)) file.content = file.synced;
      file.synced = file.content;
    }
    this.files.clear();
    for (const [name, file] of names) this.files.set(name, file);
    this.syncedNames = new Map(this.files);
    this.owner = null;
  }
}

const NOWHERE = { offset: 0, length: 0 } as const;

/** See file header. */
export class MemorySpoolFiles implements SpoolFiles {
  readonly directory = "/memory";
  /** Whether the process that had it was killed. */
  isKilled = false;

  constructor(readonly disk: MemoryDisk) {}

  lock(): void {
    this.#call("lock", "");
    const { owner } = this.disk;
    if (owner !== null && owner !== this && !owner.isKilled) {
      throw new SystemCallError(`lock "${this.directory}"`, ERRNO.EBUSY);
    }
    this.disk.owner = this;
  }

  names(): string[] {
    this.#call("names", "");
    return [...this.disk.files.keys()].reverse();
  }

  size(name: string): number {
    this.#call("size", name);
    return this.disk.files.get(name)?.content.length ?? 0;
  }

  read(name: string, offset: number, length: number): Uint8Array {
    this.#call("read", name, { offset, length });
    return this.#file(name).content.read(offset, length);
  }

  write(name: string, offset: number, bytes: Uint8Array): void {
    this.#call("write", name, { offset, length: bytes.length }, (length) => {
      const file = this.disk.files.get(name) ??
        { content: Content.EMPTY, synced: Content.EMPTY };
      file.content = file.content.with(offset, bytes.subarray(0, length));
      this.disk.files.set(name, file);
    });
  }

  truncate(name: string, length: number): void {
    this.#call("truncate", name);
    const file = this.#file(name);
    file.content = file.content.cut(length);
  }

  sync(name: string): void {
    this.#call("sync", name);
    const file = this.#file(name);
    file.synced = file.content;
  }

  syncDirectory(): void {
    this.#call("syncDirectory", "");
    this.disk.syncedNames = new Map(this.disk.files);
  }

  remove(name: string): void {
    this.#call("remove", name);
    this.disk.files.delete(name);
  }

  rename(name: string, newName: string): void {
    this.#call("rename", name);
    this.disk.files.set(newName, this.#file(name));
    this.disk.files.delete(name);
  }

  close(): void {
    this.#call("close", "");
    if (this.disk.owner === this) this.disk.owner = null;
  }

  #file(name: string): MemoryFile {
    const file = this.disk.files.get(name);
    if (file === undefined) throw new SystemCallError(`open "${name}"`, ERRNO.ENOENT);
    return file;
  }

  /** Counts a call and has it fail if it is to. @param write Does a write of so many bytes. */
  #call(
    operation: FileCall["operation"],
    name: string,
    { offset, length }: { readonly offset: number; readonly length: number } = NOWHERE,
    write: (length: number) => void = () => {},
  ): void {
    if (this.isKilled) throw new Error("Cannot go on: the process is killed");
    const fault = this.disk.fault({ index: this.disk.calls++, operation, name, offset, length });
    if (fault === null) return write(length);
    const done = Math.min(length, fault.writtenBytes ?? 0);
    if (done > 0) write(done);
    if ("errno" in fault) throw new SystemCallError(`${operation} "${name}"`, fault.errno);
    this.isKilled = true;
    throw new Error("Cannot go on: the process is killed");
  }
}
