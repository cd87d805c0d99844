/**
 * Door of `netlog`: rows of connections to the messages of the flow log, and back.
 *
 * In: rows of both devices, routes, nodes, clock and timers. Out: messages of at most MESSAGE_BYTES_MAX, window by window.
 * Guarantees: no effect, no clock, no randomness of its own; sums over the messages equal sums over the rows, exactly,
 * per direction and class.
 * Not here: counting (flow), entries and uploads (logtail), files and sockets (node).
 */
export { CaptureLog, type CaptureLogOptions, type CaptureTotals } from "./capture_log.ts";
export { CLASS, Classifier, type Explanation, type SideReason } from "./classify.ts";
export { ClassTotals } from "./class_totals.ts";
export { type Count, COUNT_MAX, type Counts, CountsSum, NO_COUNTS, toCount } from "./counts.ts";
export { type Device, type DeviceTotals, NO_DEVICE, type StatisticsRow } from "./device.ts";
export {
  alignLeft,
  alignRight,
  columnsOf,
  iecText,
  localTimeText,
  printable,
  protoName,
  siText,
  UTC,
  type ZoneOffset,
} from "./display.ts";
export { type ExactJson, parseExactJson } from "./exact_json.ts";
export {
  EXIT_MODES,
  type ExitMode,
  type ExitPolicy,
  type KeyedPrf,
  PRF_INPUT_BYTES,
} from "./exit_mode.ts";
export {
  type FoundMessage,
  foundMessage,
  MESSAGE_MEMBERS,
  type Provenance,
  provenanceOf,
  valueOf,
} from "./found_message.ts";
export { JsonStream, type RawMembers } from "./json_stream.ts";
export {
  type LoggedWindow,
  Logger,
  type LoggerOptions,
  type LoggerStartup,
  type LoggerTotals,
  SHUTDOWN_MS_DEFAULT,
  type WindowSink,
} from "./logger.ts";
export { WindowEncoder, type WindowView } from "./message.ts";
export { type EncodedMessage } from "./message_parts.ts";
export { NO_NODES, NodeDirectory, type NodeFacts, nodeInfo, type NodeSource } from "./nodes.ts";
export { OVERLAY_DEFAULT, OverlayRanges } from "./overlay.ts";
export { hasTraffic, parseMessage, toMessage } from "./parse.ts";
export { type LostSums, parseReport, type Report, writeReport } from "./report.ts";
export { RouteHistory } from "./route_history.ts";
export {
  NO_ROUTES,
  type Route,
  type RouteConfig,
  type RouteEntry,
  type RouteOrigin,
  RouteTable,
} from "./routes.ts";
export {
  type Connection,
  type Extension,
  type ListName,
  LISTS,
  type Message,
  type NodeInfo,
  writeMessage,
} from "./schema.ts";
export { type AddressName, messageTable, provenanceLines, type TableOptions } from "./table.ts";
export { type ClockReading, WindowGrid, type WindowLabels } from "./window_grid.ts";
