/**
 * Queries over rows as objects, by the book: sums by text keys, in bigints.
 *
 * In: messages, a predicate in place of a filter, words in place of dimensions. Out: groups and buckets. What
 * src/collector/query answers must equal this.
 */
import { CLASS_NAMES } from "../../src/counters.ts";
import { maskPrefix, parseAddress, prefixText } from "../../src/packet/mod.ts";
import type { Dimension, Order, TierChoice } from "../../src/collector/query/question.ts";
import { twinBucketEnd, type TwinMessage, type TwinRow } from "./store_twin.ts";

/** A filter as a function. */
export type TwinPredicate = (row: TwinRow, stream: number) => boolean;

/** One group. */
export interface TwinGroup {
  readonly key: readonly (string | number)[];
  readonly sums: bigint[];
  rows: number;
  readonly flows: Set<string>;
}

/** What rows are asked for. */
export interface TwinQuery {
  readonly fromMs: number;
  readonly toMs: number;
  readonly tier: Exclude<TierChoice, "auto">;
  readonly matches: TwinPredicate;
  readonly by: readonly Dimension[];
  /** Owner of an address, by name; "" = nobody. */
  readonly owner: (address: string) => string;
  readonly nodeName: (stream: number) => string;
}

/** Sums groups. */
export function twinGroups(messages: readonly TwinMessage[], query: TwinQuery): TwinGroup[] {
  const groups = new Map<string, TwinGroup>();
  for (const message of messages) {
    if (!isInRange(message, query)) continue;
    for (const row of message.rows) {
      if (!query.matches(row, message.stream)) continue;
      for (const key of keysOf(row, message.stream, query)) {
        const text = JSON.stringify(key);
        const group = groups.get(text) ??
          { key, sums: [0n, 0n, 0n, 0n], rows: 0, flows: new Set() };
        row.counters.forEach((value, counter) => group.sums[counter] += value);
        group.rows++;
        const { classCode, proto, src, dst, srcPort, dstPort } = row;
        const sport = query.tier === "raw" ? srcPort : 0;
        group.flows.add(
          `${message.stream} ${classCode} ${proto} ${src} ${sport} ${dst} ${dstPort}`,
        );
        groups.set(text, group);
      }
    }
  }
  return [...groups.values()];
}

/** Whether a message's window, or the bucket that holds it, ends within the range. */
export function isInRange(message: TwinMessage, { fromMs, toMs, tier }: TwinQuery): boolean {
  const within = (endMs: number) => endMs > fromMs && endMs <= toMs;
  if (tier !== "sum") return within(twinBucketEnd(message.endNs, tier));
  return within(twinBucketEnd(message.endNs, "minute"));
}

function keysOf(row: TwinRow, stream: number, query: TwinQuery): (string | number)[][] {
  const at = query.by.indexOf("host");
  const key = query.by.map((dimension) => wordOf(dimension, row, stream, query));
  if (at < 0) return [key];
  const hosts = new Set([row.src, row.dst].filter((text) => text !== ""));
  if (hosts.size === 0) hosts.add("");
  return [...hosts].map((host) => key.map((word, index) => index === at ? host : word));
}

function wordOf(
  dimension: Dimension,
  row: TwinRow,
  stream: number,
  query: TwinQuery,
): string | number {
  switch (dimension) {
    case "class":
      return CLASS_NAMES[row.classCode];
    case "node":
      return query.nodeName(stream);
    case "peer":
      return query.owner(CLASS_NAMES[row.classCode] === "physical" ? row.src : row.dst);
    case "proto":
      return row.proto;
    case "src":
    case "dst":
      return row[dimension];
    case "host":
      return "";
    case "sport":
      return row.srcPort;
    case "dport":
      return row.dstPort;
    case "srcNet":
      return netOf(row.src);
    case "dstNet":
      return netOf(row.dst);
  }
}

function netOf(text: string): string {
  const address = parseAddress(text);
  if (address === null) return "";
  return prefixText(maskPrefix({ ...address, prefixBits: address.family === 4 ? 24 : 48 }));
}

/** What a group is ordered by. */
export function twinMeasure({ sums, rows }: TwinGroup, order: Order): bigint {
  const [txPackets, txBytes, rxPackets, rxBytes] = sums;
  const measures: Record<Order, bigint> = {
    bytes: txBytes + rxBytes,
    packets: txPackets + rxPackets,
    txBytes,
    rxBytes,
    txPackets,
    rxPackets,
    rows: BigInt(rows),
  };
  return measures[order];
}
