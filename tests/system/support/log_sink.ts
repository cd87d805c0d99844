/**
 * A small log collection over real HTTP, as a child process in a namespace, that does what tests tell it.
 *
 * In: rules. Out: every request and every entry that it stored, read from its files. It can be stopped, so that nobody
 * listens, and started again with what it has.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { helperCommand } from "./runtimes.ts";

/** What to do with a request. The first rule that is meant counts; without one all is stored and answered 200. */
export interface SinkRule {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the connection is reset instead of an answer. */
  readonly isReset?: boolean;
  /** Default: whether 200 is answered. */
  readonly stores?: boolean;
  /** How long the answer takes. */
  readonly delayMs?: number;
  /** Meant for so many requests only. */
  readonly times?: number;
  /** Meant for bodies only that are longer, decoded. */
  readonly bytesAbove?: number;
  /** Meant for bodies only that contain this. */
  readonly contains?: string;
}

/** One request. */
export interface SinkRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** File in the sink's directory. */
  readonly bodyName: string;
  /** Length of the body, decoded. */
  readonly textBytes: number;
  readonly entries: number;
  readonly status: number;
  readonly isReset: boolean;
  readonly stores: boolean;
  /** What is wrong with the body; "" = nothing. */
  readonly problem: string;
  readonly wallMs: number;
}

/** One entry that it stored, repetitions included. */
export interface SinkEntry {
  readonly bodyName: string;
  /** One JSON object. */
  readonly text: string;
}

const ADDRESS = "127.0.0.1";
const PORT = 8_080;

/** See file header. */
export class LogSink {
  readonly url = `http://${ADDRESS}:${PORT}`;
  readonly directory: string;
  readonly #namespace: Namespace;
  #child: Child | null = null;
  #ruleLists = 0;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
    this.directory = join(namespace.lab.directory, `sink-${namespace.name}`);
  }

  /** Listens, with no rules. */
  async start(): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    const argv = helperCommand("log_sink_main.ts", ADDRESS, `${PORT}`, this.directory);
    this.#child = this.#namespace.spawn(argv);
    this.#ruleLists = 0;
    await this.#child.waitForOutput(/^listening$/m);
  }

  /** Ends it: connections are refused from now on. */
  async stop(): Promise<void> {
    this.#child?.signal("SIGKILL");
    await this.#child?.ended;
    this.#child = null;
  }

  /** Replaces the rules. */
  async behave(...rules: SinkRule[]): Promise<void> {
    this.#child!.writeLine(JSON.stringify(rules));
    await this.#child!.waitForOutput(new RegExp(`^rules ${++this.#ruleLists}$`, "m"));
  }

  /** In the order in which they came. */
  requests(): SinkRequest[] {
    return this.#read("requests.ndjson");
  }

  /** In the order in which they came. */
  entries(): SinkEntry[] {
    return this.#read("entries.ndjson");
  }

  /** A body as it came. */
  body(name: string): Uint8Array {
    return readFileSync(join(this.directory, name));
  }

  #read<T>(name: string): T[] {
    const path = join(this.directory, name);
    if (!existsSync(path)) return [];
    // A line without its end is being written.
    return readFileSync(path, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
  }
}

/** Starts a sink on the namespace's loopback. */
export async function startLogSink(namespace: Namespace): Promise<LogSink> {
  const sink = new LogSink(namespace);
  await sink.start();
  return sink;
}
