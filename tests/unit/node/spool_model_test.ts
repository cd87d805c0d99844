/**
 * Goal: whatever is done to a spool in whatever order, each entry waits, is delivered, or is declared, exactly one of them, with
 * sums equal by class and direction to the byte, and in order. Method: fc.commands against books of every entry; the disk
 * refuses calls on order, processes are killed, power fails.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { ERRNO } from "../../../src/errors.ts";
import { GAP_HOLD_OFF_MS, SPOOL_SEGMENTS_MIN } from "../../../src/limits.ts";
import { RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from "../../../src/node/spool_record.ts";
import type { SpoolBatch } from "../../../src/node/spool.ts";
import { MemoryDisk } from "../../support/memory_spool_files.ts";
import { SpoolBooks, SpoolProcess } from "../../support/spool_books.ts";

const BODY_BYTES_MAX = 262_144;
const ENTRY_BYTES = 100;
const BYTES_MAX = SPOOL_SEGMENTS_MIN *
  (SEGMENT_HEADER_BYTES + 2 * (RECORD_HEADER_BYTES + ENTRY_BYTES));

/** The model: what is certain without looking into the spool. */
interface Model {
  /** Whether the disk refuses calls at this time. */
  failing: boolean;
}

/** The spool under test, with its successors. */
class Real {
  readonly books = new SpoolBooks();
  process: SpoolProcess;
  #procId = 1;
  /** What was offered last and has had no answer. */
  unanswered: SpoolBatch | null = null;
  kills = 0;
  answered = 0;

  constructor(readonly disk: MemoryDisk | null) {
    this.process = new SpoolProcess(this.books, disk, this.#procId, BYTES_MAX);
    this.process.spool.open();
  }

  /** Starts the next process. */
  next(): void {
    if (this.process.files !== null) this.process.files.isKilled = true;
    const { clock } = this.process;
    clock.advance(1_000);
    this.process = new SpoolProcess(this.books, this.disk, ++this.#procId, BYTES_MAX, clock);
    this.process.spool.open();
    this.unanswered = null;
    this.kills++;
  }
}

type Command = fc.Command<Model, Real>;

/** A command from its parts; by default it may always run. */
function command(
  name: string,
  run: (real: Real, model: Model) => void,
  check: (model: Model) => boolean = () => true,
): Command {
  return {
    check: (model) => check(model),
    run: (model, real) => {
      run(real, model);
      assert.ok(real.process.spool.status().bytes <= 2 * BYTES_MAX, "disk and memory are bounded");
    },
    toString: () => name,
  };
}

function offer(real: Real, entriesMax: number): void {
  const before = real.unanswered;
  const batch = real.process.spool.offer(entriesMax, BODY_BYTES_MAX);
  if (before !== null) {
    const names = (from: SpoolBatch | null) =>
      from?.entries.map(({ procId, procSeq }) => `${procId}/${procSeq}`).slice(0, entriesMax);
    assert.deepEqual(names(batch), names(before), "the same until it is answered");
  }
  real.unanswered = batch;
}

/** @param stored Whether the collector stores it. @param answered Whether its answer arrives. */
function upload(real: Real, entriesMax: number, stored: boolean, answered: boolean): void {
  offer(real, entriesMax);
  if (real.unanswered === null) return;
  if (stored) real.books.store(real.unanswered);
  if (!answered || !stored) return;
  real.process.spool.delivered(real.unanswered);
  real.unanswered = null;
  real.answered++;
}

function setAside(real: Real, entriesMax: number, cause: "refused" | "tooLarge"): void {
  offer(real, entriesMax);
  if (real.unanswered === null) return;
  const isGap = !real.books.appended.has(
    `${real.unanswered.entries[0].procId}/${real.unanswered.entries[0].procSeq}`,
  );
  real.process.spool.setAside(real.unanswered, cause);
  if (isGap) real.process.clock.advance(GAP_HOLD_OFF_MS);
  real.unanswered = null;
}

const COMMON: fc.Arbitrary<Command>[] = [
  fc.tuple(fc.integer({ min: 1, max: 12 }), fc.constantFrom(60, ENTRY_BYTES, 700)).map((
    [count, length],
  ) =>
    command(`append ${count} of ${length}`, ({ process }) => {
      for (let index = 0; index < count; index++) {
        if (index % 3 === 0) process.append(length);
        else process.appendToWindow(length);
      }
    })
  ),
  fc.tuple(fc.integer({ min: 1, max: 8 }), fc.boolean(), fc.boolean()).map((
    [entriesMax, stored, answered],
  ) =>
    command(
      `upload ${entriesMax}${stored ? " stored" : ""}${answered ? " answered" : ""}`,
      (real) => upload(real, entriesMax, stored, answered),
    )
  ),
  fc.tuple(
    fc.integer({ min: 1, max: 4 }),
    fc.constantFrom<"refused" | "tooLarge">(
      "refused",
      "tooLarge",
    ),
  ).map(([entriesMax, cause]) =>
    command(`${cause} ${entriesMax}`, (real) => setAside(real, entriesMax, cause))
  ),
  fc.constant(command("sync", ({ process }) => process.spool.sync())),
];

/** What needs a disk. */
const WITH_DISK: fc.Arbitrary<Command>[] = [
  fc.constant(command("kill", (real) => real.next(), ({ failing }) => !failing)),
  fc.constant(command("restart", (real) => {
    real.process.spool.close();
    real.next();
  }, ({ failing }) => !failing)),
  fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }).map((keep) =>
    command(`power failure ${keep}`, (real) => {
      let index = 0;
      real.disk!.powerCut(() => keep[index++ % keep.length]);
      real.next();
    }, ({ failing }) => !failing)
  ),
  fc.tuple(
    fc.integer({ min: 0, max: 30 }),
    fc.integer({ min: 1, max: 40 }),
    fc.constantFrom(ERRNO.ENOSPC, ERRNO.EROFS, ERRNO.EIO),
    fc.nat(400),
  ).map(([after, count, errno, writtenBytes]) =>
    command(`disk fails after ${after} for ${count}, errno ${errno}`, ({ disk }, model) => {
      const first = disk!.calls + after;
      disk!.fault = ({ index, operation }) =>
        operation !== "lock" && operation !== "read" && index >= first && index < first + count
          ? { errno, writtenBytes }
          : null;
      model.failing = true;
    })
  ),
  fc.constant(command("disk works", ({ disk, process }, model) => {
    disk!.fault = () => null;
    process.spool.sync();
    assert.equal(process.spool.status().lastError, null);
    model.failing = false;
  })),
];

/** All is well in the end: what waits is delivered. */
function finish(real: Real): void {
  if (real.disk !== null) real.disk.fault = () => null;
  real.unanswered = null;
  const { spool } = real.process;
  for (let round = 0; round < 3; round++) {
    spool.sync();
    real.process.drain();
  }
  assert.equal(spool.status().entries, 0);
  assert.equal(spool.status().lastError, null);
}

function run(name: string, disk: boolean, numRuns: number): void {
  test(name, () => {
    let entries = 0;
    let declared = 0;
    let unknown = 0;
    let kills = 0;
    const commands = fc.commands(disk ? [...COMMON, ...COMMON, ...WITH_DISK] : COMMON, {
      size: "+1",
      maxCommands: 60,
    });
    fc.assert(
      fc.property(commands, (list) => {
        const real = new Real(disk ? new MemoryDisk() : null);
        fc.modelRun(() => ({ model: { failing: false }, real }), list);
        finish(real);
        const fates = real.books.check({ inOrder: real.kills === 0 });
        assert.ok(disk || fates.unknown === 0);
        entries += real.books.appended.size;
        declared += fates.declared;
        unknown += fates.unknown;
        kills += real.kills;
      }),
      { numRuns, seed: 20260701 },
    );
    // The course was not an easy one.
    assert.ok(entries > 20 * numRuns, `${entries} entries`);
    assert.ok(declared > numRuns, `${declared} declared`);
    if (disk) assert.ok(kills > numRuns / 2 && unknown > 0, `${kills} kills, ${unknown} unknown`);
  });
}

run("Spool in memory keeps the law in any course", false, 300);
run("Spool on disk keeps the law in any course", true, 300);
