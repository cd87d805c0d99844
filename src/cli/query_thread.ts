/** Queries of a collector on this machine: the API on its router, and the thread that answers. */
import {
  mountApi,
  type MountParts,
  type QueryReport,
  QueryService,
  type QueryThread,
} from "../collector/mod.ts";

/** Adds `/api/v1` to a collector. @returns What ends it. */
export function mountQueries(
  { router, storePath, clock, timers }: MountParts,
  warn: (message: string) => void,
): () => void {
  const queries = new QueryService({
    path: storePath,
    startThread: startQueryThread,
    clock,
    timers,
    warn,
  });
  mountApi(router, { queries, clock, timers });
  return () => queries.stop();
}

/** Starts the query thread. */
export function startQueryThread(): QueryThread {
  const worker = new Worker(new URL("./query_worker.ts", import.meta.url), { type: "module" });
  return {
    post: (command) => worker.postMessage(command),
    onReport: (listener) => {
      worker.onmessage = ({ data }: MessageEvent) => listener(data as QueryReport);
    },
    onError: (listener) => {
      worker.onerror = (event) => {
        event.preventDefault();
        listener(event.message);
      };
    },
    terminate: () => worker.terminate(),
  };
}
