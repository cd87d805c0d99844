/**
 * Aims beside what was reached. In: aims and samples. Out: lines of a table, one an aim, with medians of the rounds'
 * ratios. Pure.
 */
import { pairedRatios, quantile, type Samples } from "./statistics.ts";

/** One aim for one line of results. */
export interface Aim {
  /** Name of the measure. */
  readonly measure: string;
  /** Contender whose samples of the same round are 1; null = the value itself is meant. */
  readonly of: string | null;
  readonly bound: "at least" | "at most";
  readonly value: number;
  /** Only for these; default: all but `of`. */
  readonly contenders?: readonly string[];
}

/** Markdown of all aims that were measured; "" iff none was. */
export function aimTable(
  aims: readonly Aim[],
  samples: Samples,
  contenders: readonly string[],
): string {
  const lines = aims.flatMap((aim) => {
    const { measure, of, bound, value } = aim;
    const base = of === null ? null : samples.of(measure, of);
    if (base?.length === 0) return [];
    const cells = contenders.map((contender) => {
      const own = samples.of(measure, contender);
      if (own.length === 0 || !(aim.contenders ?? contenders).includes(contender)) return "";
      const reached = quantile(base === null ? own : pairedRatios(own, base), 0.5);
      const isReached = bound === "at least" ? reached >= value : reached <= value;
      return `${reached.toFixed(2)} ${isReached ? "yes" : "no"}`;
    });
    if (cells.every((cell) => cell === "")) return [];
    const against = of === null ? "" : ` of ${of}`;
    return [`| ${measure} | ${bound} ${value}${against} | ${cells.join(" | ")} |`];
  });
  if (lines.length === 0) return "";
  return [
    `| measure | aim | ${contenders.join(" | ")} |`,
    `| --- | --- |${" ---: |".repeat(contenders.length)}`,
    ...lines,
  ].join("\n");
}
