/**
 * Layout of the flow banks in shared memory. In: how many flows a bank holds. Out: offsets, sizes and views, which
 * writer and reader both derive from the first words of the memory itself.
 *
 *   control | records of bank 0 | slots | index | records of bank 1 | slots | index
 *
 * A record is one flow: 64 bytes, one cache line, packed from the bank's start in the order of first packets, so
 * that reading and clearing take time by the flows there are and not by those there could be. The index finds a
 * record by hash; `slots` says where in the index each record stands, so that it can be taken out again.
 */
import { FLOWS_MAX_MAX, FLOWS_MAX_MIN, FLOWS_PER_FOLDED_ROW } from "../limits.ts";
import { HASH_SECRET_WORDS } from "../packet/mod.ts";

/** Bytes of a cache line on the machines in view. What two threads write never shares one. */
const LINE_BYTES = 64;

/** Bytes of one record. */
export const RECORD_BYTES = 64;
/** 32-bit words of one record. */
export const RECORD_WORDS = RECORD_BYTES / 4;

/**
 * Word indices in a record. The first KEY_WORDS words are the flow key, its HEAD also holding RECORD_FOLDED and, from
 * DETAIL_SHIFT on, TCP flags (tx, then rx) or the first packet's ICMP type and code.
 */
export const RECORD = { TX_PACKETS: 10, RX_PACKETS: 11 } as const;
/** Float64 indices in a record. */
export const RECORD_FLOATS = { TX_BYTES: 6, RX_BYTES: 7 } as const;

/** Set in a record's HEAD iff it stands for all flows of its proto and addresses that found no room. */
export const RECORD_FOLDED = 1 << 10;
/** First bit of HEAD that is not part of the key: tx TCP flags, or ICMP code. */
export const DETAIL_SHIFT = 16;
/** First bit of the rx TCP flags, or ICMP type. */
export const DETAIL_RX_SHIFT = 24;

/** Word indices of the control block; each group is alone in its cache line. */
export const CONTROL = {
  /** Written once. */
  MAGIC: 0,
  FLOWS_MAX: 1,
  /** HASH_SECRET_WORDS words. */
  SECRET: 2,
  /** Number of flips asked for. Written by the reader; its lowest bit is the bank to be written next. */
  REQUESTED: 32,
  /** Number of flips done. Written by the writer. */
  ACKNOWLEDGED: 48,
  /** Records in each bank. Written by the writer of the bank, zeroed by the reader when it clears it. */
  USED: [80, 112],
} as const;

/** Float64 indices of the control block: tx packets, tx bytes, rx packets, rx bytes. Written by the writer. */
export const CONTROL_TOTALS = 32;
/** The same four of each bank's last-resort row; zeroed by the reader. */
export const CONTROL_OTHER = [48, 64] as const;
const CONTROL_BYTES = 9 * LINE_BYTES;

/** Says that memory is a pair of banks, of this layout. */
const MAGIC = 0x666c6f31;

/** Offsets and sizes, in bytes where not said otherwise. */
export interface BanksLayout {
  /** Flows that a bank tells apart. */
  readonly flowsMax: number;
  /** Rows by addresses, for flows beyond that. */
  readonly foldedMax: number;
  /** Entries of the index, a power of two. */
  readonly indexEntries: number;
  readonly slotsOffset: number;
  readonly indexOffset: number;
  readonly bankBytes: number;
  readonly totalBytes: number;
}

/**
 * Computes the layout for `flowsMax` flows a bank.
 * @throws {RangeError} If it is not an integer of FLOWS_MAX_MIN .. FLOWS_MAX_MAX.
 */
export function banksLayout(flowsMax: number): BanksLayout {
  if (!Number.isInteger(flowsMax) || flowsMax < FLOWS_MAX_MIN || flowsMax > FLOWS_MAX_MAX) {
    throw new RangeError(
      `Cannot hold ${flowsMax} flows: want an integer of ${FLOWS_MAX_MIN} to ${FLOWS_MAX_MAX}`,
    );
  }
  const foldedMax = Math.ceil(flowsMax / FLOWS_PER_FOLDED_ROW);
  const recordsMax = flowsMax + foldedMax;
  // At most half full, folded rows aside: probes stay short.
  const indexEntries = 2 ** Math.ceil(Math.log2(flowsMax * 2));
  const slotsOffset = recordsMax * RECORD_BYTES;
  const indexOffset = toLine(slotsOffset + recordsMax * 4);
  const bankBytes = toLine(indexOffset + indexEntries * 4);
  return {
    flowsMax,
    foldedMax,
    indexEntries,
    slotsOffset,
    indexOffset,
    bankBytes,
    totalBytes: CONTROL_BYTES + 2 * bankBytes,
  };
}

function toLine(bytes: number): number {
  return Math.ceil(bytes / LINE_BYTES) * LINE_BYTES;
}

/** Bytes of shared memory that a pair of banks for `flowsMax` flows takes. @throws {RangeError} As banksLayout. */
export function banksByteLength(flowsMax: number): number {
  return banksLayout(flowsMax).totalBytes;
}

/**
 * Makes an empty pair of banks.
 * @param secret HASH_SECRET_WORDS random words: whoever knows them can make the table slow, not wrong.
 * @throws {RangeError} As banksLayout, or if there is not so much memory.
 */
export function createBanks(flowsMax: number, secret: Uint32Array): SharedArrayBuffer {
  const layout = banksLayout(flowsMax);
  const memory = new SharedArrayBuffer(layout.totalBytes);
  const control = new Int32Array(memory);
  control[CONTROL.MAGIC] = MAGIC;
  control[CONTROL.FLOWS_MAX] = flowsMax;
  for (let word = 0; word < HASH_SECRET_WORDS; word++) {
    control[CONTROL.SECRET + word] = secret[word];
  }
  return memory;
}

/** Views of the control block. */
export interface ControlViews {
  readonly layout: BanksLayout;
  readonly words: Int32Array;
  /** The same bytes as Float64. */
  readonly floats: Float64Array;
}

/** @throws {TypeError} If the memory was not made by createBanks. */
export function controlViews(memory: SharedArrayBuffer): ControlViews {
  const words = new Int32Array(memory, 0, CONTROL_BYTES / 4);
  if (words[CONTROL.MAGIC] !== MAGIC) throw new TypeError("Cannot read flow banks: no such memory");
  return {
    layout: banksLayout(words[CONTROL.FLOWS_MAX]),
    words,
    floats: new Float64Array(memory, 0, CONTROL_BYTES / 8),
  };
}

/** Views of one bank. */
export interface BankViews {
  readonly recordWords: Uint32Array;
  /** The same bytes as Float64. */
  readonly recordFloats: Float64Array;
  /** Per record: its entry in the index. */
  readonly slots: Uint32Array;
  /** Per entry: part of the hash above, record number + 1 below; 0 = free. */
  readonly index: Int32Array;
}

/** Makes the views of bank 0 or 1. */
export function bankViews(
  memory: SharedArrayBuffer,
  layout: BanksLayout,
  bank: number,
): BankViews {
  const start = CONTROL_BYTES + bank * layout.bankBytes;
  const recordsMax = layout.flowsMax + layout.foldedMax;
  return {
    recordWords: new Uint32Array(memory, start, recordsMax * RECORD_WORDS),
    recordFloats: new Float64Array(memory, start, recordsMax * RECORD_WORDS / 2),
    slots: new Uint32Array(memory, start + layout.slotsOffset, recordsMax),
    index: new Int32Array(memory, start + layout.indexOffset, layout.indexEntries),
  };
}
