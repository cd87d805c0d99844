/**
 * `tunlog flows QUESTION`: questions to the flow log, answered by a collector, from its store, or from a file.
 *
 * In: a question of flows/commands.ts, a filter, a source. Out: a table, lines of JSON or CSV; exit code 2 for a question that is
 * wrong, 1 for one that cannot be answered.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { COLLECTOR_FILES } from "../collector/mod.ts";
import { UTC } from "../netlog/mod.ts";
import { COLLECTOR_DIRECTORY, COLLECTOR_LISTEN, systemError } from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { runCommand, UsageError } from "./args.ts";
import { COMMANDS, type CommandSpec } from "./commands.ts";
import { FLOWS_COMMANDS, type FlowsCommandName, isFlowsCommand } from "./flows/commands.ts";
import { explain } from "./flows/explain.ts";
import { gaps, nodes } from "./flows/health.ts";
import { exportFlows, query } from "./flows/query.ts";
import { reconcile } from "./flows/reconcile.ts";
import { series } from "./flows/series.ts";
import { checkFilter, type FlowsContext, type FlowsSource, likely } from "./flows/source.ts";
import { openFileSource } from "./flows/source_file.ts";
import { HttpSource } from "./flows/source_http.ts";
import { StoreSource } from "./flows/source_store.ts";
import { tail } from "./flows/tail.ts";
import { top } from "./flows/top.ts";
import { NumberWriter } from "./flows/values.ts";
import { LOCAL_ZONE } from "./fmt.ts";
import { flowsHelp } from "./help.ts";
import { type CommandIo, EXIT, wantsColor } from "./io.ts";

type Values = Readonly<Record<string, string | boolean | undefined>>;
type Runner = (context: FlowsContext, positionals: readonly string[]) => Promise<boolean>;

const RUNNERS: Record<FlowsCommandName, Runner> = {
  ...{ tail, top, query, series, nodes, gaps, reconcile, explain },
  export: exportFlows,
};
const END_SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--help" || name === "-h") {
    io.stdout(flowsHelp());
    return Promise.resolve(EXIT.DONE);
  }
  // Options of a question stand behind it.
  if (name === undefined || name.startsWith("-")) {
    return runCommand(COMMANDS.flows, args, io, () => {
      throw new UsageError("Argument QUESTION is missing");
    });
  }
  if (!isFlowsCommand(name)) {
    return runCommand(COMMANDS.flows, [name], io, () => {
      throw new UsageError(
        `Question "${name}" is not known: ${likely(name, Object.keys(FLOWS_COMMANDS))}`,
      );
    });
  }
  const spec: CommandSpec = FLOWS_COMMANDS[name];
  return runCommand(spec, rest, io, async ({ values: parsed, positionals }) => {
    // Which of them are flags only the table knows.
    const values: Values = parsed;
    const isFiltered = spec.positionals[0] === "[FILTER...]";
    const filter = isFiltered ? positionals.join(" ") : "";
    checkFilter(filter);
    const format = formatOf(values);
    const end = new AbortController();
    const onEnd = () => end.abort();
    for (const signal of END_SIGNALS) process.on(signal, onEnd);
    let source: FlowsSource | null = null;
    try {
      source = await openSource(values, io, name === "tail");
      const context: FlowsContext = {
        ...{ io, source, values, filter, format },
        style: { columns: widthOf(io), hasColor: wantsColor(io) },
        zone: values.utc === true ? UTC : LOCAL_ZONE,
        numbers: new NumberWriter(values.exact === true),
        signal: end.signal,
      };
      await ended(RUNNERS[name](context, positionals), name === "tail" ? null : end.signal);
    } finally {
      await source?.close();
      for (const signal of END_SIGNALS) process.off(signal, onEnd);
    }
    return EXIT.DONE;
  });
}

/** Ends a question that a signal comes for; following the log ends by itself. */
function ended(work: Promise<boolean>, signal: AbortSignal | null): Promise<unknown> {
  if (signal === null) return work;
  return Promise.race([
    work,
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(new Error("Interrupted")), { once: true });
    }),
  ]);
}

function formatOf(values: Values): FlowsContext["format"] {
  if (values.json === true && values.csv === true) {
    throw new UsageError("Option --json excludes --csv");
  }
  return values.json === true ? "json" : values.csv === true ? "csv" : "table";
}

/** Columns of a table: the terminal's, or what COLUMNS says, or as many as it takes. */
function widthOf(io: CommandIo): number {
  const said = io.env("COLUMNS") ?? "";
  return io.columns ?? (/^[1-9]\d{0,3}$/.test(said) ? Number(said) : Infinity);
}

// ---- Sources --------------------------------------------------------------------------------------------------------

async function openSource(
  values: Values,
  io: CommandIo,
  isFollowed: boolean,
): Promise<FlowsSource> {
  const { collector, data, file } = values;
  const given = ["collector", "data", "file"].filter((name) => values[name] !== undefined);
  if (given.length > 1) throw new UsageError(`Option --${given[0]} excludes --${given[1]}`);
  if (typeof file === "string") return await openFileSource(file, io, isFollowed);
  if (typeof data === "string") return openStore(data);
  return openCollector(typeof collector === "string" ? collector : null, values, io);
}

function openStore(data: string): FlowsSource {
  requirePermissions([{ name: "read", action: `read "${data}"` }]);
  const stat = statSync(data, { throwIfNoEntry: false });
  const path = stat?.isFile() === true ? data : join(data, COLLECTOR_FILES.store);
  return new StoreSource({
    path,
    name: `Store "${path}"`,
    wallMs: () => Date.now(),
    lagMs: 0,
    monotonicMs: () => performance.now(),
  });
}

function openCollector(given: string | null, values: Values, io: CommandIo): FlowsSource {
  const { host, port } = COLLECTOR_LISTEN;
  const text = given ?? (io.env("TUNLOG_COLLECTOR") || `http://${host}:${port}`);
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new UsageError(`"${text}" is no URL such as http://127.0.0.1:8080`);
  }
  const url = new URL(text);
  // The user name of a URL is where a key stands for other programs (SPEC 3).
  const inUrl = decodeURIComponent(url.username);
  const bare = `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
  requirePermissions([{ name: "net", action: `ask ${bare}` }]);
  return new HttpSource(bare, keyOf(values, io) ?? (inUrl || controlKey(bare)));
}

/** The API key that was given; null = none. */
function keyOf(values: Values, io: CommandIo): string | null {
  const { key, "key-file": path } = values;
  if (typeof key === "string" && typeof path === "string") {
    throw new UsageError("Option --key excludes --key-file");
  }
  if (typeof path === "string") {
    requirePermissions([{ name: "read", action: `read "${path}"` }]);
    try {
      return readFileSync(path, "utf8").trim();
    } catch (error) {
      throw systemError(`read "${path}"`, error);
    }
  }
  return typeof key === "string" ? key : io.env("TUNLOG_KEY") || null;
}

/** The key of this machine's command line, if the collector is the one in the usual directory and may be read. */
function controlKey(url: string): string | null {
  try {
    const path = `${COLLECTOR_DIRECTORY}/${COLLECTOR_FILES.control}`;
    const control = JSON.parse(readFileSync(path, "utf8"));
    return control?.url === url && typeof control.key === "string" ? control.key : null;
  } catch {
    // None runs here, or its owner is another user: then the collector decides.
    return null;
  }
}
