/**
 * Entry of the collector's thread beside a node, so that uploads and queries never delay the node's own work.
 *
 * It stands beside main.ts because `bun build --compile` finds workers only in the folder of the main entry.
 */
import type { Collector, StreamName } from "../collector/mod.ts";
import { type CollectorSettings, makeCollector } from "./collector_run.ts";

/** What main asks. */
export type CollectorCommand =
  | { readonly type: "start"; readonly settings: CollectorSettings }
  | { readonly type: "adopt"; readonly stream: StreamName }
  | { readonly type: "stop" };

/** What is answered: each command by `done` or `failed`, in order; and what people should know. */
export type CollectorReport =
  | { readonly type: "done"; readonly url: string }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "warning"; readonly message: string };

/** What a worker's global scope has; its own type would need another `lib` than the rest of the program. */
interface WorkerScope {
  postMessage(report: CollectorReport): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;
let collector: Collector | null = null;
let last: Promise<void> = Promise.resolve();

async function obey(command: CollectorCommand): Promise<void> {
  switch (command.type) {
    case "start":
      collector = await makeCollector(
        command.settings,
        (message) => scope.postMessage({ type: "warning", message }),
      );
      await collector.start();
      break;
    case "adopt":
      collector?.adopt(command.stream);
      break;
    case "stop":
      await collector?.stop();
  }
}

scope.onmessage = ({ data }) => {
  last = last.then(() => obey(data as CollectorCommand)).then(
    () => scope.postMessage({ type: "done", url: collector?.url ?? "" }),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      scope.postMessage({ type: "failed", message });
    },
  );
};
