/** What the collector has taken in since it started, for health and metrics: one object of numbers, read at any time. */

/** See file header. All but the last rise only. */
export interface IngestStats {
  /** Uploads by what was answered, e.g. `200`. */
  readonly answers: Record<string, number>;
  /** Entries stored, by kind. */
  readonly entries: Record<string, number>;
  /** Rows stored. */
  rows: number;
  /** Entries that were stored before. */
  repeated: number;
  /** Entries that clients say they dropped. */
  dropsDeclared: number;
  /** Bodies by what was wrong with them; their readable entries are stored. */
  readonly problems: Record<string, number>;
  /** Bytes of bodies as they came, and after decompression. */
  wireBytes: number;
  bodyBytes: number;
  /** Bodies whose Orig-Content-Length was not their length. */
  lengthHintsWrong: number;
  /** Transactions, how many failed, and how long all took. */
  commits: number;
  commitsFailed: number;
  commitMs: number;
  /** Bodies that are being received or wait for their commit, now. */
  waitingBytes: number;
}

/** Nothing yet. */
export function makeIngestStats(): IngestStats {
  return {
    answers: {},
    entries: {},
    rows: 0,
    repeated: 0,
    dropsDeclared: 0,
    problems: {},
    wireBytes: 0,
    bodyBytes: 0,
    lengthHintsWrong: 0,
    commits: 0,
    commitsFailed: 0,
    commitMs: 0,
    waitingBytes: 0,
  };
}

/** Counts one more of a name. */
export function count(counters: Record<string, number>, name: string | number, by = 1): void {
  counters[name] = (counters[name] ?? 0) + by;
}
