/**
 * Door of `flow`: flow keys to counters, in memory that two threads share.
 *
 * In: keys with packets and bytes from one writer per memory. Out: rows by window for one reader.
 * Guarantees: pure but for the shared memory; nothing allocated per packet; sum of rows = sum of counts, exactly,
 * also when there are more flows than room: those share rows, which say so.
 * Not here: clocks and windows, classification (netlog).
 */
export { FlowReader, type FlowTotals, FlowWriter } from "./banks.ts";
export { banksByteLength, createBanks } from "./layout.ts";
export { FlowRow } from "./rows.ts";
