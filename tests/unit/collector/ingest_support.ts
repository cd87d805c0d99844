/** Shared by tests of ingest: a body in, entries with their rows out. */
import { EntryReader, type IngestEntry } from "../../../src/collector/ingest/entries.ts";
import { RowList } from "../../../src/collector/ingest/row_list.ts";
import { MemoryStoreWriter, type PlainEntry } from "../../support/memory_store_writer.ts";

/** Bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Reads one body through a store in memory. */
export function readEntries(body: string | Uint8Array): PlainEntry[] {
  const store = new MemoryStoreWriter();
  const rows = new RowList();
  const entries: IngestEntry[] = [];
  const { number } = store.stream("c", "00", 0);
  const bytes = typeof body === "string" ? bytesOf(body) : body;
  new EntryReader(rows, store).read(bytes, number, entries);
  store.commit({ receivedMs: 0, entries, columns: rows.columns, bodyBytes: new Map() });
  return store.kept;
}

/** The only entry of a body. */
export function readEntry(body: string | Uint8Array): PlainEntry {
  const entries = readEntries(body);
  if (entries.length !== 1) throw new Error(`${entries.length} entries`);
  return entries[0];
}

/** JSON of an entry that is no message. */
export function jsonOf({ entry }: PlainEntry): Record<string, unknown> {
  return JSON.parse(entry.kind === "message" ? entry.restJson : entry.json);
}

/** Kinds of entries, in order. */
export function kindsOf(entries: readonly PlainEntry[]): string[] {
  return entries.map(({ entry }) => entry.kind);
}

/** Rows in short: `virtual 6 10.0.0.1:80>10.0.0.2:90 1 2 3 4`. */
export function rowTexts({ rows }: PlainEntry): string[] {
  return rows.map((row) =>
    `${row.class} ${row.proto} ${row.src}:${row.srcPort}>${row.dst}:${row.dstPort} ${
      row.counters.join(" ")
    }${row.folded ? " folded" : ""}`
  );
}
