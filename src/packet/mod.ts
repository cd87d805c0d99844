/**
 * Door of `packet`: bytes to header words.
 *
 * In: IP packets in DataViews; addresses as text. Out: flow keys, packet facts, joined fragments, batches.
 * Guarantees: pure; per packet nothing is allocated and nothing throws.
 * Not here: counting (flow), cryptography (wireguard), devices (platform).
 */
export * from "./address.ts";
export * from "./batch.ts";
export * from "./decode.ts";
export * from "./fragments.ts";
export * from "./hash.ts";
export * from "./key.ts";
