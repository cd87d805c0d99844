/**
 * Goal: nothing counted is lost without being declared, to the byte, per class and direction, whatever fails.
 * Method: the whole flow log under virtual time with seeded faults (tests/support/flow_log_world.ts): answers lost after
 * the collector stored, connections reset, 400, 401, 413, 429, 500, a slow collector, kills between and within file
 * operations, a full disk, clock steps, route flaps, eight writers that count until the shutdown and beyond it. 1,000 seeds.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLASS_NAMES, type TrafficSums } from "../../../src/counters.ts";
import { type LostRange, parseGap } from "../../../src/logtail/mod.ts";
import { parseExactJson, parseReport, toMessage } from "../../../src/netlog/mod.ts";
import type { Counts, Message, Report } from "../../../src/netlog/mod.ts";
import { type Book, type Faults, makeBook, World } from "../../support/flow_log_world.ts";

const DIRECTIONS = ["txPackets", "txBytes", "rxPackets", "rxBytes"] as const;
const MINUTES = 4;

/** What the collector's entries say of one process. */
interface Account {
  readonly delivered: Book;
  readonly declared: Book;
  readonly messages: Map<number, Message>;
  reports: Report[];
  /** Processes that declared that this one was killed. */
  killed: number[];
}

function add(book: Book, name: (typeof CLASS_NAMES)[number], counts: Counts, sign = 1n): void {
  for (const direction of DIRECTIONS) book[name][direction] += sign * BigInt(counts[direction]);
}

function addSums(book: Book, sums: Record<string, TrafficSums>, sign = 1n): void {
  for (const name of CLASS_NAMES) add(book, name, sums[name], sign);
}

/** Sums of a message by class; what no route explains is taken out of the exit list by its own account. */
function addMessage(book: Book, message: Message, sign = 1n): void {
  for (const list of ["virtual", "subnet", "exit", "physical"] as const) {
    for (const row of message[list]) add(book, list, row, sign);
  }
  const { unknown } = message.extension;
  if (unknown === undefined) return;
  add(book, "exit", unknown, -sign);
  add(book, "unknown", unknown, sign);
}

/** Reads all that the collector has. @returns By process. */
function readStored(world: World): Map<number, Account> {
  const accounts = new Map<number, Account>();
  const of = (procId: number): Account => {
    const known = accounts.get(procId);
    if (known !== undefined) return known;
    const made = {
      delivered: makeBook(),
      declared: makeBook(),
      messages: new Map(),
      reports: [],
      killed: [],
    };
    accounts.set(procId, made);
    return made;
  };
  const gaps: { readonly range: LostRange; readonly declarer: number }[] = [];
  for (const [name, line] of world.stored) {
    const [procId, procSeq] = name.split(":").map(Number);
    const account = of(procId);
    const value = parseExactJson(line) as Record<string, never>;
    if (value.gap !== undefined) {
      gaps.push(...parseGap(line).map((range) => ({ range, declarer: procId })));
      continue;
    }
    const report = parseReport(value);
    if (report !== null) account.reports.push(report);
    else {
      const message = toMessage(value);
      account.messages.set(procSeq, message);
      addMessage(account.delivered, message);
    }
  }
  for (const { range, declarer } of gaps) {
    const account = of(range.procId);
    if (range.cause === "killed") account.killed.push(declarer);
    if (range.sums === null) continue;
    addSums(account.declared, range.sums);
    // An entry that was sent and then given up may have arrived all the same: its own name says so.
    const arrived = range.offered ? account.messages.get(range.firstSeq) : undefined;
    if (arrived !== undefined) addMessage(account.declared, arrived, -1n);
  }
  return accounts;
}

/** Lives one world and holds it against the laws. @returns It, for what a test counts over many. */
async function checkWorld(seed: number, faults: Faults): Promise<World> {
  const world = new World(seed, faults);
  await world.run(MINUTES);
  const accounts = readStored(world);
  assert.deepEqual(world.contradictions, [], `seed ${seed}: an entry came again with other bytes`);
  for (const { book } of world.processes) {
    checkProcess(seed, faults, book, accounts);
  }
  for (const [procId, account] of accounts) {
    if (procId === 0) {
      // A record that was torn in its header: nobody knows whose it was or what it held, only from when.
      assert.deepEqual(account.declared, makeBook(), `seed ${seed}: known sums of no process`);
      continue;
    }
    // Nothing that nobody counted.
    const isKnown = world.processes.some(({ book }) => book.procId === procId);
    assert.ok(isKnown, `seed ${seed}: entries of process ${procId}, which never was`);
    checkWindows(seed, procId, account);
  }
  return world;
}

function checkProcess(
  seed: number,
  faults: Faults,
  book: World["processes"][number]["book"],
  accounts: ReadonlyMap<number, Account>,
): void {
  const { procId, counted, durable, killed } = book;
  const account = accounts.get(procId);
  for (const name of CLASS_NAMES) {
    for (const direction of DIRECTIONS) {
      const all = counted[name][direction];
      const told = (account?.delivered[name][direction] ?? 0n) +
        (account?.declared[name][direction] ?? 0n);
      const where = `seed ${seed}, process ${procId}, ${name} ${direction}`;
      if (!killed) assert.equal(told, all, where);
      else {
        assert.ok(told <= all, `${where}: ${told} is more than ${all}`);
        // A kill takes the open window; with a failing disk also what was in memory, from a time that is declared.
        const least = faults.disk ? 0n : durable[name][direction];
        assert.ok(told >= least, `${where}: ${told} is less than ${least}`);
      }
    }
  }
  const kills = account?.killed.length ?? 0;
  assert.ok(kills <= 1, `seed ${seed}, process ${procId}: killed ${kills} times`);
  const isMissing = CLASS_NAMES.some((name) =>
    DIRECTIONS.some((direction) =>
      counted[name][direction] !==
        (account?.delivered[name][direction] ?? 0n) + (account?.declared[name][direction] ?? 0n)
    )
  );
  if (isMissing && kills === 0) {
    // A process whose disk failed from its first write to its last left no trace of itself, but the span of time that is
    // declared for the one before it reaches to the start of the one after it.
    const isCovered = [...accounts].some(([before, known]) =>
      before < procId && known.killed.some((declarer) => declarer > procId)
    );
    assert.ok(faults.disk && isCovered, `seed ${seed}, process ${procId}: a loss is not declared`);
  }
  if (!killed) checkReport(seed, book, account);
}

/** The last report of a process that ended in order says all that it counted. */
function checkReport(
  seed: number,
  { counted, procId }: World["processes"][number]["book"],
  account: Account | undefined,
): void {
  const last = account?.reports.toSorted((a, b) => a.endNs < b.endNs ? -1 : 1).at(-1);
  const isIdle = CLASS_NAMES.every((name) =>
    counted[name].txPackets + counted[name].rxPackets === 0n
  );
  if (isIdle) return;
  // A report may be lost like any entry, but then a gap record is there.
  if (last === undefined) return;
  for (const name of CLASS_NAMES) {
    for (const direction of DIRECTIONS) {
      assert.ok(
        BigInt(last.traffic[name]?.[direction] ?? 0) <= counted[name][direction],
        `seed ${seed}, process ${procId}: report of ${name} ${direction}`,
      );
    }
  }
}

/** Windows of one process follow one another. */
function checkWindows(seed: number, procId: number, { messages }: Account): void {
  const inOrder = [...messages].sort(([a], [b]) => a - b).map(([, message]) => message);
  for (const [index, { startNs, endNs }] of inOrder.entries()) {
    const where = `seed ${seed}, process ${procId}, message ${index}`;
    assert.ok(startNs < endNs, `${where}: ends before it starts`);
    const before = inOrder[index - 1];
    if (before === undefined || before.startNs === startNs) continue;
    assert.ok(startNs > before.endNs, `${where}: begins before the one before it has ended`);
  }
}

const ALL: Faults = { collector: true, disk: true, kills: true, clock: true, smallSpool: true };

async function checkSeeds(first: number, count: number, faults: Faults): Promise<World[]> {
  const worlds: World[] = [];
  for (let seed = first; seed < first + count; seed++) worlds.push(await checkWorld(seed, faults));
  return worlds;
}

test("flow log: all is well and everything arrives, 100 seeds", async () => {
  const none = { collector: false, disk: false, kills: false, clock: false, smallSpool: false };
  const worlds = await checkSeeds(1, 100, none);
  for (const world of worlds) {
    assert.deepEqual(world.warnings, []);
    assert.deepEqual([...world.answers.keys()], ["ok"]);
    assert.ok(![...world.stored.values()].some((line) => line.includes('"gap"')));
  }
});

test("flow log: a faulty collector costs nothing but what it refuses for good, 200 seeds", async () => {
  const worlds = await checkSeeds(1_000, 200, {
    ...{ disk: false, kills: false, clock: true, smallSpool: false },
    collector: true,
  });
  const kinds = new Set(worlds.flatMap(({ answers }) => [...answers.keys()]));
  assert.equal(kinds.size, 9, `answers given: ${[...kinds]}`);
});

test("flow log: a kill takes the open window at most, and the next start says so, 200 seeds", async () => {
  const worlds = await checkSeeds(2_000, 200, {
    ...{ disk: false, clock: false, smallSpool: false },
    ...{ kills: true, collector: true },
  });
  const kills = worlds.flatMap(({ processes }) => processes).filter(({ book }) => book.killed);
  assert.ok(kills.length > 200, `only ${kills.length} kills`);
});

test("flow log: books balance with all faults together, 500 seeds", async () => {
  const worlds = await checkSeeds(3_000, 500, ALL);
  const lines = worlds.flatMap(({ stored }) => [...stored.values()]);
  for (const cause of ["full", "refused", "killed"]) {
    assert.ok(lines.some((line) => line.includes(`"cause":"${cause}"`)), `nothing lost: ${cause}`);
  }
});
