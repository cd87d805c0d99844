/**
 * What a former process left in a spool's directory → where to go on.
 *
 * In: files. Out: segments with what waits in them, and the losses that only now come to light. Reads every segment
 * once. What is damaged inside segments is declared when delivery comes to it, not here.
 */
import type { LostRange } from "../logtail/mod.ts";
import type { SpoolFiles } from "./spool_files.ts";
import { checkSegmentVersion, scanSegment, SEGMENT_HEADER_BYTES } from "./spool_record.ts";
import { DiskSegment } from "./spool_segment.ts";
import type { FrozenGap, SpoolPosition, SpoolStateFile } from "./spool_state.ts";

/** See file header. */
export interface Recovered {
  readonly segments: DiskSegment[];
  /** Id for the next segment: never one that was used before. */
  readonly nextId: number;
  readonly lost: LostRange[];
  readonly frozen: FrozenGap | null;
  /** Whether the former process ended without closing the spool. */
  readonly wasKilled: boolean;
}

/**
 * Looks at what is there.
 * @param nowNs Wall time: where what a killed process lost ends at the latest.
 * @throws {SystemCallError} If it cannot be read; {RangeError} if a later version of tunlog wrote it.
 */
export function recoverSpool(
  files: SpoolFiles,
  stateFile: SpoolStateFile,
  nowNs: bigint,
): Recovered {
  const { state, damaged } = stateFile.read();
  const lost: LostRange[] = [...state?.lost ?? []];
  const ids = DiskSegment.idsIn(files.names());
  const nothing: SpoolPosition = { segmentId: 0, offset: 0 };
  const acked = state?.acked ?? nothing;
  const segments: DiskSegment[] = [];
  let lastEndNs: bigint | null = null;
  for (const id of ids) {
    const segment = DiskSegment.found(files, id);
    const endNs = readSegment(segment);
    if (endNs !== null && (lastEndNs === null || endNs > lastEndNs)) lastEndNs = endNs;
    markPositions(segment, acked, damaged ? null : state?.offered ?? nothing);
    if (id < acked.segmentId || segment.bytes <= SEGMENT_HEADER_BYTES) segment.remove();
    else segments.push(segment);
  }
  const wasKilled = state !== null && state.writer !== null;
  const knownNs = lastEndNs === null ? null : lastEndNs + 1n;
  if (damaged || missesSegments(ids, acked)) {
    lost.push(unknownLoss("damaged", null, nowNs));
  }
  if (wasKilled) {
    const startedNs = state.writer!.startedNs;
    const fromNs = state.volatileNs ??
      (knownNs === null || knownNs < startedNs ? startedNs : knownNs);
    lost.push({ ...unknownLoss("killed", fromNs, nowNs), procId: state.writer!.procId });
  }
  const nextId = Math.max(acked.segmentId, state?.offered.segmentId ?? 0, ids.at(-1) ?? 0) + 1;
  return { segments, nextId, lost, frozen: state?.frozen ?? null, wasKilled };
}

/** Counts the records of a segment. @returns The latest end of a window in it. */
function readSegment(segment: DiskSegment): bigint | null {
  const bytes = segment.read(0, segment.bytes);
  checkSegmentVersion(bytes);
  let lastEndNs: bigint | null = null;
  for (const part of scanSegment(bytes, SEGMENT_HEADER_BYTES)) {
    if (part.kind !== "record") continue;
    segment.records++;
    if (lastEndNs === null || part.info.endNs > lastEndNs) lastEndNs = part.info.endNs;
  }
  return lastEndNs;
}

/** Sets how far a segment was delivered and offered; without a state all may have been offered. */
function markPositions(
  segment: DiskSegment,
  acked: SpoolPosition,
  offered: SpoolPosition | null,
): void {
  if (segment.id === acked.segmentId) {
    segment.ackedBytes = Math.max(SEGMENT_HEADER_BYTES, Math.min(acked.offset, segment.bytes));
    for (const part of scanSegment(segment.read(0, segment.ackedBytes), SEGMENT_HEADER_BYTES)) {
      if (part.kind === "record") segment.records--;
    }
  }
  const isOffered = offered === null || segment.id < offered.segmentId;
  if (isOffered) segment.offeredBytes = segment.bytes;
  else if (segment.id === offered.segmentId) segment.offeredBytes = offered.offset;
}

/** Whether segments that should wait are gone: ids are given out without holes. */
function missesSegments(ids: readonly number[], acked: SpoolPosition): boolean {
  const waiting = ids.filter((id) => id >= acked.segmentId);
  const hasHole = waiting.some((id, index) => index > 0 && id !== waiting[index - 1] + 1);
  // The position may name the segment that comes next and was never made.
  const begins = waiting.length === 0 || acked.segmentId === 0 ||
    waiting[0] <= acked.segmentId + 1;
  return hasHole || !begins;
}

function unknownLoss(
  cause: "damaged" | "killed",
  startNs: bigint | null,
  nowNs: bigint,
): LostRange {
  const start = startNs ?? nowNs;
  return {
    cause,
    procId: 0,
    firstSeq: 0,
    lastSeq: 0,
    entries: 0,
    startNs: start,
    endNs: nowNs > start ? nowNs : start,
    sums: null,
    offered: false,
  };
}
