/** Stores in a folder of their own, and messages, for the tests of this folder. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OtherEntry } from "../../../src/collector/store.ts";
import {
  openSqliteReader,
  openSqliteWriter,
  type SqliteReader,
  type SqliteWriter,
  type SqliteWriterOptions,
} from "../../../src/collector/sqlite/mod.ts";
import { openZstd } from "../../../src/platform/mod.ts";
import type { TwinMessage, TwinRow } from "../../reference/store_twin.ts";

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
/** On the hour. */
export const START_MS = Date.UTC(2026, 0, 5, 10);
const ZSTD = await openZstd();

/** Makes a folder. In memory where there is such a place: durability is for tests/system to show. */
export function makeFolder(): string {
  return mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tunlog-store-"));
}

/** A store with its reader in a folder that goes with them. */
export class Scene {
  readonly folder = makeFolder();
  readonly path = join(this.folder, "flows.db");
  readonly options: Partial<SqliteWriterOptions>;
  store: SqliteWriter;
  #reader: SqliteReader | null = null;

  constructor(options: Partial<SqliteWriterOptions> = {}) {
    this.options = options;
    this.store = this.open();
  }

  open(options = this.options): SqliteWriter {
    return openSqliteWriter(this.path, { zstd: ZSTD, ...options });
  }

  reopen(options = this.options): void {
    this.store.close();
    this.store = this.open(options);
  }

  get reader(): SqliteReader {
    return this.#reader ??= openSqliteReader(this.path);
  }

  /** Calls maintain() until nothing is due. */
  settle(nowMs: number): void {
    for (let calls = 0; this.store.maintain(nowMs); calls++) {
      if (calls > 1_000) throw new Error("maintain() does not come to an end");
    }
  }

  /** An adopted stream. */
  adopted(digit: string): number {
    return this.store.adopt("c", digit.repeat(64), START_MS).number;
  }

  end(): void {
    this.#reader?.close();
    this.store.close();
    rmSync(this.folder, { recursive: true });
  }
}

/** Runs a test over a scene of its own. */
export function scene(run: (scene: Scene) => void, options: Partial<SqliteWriterOptions> = {}) {
  return () => {
    const made = new Scene(options);
    try {
      run(made);
    } finally {
      made.end();
    }
  };
}

export const ROW: TwinRow = {
  classCode: 0,
  proto: 6,
  src: "100.64.0.1",
  dst: "100.64.0.2",
  srcPort: 40_000,
  dstPort: 443,
  folded: false,
  counters: [1n, 100n, 2n, 2_000n],
};

/** A message of one row whose window of 5 s ends at `endMs`. */
export function message(
  stream: number,
  procSeq: number,
  endMs: number,
  rows: readonly TwinRow[] = [ROW],
): TwinMessage {
  const endNs = BigInt(endMs) * 1_000_000n;
  return {
    stream,
    procId: 7,
    procSeq,
    clientTimeNs: endNs,
    startNs: endNs - 4_999_999_999n,
    endNs,
    rows,
  };
}

/** Any other entry. */
export function other(
  stream: number,
  procSeq: number,
  kind: OtherEntry["kind"],
  json: string,
  gaps: OtherEntry["gaps"] = [],
): OtherEntry {
  return { kind, stream, procId: 7, procSeq, clientTimeNs: 1n, json, gaps, dropped: 0 };
}
