/**
 * The spool's format on disk: segments of records.
 *
 * Segment: a header of 16 bytes, then records back to back. Record: a header of 208 bytes, then the entry's bytes. All
 * numbers little-endian. Both parts of a record have a checksum of their own, so that an entry whose bytes are damaged is
 * still known by name, window, packets and bytes and can be declared lost exactly.
 * Guarantees: no byte sequence makes the reader throw or loop; what it calls intact is what was written.
 */
import { CLASS_NAMES, type ClassName, type ClassSums, type TrafficSums } from "../counters.ts";
import { SPOOL_ENTRY_BYTES_MAX } from "../limits.ts";
import { crc32c } from "./crc32c.ts";

/** Bytes in front of a segment's first record: magic "TLSPOOL", version, segment id (u32), checksum. */
export const SEGMENT_HEADER_BYTES = 16;
/** Bytes in front of each entry. */
export const RECORD_HEADER_BYTES = 208;

/** Version of the format; a spool of another one is refused, not guessed at. */
const VERSION = 1;
/** "TLSPOOL" and the version as its eighth byte. */
const SEGMENT_MAGIC = Uint8Array.of(0x54, 0x4c, 0x53, 0x50, 0x4f, 0x4f, 0x4c, VERSION);
/** Its lowest byte, 0xf5, stands nowhere in UTF-8, so that no entry holds what looks like a record. */
const RECORD_MAGIC = 0x434552f5;
const RECORD_MAGIC_FIRST = RECORD_MAGIC & 0xff;

/** Offsets in a record's header; from SUMS on twenty u64: by class, tx packets and bytes, rx packets and bytes. */
const AT = {
  MAGIC: 0,
  HEADER_CRC: 4,
  PAYLOAD_BYTES: 8,
  PAYLOAD_CRC: 12,
  PROC_ID: 16,
  ZERO: 20,
  PROC_SEQ: 24,
  START_NS: 32,
  END_NS: 40,
  SUMS: 48,
} as const;

/** Window by which segments are read: the longest record fits it three times. */
export const SEGMENT_WINDOW_BYTES = 1024 * 1024;

/** Bytes of one class's four sums. */
const SUMS_BYTES = 32;

/** What an entry is about, so that it can be declared when it is lost. */
export interface EntryMeta {
  /** Window: its start and inclusive end, Unix time in ns. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** Traffic that the entry reports, each number below 2^64. */
  readonly sums: ClassSums;
}

/** Name of an entry and what it is about. */
export interface RecordInfo extends EntryMeta {
  readonly procId: number;
  readonly procSeq: number;
}

/** What stands between two offsets of a segment. */
export type SegmentPart =
  | {
    readonly kind: "record";
    readonly offset: number;
    readonly end: number;
    readonly info: RecordInfo;
    /** The entry; a view. null = its bytes are damaged or cut off. */
    readonly payload: Uint8Array | null;
  }
  | { readonly kind: "damage"; readonly offset: number; readonly end: number };

/** Makes the header of a segment. */
export function segmentHeader(id: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(SEGMENT_HEADER_BYTES);
  header.set(SEGMENT_MAGIC);
  const view = new DataView(header.buffer);
  view.setUint32(8, id, true);
  view.setUint32(12, crc32c(header, 0, 12), true);
  return header;
}

/**
 * Checks that a segment is of this version. One whose header is damaged passes: its records speak for themselves.
 * @throws {RangeError} If a later version of tunlog wrote it.
 */
export function checkSegmentVersion(bytes: Uint8Array): void {
  if (bytes.length < SEGMENT_HEADER_BYTES) return;
  const view = viewOf(bytes);
  const isWhole = view.getUint32(12, true) === crc32c(bytes, 0, 12);
  if (isWhole && bytes[7] !== VERSION) {
    throw new RangeError(`Cannot read spool: its format is version ${bytes[7]}, not ${VERSION}`);
  }
}

/**
 * Makes a record.
 * @param entry Copied.
 * @throws {RangeError} If the entry is too long or a number does not fit.
 */
export function encodeRecord(info: RecordInfo, entry: Uint8Array): Uint8Array<ArrayBuffer> {
  if (entry.length > SPOOL_ENTRY_BYTES_MAX) {
    throw new RangeError(
      `Cannot spool an entry of ${entry.length} bytes: at most ${SPOOL_ENTRY_BYTES_MAX}`,
    );
  }
  const record = new Uint8Array(RECORD_HEADER_BYTES + entry.length);
  record.set(entry, RECORD_HEADER_BYTES);
  const view = viewOf(record);
  view.setUint32(AT.MAGIC, RECORD_MAGIC, true);
  view.setUint32(AT.PAYLOAD_BYTES, entry.length, true);
  view.setUint32(AT.PAYLOAD_CRC, crc32c(entry), true);
  view.setUint32(AT.PROC_ID, info.procId, true);
  view.setBigUint64(AT.PROC_SEQ, BigInt(info.procSeq), true);
  view.setBigInt64(AT.START_NS, info.startNs, true);
  view.setBigInt64(AT.END_NS, info.endNs, true);
  for (const [index, name] of CLASS_NAMES.entries()) {
    const at = AT.SUMS + index * SUMS_BYTES;
    const { txPackets, txBytes, rxPackets, rxBytes } = info.sums[name];
    view.setBigUint64(at, u64(txPackets), true);
    view.setBigUint64(at + 8, u64(txBytes), true);
    view.setBigUint64(at + 16, u64(rxPackets), true);
    view.setBigUint64(at + 24, u64(rxBytes), true);
  }
  view.setUint32(AT.HEADER_CRC, headerCrc(record, 0), true);
  return record;
}

/**
 * Reads the parts of a segment one after the other.
 * @param bytes Segment or a window of it, from the start of a part.
 * @param isEnd Whether the segment ends where `bytes` end; if not, what may reach beyond is left for the next window. A
 *   window of SEGMENT_WINDOW_BYTES yields at least one part.
 */
export function* scanSegment(bytes: Uint8Array, isEnd: boolean): Generator<SegmentPart> {
  const view = viewOf(bytes);
  // A header that is cut off by the window's end may be whole in the next one.
  const searchEnd = isEnd ? bytes.length : bytes.length - RECORD_HEADER_BYTES + 1;
  for (let offset = 0; offset < searchEnd;) {
    const info = recordAt(bytes, view, offset);
    if (info === null) {
      const end = findRecord(bytes, view, offset + 1) ?? searchEnd;
      yield { kind: "damage", offset, end };
      offset = end;
      continue;
    }
    const start = offset + RECORD_HEADER_BYTES;
    const whole = start + view.getUint32(offset + AT.PAYLOAD_BYTES, true);
    const isTorn = whole > bytes.length;
    if (isTorn && !isEnd) return;
    const payload = bytes.subarray(start, whole);
    const isIntact = !isTorn && crc32c(payload) === view.getUint32(offset + AT.PAYLOAD_CRC, true);
    const end = Math.min(whole, bytes.length);
    yield { kind: "record", offset, end, info, payload: isIntact ? payload : null };
    offset = end;
  }
}

function recordAt(bytes: Uint8Array, view: DataView, offset: number): RecordInfo | null {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return null;
  if (view.getUint32(offset + AT.MAGIC, true) !== RECORD_MAGIC) return null;
  if (view.getUint32(offset + AT.HEADER_CRC, true) !== headerCrc(bytes, offset)) return null;
  return {
    procId: view.getUint32(offset + AT.PROC_ID, true),
    procSeq: Number(view.getBigUint64(offset + AT.PROC_SEQ, true)),
    startNs: view.getBigInt64(offset + AT.START_NS, true),
    endNs: view.getBigInt64(offset + AT.END_NS, true),
    sums: Object.fromEntries(
      CLASS_NAMES.map((name, index) => [name, sumsAt(view, offset + AT.SUMS + index * SUMS_BYTES)]),
    ) as Record<ClassName, TrafficSums>,
  };
}

function sumsAt(view: DataView, at: number): TrafficSums {
  return {
    txPackets: view.getBigUint64(at, true),
    txBytes: view.getBigUint64(at + 8, true),
    rxPackets: view.getBigUint64(at + 16, true),
    rxBytes: view.getBigUint64(at + 24, true),
  };
}

/** Place of the next record with a whole header, or null. */
function findRecord(bytes: Uint8Array, view: DataView, from: number): number | null {
  for (
    let at = bytes.indexOf(RECORD_MAGIC_FIRST, from);
    at >= 0;
    at = bytes.indexOf(RECORD_MAGIC_FIRST, at + 1)
  ) {
    if (recordAt(bytes, view, at) !== null) return at;
  }
  return null;
}

function headerCrc(bytes: Uint8Array, offset: number): number {
  return crc32c(bytes, offset + AT.PAYLOAD_BYTES, RECORD_HEADER_BYTES - AT.PAYLOAD_BYTES);
}

function u64(value: bigint): bigint {
  if (BigInt.asUintN(64, value) === value) return value;
  throw new RangeError(`Cannot spool the count ${value}: it must fit 64 bits`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
