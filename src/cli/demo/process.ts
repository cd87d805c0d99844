/**
 * The demo's child processes: `ip`, and this program itself.
 *
 * In: an argument vector. Out: output of short commands; children that run beside, line by line. All are sessions of
 * their own, so that Ctrl-C reaches the demo alone, which then ends them in order.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

/** A child that runs beside the demo. */
export interface Child {
  readonly pid: number;
  readonly isRunning: boolean;
  /** Last words on standard error; why it ended, as a rule. */
  readonly errorText: string;
  /** Resolves when it is gone and its output is complete. Never rejects. @returns How it ended: `exit code 1`. */
  readonly ended: Promise<string>;
  signal(name: "SIGTERM" | "SIGKILL"): void;
}

/** What a child is started with. */
export interface ChildOptions {
  /** undefined = the demo's own. */
  readonly cwd?: string | undefined;
  readonly onLine?: (line: string) => void;
  readonly onErrorLine?: (line: string) => void;
}

/** Characters kept of standard error. */
const ERROR_CHARS_MAX = 2_000;

/** Working directory and environment of children that are this program. */
export interface ProgramPlace {
  /** Goes in front of the program's arguments. */
  readonly argv: readonly string[];
  /** undefined = the demo's own. */
  readonly cwd: string | undefined;
}

/** Returns how this program was started, without its arguments. */
export function ownProgram(): ProgramPlace {
  const entry = process.argv[1] ?? "";
  if ("Deno" in globalThis) {
    if (Deno.build.standalone) return { argv: [process.execPath], cwd: undefined };
    // In the entry's folder, for there or above it is the deno.json with permissions and dependencies.
    return {
      argv: [process.execPath, "run", "--quiet", "-P", "--no-prompt", entry],
      cwd: dirname(entry),
    };
  }
  // A program in one file has its entry in a file system of its own.
  if (!existsSync(entry) || entry.startsWith("/$bunfs/")) {
    return { argv: [process.execPath], cwd: undefined };
  }
  return { argv: [process.execPath, "run", "--no-install", entry], cwd: dirname(entry) };
}

/** Starts a child. Its standard input is a pipe, which ends when the demo does, whatever ends the demo. */
export function start(
  argv: readonly string[],
  { cwd, onLine = ignore, onErrorLine = ignore }: ChildOptions = {},
): Child {
  const child = spawn(argv[0]!, argv.slice(1), {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    ...(cwd !== undefined && { cwd }),
    // Deno would ask the network for a newer Deno.
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
  // Who ends before reading all of its input says so by its exit code.
  child.stdin!.on("error", ignore);
  let errorText = "";
  const keep = (text: string) => errorText = (errorText + text).slice(-ERROR_CHARS_MAX);
  eachLine(child, "stdout", onLine, ignore);
  eachLine(child, "stderr", onErrorLine, keep);
  let isRunning = true;
  const ended = new Promise<string>((resolve) => {
    const end = (how: string): void => {
      isRunning = false;
      resolve(how);
    };
    child.on("error", (error) => end(error.message));
    child.on("close", (code, signal) => end(signal === null ? `exit code ${code}` : signal));
  });
  return {
    pid: child.pid ?? -1,
    get isRunning() {
      return isRunning;
    },
    get errorText() {
      return errorText.trim();
    },
    ended,
    // Not ChildProcess.kill: Deno 2.9 reports a child that catches the signal and exits with 0 as killed.
    signal: (name) => {
      if (isRunning && child.pid !== undefined) tryKill(child.pid, name);
    },
  };
}

/** Runs a short command. @returns Standard output. @throws {Error} If it does not exit with 0. */
export async function run(argv: readonly string[], input = ""): Promise<string> {
  let text = "";
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ["pipe", "pipe", "pipe"], detached: true });
  child.stdin!.on("error", ignore);
  child.stdin!.end(input);
  let errorText = "";
  child.stdout!.setEncoding("utf8").on("data", (piece: string) => text += piece);
  child.stderr!.setEncoding("utf8").on("data", (piece: string) => errorText += piece);
  const problem = await new Promise<string | null>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(code === 0 ? null : signal ?? `exit code ${code}`));
  });
  if (problem === null) return text;
  const words = errorText.trim().split("\n")[0];
  throw new Error(`Cannot run "${argv.join(" ")}": ${words === "" ? problem : words}`);
}

/** Sends a signal to a process that may be gone. */
export function tryKill(pid: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
}

function eachLine(
  child: ChildProcess,
  name: "stdout" | "stderr",
  onLine: (line: string) => void,
  onText: (text: string) => void,
): void {
  let rest = "";
  child[name]!.setEncoding("utf8").on("data", (text: string) => {
    onText(text);
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) onLine(line);
  });
}

function ignore(): void {}
