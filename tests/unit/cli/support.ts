/** A CommandIo that remembers what was printed. */
import type { CommandIo } from "../../../src/cli/io.ts";

/** What a test hands to a command; every member may be left out. */
export interface FakeIoOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly isTerminal?: boolean;
  readonly stdoutFileMode?: number | null;
}

/** See file header. */
export class FakeIo implements CommandIo {
  out = "";
  err = "";
  readonly isTerminal: boolean;
  readonly stdoutFileMode: number | null;

  constructor(readonly options: FakeIoOptions = {}) {
    this.isTerminal = options.isTerminal ?? false;
    this.stdoutFileMode = options.stdoutFileMode ?? null;
  }

  stdout(text: string): void {
    this.out += text;
  }

  stderr(text: string): void {
    this.err += text;
  }

  stdin(): Promise<Uint8Array> {
    return Promise.resolve(new TextEncoder().encode(this.options.stdin ?? ""));
  }

  env(name: string): string | undefined {
    return this.options.env?.[name];
  }
}
