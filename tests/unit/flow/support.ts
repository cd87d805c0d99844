/** Shared by the tests of flow: keys, a model that counts in a Map, and readers' rows as text. */
import assert from "node:assert/strict";
import { FlowReader, type FlowRow, type FlowWriter } from "../../../src/flow/mod.ts";
import {
  addressPortText,
  HASH_SECRET_WORDS,
  KEY,
  KEY_DST_V6,
  KEY_SRC_V6,
} from "../../../src/packet/mod.ts";

/** Secret of all tests: fixed, so that a failure repeats. */
export const SECRET: Uint32Array = Uint32Array.from(
  { length: HASH_SECRET_WORDS },
  (_, at) => Math.imul(at + 1, 0x9e3779b9) ^ (at << 7),
);

/** Key between 10.0.0.0 + src and 10.1.0.0 + dst, or the same numbers below fd00:: and fd01::. */
export function keyOf(
  fields: { proto?: number; src?: number; dst?: number; srcPort?: number; dstPort?: number } & {
    srcV6?: boolean;
    dstV6?: boolean;
  },
): Uint32Array {
  const { proto = 6, src = 1, dst = 2, srcPort = 1000, dstPort = 80 } = fields;
  const address = (v6: boolean, high: number, low: number) =>
    v6 ? [0xfd000000 + high, 0, 0, low] : [0, 0, 0xffff, 0x0a000000 + high + low];
  const head = proto | (fields.srcV6 === true ? KEY_SRC_V6 : 0) |
    (fields.dstV6 === true ? KEY_DST_V6 : 0);
  return Uint32Array.of(
    head,
    (srcPort << 16) | dstPort,
    ...address(fields.srcV6 === true, 0, src),
    ...address(fields.dstV6 === true, 0x10000, dst),
  );
}

/** Name of a key's row: proto, source, destination. */
export function nameOf(key: Uint32Array): string {
  const family = (bit: number) => (key[KEY.HEAD] & bit) === 0 ? 4 : 6;
  const src = addressPortText(key, KEY.SRC, family(KEY_SRC_V6), key[KEY.PORTS] >>> 16);
  const dst = addressPortText(key, KEY.DST, family(KEY_DST_V6), key[KEY.PORTS] & 0xffff);
  return `${key[KEY.HEAD] & 0xff} ${src} ${dst}`;
}

/** The same key with its two sides exchanged. */
export function swapped(key: Uint32Array): Uint32Array {
  const head = (key[KEY.HEAD] & 0xff) |
    ((key[KEY.HEAD] & KEY_SRC_V6) !== 0 ? KEY_DST_V6 : 0) |
    ((key[KEY.HEAD] & KEY_DST_V6) !== 0 ? KEY_SRC_V6 : 0);
  const ports = (key[KEY.PORTS] << 16) | (key[KEY.PORTS] >>> 16);
  const [src, dst] = [key.subarray(KEY.SRC, KEY.SRC + 4), key.subarray(KEY.DST, KEY.DST + 4)];
  return Uint32Array.of(head, ports, ...dst, ...src);
}

/** Four counters of one row or of all. */
export interface Sums {
  txPackets: number;
  txBytes: number;
  rxPackets: number;
  rxBytes: number;
}

/** Sums of nothing. */
export function noSums(): Sums {
  return { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };
}

/** Adds one to the other. */
export function addSums(to: Sums, from: Sums): void {
  to.txPackets += from.txPackets;
  to.txBytes += from.txBytes;
  to.rxPackets += from.rxPackets;
  to.rxBytes += from.rxBytes;
}

/** A row as plain data. */
export interface Row extends Sums {
  name: string;
  folded: boolean;
  other: boolean;
  txTcpFlags: number;
  rxTcpFlags: number;
  icmpTypeCode: number;
}

/** Copies a row. */
export function copyRow(row: FlowRow): Row {
  const { txPackets, txBytes, rxPackets, rxBytes, folded, other } = row;
  const { txTcpFlags, rxTcpFlags, icmpTypeCode } = row;
  return {
    name: other ? "other" : nameOf(row.key),
    ...{ txPackets, txBytes, rxPackets, rxBytes, folded, other },
    ...{ txTcpFlags, rxTcpFlags, icmpTypeCode },
  };
}

/** Flips, lets the writer answer, reads and clears. */
export function takeRows(reader: FlowReader, writer: FlowWriter): Row[] {
  reader.flip();
  writer.handOver();
  assert.equal(reader.acknowledged(), true);
  const rows: Row[] = [];
  reader.forEachRow((row) => rows.push(copyRow(row)));
  reader.clear();
  return rows;
}

/** Sums over rows. */
export function sumRows(rows: readonly Row[]): Sums {
  const sums = noSums();
  for (const row of rows) addSums(sums, row);
  return sums;
}
