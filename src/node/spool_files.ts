/**
 * The few file operations of a spool's directory, as a port: the real one here, in tests one in memory that fails on order
 * (tests/support/memory_spool_files.ts).
 *
 * In: names without folders. Out: bytes. All calls are synchronous: a spool is written a few times per second, from the
 * thread that writes the log, never from the data plane's. Files are made with mode 0600, the directory with 0700.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ERRNO, SystemCallError } from "../errors.ts";
import { type SpoolLock, takeSpoolLock } from "./spool_lock.ts";
import { errnoOf, systemError } from "./system_error.ts";

/** Files of one directory. @throws {SystemCallError} Every call, if the system refuses. */
export interface SpoolFiles {
  /** For messages. */
  readonly directory: string;
  /** Makes the directory if need be and locks it; EBUSY if another spool has it open. The first call. */
  lock(): void;
  names(): string[];
  /** Bytes of a file; 0 when there is none. */
  size(name: string): number;
  /** Reads up to `length` bytes; fewer at the end of the file. */
  read(name: string, offset: number, length: number): Uint8Array;
  /** Writes all of `bytes`; makes the file if need be. After an error a part of them may stand there. */
  write(name: string, offset: number, bytes: Uint8Array): void;
  truncate(name: string, length: number): void;
  /** Has what was written survive a power failure. */
  sync(name: string): void;
  /** The same for names made and removed. */
  syncDirectory(): void;
  /** Removes a file; one that is not there is no error. */
  remove(name: string): void;
  /** Gives a file another name, in place of one that has it. */
  rename(name: string, newName: string): void;
  /** Closes what is open and gives the lock back; files stay. */
  close(): void;
}

/** Files kept open at once: the segment written, the one read, the state. */
const OPEN_FILES_MAX = 4;
const LOCK_NAME = "lock";

/** Returns the files of a directory; touches nothing before lock(). */
export function spoolFilesIn(directory: string): SpoolFiles {
  return new DirectoryFiles(directory);
}

class DirectoryFiles implements SpoolFiles {
  readonly directory: string;
  /** In order of last use. */
  readonly #open = new Map<string, number>();
  #lock: SpoolLock | null = null;

  constructor(directory: string) {
    this.directory = directory;
  }

  lock(): void {
    this.#try("make", "", () => mkdirSync(this.directory, { recursive: true, mode: 0o700 }));
    this.#lock ??= takeSpoolLock(join(this.directory, LOCK_NAME));
  }

  names(): string[] {
    return this.#try("list spool", "", () => readdirSync(this.directory));
  }

  size(name: string): number {
    return this.#try("read", name, () => {
      try {
        return fstatSync(this.#file(name, false)).size;
      } catch (error) {
        if (errnoOf(error) === ERRNO.ENOENT) return 0;
        throw error;
      }
    });
  }

  read(name: string, offset: number, length: number): Uint8Array {
    return this.#try("read", name, () => {
      const fd = this.#file(name, false);
      const bytes = new Uint8Array(Math.max(0, Math.min(length, fstatSync(fd).size - offset)));
      let done = 0;
      while (done < bytes.length) {
        const count = readSync(fd, bytes, done, bytes.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return bytes.subarray(0, done);
    });
  }

  write(name: string, offset: number, bytes: Uint8Array): void {
    this.#try("write", name, () => {
      const fd = this.#file(name, true);
      for (let done = 0; done < bytes.length;) {
        const count = writeSync(fd, bytes, done, bytes.length - done, offset + done);
        if (count === 0) throw new SystemCallError(`write "${name}"`, ERRNO.EIO);
        done += count;
      }
    });
  }

  truncate(name: string, length: number): void {
    this.#try("shorten", name, () => ftruncateSync(this.#file(name, false), length));
  }

  sync(name: string): void {
    this.#try("sync", name, () => {
      const fd = this.#file(name, false);
      fsyncSync(fd);
      // What is written to a file that somebody removed is gone with the process.
      if (fstatSync(fd).nlink === 0) {
        throw new SystemCallError(`find "${join(this.directory, name)}"`, ERRNO.ENOENT);
      }
    });
  }

  syncDirectory(): void {
    this.#try("sync", "", () => {
      const fd = openSync(this.directory, constants.O_RDONLY);
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  remove(name: string): void {
    this.#closeFile(name);
    this.#try("remove", name, () => rmSync(join(this.directory, name), { force: true }));
  }

  rename(name: string, newName: string): void {
    this.#closeFile(name);
    this.#closeFile(newName);
    this.#try(
      "rename",
      name,
      () => renameSync(join(this.directory, name), join(this.directory, newName)),
    );
  }

  close(): void {
    for (const name of [...this.#open.keys()]) this.#closeFile(name);
    this.#lock?.release();
    this.#lock = null;
  }

  #file(name: string, make: boolean): number {
    const known = this.#open.get(name);
    if (known !== undefined) {
      this.#open.delete(name);
      this.#open.set(name, known);
      return known;
    }
    for (const oldest of this.#open.keys()) {
      if (this.#open.size < OPEN_FILES_MAX) break;
      this.#closeFile(oldest);
    }
    const flags = constants.O_RDWR | (make ? constants.O_CREAT : 0);
    const fd = openSync(join(this.directory, name), flags, 0o600);
    this.#open.set(name, fd);
    return fd;
  }

  #closeFile(name: string): void {
    const fd = this.#open.get(name);
    this.#open.delete(name);
    if (fd !== undefined) closeSync(fd);
  }

  #try<T>(action: string, name: string, run: () => T): T {
    try {
      return run();
    } catch (error) {
      const path = name === ""
        ? `directory "${this.directory}"`
        : `"${join(this.directory, name)}"`;
      throw systemError(`${action} ${path}`, error, {
        [ERRNO.ENOSPC]: "free some space or lower the spool's size",
      });
    }
  }
}
