/**
 * Child processes of the system tests.
 *
 * In: an argument vector. Out: results of short commands, and long-running children whose output can be
 * waited for. Runs under Deno and Bun (node:child_process). Nothing here knows about networks.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { type Deadline, withDeadline } from "./wait.ts";

/** How a command ended and what it printed. */
export interface CommandResult {
  /** null iff a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Signals that tests send. */
export type SignalName = "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGKILL";

/** What a child is started with besides its arguments. */
export interface CommandOptions {
  /** Text for standard input. */
  readonly input?: string;
  /** Working directory; default: the caller's. */
  readonly cwd?: string;
  /** Variables added to the caller's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** After this the command is killed; default 60 s, so that no test hangs on a child. */
  readonly timeoutMs?: number;
}

const COMMAND_TIMEOUT_MS = 60_000;
/** Output kept per stream of a long-running child; a flood of log lines must not fill the test's memory. */
const OUTPUT_CHARS_MAX = 1_000_000;

/** Deno would ask the network for a newer Deno: packets and sockets in the middle of what is being compared. */
function environment(options: CommandOptions): Record<string, string | undefined> {
  return { ...process.env, DENO_NO_UPDATE_CHECK: "1", ...options.env };
}

/** Returns `argv` as one line for error messages. */
export function commandLine(argv: readonly string[]): string {
  return argv.map((word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`).join(" ");
}

/** Runs a short command to its end, blocking. */
export function runSync(argv: readonly string[], options: CommandOptions = {}): CommandResult {
  const result = spawnSync(argv[0]!, argv.slice(1), {
    input: options.input ?? "",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: environment(options),
    timeout: options.timeoutMs ?? COMMAND_TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
    encoding: "utf8",
  });
  if (result.error !== undefined && result.status === null && result.signal === null) {
    throw new Error(`Cannot run ${commandLine(argv)}`, { cause: result.error });
  }
  return {
    code: result.status,
    signal: result.signal,
    stdout: result.stdout ?? "",
    stderr: result.stderr ?? "",
  };
}

/**
 * Runs a short command, blocking, and returns its standard output.
 * @throws {Error} If it does not exit with 0; the message holds what it printed.
 */
export function mustSync(argv: readonly string[], options: CommandOptions = {}): string {
  return checked(argv, runSync(argv, options));
}

/** Runs a command to its end while the event loop goes on. */
export async function run(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = new Child(argv, options);
  child.endInput();
  const timer = setTimeout(() => child.signal("SIGKILL"), options.timeoutMs ?? COMMAND_TIMEOUT_MS);
  try {
    return await child.ended;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs a command to its end while the event loop goes on, and returns its standard output.
 * @throws {Error} If it does not exit with 0; the message holds what it printed.
 */
export async function must(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return checked(argv, await run(argv, options));
}

function checked(argv: readonly string[], result: CommandResult): string {
  if (result.code !== 0) {
    throw new Error(
      `${commandLine(argv)} ended with ${result.code ?? result.signal}\n` +
        `${result.stdout}${result.stderr}`,
    );
  }
  return result.stdout;
}

/** A child that runs beside the test: its output is kept and can be waited for. */
export class Child {
  readonly argv: readonly string[];
  /** Resolves when it is gone and its output is complete. Never rejects. */
  readonly ended: Promise<CommandResult>;
  #process: ChildProcess;
  #stdout = "";
  #stderr = "";
  #result: CommandResult | null = null;
  #listeners = new Set<() => void>();

  constructor(argv: readonly string[], options: CommandOptions = {}) {
    this.argv = argv;
    this.#process = spawn(argv[0]!, argv.slice(1), {
      stdio: ["pipe", "pipe", "pipe"],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: environment(options),
    });
    // A child may end before it has read its input; that is its right and shows in its exit code.
    this.#process.stdin!.on("error", () => {});
    if (options.input !== undefined) this.#process.stdin!.write(options.input);
    this.#process.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-OUTPUT_CHARS_MAX);
      this.#notify();
    });
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-OUTPUT_CHARS_MAX);
      this.#notify();
    });
    this.ended = new Promise((resolve) => {
      this.#process.on("error", (error) => this.#end(resolve, null, String(error)));
      this.#process.on("close", (code, signal) => this.#end(resolve, code, signal));
    });
  }

  #end(resolve: (result: CommandResult) => void, code: number | null, signal: string | null) {
    if (this.#result !== null) return;
    this.#result = { code, signal, stdout: this.#stdout, stderr: this.#stderr };
    resolve(this.#result);
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get running(): boolean {
    return this.#result === null;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Writes one line to its standard input. */
  writeLine(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  endInput(): void {
    this.#process.stdin!.end();
  }

  /** Sends a signal; does nothing once it is gone. */
  signal(name: SignalName): void {
    // Not ChildProcess.kill: in Deno 2.9 a child that catches the signal and exits with 0 would be reported as killed.
    if (this.running && this.pid > 0) process.kill(this.pid, name);
  }

  /**
   * Waits until its output (both streams) matches.
   * @throws {Error} If it ends first or the deadline passes; the message holds all it printed.
   */
  async waitForOutput(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const look = () => pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
    return await withDeadline(timeoutMs, () => this.#waiting(pattern), (deadline: Deadline) => {
      return new Promise((resolve, reject) => {
        const check = () => {
          const match = look();
          if (match !== null) resolve(match);
          else if (!this.running) reject(new Error(this.#waiting(pattern)));
          else return;
          this.#listeners.delete(check);
        };
        this.#listeners.add(check);
        deadline.onExpiry(() => this.#listeners.delete(check));
        check();
      });
    });
  }

  #waiting(pattern: RegExp): string {
    return `${
      this.running ? "Still waiting" : "Ended before it came"
    }: ${pattern}\n${this.report()}`;
  }

  /** Waits until it ends by itself; after `timeoutMs` it is killed, which is an error. */
  async waitForEnd(timeoutMs = 10_000): Promise<CommandResult> {
    try {
      return await withDeadline(
        timeoutMs,
        () => `${commandLine(this.argv)} did not end\n${this.report()}`,
        () => this.ended,
      );
    } finally {
      this.signal("SIGKILL");
    }
  }

  /** Sends SIGTERM (or `name`) and waits for its end as waitForEnd does. */
  stop(name: SignalName = "SIGTERM", timeoutMs?: number): Promise<CommandResult> {
    this.signal(name);
    return this.waitForEnd(timeoutMs);
  }

  /** All it was, printed and ended with: for failure messages. */
  report(): string {
    const state = this.#result === null
      ? `pid ${this.pid}, running`
      : `pid ${this.pid}, ended with ${this.#result.code ?? this.#result.signal}`;
    return `--- ${commandLine(this.argv)} (${state})\n` +
      `${tail(this.#stdout)}${tail(this.#stderr)}`;
  }
}

function tail(text: string): string {
  return text.length <= 4_000 ? text : `…${text.slice(-4_000)}`;
}
