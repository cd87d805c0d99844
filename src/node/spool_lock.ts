/**
 * Lock of a spool's directory: one living process at a time.
 *
 * In: path of a file. Out: a lock that the kernel takes back when the process ends, however it ends, so that there are no
 * stale ones. The runtimes offer no flock, and Deno hides /proc from a program without all permissions, so that process
 * ids prove nothing; but both carry SQLite, whose exclusive transaction is a kernel lock (fcntl) on its file, refused
 * within one process too. The file stays empty.
 */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { ERRNO, SystemCallError } from "../errors.ts";
import { systemError } from "./system_error.ts";

/** A held lock. */
export interface SpoolLock {
  /** Gives it back; safe to call twice. */
  release(): void;
}

/**
 * Takes the lock.
 * @throws {SystemCallError} EBUSY if another spool has it; others if the file cannot be made.
 */
export function takeSpoolLock(path: string): SpoolLock {
  try {
    // SQLite would make the file readable for all.
    closeSync(openSync(path, "a", 0o600));
  } catch (error) {
    throw systemError(`make lock "${path}"`, error);
  }
  let database: DatabaseSync | null = new DatabaseSync(path);
  try {
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    const isBusy = error instanceof Error && error.message.includes("locked");
    const errno = isBusy ? ERRNO.EBUSY : ERRNO.EIO;
    const failed = new SystemCallError(
      `lock "${path}"`,
      errno,
      isBusy ? "another process has the spool open" : String(error),
    );
    failed.cause = error;
    throw failed;
  }
  return {
    release(): void {
      database?.close();
      database = null;
    },
  };
}
