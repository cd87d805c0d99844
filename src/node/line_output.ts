/**
 * The flow log as lines of JSON on this machine: standard output or a file.
 *
 * In: windows. Out: one line per message, report and gap record. A line that cannot be written is lost, and the first line
 * after it that can is preceded by a gap record: a full disk leaves a hole with an exact edge and not a silent one.
 */
import { addLost, gapText, type LostRange } from "../logtail/mod.ts";
import type { LoggedWindow, LostSums, Report } from "../netlog/mod.ts";
import { type LogOutput, lostSums, type OutputLosses } from "./log_output.ts";

/** Takes finished lines. */
export interface FlowSink {
  /** Writes one line, which ends without a newline. @throws If it cannot. */
  write(line: string): void;
}

/** What a line output tells status. */
export interface LineStatus {
  readonly lines: number;
  readonly linesFailed: number;
  /** Why the last line could not be written, if none has been since; null = all is well. */
  readonly lastError: string | null;
}

const NOTHING_LOST: LostSums = { entries: 0, txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

/** See file header. */
export class LineOutput implements LogOutput {
  readonly #sink: FlowSink;
  readonly #warn: (message: string) => void;
  /** Not yet told. */
  #lost: LostRange[] = [];
  #lostTotal: LostRange[] = [];
  #lines = 0;
  #linesFailed = 0;
  #lastError: string | null = null;

  constructor(sink: FlowSink, warn: (message: string) => void) {
    this.#sink = sink;
    this.#warn = warn;
  }

  write({ startNs, endNs, messages }: LoggedWindow): void {
    for (const { bytes, totals } of messages) {
      if (this.#tellLosses() && this.#writeLine(new TextDecoder().decode(bytes))) continue;
      const range: LostRange = {
        cause: "output",
        procId: 0,
        firstSeq: 0,
        lastSeq: 0,
        entries: 1,
        startNs,
        endNs,
        sums: totals.sums(),
        offered: false,
      };
      this.#lost = addLost(this.#lost, range);
      this.#lostTotal = addLost(this.#lostTotal, range, 1);
    }
  }

  /** The next report says all that this one did: it is no loss. */
  writeReport(text: string, _report: Report): void {
    if (this.#tellLosses()) this.#writeLine(text);
  }

  losses(): OutputLosses {
    const range = this.#lostTotal.at(0);
    const lost = range === undefined ? NOTHING_LOST : lostSums(range.entries, range.sums!);
    return { lost: { output: lost }, waitingEntries: 0 };
  }

  status(): LineStatus {
    return { lines: this.#lines, linesFailed: this.#linesFailed, lastError: this.#lastError };
  }

  close(): Promise<number> {
    this.#tellLosses();
    return Promise.resolve(0);
  }

  /** @returns Whether all losses are told. */
  #tellLosses(): boolean {
    if (this.#lost.length === 0) return true;
    if (!this.#writeLine(gapText(this.#lost))) return false;
    this.#lost = [];
    return true;
  }

  #writeLine(line: string): boolean {
    try {
      this.#sink.write(line);
      this.#lines++;
      this.#lastError = null;
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (this.#lastError === null) this.#warn(`Cannot write the flow log: ${message}`);
      this.#linesFailed++;
      this.#lastError = message;
      return false;
    }
  }
}
