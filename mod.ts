/**
 * tunlog: a flow log for WireGuard-style overlay networks.
 *
 * As a program: `deno run -P mod.ts help`. As a library: what its parts export. The parts most used alone are the network
 * logger, which turns what devices count into messages (`Logger`, `Device`, `WindowSink`), reading messages of tunlog and
 * of the original (`parseMessage`), and the log stream's entries and ids (`encodeEntry`, `makePrivateId`).
 *
 * @module
 */
export * from "./src/counters.ts";
export * from "./src/errors.ts";
export type * from "./src/ports.ts";
export * from "./src/packet/mod.ts";
export * from "./src/flow/mod.ts";
export * from "./src/netlog/mod.ts";
export * from "./src/logtail/mod.ts";
export * from "./src/wireguard/mod.ts";
export { interfaceNameOf, type NodeConfig, parseNodeConfig } from "./src/node/mod.ts";
import { runProgram } from "./src/cli/main.ts";

if (import.meta.main) await runProgram();
