/**
 * Where the demo's flows are shown: a table that is redrawn in place on a terminal, appended lines elsewhere.
 *
 * In: messages. Out: text. On a terminal nothing scrolls: what does not fit its height is counted, not shown.
 */
import process from "node:process";
import type { Message } from "../../netlog/mod.ts";
import { timeText } from "../../time_text.ts";
import { type CommandIo, wantsColor } from "../io.ts";
import { FlowBook } from "./flow_book.ts";
import { flowLine, flowTable } from "./flow_table.ts";

/** What a screen needs to know. */
export interface ScreenOptions {
  readonly io: CommandIo;
  /** Whether messages come as time passes. */
  readonly isLive: boolean;
  /** Called when nobody takes the output any more, as behind `| head`. */
  readonly onGone: () => void;
  /** Lines above the table. */
  readonly head: () => readonly string[];
  /** Of the terminal; default: its own size as it is at the moment. */
  readonly size?: () => TerminalSize;
}

/** Columns and rows. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Where stdout is no terminal, or does not say. */
const COLUMNS_DEFAULT = 100;

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** See file header. */
export class Screen {
  readonly #options: ScreenOptions;
  readonly #book = new FlowBook();
  #isOpen = false;
  /** Lines that the last drawing took. */
  #drawn = 0;

  constructor(options: ScreenOptions) {
    this.#options = options;
  }

  /** Takes a message and shows it. */
  add(message: Message): void {
    const { io, isLive } = this.#options;
    const { reporter, flows } = this.#book.add(message);
    if (io.isTerminal) {
      if (isLive) this.draw();
      return;
    }
    const time = timeText(message.endNs).slice(11, 19);
    this.#print(flows.map((flow) => `${flowLine(time, reporter, flow)}\n`).join(""));
  }

  /** Draws the table anew; nothing where it is not redrawn. */
  draw(): void {
    const { io, head } = this.#options;
    if (!io.isTerminal) return;
    const size = this.#size();
    const flows = this.#book.flows();
    const lines = [
      ...head().map((line) => line.slice(0, size.columns)),
      ...(flows.length === 0 ? [] : flowTable(flows, this.#look(size))),
    ];
    // The last row is where the cursor stays.
    const shown = lines.length < size.rows
      ? lines
      : [...lines.slice(0, size.rows - 2), `… ${lines.length - size.rows + 2} more lines`];
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    this.#print(
      `${this.#isOpen ? "" : HIDE_CURSOR}${up}\r${
        shown.map((line) => `${line}\x1b[K\n`).join("")
      }\x1b[J`,
    );
    this.#isOpen = true;
    this.#drawn = shown.length;
  }

  /** Draws for the last time, and gives the terminal back. Where lines were appended, the table stands below them. */
  close(): void {
    const { io } = this.#options;
    const flows = this.#book.flows();
    if (io.isTerminal) {
      if (flows.length > 0) this.draw();
      if (this.#isOpen) this.#print(SHOW_CURSOR);
      this.#isOpen = false;
    } else if (flows.length > 0) {
      this.#print(`\n${flowTable(flows, this.#look(this.#size())).join("\n")}\n`);
    }
  }

  #print(text: string): void {
    const { io, onGone } = this.#options;
    io.print(text).then((isTaken) => isTaken || onGone(), onGone);
  }

  #look({ columns }: TerminalSize) {
    return { columns, hasColor: wantsColor(this.#options.io), isLive: this.#options.isLive };
  }

  #size(): TerminalSize {
    if (this.#options.size !== undefined) return this.#options.size();
    const { columns, rows } = process.stdout;
    return { columns: columns || COLUMNS_DEFAULT, rows: rows || Infinity };
  }
}
