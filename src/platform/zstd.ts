/**
 * Zstandard for bodies of uploads, by whatever this runtime has.
 *
 * In: bytes. Out: exactly one frame whose header says how long the content is (RFC 8878 §3.1.1), for readers bound their
 * memory by it. Guarantees: what is chosen has shown in a self-test that it writes such frames; a runtime without any is
 * no error, bodies go as they are then. Not here: decompression, and when compression is worth it (node/upload.ts).
 */
import * as zlib from "node:zlib";
import type { ZstdPort } from "../ports.ts";

/** Name of an implementation. `none` hands back what it is given. */
export type ZstdName = "node:zlib" | "zstd-wasm" | "none";

/** The fastest level: HEAD's too (SPEC 2.6). */
const LEVEL = 1;
/** What a frame may be longer than its content: headers, checksum, and 3 bytes per block of at most 128 KiB. */
const FRAME_BYTES_EXTRA = 1_024;
/** First four bytes of a frame. */
const MAGIC = 0xfd2fb528;

/** Options that are told the content's length, which the type declarations do not know. */
type ToldOptions = zlib.ZstdOptions & { readonly pledgedSrcSize: number };

/**
 * Opens the first implementation that passes its self-test.
 * @param names Which to try, in this order.
 */
export async function openZstd(
  names: readonly ZstdName[] = ["node:zlib", "zstd-wasm", "none"],
): Promise<ZstdPort> {
  for (const name of names) {
    try {
      const port = await OPENERS[name]();
      if (name === "none" || passesSelfTest(port)) return port;
    } catch {
      // Missing in this runtime, or its files may not be read: the next one.
    }
  }
  throw new Error(`Cannot open zstd: none of ${names.join(", ")} works here`);
}

const OPENERS: Readonly<Record<ZstdName, () => ZstdPort | Promise<ZstdPort>>> = {
  "node:zlib": openNodeZlib,
  "zstd-wasm": openWasm,
  "none": () => ({ name: "none", compress: (body) => body }),
};

function openNodeZlib(): ZstdPort {
  const params = {
    [zlib.constants.ZSTD_c_compressionLevel]: LEVEL,
    [zlib.constants.ZSTD_c_checksumFlag]: 1,
  };
  return {
    name: "node:zlib",
    compress(body) {
      // Deno 2.9 writes the content's length only where it is told it, and a second, empty frame where the output fills
      // its buffer to the end: so the buffer is made long enough for any content.
      const options: ToldOptions = {
        params,
        pledgedSrcSize: body.length,
        chunkSize: body.length + (body.length >> 8) + FRAME_BYTES_EXTRA,
      };
      return zlib.zstdCompressSync(body, options);
    },
  };
}

/** Needs to read a file beside the package's code, which a compiled binary lacks. */
async function openWasm(): Promise<ZstdPort> {
  const { init, compress } = await import("@bokuweb/zstd-wasm");
  await init();
  return { name: "zstd-wasm", compress: (body) => compress(body, LEVEL) };
}

/** Bodies of several sizes, of text and of bytes that do not compress: each has tripped one implementation. */
function passesSelfTest(port: ZstdPort): boolean {
  return [300, 65_536, 300_000].every((length) => {
    const text = new Uint8Array(length).map((_, index) => 0x20 + (index % 64));
    const noise = new Uint8Array(length);
    for (let index = 0, state = 1; index < length; index++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      noise[index] = state >>> 24;
    }
    return [text, noise].every((body) => {
      const frame = port.compress(body);
      return isOneFrame(frame, body.length) && (body === noise || frame.length < length / 2);
    });
  });
}

/** Whether the bytes are one frame to their end, which says that it holds `contentBytes` (RFC 8878 §3.1.1). */
function isOneFrame(bytes: Uint8Array, contentBytes: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) return false;
  const descriptor = bytes[4];
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  // No dictionary is in use; one byte of window descriptor stands in front of the content's length.
  if ((descriptor & 3) !== 0 || (sizeFlag === 0 && !isSingleSegment)) return false;
  let offset = isSingleSegment ? 5 : 6;
  if (readContentBytes(view, offset, sizeFlag) !== contentBytes) return false;
  offset += [1, 2, 4, 8][sizeFlag];
  for (let isLast = false; !isLast;) {
    const header = view.getUint16(offset, true) | (bytes[offset + 2] << 16);
    const isRun = ((header >> 1) & 3) === 1;
    isLast = (header & 1) === 1;
    offset += 3 + (isRun ? 1 : header >> 3);
  }
  return offset + ((descriptor & 4) !== 0 ? 4 : 0) === bytes.length;
}

function readContentBytes(view: DataView, offset: number, sizeFlag: number): number {
  switch (sizeFlag) {
    case 0:
      return view.getUint8(offset);
    case 1:
      return view.getUint16(offset, true) + 256;
    case 2:
      return view.getUint32(offset, true);
    default:
      return Number(view.getBigUint64(offset, true));
  }
}
