/**
 * What a spool knows beside its segments, in one file: how far it is delivered, what it lost, who writes it.
 *
 * In: a SpoolState. Out: the same after any crash. The file has two places of fixed length, written in turn with a
 * generation and a checksum, so that one of them is always whole. It is filled at the start, so that a full disk does not
 * keep a loss from being written down. One write holds both "delivered up to" and "lost": no crash falls between them.
 */
import { type LostRange, parseGap } from "../logtail/mod.ts";
import { gapText } from "../logtail/mod.ts";
import { SPOOL_STATE_BYTES } from "../limits.ts";
import { crc32c } from "./crc32c.ts";
import type { SpoolFiles } from "./spool_files.ts";

/** Name of the file. */
export const STATE_NAME = "state";

/** A place within the segments on disk. */
export interface SpoolPosition {
  readonly segmentId: number;
  readonly offset: number;
}

/** A gap record that has been offered for upload: its bytes and name must stay as they are until it is acknowledged. */
export interface FrozenGap {
  readonly procId: number;
  readonly procSeq: number;
  /** The entry as sent, with its newline. */
  readonly line: string;
}

/** See file header. */
export interface SpoolState {
  /** All before is delivered or declared. */
  readonly acked: SpoolPosition;
  /** All before may have been sent. */
  readonly offered: SpoolPosition;
  /** Losses that are not yet in a gap record. */
  readonly lost: readonly LostRange[];
  readonly frozen: FrozenGap | null;
  /** Who has the spool open, and since when; null = it was closed in order. */
  readonly writer: { readonly procId: number; readonly startedNs: bigint } | null;
  /** Start of the first window that is in memory only, because the disk failed; null = none. */
  readonly volatileNs: bigint | null;
}

const MAGIC = 0x53534c54;
/** Magic, generation, length, checksum of generation, length and text. */
const HEADER_BYTES = 16;

/** The file of a spool's state. */
export class SpoolStateFile {
  readonly #files: SpoolFiles;
  #generation = 0;

  constructor(files: SpoolFiles) {
    this.#files = files;
  }

  /**
   * Reads the newer of the two places that are whole.
   * @returns null when there is no file; `damaged` tells whether there was one that cannot be read.
   * @throws {SystemCallError} If the system refuses to read.
   */
  read(): { state: SpoolState | null; damaged: boolean } {
    const bytes = this.#files.read(STATE_NAME, 0, 2 * SPOOL_STATE_BYTES);
    let newest: SpoolState | null = null;
    for (const place of [0, 1]) {
      const found = readPlace(bytes, place * SPOOL_STATE_BYTES);
      if (found === null || found.generation <= this.#generation) continue;
      this.#generation = found.generation;
      newest = found.state;
    }
    // A file of zeros was made and never written.
    return { state: newest, damaged: newest === null && bytes.some((byte) => byte !== 0) };
  }

  /** Takes the room that the file will ever need. @throws {SystemCallError} If there is none. */
  reserve(): void {
    const missing = 2 * SPOOL_STATE_BYTES - this.#files.size(STATE_NAME);
    if (missing <= 0) return;
    const end = 2 * SPOOL_STATE_BYTES - missing;
    this.#files.write(STATE_NAME, end, new Uint8Array(missing));
  }

  /**
   * Writes the state into the older place, or into both.
   * @param both So that damage to one of them does not take back a loss that was declared.
   * @param durable Whether it is to survive a power failure.
   * @throws {SystemCallError} If the disk fails.
   */
  write(state: SpoolState, both: boolean, durable: boolean): void {
    for (let count = both ? 2 : 1; count > 0; count--) {
      this.#generation++;
      const bytes = encodePlace(state, this.#generation);
      this.#files.write(STATE_NAME, (this.#generation & 1) * SPOOL_STATE_BYTES, bytes);
      if (durable) this.#files.sync(STATE_NAME);
    }
  }
}

function encodePlace(state: SpoolState, generation: number): Uint8Array {
  const text = new TextEncoder().encode(stateText(state));
  if (text.length > SPOOL_STATE_BYTES - HEADER_BYTES) {
    throw new RangeError(`Cannot write spool state of ${text.length} bytes`);
  }
  const bytes = new Uint8Array(HEADER_BYTES + text.length);
  bytes.set(text, HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, generation, true);
  view.setUint32(8, text.length, true);
  view.setUint32(12, placeCrc(bytes, text.length), true);
  return bytes;
}

function readPlace(
  file: Uint8Array,
  offset: number,
): { generation: number; state: SpoolState } | null {
  const bytes = file.subarray(offset, offset + SPOOL_STATE_BYTES);
  if (bytes.length < HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(8, true);
  if (view.getUint32(0, true) !== MAGIC || length > bytes.length - HEADER_BYTES) return null;
  if (view.getUint32(12, true) !== placeCrc(bytes, length)) return null;
  const text = new TextDecoder().decode(bytes.subarray(HEADER_BYTES, HEADER_BYTES + length));
  return { generation: view.getUint32(4, true), state: parseState(JSON.parse(text)) };
}

function placeCrc(bytes: Uint8Array, length: number): number {
  return crc32c(bytes, HEADER_BYTES, length, crc32c(bytes, 4, 8));
}

/** As JSON: times as text of their digits, losses as the text of a gap record. */
function stateText(state: SpoolState): string {
  const { acked, offered, lost, frozen, writer, volatileNs } = state;
  return JSON.stringify({
    acked,
    offered,
    lost: lost.length === 0 ? null : gapText(lost),
    frozen,
    writer: writer && { procId: writer.procId, startedNs: String(writer.startedNs) },
    volatileNs: volatileNs === null ? null : String(volatileNs),
  });
}

/** What passed its checksum is what stateText wrote. */
function parseState(value: ReturnType<typeof JSON.parse>): SpoolState {
  return {
    acked: value.acked,
    offered: value.offered,
    lost: value.lost === null ? [] : parseGap(value.lost),
    frozen: value.frozen,
    writer: value.writer && { ...value.writer, startedNs: BigInt(value.writer.startedNs) },
    volatileNs: value.volatileNs === null ? null : BigInt(value.volatileNs),
  };
}
