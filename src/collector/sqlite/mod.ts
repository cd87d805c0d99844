/**
 * Door of the store over SQLite: one writer, any number of readers.
 *
 * In: a path. Out: StoreWriter and StoreReader. See docs/design/0006-collector-store.md.
 */
export { openSqliteReader, SqliteReader, type SqliteReaderOptions } from "./reader.ts";
export { type Kept } from "./retention.ts";
export { openSqliteWriter, SqliteWriter, type SqliteWriterOptions } from "./writer.ts";
