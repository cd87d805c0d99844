/**
 * Door of `collector`: the log collection.
 *
 * In: uploads over HTTP; filters as text. Out: a store of rows, entries of streams; filters as values and selectors.
 * Guarantees: an upload is acknowledged when it is durable; the filter language never throws on any text.
 * Not here: printing, signals and flags (cli).
 */
export { type Api, type ApiParts, mountApi } from "./api/mount.ts";
export { openApiDocument } from "./api/openapi.ts";
export { ParameterProblem, readParameters, time as timeParameter } from "./api/parameters.ts";
export { API_PREFIX, API_ROUTES, type ApiRoute } from "./api/routes.ts";
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
export { entryText } from "./http/entry_text.ts";
export { Ingest, type UploadAnswer } from "./ingest/ingest.ts";
export { type Answer, Answerer, problem as problemAnswer } from "./query/answer.ts";
export { writeJson } from "./query/json.ts";
export {
  type Dimension,
  DIMENSIONS,
  type Json,
  type Order,
  ORDERS,
  type Question,
  type TierChoice,
  TIERS,
} from "./query/question.ts";
export {
  QueryService,
  type QueryServiceOptions,
  type QueryStats,
  type QueryThread,
} from "./query/service.ts";
export { type QueryCommand, QueryHost, type QueryReport } from "./query/worker.ts";
export { type Kept, openSqliteReader, openSqliteWriter } from "./sqlite/mod.ts";
export type { StoreReader, StoreWriter } from "./store.ts";
