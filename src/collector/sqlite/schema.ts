/**
 * Tables of the store and how older versions become the newest.
 *
 * Rows of the log are not rows of SQL: a commit's rows are one blob of columns, and so is a bucket of a roll-up
 * (docs/design/0006-collector-store.md). SQL holds what is looked up: entries by name and number, messages by time, streams,
 * processes, addresses.
 * All times are Unix ms; `…_rest` are the ns that rounding up to ms added (time_columns.ts).
 */

/** What marks a database as ours: "tunl". */
export const APPLICATION_ID = 0x74756e6c;

/** One step from the version before; the n-th makes version n. A step that has been released is never changed. */
export const MIGRATIONS: readonly string[] = [
  `
  -- Numbers to be given out next; one row. Numbers are never given out twice.
  CREATE TABLE next_number (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    entry INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    block INTEGER NOT NULL,
    address INTEGER NOT NULL,
    stream INTEGER NOT NULL
  ) STRICT;
  INSERT INTO next_number (id, entry, segment, block, address, stream) VALUES (1, 1, 1, 1, 1, 1);

  -- Latest end of what retention has deleted of each tier; 0 = nothing; one row.
  CREATE TABLE kept_since (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    raw_ms INTEGER NOT NULL,
    minute_ms INTEGER NOT NULL,
    hour_ms INTEGER NOT NULL
  ) STRICT;
  INSERT INTO kept_since (id, raw_ms, minute_ms, hour_ms) VALUES (1, 0, 0, 0);

  -- The same of streams while they were orphans.
  CREATE TABLE orphan_kept_since (
    stream INTEGER PRIMARY KEY,
    since_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE stream (
    number INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    public_id TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    adopted_ms INTEGER,
    -- Whether rows of it may be among those of adopted streams.
    was_adopted INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    node_name TEXT NOT NULL,
    body_bytes INTEGER NOT NULL,
    UNIQUE (collection, public_id)
  ) STRICT;

  CREATE TABLE address (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE
  ) STRICT;

  -- Entries of one commit, of adopted streams (owner 0) or of one orphan (owner is its number).
  CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    -- Whether the roll-ups hold its rows, or it has none.
    rolled INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    first_entry INTEGER NOT NULL,
    last_entry INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    -- Ends of its first and last window; valid iff it has rows.
    end_min_ms INTEGER NOT NULL,
    end_max_ms INTEGER NOT NULL,
    -- Whether they are further apart than SEGMENT_SPAN_MS.
    is_wide INTEGER NOT NULL,
    -- Of its blobs and rows of SQL, about.
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX segment_time ON segment (is_wide, end_max_ms, end_min_ms) WHERE row_count > 0;
  CREATE INDEX segment_received ON segment (received_ms, first_entry);
  CREATE INDEX segment_behind ON segment (id) WHERE rolled = 0;
  CREATE INDEX segment_orphan ON segment (id) WHERE owner > 0;

  CREATE TABLE segment_blob (
    segment INTEGER PRIMARY KEY,
    rows BLOB,
    texts BLOB NOT NULL
  ) STRICT;

  CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    segment INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    proc_id INTEGER NOT NULL,
    proc_seq INTEGER NOT NULL,
    -- ns; '' = none; text where 64 bits do not hold it.
    client_time ANY NOT NULL,
    -- UTF-16 units of its JSON among the segment's texts.
    text_length INTEGER NOT NULL,
    -- End of a message's window.
    end_ms INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX entry_name ON entry (stream, proc_id, proc_seq, client_time)
    WHERE proc_seq > 0;

  -- Sums as text: see row_sums.ts.
  CREATE TABLE message (
    end_ms INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    start_rest INTEGER NOT NULL,
    end_rest INTEGER NOT NULL,
    length_ms REAL NOT NULL,
    part INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    sums TEXT NOT NULL,
    PRIMARY KEY (end_ms, entry)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE gap (
    entry INTEGER NOT NULL,
    number INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    cause TEXT NOT NULL,
    proc_id INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    start_rest INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    end_rest INTEGER NOT NULL,
    sums TEXT,
    offered INTEGER NOT NULL,
    PRIMARY KEY (entry, number)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX gap_time ON gap (end_ms);

  CREATE TABLE process (
    stream INTEGER NOT NULL,
    proc_id INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    -- JSON of what process_book.ts keeps besides.
    rest TEXT NOT NULL,
    report_seq INTEGER NOT NULL,
    report TEXT,
    PRIMARY KEY (stream, proc_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX process_received ON process (stream, received_ms);

  -- Blocks of buckets. What is asked for often stands before the rows.
  CREATE TABLE minute_block (
    id INTEGER PRIMARY KEY,
    end_ms INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    -- Whether the hours hold its rows.
    merged INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    totals TEXT NOT NULL,
    rows BLOB NOT NULL
  ) STRICT;
  CREATE INDEX minute_time ON minute_block (end_ms);
  CREATE INDEX minute_unmerged ON minute_block (end_ms, written_ms, row_count) WHERE merged = 0;

  CREATE TABLE hour_block (
    id INTEGER PRIMARY KEY,
    end_ms INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    totals TEXT NOT NULL,
    rows BLOB NOT NULL
  ) STRICT;
  CREATE INDEX hour_time ON hour_block (end_ms);
  `,
];

/** Windows of most segments end within this of one another; the few others are looked through every time. */
export const SEGMENT_SPAN_MS = 3_600_000;

/** Kinds of entries by number on disk. */
export const ENTRY_KINDS = [
  "message",
  "text",
  "object",
  "error",
  "gap",
  "report",
  "drops",
] as const;
