/**
 * `[FlowLog]`: what is written down, and where it goes.
 *
 * In: the section. Out: a FlowLogConfig in which every value has been checked, and what belongs together is there
 * together. Not here: forms of single values (config_values.ts).
 */
import { FLOWS_MAX_DEFAULT, SPOOL_BYTES_DEFAULT, WINDOW_MS_DEFAULT } from "../limits.ts";
import type { ExitMode } from "../netlog/mod.ts";
import { type Prefix, prefixText } from "../packet/mod.ts";
import { FLOW_LOG_KEYS } from "./config_keys.ts";
import type { Problems, Section } from "./config_parser.ts";
import type { FlowLogOutput } from "./config_values.ts";

/** A log collection that windows are sent to. */
export interface CollectorConfig {
  /** Base URL, without a slash at its end. */
  readonly url: string;
  readonly collection: string;
  /** 64 hexadecimal digits, lower case; null = made at the first start, and kept in the state directory. */
  readonly privateId: string | null;
  /** Stream that the collection is to copy entries to; null = none. */
  readonly copyId: string | null;
  /** Bound of what waits, in bytes. */
  readonly spoolBytesMax: number;
}

/** `[FlowLog]`. */
export interface FlowLogConfig {
  readonly periodMs: number;
  readonly flowsMax: number;
  readonly output: FlowLogOutput;
  readonly exitMode: ExitMode;
  /** Prefixes, exceptions with `!` in front; null = by the interface's addresses (see log_routes.ts). */
  readonly overlayRanges: readonly string[] | null;
  /** Networks behind this node that it offers to peers. */
  readonly subnetRoutes: readonly Prefix[];
  /** null = nowhere. */
  readonly collector: CollectorConfig | null;
  /** Where ids, keys and what waits for upload are kept; null = in memory only. */
  readonly stateDirectory: string | null;
}

/** Where state is kept unless configured; the interface's name is put behind it. */
const STATE_DIRECTORY = "/var/lib/tunlog";
/** Collection unless configured. */
const COLLECTION_DEFAULT = "tunlog";

/** Keys that have no meaning without `Collector`. */
const NEEDS_COLLECTOR = ["collection", "privateId", "copyId", "spoolSize"] as const;

/**
 * Reads the section.
 * @param ownUrl Collector in the node's process, which the log goes to unless another is named; null = there is none.
 */
export function readFlowLog(
  section: Section,
  interfaceName: string,
  problems: Problems,
  ownUrl: string | null,
): FlowLogConfig {
  const collector = readCollector(section, problems, ownUrl);
  const exitMode = section.one(FLOW_LOG_KEYS.exitMode) ?? "zero";
  if (exitMode === "full") {
    problems.warn(
      section.lineOf(FLOW_LOG_KEYS.exitMode)!,
      "ExitMode = full writes down every address on the internet that is reached through the tunnel",
    );
  }
  const stateDirectory = section.one(FLOW_LOG_KEYS.stateDirectory);
  const overlayRanges = section.all(FLOW_LOG_KEYS.overlayRanges).map(({ value }) => value);
  return {
    periodMs: section.one(FLOW_LOG_KEYS.period) ?? WINDOW_MS_DEFAULT,
    flowsMax: section.one(FLOW_LOG_KEYS.flowsMax) ?? FLOWS_MAX_DEFAULT,
    output: section.one(FLOW_LOG_KEYS.output) ?? { kind: collector === null ? "stdout" : "none" },
    exitMode,
    overlayRanges: overlayRanges.length === 0 ? null : overlayRanges,
    subnetRoutes: readSubnetRoutes(section, problems),
    collector,
    stateDirectory: stateDirectory === undefined
      ? `${STATE_DIRECTORY}/${interfaceName}`
      : stateDirectory,
  };
}

function readCollector(
  section: Section,
  problems: Problems,
  ownUrl: string | null,
): CollectorConfig | null {
  const url = section.one(FLOW_LOG_KEYS.collector) ?? ownUrl ?? undefined;
  if (url === undefined) {
    for (const name of NEEDS_COLLECTOR) {
      const key = FLOW_LOG_KEYS[name];
      const line = section.lineOf(key);
      if (line === undefined || section.lineOf(FLOW_LOG_KEYS.collector) !== undefined) continue;
      problems.error(line, `${key.name} needs Collector beside it`);
    }
    return null;
  }
  return {
    url,
    collection: section.one(FLOW_LOG_KEYS.collection) ?? COLLECTION_DEFAULT,
    privateId: section.one(FLOW_LOG_KEYS.privateId) ?? null,
    copyId: section.one(FLOW_LOG_KEYS.copyId) ?? null,
    spoolBytesMax: section.one(FLOW_LOG_KEYS.spoolSize) ?? SPOOL_BYTES_DEFAULT,
  };
}

function readSubnetRoutes(section: Section, problems: Problems): Prefix[] {
  const lineByRoute = new Map<string, number>();
  return section.all(FLOW_LOG_KEYS.subnetRoutes).map(({ value, line }) => {
    const route = prefixText(value);
    const firstLine = lineByRoute.get(route);
    if (firstLine === undefined) lineByRoute.set(route, line);
    else problems.error(line, `SubnetRoutes entry ${route} was already given in line ${firstLine}`);
    return value;
  });
}
