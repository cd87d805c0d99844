/**
 * Body of an upload as it came → its bytes.
 *
 * In: bytes and the header Content-Encoding. Out: the content, or why there is none. Guarantees: never more than the limit
 * is unpacked, whatever a header claims; content is whole or it is not handed out; no exception. `Orig-Content-Length` is a
 * hint that nothing here relies on (SPEC 2.6).
 */
import * as zlib from "node:zlib";
import { findDataFrame } from "./zstd_frames.ts";

/** See file header. `tooLarge`: over the limit. `wrong`: it will never be readable, however often it is sent. */
export type BodyContent =
  | { readonly kind: "content"; readonly bytes: Uint8Array }
  | { readonly kind: "tooLarge" }
  | { readonly kind: "wrong"; readonly problem: string };

/**
 * Unpacks a body.
 * @param encoding Header as it came; "" = none.
 * @param contentBytesMax Limit of the content.
 */
export function readBody(
  bytes: Uint8Array,
  encoding: string,
  contentBytesMax: number,
): BodyContent {
  const name = encoding.trim().toLowerCase();
  if (name === "" || name === "identity") {
    return bytes.length > contentBytesMax ? { kind: "tooLarge" } : { kind: "content", bytes };
  }
  if (name === "zstd") return unpack(bytes, contentBytesMax);
  return wrong(`unknown content encoding ${JSON.stringify(name.slice(0, 64))}`);
}

function unpack(bytes: Uint8Array, contentBytesMax: number): BodyContent {
  const frame = findDataFrame(bytes);
  if (typeof frame === "string") return wrong(frame);
  const { start, end, contentBytes } = frame;
  if (contentBytes !== null && contentBytes > contentBytesMax) return { kind: "tooLarge" };
  let content: Uint8Array;
  try {
    content = zlib.zstdDecompressSync(bytes.subarray(start, end), {
      // Not 0, which some take for no limit; one more than it must be, so that the limit itself still fits.
      maxOutputLength: (contentBytes ?? contentBytesMax) + 1,
    });
  } catch (error) {
    const isOver = error instanceof RangeError ||
      (error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE";
    if (isOver && contentBytes === null) return { kind: "tooLarge" };
    return wrong(isOver ? "zstd content is longer than its header says" : "zstd data is damaged");
  }
  if (contentBytes !== null && content.length !== contentBytes) {
    return wrong(`zstd content has ${content.length} bytes, its header says ${contentBytes}`);
  }
  return content.length > contentBytesMax
    ? { kind: "tooLarge" }
    : { kind: "content", bytes: content };
}

function wrong(problem: string): BodyContent {
  return { kind: "wrong", problem };
}
