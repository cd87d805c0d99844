/** A CommandIo that remembers what was printed. */
import type { CommandIo } from "../../../src/cli/io.ts";

/** What a test hands to a command; every member may be left out. */
export interface FakeIoOptions {
  readonly stdin?: string;
  /** Pieces that stdin comes in; by default one. */
  readonly stdinPieces?: readonly Uint8Array[];
  /** Texts that print() takes before the reader goes away; by default all. */
  readonly printsMax?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly isTerminal?: boolean;
  readonly columns?: number;
  readonly stdoutFileMode?: number | null;
}

/** See file header. */
export class FakeIo implements CommandIo {
  out = "";
  err = "";
  prints = 0;
  readonly isTerminal: boolean;
  readonly columns: number | null;
  readonly stdoutFileMode: number | null;

  constructor(readonly options: FakeIoOptions = {}) {
    this.isTerminal = options.isTerminal ?? false;
    this.columns = options.columns ?? null;
    this.stdoutFileMode = options.stdoutFileMode ?? null;
  }

  stdout(text: string): void {
    this.out += text;
  }

  print(text: string): Promise<boolean> {
    if (this.prints >= (this.options.printsMax ?? Infinity)) return Promise.resolve(false);
    this.prints++;
    this.out += text;
    return Promise.resolve(true);
  }

  stderr(text: string): void {
    this.err += text;
  }

  stdin(): Promise<Uint8Array> {
    return Promise.resolve(new TextEncoder().encode(this.options.stdin ?? ""));
  }

  async *stdinChunks(): AsyncGenerator<Uint8Array> {
    yield* this.options.stdinPieces ?? [await this.stdin()];
  }

  env(name: string): string | undefined {
    return this.options.env?.[name];
  }
}
