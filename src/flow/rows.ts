/**
 * Rows: what a reader gets of a bank. In: records. Out: one FlowRow at a time, reused.
 */
import { KEY, KEY_HEAD_MASK, KEY_WORDS, PROTO } from "../packet/mod.ts";
import {
  type BankViews,
  DETAIL_RX_SHIFT,
  DETAIL_SHIFT,
  RECORD,
  RECORD_FLOATS,
  RECORD_FOLDED,
  RECORD_WORDS,
} from "./layout.ts";

/** One row. The reader overwrites it with the next: copy what must stay. */
export class FlowRow {
  /** Flow key, local side as source. All zero iff `other`. */
  readonly key = new Uint32Array(KEY_WORDS);
  txPackets = 0;
  txBytes = 0;
  rxPackets = 0;
  rxBytes = 0;
  /** Whether several flows share the row because the bank was full: ports are 0. */
  folded = false;
  /** Whether it stands for all that found no row by addresses either. Then `folded` is true as well. */
  other = false;
  /** TCP flags of all packets sent, or'ed. Valid iff proto is TCP and not folded. */
  txTcpFlags = 0;
  /** TCP flags of all packets received. Valid as txTcpFlags. */
  rxTcpFlags = 0;
  /** ICMP type << 8 | code of the first packet. Valid iff proto is ICMP or ICMPV6 and not folded. */
  icmpTypeCode = 0;

  /** IP protocol number; see PROTO for the two that have a meaning of their own. */
  get proto(): number {
    return this.key[KEY.HEAD] & 0xff;
  }

  /** Port of the local side. */
  get srcPort(): number {
    return this.key[KEY.PORTS] >>> 16;
  }

  /** Port of the remote side. */
  get dstPort(): number {
    return this.key[KEY.PORTS] & 0xffff;
  }
}

/** Fills `row` from record number `record`. */
export function readRecord(views: BankViews, record: number, row: FlowRow): void {
  const words = views.recordWords;
  const word = record * RECORD_WORDS;
  const float = word / 2;
  const head = words[word];
  for (let at = 1; at < KEY_WORDS; at++) row.key[at] = words[word + at];
  row.key[KEY.HEAD] = head & KEY_HEAD_MASK;
  row.txPackets = words[word + RECORD.TX_PACKETS];
  row.rxPackets = words[word + RECORD.RX_PACKETS];
  row.txBytes = views.recordFloats[float + RECORD_FLOATS.TX_BYTES];
  row.rxBytes = views.recordFloats[float + RECORD_FLOATS.RX_BYTES];
  row.folded = (head & RECORD_FOLDED) !== 0;
  row.other = false;
  const isTcp = row.proto === PROTO.TCP;
  row.txTcpFlags = isTcp ? (head >>> DETAIL_SHIFT) & 0xff : 0;
  row.rxTcpFlags = isTcp ? head >>> DETAIL_RX_SHIFT : 0;
  row.icmpTypeCode = isTcp ? 0 : head >>> DETAIL_SHIFT;
}

/** Fills `row` from a bank's last-resort row: four Float64 from `start` on. */
export function readOther(floats: Float64Array, start: number, row: FlowRow): void {
  row.key.fill(0);
  row.txPackets = floats[start];
  row.txBytes = floats[start + 1];
  row.rxPackets = floats[start + 2];
  row.rxBytes = floats[start + 3];
  row.folded = true;
  row.other = true;
  row.txTcpFlags = 0;
  row.rxTcpFlags = 0;
  row.icmpTypeCode = 0;
}
