/**
 * The runtime seam: what tunlog asks of Linux, OpenSSL and the JavaScript runtime.
 *
 * In: the ports of `src/ports.ts`, as wishes. Out: their implementations on the real machine.
 * Guarantees: one place for FFI, errno and descriptors; both Deno and Bun; whatever fails at opening is a
 * SystemCallError, PermissionError or LibraryError with one clear sentence, and nothing is left open then.
 * Not here: what the ports are used for. The same ports in memory are `memory.ts` and `memory_host.ts`, for tests.
 */
export { openClock } from "./clock.ts";
export { chooseCrypto, type CryptoChoice, type CryptoName, openCrypto } from "./crypto.ts";
export { CAPABILITY, hasCapability, readTextNative, writeTextNative } from "./files.ts";
export { allocateNative, NativeMemory } from "./native_buffer.ts";
export { openNetwork } from "./netlink/mod.ts";
export { openNoble } from "./noble.ts";
export {
  missingPermissions,
  type PermissionName,
  type PermissionNeed,
  requirePermissions,
} from "./permissions.ts";
export { openPoll } from "./poll.ts";
export { type MachineFacts, probeMachine, type TunFacts, type UdpFacts } from "./probe.ts";
export { runtimeName } from "./runtime.ts";
export { openTimers } from "./timers.ts";
export { openTun, openTunQueues, tunOf, type TunOptions } from "./tun.ts";
export { openUdp, openUdpPair, openUdpPairs, udpOf, type UdpOptions, type UdpPair } from "./udp.ts";
export { openWake, wakeOf } from "./wake.ts";
export { openZstd, type ZstdName } from "./zstd.ts";
