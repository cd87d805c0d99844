/**
 * Door of `node`: one tunnel end as a process.
 *
 * In: a configuration file, the platform's ports. Out: a running node; its sockets for `wg` and for `tunlog`.
 * Not here: printing, signals, exit codes (cli); devices and system calls (platform).
 */
export { type CollectorOutput } from "./collector_output.ts";
export { type EmbeddedCollectorConfig } from "./config_collector.ts";
export { type ConfigFile, configPathOf, readConfigFile } from "./config_file.ts";
export { type CollectorConfig, type FlowLogConfig } from "./config_flow_log.ts";
export {
  type Hook,
  type HookMoment,
  interfaceNameOf,
  isInterfaceName,
  type NodeConfig,
  type OffloadChoice,
  parseNodeConfig,
  type PeerConfig,
} from "./config.ts";
export {
  type KeySpec,
  OFFLOAD_CHOICES,
  parseWorkers,
  SECTIONS,
  type SectionSpec,
  WORKERS_FORM,
} from "./config_keys.ts";
export { CONTROL_DIRECTORY, type ControlOp, type ControlReply } from "./control.ts";
export {
  allStatuses,
  askNode,
  type ControlClientOptions,
  interfaceOfArgument,
  knownNodes,
} from "./control_client.ts";
export { DataPlaneHost, type WorkerPlatform } from "./data_plane_host.ts";
export { type FlowSink } from "./line_output.ts";
export { type LogPeer, type LogView, nodesOf, OverlayView, routesOf } from "./log_routes.ts";
export {
  COLLECTOR_DIRECTORY,
  COLLECTOR_LISTEN,
  DAYS_FORM,
  LISTEN_FORM,
  type ListenAddress,
  parseDays,
  parseListen,
  parseStoreSize,
  STORE_SIZE_FORM,
} from "./listen_address.ts";
export { parseByteCount } from "./config_values.ts";
export { openExitPolicy } from "./log_identity.ts";
export { type CollectorPlatform, openCollectorOutput } from "./open_collector.ts";
export { Node, type NodeOwner, type NodePlatform, type NodeSockets } from "./node.ts";
export { type Resolver, systemResolver } from "./resolve.ts";
export { type WorkersChoice, workersOf } from "./worker_count.ts";
export { type WorkerThread } from "./worker_client.ts";
export { type Answer, type Command } from "./worker_protocol.ts";
export { keyFromBase64, keyToBase64 } from "./key_text.ts";
export { nearest } from "../nearest.ts";
export {
  bytesText,
  formatStatus,
  type NodeStatus,
  type PeerStatus,
  type StatusFormat,
} from "./status.ts";
export { systemError } from "./system_error.ts";
export { UAPI_DIRECTORY } from "./uapi_server.ts";
