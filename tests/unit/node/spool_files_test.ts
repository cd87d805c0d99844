/**
 * Goal: a spool in a real directory: who may read it, one owner at a time, a directory that is missing, goes away or cannot be
 * made, and processes killed at any time. Method: temporary directories; child processes that are killed by SIGKILL after a
 * number of steps that differs from time to time. Takes real files and processes, no clock.
 */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Spool } from "../../../src/node/spool.ts";
import { READ_ATTEMPTS_MAX } from "../../../src/node/spool_segment.ts";
import { spoolFilesIn } from "../../../src/node/spool_files.ts";
import { MemoryClock } from "../../../src/platform/memory_clock.ts";
import { makeEntry, SpoolBooks } from "../../support/spool_books.ts";
import { CHILD_BYTES_MAX, type JournalLine } from "../../support/spool_child.ts";

const BODY_BYTES_MAX = 262_144;

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-spool-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

class Writer {
  readonly books = new SpoolBooks();
  readonly clock = new MemoryClock();
  readonly warnings: string[] = [];
  readonly spool: Spool;
  #seq = 0;

  constructor(directory: string, readonly procId: number = 1, bytesMax: number = 1_000_000) {
    this.spool = new Spool({
      ...{ files: spoolFilesIn(directory), bytesMax, procId, clock: this.clock },
      nextSeq: () => ++this.#seq,
      warn: (message) => void this.warnings.push(message),
    });
  }

  append(): void {
    this.clock.advance(5_000);
    const procSeq = ++this.#seq;
    const { meta, text } = makeEntry(this.procId, procSeq, this.clock.wallMs(), 200);
    this.books.append(this.procId, procSeq, meta, text);
    this.spool.append(procSeq, meta, new TextEncoder().encode(text));
  }

  drain(): void {
    for (;;) {
      const batch = this.spool.offer(8, BODY_BYTES_MAX);
      if (batch === null) return;
      this.books.store(batch);
      this.spool.delivered(batch);
    }
  }
}

test("Spool in a directory: made with mode 0700, its files with 0600", (t) => {
  const directory = join(temporary(t), "a", "spool");
  const writer = new Writer(directory);
  writer.spool.open();
  writer.append();
  writer.append();
  writer.spool.setAside(writer.spool.offer(1, 1)!, "refused");
  writer.spool.sync();
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  const names = readdirSync(directory).sort();
  assert.deepEqual(names, ["00000001.seg", "lock", "refused.ndjson", "state"]);
  for (const name of names) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  assert.deepEqual(writer.spool.status().where, "disk");
  assert.equal(writer.spool.close(), 2);
  const next = new Writer(directory, 2);
  next.spool.open();
  for (const [name, entry] of writer.books.appended) next.books.appended.set(name, entry);
  next.drain();
  assert.deepEqual(next.books.check(), { stored: 1, declared: 1, unknown: 0, waiting: 0 });
  next.spool.close();
  assert.deepEqual(writer.warnings, []);
});

test("Spool in a directory: a second one is refused while the first is open", (t) => {
  const directory = temporary(t);
  const [first, second] = [new Writer(directory), new Writer(directory, 2)];
  first.spool.open();
  first.append();
  assert.throws(() => second.spool.open(), /another process has the spool open/);
  first.append();
  assert.equal(first.spool.close(), 2);
  second.spool.open();
  assert.equal(second.spool.status().entries, 2);
  second.spool.close();
});

test("Spool in a directory that cannot be made goes on in memory, and on disk when it can", (t) => {
  const parent = temporary(t);
  const directory = join(parent, "file", "spool");
  writeFileSync(join(parent, "file"), "");
  const writer = new Writer(directory);
  writer.spool.open();
  writer.append();
  writer.spool.sync();
  writer.append();
  const { where, lastError } = writer.spool.status();
  assert.equal(where, "memory");
  assert.match(lastError!, /^Cannot make directory ".*": errno is \d+ \((ENOTDIR|EEXIST)\)$/);
  assert.equal(writer.warnings.length, 1, "said once");
  rmSync(join(parent, "file"));
  writer.spool.sync();
  assert.deepEqual([writer.spool.status().where, writer.spool.status().lastError], ["disk", null]);
  assert.equal(writer.warnings.length, 2);
  assert.equal(writer.spool.close(), 2);
  assert.ok(readdirSync(directory).includes("00000001.seg"));
});

/** What somebody may do to a spool's directory behind its back. */
const INTRUSIONS: Record<string, (directory: string) => void> = {
  "whose directory is removed": (directory) => rmSync(directory, { recursive: true }),
  "whose directory is moved away": (directory) => renameSync(directory, `${directory}.old`),
  "whose state is removed": (directory) => rmSync(join(directory, "state")),
  "whose segment is removed": (directory) => rmSync(join(directory, "00000001.seg")),
};

for (const [name, intrude] of Object.entries(INTRUSIONS)) {
  test(`Spool ${name} goes on with all it held`, (t) => {
    const directory = join(temporary(t), "spool");
    const writer = new Writer(directory);
    writer.spool.open();
    for (let count = 0; count < 3; count++) writer.append();
    const batch = writer.spool.offer(1, BODY_BYTES_MAX);
    writer.spool.sync();
    intrude(directory);
    writer.append();
    // The first notices, the second begins anew.
    writer.spool.sync();
    writer.append();
    writer.spool.sync();
    // As long as files stay open, one that was moved is as good as before.
    if (!name.includes("moved")) {
      assert.match(writer.warnings[0], /ENOENT/);
      assert.match(writer.warnings[1], /on disk again/);
      assert.ok(readdirSync(directory).includes("state"));
    }
    assert.equal(writer.spool.status().where, "disk");
    assert.deepEqual(writer.spool.offer(1, BODY_BYTES_MAX), batch);
    writer.drain();
    assert.deepEqual(writer.books.check(), { stored: 5, declared: 0, unknown: 0, waiting: 0 });
    assert.equal(writer.spool.close(), 0);
  });
}

test("Spool whose directory is removed declares what it can read no more, and nothing else", (t) => {
  const directory = join(temporary(t), "spool");
  // One entry to a segment, and more segments than files are kept open.
  const writer = new Writer(directory, 1, 8_000);
  writer.spool.open();
  for (let count = 0; count < 9; count++) writer.append();
  writer.spool.sync();
  rmSync(directory, { recursive: true });
  writer.spool.sync();
  writer.spool.sync();
  for (let count = 0; count < 3; count++) writer.append();
  // A file that cannot be read is tried some times.
  for (let attempt = 0; attempt < 20 * READ_ATTEMPTS_MAX; attempt++) writer.drain();
  const { stored, unknown } = writer.books.check({ inOrder: false });
  assert.equal(stored + unknown, 12);
  assert.ok(stored > 3 && unknown > 3, `${stored} stored, ${unknown} unknown`);
  assert.ok(writer.books.declared().every(({ cause }) => cause === "damaged"));
  assert.deepEqual([writer.spool.status().where, writer.spool.close()], ["disk", 0]);
});

test("Spool in a directory ignores what is not its own", (t) => {
  const directory = temporary(t);
  writeFileSync(join(directory, "note.txt"), "mine");
  mkdirSync(join(directory, "folder"));
  const writer = new Writer(directory);
  writer.spool.open();
  writer.append();
  writer.drain();
  writer.spool.close();
  assert.equal(readFileSync(join(directory, "note.txt"), "utf8"), "mine");
  assert.deepEqual(writer.books.check(), { stored: 1, declared: 0, unknown: 0, waiting: 0 });
});

const CHILD = fileURLToPath(new URL("../../support/spool_child.ts", import.meta.url));
const RUN = process.versions.bun === undefined ? ["run", "-A", "--quiet", "--no-check"] : [];
const LANES = 4;
const KILLS_PER_LANE = 5;
const WALL_MS = 1_767_225_600_000;

/** Runs a child and kills it after so many steps. */
async function runAndKill(args: readonly string[], steps: number): Promise<void> {
  const child = spawn(process.execPath, [...RUN, CHILD, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let done = 0;
  child.stdout.on("data", (dots: Uint8Array) => {
    done += dots.length;
    if (done >= steps) child.kill("SIGKILL");
  });
  const [, signal] = await once(child, "exit");
  assert.equal(signal, "SIGKILL", "it did not end by itself");
}

test("Spool of processes killed by SIGKILL in the middle of their work forgets nothing", async (t) => {
  const root = temporary(t);
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    const [directory, journal] = [join(root, `${lane}`), join(root, `${lane}.ndjson`)];
    for (let kill = 0; kill < KILLS_PER_LANE; kill++) {
      const steps = 3 + (lane * 31 + kill * 47) % 60;
      const wallMs = WALL_MS + kill * 100_000_000;
      await runAndKill([directory, journal, `${kill + 1}`, `${wallMs}`], steps);
    }
    return checkJournal(directory, journal);
  });
  const fates = await Promise.all(lanes);
  const sum = (of: (fate: typeof fates[number]) => number) =>
    fates.reduce((total, fate) => total + of(fate), 0);
  assert.ok(sum(({ stored }) => stored) > 200);
  assert.ok(sum(({ declared }) => declared) > 20, "some were dropped");
  // What was being appended when the kill came may be lost; all that append() returned from is there.
  assert.ok(sum(({ unknown }) => unknown) <= LANES * KILLS_PER_LANE);
});

/** Delivers what the killed processes left, and checks the books. */
function checkJournal(directory: string, journal: string) {
  const books = new SpoolBooks();
  let appending = 0;
  let appended = 0;
  for (const line of readFileSync(journal, "utf8").trimEnd().split("\n")) {
    const record = JSON.parse(line) as JournalLine;
    if (record.kind === "appending") {
      const { procId, procSeq, wallMs, length } = record;
      const { meta, text } = makeEntry(procId, procSeq, wallMs, length);
      books.append(procId, procSeq, meta, text);
      appending++;
    } else if (record.kind === "appended") appended++;
    else {
      books.store({
        entries: record.entries.map(([procId, procSeq, text]) => ({
          ...{ procId, procSeq, bytes: new TextEncoder().encode(text) },
        })),
      });
    }
  }
  let seq = 0;
  const clock = new MemoryClock({ wallMs: WALL_MS + KILLS_PER_LANE * 100_000_000 });
  const spool = new Spool({
    ...{ files: spoolFilesIn(directory), bytesMax: CHILD_BYTES_MAX, procId: 99, clock },
    nextSeq: () => ++seq,
    warn: (message) => assert.fail(message),
  });
  spool.open();
  for (let batch = spool.offer(9, BODY_BYTES_MAX); batch !== null;) {
    books.store(batch);
    spool.delivered(batch);
    batch = spool.offer(9, BODY_BYTES_MAX);
  }
  assert.equal(spool.close(), 0);
  const fates = books.check();
  assert.ok(fates.unknown <= appending - appended, `${fates.unknown} unknown`);
  const killed = books.declared().filter(({ cause }) => cause === "killed");
  assert.equal(killed.length, KILLS_PER_LANE, "each kill is declared once");
  return fates;
}
