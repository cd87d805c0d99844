/** What each kind of command needs of Deno's permissions, so that it can say so before it does anything. */
import type { PermissionNeed } from "../platform/mod.ts";

/** Asking a running node: a Unix socket takes all three (Deno 2.9). */
export const CLIENT_NEEDS: readonly PermissionNeed[] = [
  { name: "read", action: "look for running nodes" },
  { name: "write", action: "open a node's socket" },
  { name: "net", action: "open a node's socket" },
];

/** Being a node. */
export const NODE_NEEDS: readonly PermissionNeed[] = [
  { name: "ffi", action: "call the kernel" },
  { name: "read", action: "read the configuration" },
  { name: "write", action: "make the sockets for wg and tunlog" },
  { name: "net", action: "serve the sockets for wg and tunlog" },
  { name: "sys", action: "set the umask for its sockets" },
];

/** Being a collector. */
export const COLLECTOR_NEEDS: readonly PermissionNeed[] = [
  { name: "read", action: "read the collector's store" },
  { name: "write", action: "write the collector's store" },
  { name: "net", action: "serve uploads and questions" },
];
