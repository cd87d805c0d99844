/**
 * What a former process left in a spool's directory → where to go on.
 *
 * In: files. Out: segments with what waits in them, and the losses that only now come to light. Reads every segment
 * once. What is damaged inside segments is declared when delivery comes to it, not here.
 */
import type { LostRange } from "../logtail/mod.ts";
import type { SpoolFiles } from "./spool_files.ts";
import { checkSegmentVersion, SEGMENT_HEADER_BYTES } from "./spool_record.ts";
import { DiskSegment } from "./spool_segment.ts";
import type { FrozenGap, SegmentState, SpoolState, SpoolStateFile } from "./spool_state.ts";

/** See file header. */
export interface Recovered {
  /** In which something waits. */
  readonly segments: DiskSegment[];
  /** Which are done with. */
  readonly leftOver: DiskSegment[];
  /** Id for the next segment: never one that was used before. */
  readonly nextId: number;
  readonly lost: LostRange[];
  readonly frozen: FrozenGap | null;
}

/**
 * Looks at what is there; changes nothing.
 * @param nowNs Wall time: where what a killed process lost ends at the latest.
 * @throws {SystemCallError} If it cannot be read; {RangeError} if a later version of tunlog wrote it.
 */
export function recoverSpool(
  files: SpoolFiles,
  stateFile: SpoolStateFile,
  nowNs: bigint,
): Recovered {
  const { state, damaged } = stateFile.read();
  const listed = new Map((state?.segments ?? []).map((segment) => [segment.id, segment]));
  const ids = DiskSegment.idsIn(files.names());
  const nextId = Math.max(state?.nextId ?? 1, (ids.at(-1) ?? 0) + 1);
  const segments: DiskSegment[] = [];
  const leftOver: DiskSegment[] = [];
  // A segment that is listed and whose file is gone is read as one that is damaged from end to end.
  for (const id of [...new Set([...ids, ...listed.keys()])].sort((a, b) => a - b)) {
    const known = listed.get(id);
    const isOld = state !== null && id < state.nextId && known === undefined;
    const segment = isOld ? DiskSegment.found(files, id, nowNs, 0) : found(files, id, known, nowNs);
    if (!ids.includes(id)) segment.giveUp();
    (segment.isDone ? leftOver : segments).push(segment);
  }
  const lost = [...state?.lost ?? [], ...newLosses(state, damaged, segments, nowNs)];
  return { segments, leftOver, nextId, lost, frozen: state?.frozen ?? null };
}

/** Takes over one segment. Without a state, all of it may have been sent. */
function found(
  files: SpoolFiles,
  id: number,
  known: SegmentState | undefined,
  nowNs: bigint,
): DiskSegment {
  const isCutOff = known === undefined || known.endBytes === 0;
  const bytes = isCutOff ? DiskSegment.fileBytes(files, id) : known.endBytes;
  const segment = DiskSegment.found(files, id, known?.startNs ?? nowNs, bytes);
  checkSegmentVersion(segment.read(0, SEGMENT_HEADER_BYTES, true));
  segment.isCutOff = isCutOff;
  segment.ackedBytes = Math.max(SEGMENT_HEADER_BYTES, known?.ackedBytes ?? 0);
  segment.offeredBytes = known?.offeredBytes ?? bytes;
  segment.endNs = isCutOff ? nowNs : known.endNs;
  for (const part of segment.waiting(true)) if (part.kind === "record") segment.count(part.info);
  return segment;
}

function newLosses(
  state: SpoolState | null,
  damaged: boolean,
  segments: readonly DiskSegment[],
  nowNs: bigint,
): LostRange[] {
  if (state === null) {
    // Losses that were not declared yet may be older than any segment: nobody knows since when.
    const isLost = damaged || segments.length > 0;
    return isLost ? [unknownLoss("damaged", 0n, nowNs)] : [];
  }
  if (state.writer === null) return [];
  const { procId, startedNs } = state.writer;
  const fromNs = state.coveredNs < startedNs ? startedNs : state.coveredNs + 1n;
  return [{ ...unknownLoss("killed", fromNs, nowNs), procId }];
}

/** A loss of which only the time is known. */
export function unknownLoss(
  cause: "damaged" | "killed" | "torn",
  startNs: bigint,
  endNs: bigint,
): LostRange {
  return {
    ...{ cause, procId: 0, firstSeq: 0, lastSeq: 0, entries: 0, startNs },
    ...{ endNs: endNs > startNs ? endNs : startNs, sums: null, offered: false },
  };
}
