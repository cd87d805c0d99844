/**
 * Versions of the route maps, and which of them a window is classified by.
 *
 * A row says in which window it was counted, not when in it; and the data plane takes a change a moment before or
 * after the flow log does. So the rule is: a window is classified by every version that was valid at any moment since
 * the start of the window before it, newest first, and for a row the newest that explains it counts (classify.ts).
 * A removed route thus stays known for the window in which it was removed and for the next one.
 */
import { ROUTE_VERSIONS_MAX } from "../limits.ts";
import { NO_ROUTES, RouteTable } from "./routes.ts";

interface RetiredVersion {
  readonly table: RouteTable;
  /** Monotonic time at which its successor came. */
  readonly retiredMs: number;
}

/** See file header. */
export class RouteHistory {
  #current = new RouteTable(NO_ROUTES);
  /** Newest first. */
  #retired: RetiredVersion[] = [];
  #forgotten = 0;

  /** The version valid now. */
  get current(): RouteTable {
    return this.#current;
  }

  /** Versions forgotten before their time, because there were more than ROUTE_VERSIONS_MAX. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Makes `table` the version valid from now on; one that says the same as the current is not a new version. */
  replace(table: RouteTable, nowMs: number): void {
    if (table.signature === this.#current.signature) return;
    this.#retired.unshift({ table: this.#current, retiredMs: nowMs });
    this.#current = table;
    if (this.#retired.length < ROUTE_VERSIONS_MAX) return;
    this.#retired.pop();
    this.#forgotten++;
  }

  /** Versions valid at any moment since `sinceMs`, newest first; older ones are forgotten for good. */
  versionsSince(sinceMs: number): readonly RouteTable[] {
    this.#retired = this.#retired.filter(({ retiredMs }) => retiredMs >= sinceMs);
    return [this.#current, ...this.#retired.map(({ table }) => table)];
  }
}
