/**
 * What is known of the processes that write: which numbers came, and which are missing between them.
 *
 * In: entries in order of receipt. Out: ProcessState of each process, kept in the database. Guarantees: what it says stays
 * right when raw entries are long gone; entries may come in any order; memory and rows are bounded.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { PROCESS_MISSING_MAX, PROCESSES_PER_STREAM_MAX } from "../../limits.ts";
import type { EntryName, MessageEntry, MissingRange, OtherEntry, ProcessState } from "../store.ts";

/** States kept in memory. */
const STATES_MAX = 1_024;

/** State of one process as it is being changed. */
interface State {
  stream: number;
  procId: number;
  receivedMs: number;
  firstSeq: number;
  lastSeq: number;
  received: number;
  missing: MissingRange[];
  /** Time of the entries with firstSeq and lastSeq. */
  firstNs: bigint;
  lastNs: bigint;
  firstStartNs: bigint | null;
  lastEndNs: bigint | null;
  reportSeq: number;
  reportJson: string | null;
}

/** See file header. */
export class ProcessBook {
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #trim: StatementSync;
  /** By `stream procId`, those used last at the end. */
  readonly #states = new Map<string, State>();
  /** Of the transaction under way. */
  readonly #changed = new Map<string, State>();

  constructor(database: DatabaseSync) {
    this.#find = database.prepare("SELECT * FROM process WHERE stream = ? AND proc_id = ?");
    this.#put = database.prepare(
      "INSERT OR REPLACE INTO process (stream, proc_id, received_ms, first_seq, last_seq, received," +
        " rest, report_seq, report) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#trim = database.prepare(
      "DELETE FROM process WHERE (stream, proc_id) IN (SELECT stream, proc_id FROM process" +
        " WHERE stream = ? ORDER BY received_ms DESC LIMIT -1 OFFSET ?)",
    );
  }

  /** Whether a number of the process came before, however long ago; 0 never did. */
  hasSeen({ stream, procId, procSeq }: EntryName): boolean {
    if (procSeq === 0) return false;
    const { received, firstSeq, lastSeq, missing } = this.#state(stream, procId);
    if (received === 0 || procSeq < firstSeq || procSeq > lastSeq) return false;
    return !missing.some((range) => range.firstSeq <= procSeq && procSeq <= range.lastSeq);
  }

  /** Notes an entry that was not there before. */
  note(entry: MessageEntry | OtherEntry, receivedMs: number): void {
    if (entry.procSeq === 0) return;
    const { stream, procId, procSeq } = entry;
    const state = this.#state(stream, procId);
    const isMessage = entry.kind === "message";
    const other = entry.clientTimeNs ?? BigInt(Math.trunc(receivedMs)) * 1_000_000n;
    noteSeq(state, procSeq, isMessage ? entry.startNs : other, isMessage ? entry.endNs : other);
    state.receivedMs = receivedMs;
    if (isMessage) {
      const { startNs, endNs } = entry;
      if (state.firstStartNs === null || startNs < state.firstStartNs) state.firstStartNs = startNs;
      if (state.lastEndNs === null || endNs > state.lastEndNs) state.lastEndNs = endNs;
    } else if (entry.kind === "report" && procSeq >= state.reportSeq) {
      state.reportSeq = procSeq;
      state.reportJson = entry.json;
    }
  }

  /** Writes what was noted. Within a transaction; ended() is to be called behind it. */
  write(): void {
    const opened = new Set<number>();
    for (const [key, state] of this.#changed) {
      if (state.received === 0) continue;
      if (!this.#states.has(key)) opened.add(state.stream);
      this.#put.run(
        state.stream,
        state.procId,
        state.receivedMs,
        state.firstSeq,
        state.lastSeq,
        state.received,
        JSON.stringify(state, restOnly),
        state.reportSeq,
        state.reportJson,
      );
    }
    for (const stream of opened) this.#trim.run(stream, PROCESSES_PER_STREAM_MAX);
  }

  /** The transaction has ended. @param isDurable Whether what was noted is to be remembered. */
  ended(isDurable: boolean): void {
    for (const [key, state] of isDurable ? this.#changed : []) {
      if (state.received === 0) continue;
      this.#states.delete(key);
      this.#states.set(key, state);
    }
    this.#changed.clear();
    for (const key of this.#states.keys()) {
      if (this.#states.size <= STATES_MAX) break;
      this.#states.delete(key);
    }
  }

  /** Forgets what memory holds, for rows were deleted. */
  forget(): void {
    this.#states.clear();
  }

  /** State to be read or changed; what is not changed is written all the same. */
  #state(stream: number, procId: number): State {
    const key = `${stream} ${procId}`;
    let state = this.#changed.get(key);
    if (state === undefined) {
      const known = this.#states.get(key) ?? this.#read(stream, procId);
      state = known === null ? newState(stream, procId) : { ...known, missing: [...known.missing] };
      this.#changed.set(key, state);
    }
    return state;
  }

  #read(stream: number, procId: number): State | null {
    const row = this.#find.get(stream, procId);
    return row === undefined ? null : stateOf(row);
  }
}

function newState(stream: number, procId: number): State {
  return {
    stream,
    procId,
    receivedMs: 0,
    firstSeq: 0,
    lastSeq: 0,
    received: 0,
    missing: [],
    firstNs: 0n,
    lastNs: 0n,
    firstStartNs: null,
    lastEndNs: null,
    reportSeq: 0,
    reportJson: null,
  };
}

/** @param startNs When the entry's time begins, for the range before it. @param endNs When it ends. */
function noteSeq(state: State, seq: number, startNs: bigint, endNs: bigint): void {
  const { missing } = state;
  state.received++;
  if (state.received === 1) {
    state.firstSeq = state.lastSeq = seq;
    state.firstNs = startNs;
    state.lastNs = endNs;
  } else if (seq > state.lastSeq) {
    const range = { firstSeq: state.lastSeq + 1, lastSeq: seq - 1 };
    if (range.firstSeq < seq) {
      missing.push({ ...range, afterNs: state.lastNs, beforeNs: startNs });
    }
    state.lastSeq = seq;
    state.lastNs = endNs;
  } else if (seq < state.firstSeq) {
    const range = { firstSeq: seq + 1, lastSeq: state.firstSeq - 1 };
    if (range.firstSeq < state.firstSeq) {
      missing.unshift({ ...range, afterNs: endNs, beforeNs: state.firstNs });
    }
    state.firstSeq = seq;
    state.firstNs = startNs;
  } else {
    fill(missing, seq, startNs, endNs);
  }
  while (missing.length > PROCESS_MISSING_MAX) mergeNearest(missing);
}

/** Takes a number out of the range that it lies in, if any. */
function fill(missing: MissingRange[], seq: number, startNs: bigint, endNs: bigint): void {
  const index = missing.findIndex(({ firstSeq, lastSeq }) => firstSeq <= seq && seq <= lastSeq);
  if (index < 0) return;
  const { firstSeq, lastSeq, afterNs, beforeNs } = missing[index];
  const left = { firstSeq, lastSeq: seq - 1, afterNs, beforeNs: startNs };
  const right = { firstSeq: seq + 1, lastSeq, afterNs: endNs, beforeNs };
  const rest = [left, right].filter((range) => range.firstSeq <= range.lastSeq);
  missing.splice(index, 1, ...rest);
}

/** Makes one range of the two between which least came. */
function mergeNearest(missing: MissingRange[]): void {
  let nearest = 1;
  const between = (index: number) => missing[index].firstSeq - missing[index - 1].lastSeq;
  for (let index = 2; index < missing.length; index++) {
    if (between(index) < between(nearest)) nearest = index;
  }
  const { firstSeq, afterNs } = missing[nearest - 1];
  const { lastSeq, beforeNs } = missing[nearest];
  missing.splice(nearest - 1, 2, { firstSeq, lastSeq, afterNs, beforeNs });
}

/** Members that have columns of their own. */
const COLUMN_MEMBERS = [
  ...["stream", "procId", "receivedMs", "received", "reportSeq", "reportJson"],
];

/** Replacer: bigints as text, and nothing that stands in a column. */
function restOnly(name: string, value: unknown): unknown {
  if (COLUMN_MEMBERS.includes(name)) return undefined;
  return typeof value === "bigint" ? String(value) : value;
}

/** Reads a row of `process`. */
function stateOf(row: Record<string, unknown>): State {
  const rest = JSON.parse(
    row.rest as string,
    (name, value) => name.endsWith("Ns") && value !== null ? BigInt(value) : value,
  );
  return {
    ...rest,
    stream: row.stream,
    procId: row.proc_id,
    receivedMs: row.received_ms,
    received: row.received,
    reportSeq: row.report_seq,
    reportJson: row.report,
  };
}

/** What readers are told of a row of `process`. */
export function toProcessState(row: Record<string, unknown>): ProcessState {
  const state = stateOf(row);
  return {
    stream: state.stream,
    procId: state.procId,
    firstSeq: state.firstSeq,
    lastSeq: state.lastSeq,
    received: state.received,
    missing: state.missing,
    firstStartNs: state.firstStartNs,
    lastEndNs: state.lastEndNs,
    reportJson: state.reportJson,
    lastReceivedMs: state.receivedMs,
  };
}
