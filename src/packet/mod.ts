/**
 * Door of `packet`: bytes to header words.
 *
 * In: IP packets in DataViews; capture files; addresses as text. Out: flow keys, packet facts, joined fragments, batches.
 * Guarantees: pure; per packet nothing is allocated and nothing throws.
 * Not here: counting (flow), cryptography (wireguard), devices (platform).
 */
export * from "./address.ts";
export * from "./batch.ts";
export { type CapturedPacket, CaptureReader } from "./capture.ts";
export { type BufferSums, createSums } from "./checksum.ts";
export { wasmMemory } from "./checksum_wasm.ts";
export { Coalescer, type CoalescerOptions } from "./coalesce.ts";
export { CutPacketDecoder } from "./cut_packet.ts";
export * from "./decode.ts";
export * from "./fragments.ts";
export * from "./hash.ts";
export * from "./key.ts";
export { ipOffset, LINK_TYPE, NO_IP } from "./link_layer.ts";
export { PLAN, PLAN_WORDS, SEGMENT, Segmenter } from "./segment.ts";
export * from "./virtio.ts";
