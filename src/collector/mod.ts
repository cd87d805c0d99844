/**
 * Door of `collector`: the log collection.
 *
 * In: uploads over HTTP; filters as text. Out: a store of rows, entries of streams; filters as values and selectors.
 * Guarantees: an upload is acknowledged when it is durable; the filter language never throws on any text.
 * Not here: printing, signals and flags (cli).
 */
export {
  Collector,
  COLLECTOR_FILES,
  type CollectorOptions,
  type CollectorStats,
  type ControlFile,
  makeDirectory,
  type MountParts,
  type StreamName,
} from "./collector.ts";
export * from "./filter/mod.ts";
export { type ApiKey, ApiKeys } from "./http/api_keys.ts";
export { isCollectionName } from "./http/collections.ts";
export {
  type HttpBody,
  HttpError,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
  jsonReply,
  type RouteAccess,
  Router,
} from "./http/router.ts";
export { type Kept, openSqliteReader, openSqliteWriter } from "./sqlite/mod.ts";
