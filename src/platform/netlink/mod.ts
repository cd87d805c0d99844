/**
 * Configuration of interfaces without the `ip`, `nft` and `sysctl` commands.
 *
 * In: calls of NetworkPort (ports.ts). Out: netlink messages to the kernel of the process's network namespace.
 * Guarantees: calls are synchronous; each either happened or threw a SystemCallError.
 * Not here: which calls a configuration needs (node/network_plan.ts).
 */
export { openNetwork } from "./network.ts";
