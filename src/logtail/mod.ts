/**
 * Door of `logtail`: the log service's client as pure functions.
 *
 * In: messages, metadata, outcomes of uploads. Out: ids, entries, bodies of requests, gap records, decisions.
 * Guarantees: no effect, no clock, no randomness; what is written is valid JSON in valid UTF-8 whatever came in.
 * Not here: files, sockets, timers and compression (node).
 */
export {
  BATCH_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  BatchSize,
  COMPRESS_BODY_BYTES_MIN,
  COMPRESS_SAVED_BYTES_MIN,
  frameBatch,
} from "./batch.ts";
export {
  cut,
  encodeEntry,
  encodeObjectEntry,
  ENTRY_BYTES_MAX,
  entryLine,
  type EntryMetadata,
  type LevelMark,
  metadataMembers,
  takeLevelMark,
  TEXT_BYTES_MAX,
  TEXT_BYTES_MAX_SMALL,
} from "./entry.ts";
export {
  addLost,
  addSums,
  GAP_CAUSES,
  type GapCause,
  gapSummary,
  gapText,
  type LostRange,
  NO_SUMS,
  parseGap,
  sumLost,
} from "./gap.ts";
export {
  addToId,
  compareIds,
  ID_BYTES,
  idPrefix64,
  idText,
  isZeroId,
  type LogId,
  makePrivateId,
  makeProcId,
  parsePrivateId,
  parsePublicId,
  type PrivateId,
  type PublicId,
  publicIdOf,
  type Sha256,
} from "./id.ts";
export { findMember, type JsonMemberPlace, type JsonObjectPlaces } from "./json.ts";
export {
  backOffMs,
  decideUpload,
  isTransient,
  parseRetryAfter,
  REFUSALS_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_MS_MAX,
  RETRY_MS_MIN,
  type UploadDecision,
  type UploadOutcome,
} from "./retry.ts";
