/**
 * Door of `collector/filter`: the one filter language of CLI, API and page, in the spirit of tcpdump and nfdump:
 * `class subnet and dst net 10.0.0.0/8 and dport 443`.
 *
 * In: text; a resolver that turns names and prefixes into dictionary ids; columns of rows. Out: a filter or the first
 * problem with its place; canonical text; completions; needs; selected rows.
 * Guarantees: pure; no text makes it throw, all text is read in linear time, and what a filter may cost is bounded by
 * the section "Filter" of limits.ts.
 * Not here: where rows and dictionaries are kept, and which table a query reads.
 */
export {
  compileFilter,
  type FilterColumns,
  type FilterResolver,
  type RowRange,
  type RowSelector,
} from "./compile.ts";
export * from "./complete.ts";
export * from "./format.ts";
export * from "./help.ts";
export * from "./id_set.ts";
export { type FilterOptions, parseFilter, type ParseResult } from "./parse.ts";
export * from "./plan.ts";
export * from "./problem.ts";
export * from "./syntax.ts";
export { matchesPattern } from "./words.ts";
