/**
 * What all parts of the writer share: connection, compressor, numbers to be given out, transactions.
 *
 * Guarantees: numbers are given out once, and are as durable as what bears them; a transaction that fails gives its own
 * back, but for addresses and streams, whose numbers others hold already.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { ZstdPort } from "../../ports.ts";
import { transact } from "./database.ts";

/** Numbers to be given out next. */
export interface Numbers {
  entry: number;
  segment: number;
  block: number;
  address: number;
  stream: number;
}

/** See file header. */
export class WriteContext {
  readonly numbers: Numbers;
  readonly #write: StatementSync;

  constructor(
    readonly path: string,
    readonly database: DatabaseSync,
    readonly zstd: ZstdPort,
  ) {
    const row = database.prepare("SELECT * FROM next_number").get()!;
    this.numbers = {
      entry: Number(row.entry),
      segment: Number(row.segment),
      block: Number(row.block),
      address: Number(row.address),
      stream: Number(row.stream),
    };
    this.#write = database.prepare(
      "UPDATE next_number SET entry = ?, segment = ?, block = ?, address = ?, stream = ?",
    );
  }

  /** Runs `run` in one durable transaction. @throws {StoreError} If nothing of it was done. */
  transact<T>(action: string, run: () => T): T {
    const { numbers } = this;
    const { entry, segment, block } = numbers;
    try {
      return transact(this.database, `${action} of store "${this.path}"`, () => {
        const result = run();
        this.#write.run(
          numbers.entry,
          numbers.segment,
          numbers.block,
          numbers.address,
          numbers.stream,
        );
        return result;
      });
    } catch (error) {
      Object.assign(numbers, { entry, segment, block });
      throw error;
    }
  }
}
