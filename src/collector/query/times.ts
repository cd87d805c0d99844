/** Times and counters as answers show them. In: Unix ms or ns. Out: RFC 3339 text. */
import { nsOfWallMs, timeText } from "../../time_text.ts";
import { COUNTERS } from "../rows.ts";
import type { CounterValues } from "./exact_sums.ts";
import type { Json, Range } from "./question.ts";

/** Unix ms, rounded down, as text. */
export function timeJson(ms: number): string {
  return timeText(nsOfWallMs(ms));
}

/** Unix ns as text. */
export function timeJsonNs(ns: bigint): string {
  return timeText(ns);
}

/** A range as text. */
export function rangeJson({ fromMs, toMs }: Range): Json {
  return { from: timeJson(fromMs), to: timeJson(toMs) };
}

/** Counters by name. */
export function valuesJson(values: CounterValues): Record<string, Json> {
  return Object.fromEntries(COUNTERS.map((name, index) => [name, values[index]]));
}
