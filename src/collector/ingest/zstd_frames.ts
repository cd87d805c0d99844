/**
 * Structure of Zstandard data (RFC 8878 §3.1), looked at without decompressing it.
 *
 * In: bytes from outside. Out: where the one frame with content is, and what its header says, or what is wrong. The
 * library tells nothing of a frame that is cut off, and one runtime's decodes only the first of several (FACTS "zstd"), so
 * that bytes would be lost without an error. Guarantees: linear time, no allocation, no exception.
 */
import { ZSTD_WINDOW_BYTES_MAX } from "../../limits.ts";

/** The one frame that holds content. */
export interface DataFrame {
  readonly start: number;
  readonly end: number;
  /** What the header says; null = it does not say. */
  readonly contentBytes: number | null;
}

/** A frame's own account of itself. */
interface Frame extends DataFrame {
  /** Whether it can hold no content, by its blocks alone. */
  readonly isEmpty: boolean;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const TRUNCATED = "zstd data is cut off";

/**
 * Finds the frame that holds the content. Skippable and empty frames around it are passed over: one runtime's encoder
 * appends an empty one.
 * @returns What is wrong, as text, if there is none or more than one, or anything is cut off.
 */
export function findDataFrame(bytes: Uint8Array): DataFrame | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let found: Frame | null = null;
  let at = 0;
  while (at < bytes.length) {
    if (at + 8 > bytes.length) return at === 0 ? "no zstd data" : TRUNCATED;
    const magic = view.getUint32(at, true);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + view.getUint32(at + 4, true);
      if (at > bytes.length) return TRUNCATED;
      continue;
    }
    if (magic !== MAGIC) return at === 0 ? "no zstd data" : "bytes behind the zstd frame";
    const frame = readFrame(view, at);
    if (typeof frame === "string") return frame;
    if (found === null || found.isEmpty) found = frame;
    else if (!frame.isEmpty) return "more than one zstd frame";
    at = frame.end;
  }
  return found ?? "no zstd data";
}

function readFrame(view: DataView, start: number): Frame | string {
  const length = view.byteLength;
  const descriptor = view.getUint8(start + 4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  if ((descriptor & 0x08) !== 0) return "zstd header has a reserved bit set";
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3];
  const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag;
  const windowBytes = isSingleSegment ? 0 : 1;
  let at = start + 5;
  if (at + windowBytes + dictionaryBytes + sizeBytes > length) return TRUNCATED;
  if (!isSingleSegment && windowOf(view.getUint8(at)) > ZSTD_WINDOW_BYTES_MAX) {
    return `zstd window is larger than ${ZSTD_WINDOW_BYTES_MAX} bytes`;
  }
  at += windowBytes;
  for (let index = 0; index < dictionaryBytes; index++) {
    if (view.getUint8(at++) !== 0) return "zstd frame needs a dictionary";
  }
  const contentBytes = readContentBytes(view, at, sizeBytes);
  at += sizeBytes;
  let isEmpty = true;
  for (let isLast = false; !isLast;) {
    if (at + 3 > length) return TRUNCATED;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === 3) return "zstd block has a reserved type";
    isLast = (header & 1) === 1;
    if (type === 2 || size > 0) isEmpty = false;
    at += 3 + (type === 1 ? 1 : size);
  }
  at += (descriptor & 4) !== 0 ? 4 : 0;
  if (at > length) return TRUNCATED;
  return { start, end: at, contentBytes, isEmpty };
}

/** RFC 8878 §3.1.1.1.2. */
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function readContentBytes(view: DataView, at: number, sizeBytes: number): number | null {
  switch (sizeBytes) {
    case 0:
      return null;
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
