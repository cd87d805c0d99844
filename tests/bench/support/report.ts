/**
 * Results of a benchmark: a table for people, JSON for programs.
 *
 * In: samples by measure and contender. Out: rows of medians with p10 and p90, and of each round's ratio to a base.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pairedRatios, type Samples, summarize, type Summary } from "./statistics.ts";

/** One line of results. */
export interface ResultRow {
  readonly measure: string;
  readonly unit: string;
  readonly contender: string;
  readonly samples: readonly number[];
  readonly summary: Summary;
  /** Of own value / base's in the same round; null = the base was not measured. */
  readonly ratio: Summary | null;
}

/** A measure as it is shown. */
export interface ResultMeasure {
  readonly name: string;
  readonly unit: string;
  /** Behind the point. */
  readonly digits: number;
}

/** Rows of all that was measured, in the order of measures and contenders. */
export function resultRows(
  samples: Samples,
  measures: readonly ResultMeasure[],
  contenders: readonly string[],
  base: string,
): ResultRow[] {
  return measures.flatMap(({ name, unit }) => {
    const baseSamples = samples.of(name, base);
    return contenders.flatMap((contender): ResultRow[] => {
      const own = samples.of(name, contender);
      if (own.length === 0) return [];
      // A round in which the base did nothing says nothing: 0 / 0.
      const ratios = baseSamples.length === 0
        ? []
        : pairedRatios(own, baseSamples).filter(Number.isFinite);
      return [{
        measure: name,
        unit,
        contender,
        samples: own,
        summary: summarize(own),
        ratio: ratios.length === 0 ? null : summarize(ratios),
      }];
    });
  });
}

/** Markdown of rows; ratios are headed `of BASE`. */
export function resultTable(
  rows: readonly ResultRow[],
  measures: readonly ResultMeasure[],
  base: string,
): string {
  const lines = [
    `| measure | contender | median | p10 … p90 | unit | of ${base} | p10 … p90 |`,
    "| --- | --- | ---: | ---: | --- | ---: | ---: |",
  ];
  for (const { measure, contender, summary, unit, ratio } of rows) {
    const digits = measures.find(({ name }) => name === measure)?.digits ?? 2;
    const ratioCells = ratio === null ? " | " : spanCells(ratio, 2);
    lines.push(
      `| ${measure} | ${contender} | ${spanCells(summary, digits)} | ${unit} | ${ratioCells} |`,
    );
  }
  return lines.join("\n");
}

/** Cells of a table's row: the median, and p10 … p90. */
export function spanCells({ median, p10, p90 }: Summary, digits: number): string {
  return `${median.toFixed(digits)} | ${p10.toFixed(digits)} … ${p90.toFixed(digits)}`;
}

/** Writes results as JSON, and makes the folder if need be. */
export function writeResults(path: string, results: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
  console.log(`\nAll samples: ${path}`);
}
