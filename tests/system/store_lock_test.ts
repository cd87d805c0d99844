/**
 * The store's lock while it is open: other programs may look into it, and take nothing from the writer.
 *
 * SQLite's log is removed by whoever closes the database last, which it tells by the kernel's locks. Method: those locks; a writer and a
 * reader in this process, as in the collector; then another process opens the store as any database tool does, and goes.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { openSqliteReader, openSqliteWriter, type StoreReader } from "../../src/collector/mod.ts";
import { openZstd } from "../../src/platform/mod.ts";
import { mustSync } from "./support/command.ts";
import { OWN_RUNTIME } from "./support/runtimes.ts";

/** Locks that the kernel knows of on a file (proc_locks(5)). */
function lockCount(path: string): number {
  const { ino } = statSync(path);
  const lines = readFileSync("/proc/locks", "utf8").split("\n");
  return lines.filter((line) => line.includes(`:${ino} `)).length;
}

/** Runs a script that has DatabaseSync in another process. */
function runElsewhere(script: string): void {
  const code = `const { DatabaseSync } = await import("node:sqlite"); ${script}`;
  mustSync([process.execPath, OWN_RUNTIME === "deno" ? "eval" : "-e", code]);
}

test("another program that opens the store and closes it does not remove the writer's log", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-lock-"));
  const path = join(directory, "store.db");
  const writer = openSqliteWriter(path, { zstd: await openZstd() });
  const readers: StoreReader[] = [];
  const read = () => {
    readers.push(openSqliteReader(path));
    return readers.at(-1)!.streams().length;
  };
  try {
    writer.adopt("c", "a".repeat(64), 1);
    assert.equal(read(), 1);
    assert.ok(lockCount(path) > 0, "a reader that was opened has not taken the writer's lock");
    runElsewhere(`const database = new DatabaseSync(${JSON.stringify(path)});
      database.exec("SELECT count(*) FROM stream");
      database.close();`);
    assert.ok(existsSync(`${path}-wal`), "the log is there");
    writer.adopt("c", "b".repeat(64), 1);
    assert.equal(read(), 2, "what is written now is found");
    assert.ok(lockCount(path) > 0);
    // Nor does a second writer that is refused here give the place to one elsewhere.
    const zstd = await openZstd();
    assert.throws(() => openSqliteWriter(path, { zstd }), /another process writes to it/);
    const lock = JSON.stringify(`${path}.lock`);
    const take = `new DatabaseSync(${lock}).exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");`;
    assert.throws(() => runElsewhere(take), /database is locked/);
  } finally {
    for (const reader of readers) reader.close();
    writer.close();
    rmSync(directory, { recursive: true });
  }
});
