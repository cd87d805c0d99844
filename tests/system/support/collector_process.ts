/**
 * `tunlog collect` as a process, and its API as curl asks it.
 *
 * In: where it runs and keeps its store. Out: a collector that can be ended, killed and started again on the same store;
 * answers of /api/v1 as JSON. Counters beyond 2^53 lose digits here, as in any reader that keeps numbers as doubles.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openSqliteReader } from "../../../src/collector/mod.ts";
import { CLASS_NAMES, type ClassName } from "../../../src/counters.ts";
import { Child, must, type SignalName } from "./command.ts";
import { addSums, NO_TRAFFIC, type Sums } from "./log_books.ts";
import type { Namespace } from "./namespaces.ts";
import { programCommand, ROOT, type Runtime } from "./runtimes.ts";
import { waitUntil } from "./wait.ts";

// deno-lint-ignore no-explicit-any -- answers are JSON; their form is what the tests are about.
export type Json = any;

/** Sums by class; those without traffic are there, too. */
export type SumsByClass = Record<ClassName, Sums>;

/** Parameters of a question. */
export type Parameters = Readonly<Record<string, string | number | boolean>>;

/** See file header. */
export class CollectorProcess {
  #child: Child | null = null;
  #url = "";

  /** @param namespace null = the test's own. @param listen Port 0: the kernel's choice at each start. */
  constructor(
    readonly runtime: Runtime,
    readonly directory: string,
    readonly namespace: Namespace | null,
    readonly listen = "127.0.0.1:0",
  ) {}

  /** One that runs in a node's process: it can be asked, and neither started nor ended. */
  static running(
    runtime: Runtime,
    directory: string,
    namespace: Namespace,
    url: string,
  ): CollectorProcess {
    const collector = new CollectorProcess(runtime, directory, namespace);
    collector.#url = url;
    return collector;
  }

  /** On loopback, whatever it listens on. */
  get url(): string {
    return this.#url;
  }

  /** Starts it, all streams adopted, and waits until it listens. */
  async start(runtime: Runtime = this.runtime): Promise<void> {
    const args = ["collect", "--listen", this.listen, "--data", this.directory, "--adopt-all"];
    const argv = programCommand(runtime, args);
    const child = this.namespace?.spawn(argv, { cwd: ROOT }) ?? new Child(argv, { cwd: ROOT });
    this.#child = child;
    const [, address] = await child.waitForOutput(/Collector is at (http:\/\/\S+),/, 60_000);
    this.#url = address!.replace("0.0.0.0", "127.0.0.1");
  }

  /** Ends it; SIGTERM is to end it in order. */
  async stop(signal: SignalName = "SIGTERM"): Promise<void> {
    const { code, stderr } = await this.#child!.stop(signal, 60_000);
    if (signal !== "SIGKILL") assert.equal(code, 0, stderr);
  }

  /** Clears up after a test that failed: it outlives one that has no namespace. */
  kill(): void {
    this.#child?.signal("SIGKILL");
  }

  /** Asks `/api/v1` by curl. @throws {Error} If it is not answered 200. */
  async ask(path: string, parameters: Parameters = {}): Promise<Json> {
    return JSON.parse(await this.askText(`/api/v1${path}`, parameters));
  }

  /** Text of an answer. */
  async askText(path: string, parameters: Parameters = {}): Promise<string> {
    const query = new URLSearchParams(
      Object.entries(parameters).map(([name, value]) => [name, `${value}`]),
    );
    const argv = ["curl", "-sS", "--fail-with-body", `${this.#url}${path}?${query}`];
    return await must(this.namespace?.argv(argv) ?? argv);
  }

  /** All rows of a range, oldest first, page by page. */
  async flows(parameters: Parameters): Promise<Json[]> {
    const rows: Json[] = [];
    for (let cursor = "";;) {
      const page = await this.ask("/flows", { order: "oldest", limit: 500, ...parameters, cursor });
      assert.equal(page.truncated, null);
      rows.push(...page.flows);
      if (page.next === null) return rows;
      cursor = page.next;
    }
  }

  /** Sums by class of one node as the API tells them. */
  async sums(node: string, parameters: Parameters): Promise<SumsByClass> {
    const filter = `node ${node}`;
    const answer = await this.ask("/top", { by: "class", filter, ...parameters });
    assert.equal(answer.truncated, null);
    const sums = noSums();
    for (const group of answer.groups) sums[group.class as ClassName] = countersOf(group);
    assert.deepEqual(
      countersOf(answer.total),
      addSums(...Object.values(sums)),
      "the total is its groups'",
    );
    return sums;
  }

  /** The same from the store's own file, window by window. The collector may run. */
  storedSums(node: string): SumsByClass {
    const reader = openSqliteReader(join(this.directory, "store.db"));
    try {
      const sums = noSums();
      for (const { number, nodeName } of reader.streams()) {
        if (nodeName !== node) continue;
        for (const window of reader.windows(number, 0, Date.now() + 60_000)) {
          for (const name of CLASS_NAMES) {
            const { txPackets, txBytes, rxPackets, rxBytes } = window.sums[name];
            sums[name] = addSums(
              sums[name],
              countersOf({ txPackets, txBytes, rxPackets, rxBytes }),
            );
          }
        }
      }
      return sums;
    } finally {
      reader.close();
    }
  }
}

function noSums(): SumsByClass {
  return Object.fromEntries(CLASS_NAMES.map((name) => [name, NO_TRAFFIC])) as SumsByClass;
}

/** Counters of a row or group, without what else stands there. */
export function countersOf(
  { txPackets, txBytes, rxPackets, rxBytes }: Readonly<Record<keyof Sums, number | bigint>>,
): Sums {
  return {
    txPackets: Number(txPackets),
    txBytes: Number(txBytes),
    rxPackets: Number(rxPackets),
    rxBytes: Number(rxBytes),
  };
}

/** Times of a question. */
export function between(fromMs: number, toMs: number): { from: string; to: string } {
  return { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() };
}

/** Waits until a collector says that it has so many entries of a node. */
export async function waitForWindows(
  collector: CollectorProcess,
  node: string,
  count: number,
): Promise<void> {
  await waitUntil(`${count} windows of ${node}`, async () => {
    const { nodes } = await collector.ask("/nodes", { filter: `node ${node}` });
    const streams = nodes.flatMap((each: Json) => each.streams);
    const processes = streams.flatMap((each: Json) => each.processes);
    return processes.reduce((sum: number, each: Json) => sum + each.received, 0) >= count;
  }, { timeoutMs: 60_000, intervalMs: 200 });
}
