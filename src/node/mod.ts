/**
 * Door of `node`: one tunnel end as a process.
 *
 * In: a configuration file, the platform's ports. Out: a running node; its sockets for `wg` and for `tunlog`.
 * Not here: printing, signals, exit codes (cli); devices and system calls (platform).
 */
export { type ConfigFile, configPathOf, readConfigFile } from "./config_file.ts";
export {
  type FlowLogConfig,
  type Hook,
  interfaceNameOf,
  isInterfaceName,
  type NodeConfig,
  parseNodeConfig,
  type PeerConfig,
} from "./config.ts";
export { type KeySpec, SECTIONS, type SectionSpec } from "./config_keys.ts";
export { CONTROL_DIRECTORY, type ControlOp, type ControlReply } from "./control.ts";
export {
  allStatuses,
  askNode,
  type ControlClientOptions,
  interfaceOfArgument,
  knownNodes,
} from "./control_client.ts";
export { KEY_BYTES, keyFromBase64, keyToBase64 } from "./key_text.ts";
export { nearest } from "./nearest.ts";
export { formatStatus, type NodeStatus, type PeerStatus, type StatusFormat } from "./status.ts";
