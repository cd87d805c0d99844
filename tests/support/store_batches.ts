/** Batches for tests of stores, made of messages as people would write them; and what a store answers, in the same words. */
import { CLASS_NAMES, type ClassSums } from "../../src/counters.ts";
import { makeColumns, ROW_FOLDED, type RowColumns } from "../../src/collector/rows.ts";
import type {
  IngestBatch,
  MessageEntry,
  OtherEntry,
  ScanRange,
  StoreReader,
  StoreWriter,
} from "../../src/collector/store.ts";
import { addTo, type TwinMessage, type TwinRow, type TwinSums } from "../reference/store_twin.ts";

/** All time. */
export const EVER = { fromMs: -9e15, toMs: 9e15 };

/** Sums of rows by class. */
export function sumsOf(rows: readonly TwinRow[]): ClassSums {
  return Object.fromEntries(CLASS_NAMES.map((name, classCode) => {
    const ofClass = rows.filter((row) => row.classCode === classCode);
    const [txPackets, txBytes, rxPackets, rxBytes] = [0, 1, 2, 3].map((counter) =>
      ofClass.reduce((sum, row) => sum + row.counters[counter], 0n)
    );
    return [name, { txPackets, txBytes, rxPackets, rxBytes }];
  })) as ClassSums;
}

/** Makes a batch of messages and other entries. */
export function makeBatch(
  store: StoreWriter,
  receivedMs: number,
  messages: readonly TwinMessage[],
  others: readonly OtherEntry[] = [],
): IngestBatch {
  const columns = makeColumns(messages.reduce((sum, { rows }) => sum + rows.length, 0));
  const entries = messages.map((message): MessageEntry => {
    const firstRow = columns.count;
    for (const row of message.rows) putRow(store, columns, message.stream, row);
    return {
      kind: "message",
      ...message,
      lengthMs: 5_000,
      firstRow,
      rowCount: message.rows.length,
      sums: sumsOf(message.rows),
      nodeId: `node${message.stream}`,
      nodeName: "",
      restJson: `{"nodeId":"node${message.stream}","logtail":{"proc_seq":${message.procSeq}}}`,
    };
  });
  const bodyBytes = new Map(messages.map(({ stream }) => [stream, 100]));
  return { receivedMs, entries: [...entries, ...others], columns, bodyBytes };
}

function putRow(store: StoreWriter, columns: RowColumns, stream: number, row: TwinRow): void {
  const at = columns.count++;
  columns.stream[at] = stream;
  columns.classCode[at] = row.classCode;
  columns.proto[at] = row.proto;
  columns.flags[at] = row.folded ? ROW_FOLDED : 0;
  columns.src[at] = store.address(row.src);
  columns.dst[at] = store.address(row.dst);
  columns.srcPort[at] = row.srcPort;
  columns.dstPort[at] = row.dstPort;
  for (const [counter, value] of row.counters.entries()) {
    columns.counters[counter][at] = Number(value);
    if (value > Number.MAX_SAFE_INTEGER) columns.beyond.set(at * 4 + counter, value);
  }
}

/** What a scan gives, summed by the twin's keys. */
export function scanSums(reader: StoreReader, tier: ScanRange["tier"], range = EVER): TwinSums {
  const sums: TwinSums = new Map();
  reader.scan({ ...range, tier }, ({ endMs, columns, first, count }) => {
    for (let row = first; row < first + count; row++) {
      const raw = tier === "raw"
        ? ` ${columns.srcPort[row]} ${(columns.flags[row] & ROW_FOLDED) !== 0}`
        : "";
      const src = reader.addressText(columns.src[row]);
      const dst = reader.addressText(columns.dst[row]);
      const key = `${endMs} ${columns.stream[row]} ${columns.classCode[row]} ` +
        `${columns.proto[row]} ${src} ${dst} ${columns.dstPort[row]}${raw}`;
      const values = [0, 1, 2, 3].map((counter) =>
        columns.beyond.get(row * 4 + counter) ?? BigInt(columns.counters[counter][row])
      );
      addTo(sums, key, values);
    }
  });
  return sums;
}

/** What totals() gives, by the twin's keys. */
export function totalSums(reader: StoreReader, step: "window" | "minute" | "hour"): TwinSums {
  const sums: TwinSums = new Map();
  for (const { endMs, stream, sums: byClass } of reader.totals({ ...EVER, step })) {
    for (const name of CLASS_NAMES) {
      const { txPackets, txBytes, rxPackets, rxBytes } = byClass[name];
      const values = [txPackets, txBytes, rxPackets, rxBytes];
      if (values.some((value) => value !== 0n)) addTo(sums, `${endMs} ${stream} ${name}`, values);
    }
  }
  return sums;
}
