/**
 * Blobs of the store: content, compressed where that pays, with its length in front.
 *
 * In and out: bytes. Guarantees: what was cut short or changed is refused, never read as less; a blob's header bounds the
 * memory that reading it takes.
 */
import { constants, zstdDecompressSync } from "node:zlib";
import type { ZstdPort } from "../../ports.ts";
import { StoreError } from "../store.ts";

/** First byte of a blob: how its content is kept. */
const PLAIN = 0;
const ZSTD = 1;
const HEADER_BYTES = 5;
/** Below this, a frame's own header eats what compression saves. */
const COMPRESS_BYTES_MIN = 128;
/** Longest content: far above any segment, far below what would hurt. */
const CONTENT_BYTES_MAX = 256 * 1024 * 1024;

/** Makes a blob. */
export function packBlob(content: Uint8Array, zstd: ZstdPort): Uint8Array {
  if (content.length >= COMPRESS_BYTES_MIN && zstd.name !== "none") {
    const frame = zstd.compress(content);
    if (frame.length < content.length) return withHeader(ZSTD, content.length, frame);
  }
  return withHeader(PLAIN, content.length, content);
}

/**
 * Returns a blob's content.
 * @throws {StoreError} `damaged`.
 */
export function unpackBlob(blob: Uint8Array): Uint8Array {
  if (blob.length < HEADER_BYTES) throw damaged("it is cut short");
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const contentBytes = view.getUint32(1, true);
  const data = blob.subarray(HEADER_BYTES);
  if (contentBytes > CONTENT_BYTES_MAX) throw damaged(`it says to hold ${contentBytes} bytes`);
  const content = blob[0] === ZSTD ? decompress(data, contentBytes) : data;
  if (blob[0] > ZSTD || content.length !== contentBytes) {
    throw damaged(`${content.length} of ${contentBytes} bytes are there`);
  }
  return content;
}

function decompress(frame: Uint8Array, contentBytes: number): Uint8Array {
  try {
    // One byte more, so that too much shows as well; a chunk of that size is one allocation.
    return zstdDecompressSync(frame, {
      maxOutputLength: contentBytes + 1,
      chunkSize: Math.max(constants.Z_MIN_CHUNK, contentBytes + 1),
    });
  } catch (error) {
    throw damaged("its content cannot be decompressed", error);
  }
}

function withHeader(kind: number, contentBytes: number, data: Uint8Array): Uint8Array {
  const blob = new Uint8Array(HEADER_BYTES + data.length);
  blob[0] = kind;
  new DataView(blob.buffer).setUint32(1, contentBytes, true);
  blob.set(data, HEADER_BYTES);
  return blob;
}

function damaged(problem: string, cause?: unknown): StoreError {
  return new StoreError("damaged", `Cannot read a blob of the store: ${problem}`, cause);
}
