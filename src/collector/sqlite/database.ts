/**
 * The store's database: made, opened, brought to the newest version, locked; its errors in our words.
 *
 * In: a path. Out: a connection. Guarantees: what is not a store of ours, or one of a later version, is refused before
 * anything is written to it; a new store appears whole or not at all; one writer at a time, whose lock the kernel takes
 * back however it ends.
 */
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { StoreError, type StoreErrorCode } from "../store.ts";
import { APPLICATION_ID, MIGRATIONS } from "./schema.ts";

/** What SQLite says, and what it means to us. Both runtimes give its words; only one gives its numbers always. */
const CODES: readonly (readonly [RegExp, StoreErrorCode])[] = [
  [/disk is full/, "full"],
  [/readonly database/, "readonly"],
  [/is locked/, "busy"],
  [/not a database|malformed/, "damaged"],
];

/** Makes a StoreError of what was thrown. @param action Without "Cannot": `write to store "x.db"`. */
export function storeError(action: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const words = error instanceof Error ? error.message : String(error);
  const code = CODES.find(([pattern]) => pattern.test(words))?.[1] ?? "other";
  return new StoreError(code, `Cannot ${action}: ${words}`, error);
}

/** Runs `run` in one transaction: all of it is durable afterwards, or nothing happened. @throws {StoreError} */
export function transact<T>(database: DatabaseSync, action: string, run: () => T): T {
  try {
    database.exec("BEGIN IMMEDIATE");
    const result = run();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    rollBack(database);
    throw storeError(action, error);
  }
}

/** Runs `run` on one state of the database. @throws {StoreError} */
export function readAtOnce<T>(database: DatabaseSync, action: string, run: () => T): T {
  try {
    database.exec("BEGIN");
    return run();
  } catch (error) {
    throw storeError(action, error);
  } finally {
    rollBack(database);
  }
}

/** Prepares a statement whose rows are arrays: half the time where there are many. The type declarations lack it. */
export function prepareArrays(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql) as StatementSync & {
    setReturnArrays(isEnabled: boolean): void;
  };
  statement.setReturnArrays(true);
  return statement;
}

function rollBack(database: DatabaseSync): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // SQLite has done so itself, or never began.
  }
}

/** Opens the store for its writer; makes it where there is none. The lock must be held. @throws {StoreError} */
export function openForWriting(
  path: string,
  migrations: readonly string[] = MIGRATIONS,
): DatabaseSync {
  const action = `open store "${path}"`;
  if (isEmptyOrMissing(path)) make(path, action, migrations);
  else refuseForeign(path);
  return opened(action, () => new DatabaseSync(path), (database) => {
    migrate(database, path, migrations);
    // FULL: what was answered with 200 survives the machine's end, not only ours. Nobody else writes; but a reader of another
    // thread that goes away has been seen to hold the lock for 2 ms (Bun 1.4), just when roll-ups are written at the end.
    database.exec(
      "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 1000; PRAGMA cache_size = -8192;" +
        "PRAGMA wal_autocheckpoint = 4096; PRAGMA temp_store = MEMORY",
    );
  });
}

/** Opens the store for a reader. @throws {StoreError} */
export function openForReading(path: string): DatabaseSync {
  const action = `read store "${path}"`;
  if (isEmptyOrMissing(path)) {
    throw new StoreError("other", `Cannot ${action}: it does not exist`);
  }
  return opened(action, () => new DatabaseSync(path, { readOnly: true }), (database) => {
    refuseForeignConnection(database, path);
    const version = versionOf(database);
    if (version > MIGRATIONS.length) throw newer(path, version, MIGRATIONS.length);
    if (version < MIGRATIONS.length) {
      throw new StoreError(
        "other",
        `Cannot ${action}: it is of version ${version}, write to it once`,
      );
    }
    database.exec("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192");
  });
}

function opened(
  action: string,
  open: () => DatabaseSync,
  prepare: (database: DatabaseSync) => void,
): DatabaseSync {
  let database: DatabaseSync | null = null;
  try {
    database = open();
    prepare(database);
    return database;
  } catch (error) {
    database?.close();
    throw storeError(action, error);
  }
}

/** Without opening the file: see refuseForeignConnection. */
function isEmptyOrMissing(path: string): boolean {
  return !existsSync(path) || statSync(path).size === 0;
}

/** The first bytes of a file; SQLite would write to what it opens. */
function readHead(path: string): Uint8Array {
  const head = new Uint8Array(100);
  try {
    const file = openSync(path, "r");
    try {
      return head.subarray(0, readSync(file, head, 0, head.length, 0));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw storeError(`open store "${path}"`, error);
  }
}

/** Looks at the header (https://www.sqlite.org/fileformat2.html §1.3). */
function refuseForeign(path: string): void {
  const head = readHead(path);
  const isDatabase = head.length === 100 &&
    new TextDecoder().decode(head.subarray(0, 16)) === "SQLite format 3\0";
  const view = new DataView(head.buffer);
  if (!isDatabase || view.getUint32(68) !== APPLICATION_ID) throw foreign(path);
}

/**
 * The same for a reader, by SQLite. A reader may stand beside the writer in one process, where nobody may open and close the
 * file by himself: with any close the kernel takes back all locks of the process on that file (fcntl(2)), the writer's
 * too, and the next program that opened the store and closed it would remove the log that the writer still writes to
 * (https://www.sqlite.org/howtocorrupt.html §2.2).
 */
function refuseForeignConnection(database: DatabaseSync, path: string): void {
  let id: unknown;
  try {
    id = database.prepare("PRAGMA application_id").get()!.application_id;
  } catch (error) {
    if (!/not a database/.test(String(error))) throw error;
  }
  if (id !== APPLICATION_ID) throw foreign(path);
}

function foreign(path: string): StoreError {
  return new StoreError("foreign", `Cannot open store "${path}": it is not a store of tunlog`);
}

/** Makes an empty store beside its place and moves it there. */
function make(path: string, action: string, migrations: readonly string[]): void {
  const draft = `${path}.new`;
  try {
    for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(draft + suffix, { force: true });
    // SQLite would make the file readable for all.
    closeSync(openSync(draft, "a", 0o600));
    const database = new DatabaseSync(draft);
    try {
      database.exec("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL");
      migrate(database, path, migrations);
      database.exec("PRAGMA journal_mode = WAL");
    } finally {
      database.close();
    }
    renameSync(draft, path);
  } catch (error) {
    throw storeError(action, error);
  }
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  const version = versionOf(database);
  if (version > migrations.length) throw newer(path, version, migrations.length);
  for (let next = version + 1; next <= migrations.length; next++) {
    transact(database, `bring store "${path}" to version ${next}`, () => {
      database.exec(migrations[next - 1]);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${next}`);
    });
  }
}

function versionOf(database: DatabaseSync): number {
  return database.prepare("PRAGMA user_version").get()!.user_version as number;
}

function newer(path: string, version: number, known: number): StoreError {
  return new StoreError(
    "newer",
    `Cannot open store "${path}": it is of version ${version}, this program knows ${known}`,
  );
}

/** A held lock. */
export interface StoreLock {
  /** Gives it back; safe to call twice. */
  release(): void;
}

/**
 * Takes the writer's lock, a file beside the store. Neither runtime has flock; SQLite's exclusive transaction is a lock of
 * the kernel's on its file, and is refused within one process too.
 * @throws {StoreError} `busy` if another writer has it.
 */
export function lockStore(path: string): StoreLock {
  const action = `open store "${path}"`;
  let database: DatabaseSync | null = null;
  try {
    // Not where it is there: the close would take the lock from a writer in this process.
    if (!existsSync(`${path}.lock`)) closeSync(openSync(`${path}.lock`, "a", 0o600));
    database = new DatabaseSync(`${path}.lock`);
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    const failed = storeError(action, error);
    if (failed.code !== "busy") throw failed;
    throw new StoreError("busy", `Cannot ${action}: another process writes to it`, error);
  }
  return {
    release(): void {
      database?.close();
      database = null;
    },
  };
}
