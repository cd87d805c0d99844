/**
 * What a spool knows beside its segments, in one file: how far it is delivered, what it lost, who writes it.
 *
 * In: a SpoolState. Out: the same after any crash. One write holds both "delivered up to" and "lost", so that no crash
 * falls between them. The file has two places of fixed length, each with a generation and a checksum: one takes every
 * state, the other only those that must survive a power failure, so that one of them is always whole and synced. It is
 * filled at the start, so that a full disk does not keep a loss from being written down.
 */
import { SPOOL_STATE_BYTES } from "../limits.ts";
import { gapText, type LostRange, parseGap } from "../logtail/mod.ts";
import { crc32c } from "./crc32c.ts";
import type { SpoolFiles } from "./spool_files.ts";

/** Name of the file. */
export const STATE_NAME = "state";

/** How far one segment is. */
export interface SegmentState {
  readonly id: number;
  readonly startNs: bigint;
  readonly ackedBytes: number;
  readonly offeredBytes: number;
  /** Length of a sealed segment; 0 = it is being written. */
  readonly endBytes: number;
  /** Valid iff endBytes is not 0. */
  readonly endNs: bigint;
}

/** A gap record that has been offered for upload: its bytes and name must stay as they are until it is delivered. */
export interface FrozenGap {
  readonly procId: number;
  readonly procSeq: number;
  /** The entry as sent, with its newline. */
  readonly line: string;
}

/** See file header. */
export interface SpoolState {
  /** All segments in which something waits, in order. */
  readonly segments: readonly SegmentState[];
  /** All segments before this id that are not listed are done with. */
  readonly nextId: number;
  /** Losses that are not yet in a gap record. */
  readonly lost: readonly LostRange[];
  readonly frozen: FrozenGap | null;
  /** Who has the spool open, and since when; null = it was closed in order. */
  readonly writer: { readonly procId: number; readonly startedNs: bigint } | null;
  /** End of the windows of which every entry is on disk, delivered or declared; 0 = none. */
  readonly coveredNs: bigint;
}

const MAGIC = 0x53534c54;
const VERSION = 1;
/** Magic, generation, length, checksum of generation, length and text. */
const HEADER_BYTES = 16;

/** The file of a spool's state. */
export class SpoolStateFile {
  readonly #files: SpoolFiles;
  #generation = 0;
  /** Whether each place holds a whole state, and one that survives a power failure. */
  readonly #isWhole = [false, false];
  readonly #isSafe = [false, false];

  constructor(files: SpoolFiles) {
    this.#files = files;
  }

  /**
   * Reads the newer of the two places that are whole.
   * @returns null when there is no file; `damaged` tells whether there was one that cannot be read.
   * @throws {SystemCallError} If the system refuses to read; {RangeError} if a later version of tunlog wrote it.
   */
  read(): { state: SpoolState | null; damaged: boolean } {
    let newest: Uint8Array | null = null;
    let damaged = false;
    this.#generation = 0;
    if (this.#files.size(STATE_NAME) === 0) return { state: null, damaged };
    for (const place of [0, 1]) {
      const found = this.#readPlace(place * SPOOL_STATE_BYTES);
      // A place of zeros was made and never written.
      damaged ||= found === "damaged";
      this.#isWhole[place] = this.#isSafe[place] = found !== null && found !== "damaged";
      if (found === null || found === "damaged" || found.generation <= this.#generation) continue;
      this.#generation = found.generation;
      newest = found.text;
    }
    if (newest === null) return { state: null, damaged };
    return { state: parseState(new TextDecoder().decode(newest)), damaged: false };
  }

  /** @returns null = there are only zeros. */
  #readPlace(offset: number): { generation: number; text: Uint8Array } | "damaged" | null {
    const header = this.#files.read(STATE_NAME, offset, HEADER_BYTES);
    const length = header.length < HEADER_BYTES ? 0 : viewOf(header).getUint32(8, true);
    const bytes = length > SPOOL_STATE_BYTES - HEADER_BYTES
      ? header
      : this.#files.read(STATE_NAME, offset, HEADER_BYTES + length);
    const found = decodePlace(bytes);
    if (found !== null) return found;
    return isZero(this.#files.read(STATE_NAME, offset, SPOOL_STATE_BYTES)) ? null : "damaged";
  }

  /**
   * Takes the room that the file will ever need, and has what is in it survive a power failure.
   * @throws {SystemCallError} If there is none.
   */
  reserve(): void {
    const size = this.#files.size(STATE_NAME);
    const missing = 2 * SPOOL_STATE_BYTES - size;
    if (missing > 0) this.#files.write(STATE_NAME, size, new Uint8Array(missing));
    this.#files.sync(STATE_NAME);
  }

  /**
   * Writes a state.
   * @param durable Whether it is to survive a power failure, and damage to either place.
   * @throws {SystemCallError} If the disk fails.
   */
  write(state: SpoolState, durable: boolean): void {
    const text = new TextEncoder().encode(stateText(state));
    // A write that fails in the middle must leave the other place as it was: it may be the only one that is safe.
    const first = this.#isSafe[1] ? 0 : 1;
    for (const place of durable ? [first, 1 - first] : [first]) {
      this.#generation++;
      this.#isWhole[place] = this.#isSafe[place] = false;
      this.#files.write(
        STATE_NAME,
        place * SPOOL_STATE_BYTES,
        encodePlace(text, this.#generation),
      );
      this.#isWhole[place] = true;
      if (durable) this.sync();
    }
  }

  /** Has the last state survive a power failure, if no other is written meanwhile. @throws {SystemCallError} */
  sync(): void {
    this.#files.sync(STATE_NAME);
    for (const place of [0, 1]) this.#isSafe[place] = this.#isWhole[place];
  }
}

/** Whether bytes are what was written, and which. */
function decodePlace(bytes: Uint8Array): { generation: number; text: Uint8Array } | null {
  const view = viewOf(bytes);
  const length = bytes.length - HEADER_BYTES;
  if (length < 0 || view.getUint32(0, true) !== MAGIC || view.getUint32(8, true) !== length) {
    return null;
  }
  if (view.getUint32(12, true) !== placeCrc(bytes, length)) return null;
  return { generation: view.getUint32(4, true), text: bytes.subarray(HEADER_BYTES) };
}

function encodePlace(text: Uint8Array, generation: number): Uint8Array {
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

function isZero(bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if (bytes[index] !== 0) return false;
  return true;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function placeCrc(bytes: Uint8Array, length: number): number {
  return crc32c(bytes, HEADER_BYTES, length, crc32c(bytes, 4, 8));
}

/**
 * Lines: a JSON object (times as text of their digits), the losses as a gap record or an empty line, and the frozen gap
 * record as it is, for inside a JSON text each of its quotes would take two bytes.
 */
function stateText({ segments, nextId, lost, frozen, writer, coveredNs }: SpoolState): string {
  const head = JSON.stringify({
    version: VERSION,
    segments: segments.map((segment) => ({
      ...segment,
      startNs: String(segment.startNs),
      endNs: String(segment.endNs),
    })),
    nextId,
    frozen: frozen && { procId: frozen.procId, procSeq: frozen.procSeq },
    writer: writer && { procId: writer.procId, startedNs: String(writer.startedNs) },
    coveredNs: String(coveredNs),
  });
  return `${head}\n${lost.length === 0 ? "" : gapText(lost)}\n${frozen?.line ?? ""}`;
}

/** What passed its checksum is what stateText wrote, or what a later version did. */
function parseState(text: string): SpoolState {
  const [head, lost, line] = text.split("\n");
  const value = JSON.parse(head);
  if (value.version !== VERSION) {
    throw new RangeError(
      `Cannot read spool: its state is of version ${value.version}, not ${VERSION}`,
    );
  }
  return {
    segments: value.segments.map((segment: SegmentState) => ({
      ...segment,
      startNs: BigInt(segment.startNs),
      endNs: BigInt(segment.endNs),
    })),
    nextId: value.nextId,
    lost: lost === "" ? [] : parseGap(lost),
    frozen: value.frozen && { ...value.frozen, line: `${line}\n` },
    writer: value.writer && { ...value.writer, startedNs: BigInt(value.writer.startedNs) },
    coveredNs: BigInt(value.coveredNs),
  };
}
