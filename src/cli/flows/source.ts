/**
 * Where answers come from: a collector, its store on this disk, or a file of messages. One door for all three.
 *
 * In: a path of the API with parameters. Out: members of the answer; errors in words, with the exit code that they deserve.
 */
import { nearest } from "../../node/mod.ts";
import { ConfigError } from "../../errors.ts";
import type { ZoneOffset } from "../../netlog/mod.ts";
import { type FilterProblem, parseFilter, problemText } from "../../collector/mod.ts";
import { printable } from "../../netlog/mod.ts";
import type { CommandIo } from "../io.ts";
import { Members } from "./members.ts";
import type { TableStyle } from "./columns.ts";
import type { NumberWriter } from "./values.ts";

/** What came back. */
export interface SourceReply {
  readonly status: number;
  readonly text: string;
  /** Seconds after which to come again; null = not said. */
  readonly retryAfterS?: number | null;
}

/** What arrives while the log is followed. */
export type LiveItem =
  /** Windows that arrived together, oldest first. */
  | { readonly kind: "windows"; readonly windows: readonly Members[] }
  /** Something to tell. */
  | { readonly kind: "notice"; readonly text: string };

/** Which entries are wanted, by the time of their receipt. */
export interface EntriesWanted {
  /** null = all. */
  readonly collection: string | null;
  readonly from: string;
  readonly to: string;
}

/** See file header. */
export interface FlowsSource {
  /** What stands for it in messages. */
  readonly name: string;
  /** The range that is meant where none is given; null = the API's own. */
  readonly range: { readonly from: string; readonly to: string } | null;
  ask(path: string, parameters: URLSearchParams): Promise<SourceReply>;
  /** Windows that are stored after an entry, until the signal, or until no more can come. */
  live(after: number, signal: AbortSignal): AsyncGenerator<LiveItem>;
  /** Entries as they were received, one JSON object each, in order of receipt within a collection. */
  entries(wanted: EntriesWanted): AsyncGenerator<string>;
  close(): Promise<void>;
}

/** What a question of the command line works with. */
export interface FlowsContext {
  readonly io: CommandIo;
  readonly source: FlowsSource;
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly filter: string;
  readonly format: "table" | "json" | "csv";
  readonly style: TableStyle;
  readonly zone: ZoneOffset;
  readonly numbers: NumberWriter;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Options that are the API's parameters, by the same name. */
const PARAMETERS = [
  ...["from", "to", "timeout", "by", "order", "limit", "tier", "step", "net4", "net6"],
  ...["skew", "transit"],
] as const;
const FLAGS = ["orphans", "flows", "rates", "check", "all"] as const;

/** Parameters of a question: options, range, filter. @param without Options that mean something else here. */
export function parametersOf(
  { values, filter, source }: FlowsContext,
  without: readonly string[] = [],
): URLSearchParams {
  const parameters = new URLSearchParams();
  for (const name of PARAMETERS) {
    const value = values[name];
    if (typeof value === "string" && !without.includes(name)) parameters.set(name, value);
  }
  for (const name of FLAGS) {
    if (values[name] === true && !without.includes(name)) parameters.set(name, "true");
  }
  if (typeof values.last === "string") {
    if (values.from !== undefined || values.to !== undefined) {
      throw new ConfigError("Option --last excludes --from and --to");
    }
    parameters.set("from", `-${values.last}`);
  }
  const { range } = source;
  if (range !== null && !parameters.has("from")) parameters.set("from", range.from);
  if (range !== null && !parameters.has("to")) parameters.set("to", range.to);
  if (filter !== "") parameters.set("filter", filter);
  return parameters;
}

/** Asks, and reads the answer. @throws {Error} If there is none; {ConfigError} if the question is wrong. */
export async function ask(
  source: FlowsSource,
  path: string,
  parameters: URLSearchParams,
): Promise<Members> {
  const reply = await source.ask(path, parameters);
  if (reply.status === 200) return Members.parse(reply.text);
  throw refusal(source, reply, parameters);
}

/** What a refusal means. */
export function refusal(
  { name }: Pick<FlowsSource, "name">,
  { status, text, retryAfterS = null }: SourceReply,
  parameters: URLSearchParams = new URLSearchParams(),
): Error {
  const { message, parameter, problem } = readRefusal(text);
  switch (status) {
    case 400: {
      if (parameter === "filter" && problem !== null) {
        return filterError(parameters.get("filter") ?? "", { message, ...problem });
      }
      return new ConfigError(parameter === "" ? message : `--${parameter}: ${message}`);
    }
    case 401:
      return new Error(`${name} wants an API key that it knows: --key-file or TUNLOG_KEY`);
    case 403:
      return new Error(
        `${name} answers only its own machine: "tunlog collect key add NAME" there makes an API key`,
      );
    case 404:
      return new Error(
        `${name} has no such endpoint: no collector of tunlog, or of another version`,
      );
    case 429:
    case 503: {
      const later = retryAfterS === null ? "later" : `in ${retryAfterS} s`;
      return new Error(`${name} cannot answer now, try again ${later}${behind(message)}`);
    }
    case 504:
      return new Error(`${name} ran out of time${behind(message)}`);
    default:
      return new Error(`${name} answered ${status}${behind(message)}`);
  }
}

function behind(message: string): string {
  return message === "" ? "" : `: ${message}`;
}

interface Refusal {
  readonly message: string;
  readonly parameter: string;
  readonly problem: Omit<FilterProblem, "message"> | null;
}

/** Reads `{"error":{"message",…}}`, `{"error":"…"}`, or whatever a proxy writes. */
function readRefusal(text: string): Refusal {
  let message = "";
  let parameter = "";
  let problem: Refusal["problem"] = null;
  try {
    const answer = Members.parse(text);
    if (typeof answer.value.error === "string") message = answer.value.error;
    else {
      const error = answer.object("error");
      message = error.text("message");
      if (error.has("parameter")) parameter = error.text("parameter");
      if (error.has("position") && error.has("expected")) {
        const { start, end } = error.object("position").value;
        problem = { start: Number(start), end: Number(end), expected: error.texts("expected") };
      }
    }
  } catch {
    // A proxy's page: the status alone must do.
  }
  return { message: printable(message.slice(0, 500)), parameter: printable(parameter), problem };
}

/** Refuses a filter that cannot be read, before anything is asked. @throws {ConfigError} */
export function checkFilter(text: string): void {
  const result = parseFilter(text);
  if (!result.ok) throw filterError(text, result.problem);
}

/** Most words that are named as what could stand there. */
const EXPECTED_MAX = 24;

function filterError(text: string, problem: FilterProblem): ConfigError {
  const { expected } = problem;
  const more = expected.length > EXPECTED_MAX ? ", …" : "";
  const words = expected.length === 0
    ? ""
    : `\n  expected: ${expected.slice(0, EXPECTED_MAX).join(", ")}${more}`;
  return new ConfigError(`${problemText(text, problem)}${words}`);
}

/** What is probably meant. */
export function likely(word: string, known: readonly string[]): string {
  const found = nearest(word, known);
  return found === undefined ? `wanted is ${known.join(", ")}` : `"${found}" is probably meant`;
}
