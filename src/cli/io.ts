/**
 * What a command may do with the world outside its own work: read, print, ask for the environment.
 *
 * Commands get it handed in, so that tests can look at every word; processIo() is the real one.
 */
import { fstatSync } from "node:fs";
import process from "node:process";

/** Exit codes of every command. */
export const EXIT = {
  DONE: 0,
  /** It could not be done. */
  FAILED: 1,
  /** The command line or a configuration file is wrong. */
  USAGE: 2,
} as const;

/** See file header. */
export interface CommandIo {
  /** Results. */
  stdout(text: string): void;
  /**
   * Results that may be long: waits until they are taken.
   * @returns false when nobody takes them any more, as behind `| head`: the command should end, quietly.
   */
  print(text: string): Promise<boolean>;
  /** Messages for people. */
  stderr(text: string): void;
  /** All of the standard input, at most STDIN_BYTES_MAX. */
  stdin(): Promise<Uint8Array>;
  /** The standard input as it comes, however long. */
  stdinChunks(): AsyncIterable<Uint8Array>;
  /** Variable of the environment; undefined when it is not set or may not be read. */
  env(name: string): string | undefined;
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean;
  /** Columns of the terminal that stdout is; null = it is none, or does not say. */
  readonly columns: number | null;
  /** Permission bits of the file that stdout goes to; null = it is no regular file. */
  readonly stdoutFileMode: number | null;
}

/** A command. @returns Exit code, see EXIT. */
export type Command = (args: readonly string[], io: CommandIo) => Promise<number>;

/** Enough for a key and any amount of space behind it; who reads more takes stdinChunks(). */
const STDIN_BYTES_MAX = 64 * 1024;

/** The process's own. */
export function processIo(): CommandIo {
  return {
    stdout: (text) => void process.stdout.write(text),
    print,
    stderr: (text) => void process.stderr.write(text),
    stdin: readStdin,
    stdinChunks: () => process.stdin as AsyncIterable<Uint8Array>,
    env: (name) => {
      try {
        return process.env[name];
      } catch {
        // Deno without --allow-env; a variable that cannot be read is as good as not set.
        return undefined;
      }
    },
    isTerminal: process.stdout.isTTY === true,
    columns: process.stdout.isTTY === true ? process.stdout.columns || null : null,
    stdoutFileMode: fileMode(1),
  };
}

/** Whether terminal colours are wanted: on a terminal, unless NO_COLOR is set to anything (no-color.org). */
export function wantsColor(io: CommandIo): boolean {
  return io.isTerminal && (io.env("NO_COLOR") ?? "") === "" && io.env("TERM") !== "dumb";
}

/** What is wrong is told by the callback; an error without a listener would end the process before. */
const ignoreError = (): void => {};

function print(text: string): Promise<boolean> {
  const { stdout } = process;
  if (!stdout.listeners("error").includes(ignoreError)) stdout.on("error", ignoreError);
  return new Promise((resolve, reject) => {
    stdout.write(text, (error) => {
      if (!error) resolve(true);
      else if ("code" in error && error.code === "EPIPE") resolve(false);
      else reject(error);
    });
  });
}

async function readStdin(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > STDIN_BYTES_MAX) break;
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function fileMode(fd: number): number | null {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() ? stat.mode & 0o777 : null;
  } catch {
    // Closed, or Deno without the permission: nothing to warn about.
    return null;
  }
}
