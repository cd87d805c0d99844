/**
 * Entry of the query thread: it hands questions to the host, which owns a reader of the store.
 *
 * It stands beside main.ts because `bun build --compile` finds workers only in the folder of the main entry.
 */
import { type QueryCommand, QueryHost } from "../collector/mod.ts";

/** What a worker's global scope has; its own type would need another `lib` than the rest of the program. */
interface WorkerScope {
  postMessage(message: unknown): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}

const scope = globalThis as unknown as WorkerScope;
// No clock of the platform: it needs FFI, which a collector alone can do without.
const host = new QueryHost((report) => scope.postMessage(report), () => performance.now());
scope.onmessage = ({ data }) => host.accept(data as QueryCommand);
