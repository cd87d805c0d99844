/**
 * Door of `collector`: the log collection.
 *
 * In: filters as text. Out: filters as values, what they need, and selectors of rows.
 * Guarantees: pure so far; the filter language never throws on any text.
 * Not here: printing, signals and flags (cli).
 */
export * from "./filter/mod.ts";
