/**
 * Schemas of what the API answers. A test holds answers against them, members that are not named here included.
 */
import { CLASS_NAMES } from "../../counters.ts";
import { COUNTERS } from "../rows.ts";
import { DIMENSIONS } from "../query/question.ts";
import type { Schema } from "./parameters.ts";

/** Counters go beyond 2^53: readers that keep numbers as doubles lose their last digits. */
const COUNTER: Schema = { type: "integer", minimum: 0, description: "Exact, beyond 2^53 too" };
const INTEGER: Schema = { type: "integer" };
const NUMBER: Schema = { type: "number" };
const TEXT: Schema = { type: "string" };
const FLAG: Schema = { type: "boolean" };
const TIME: Schema = { type: "string", format: "date-time" };

function list(items: Schema): Schema {
  return { type: "array", items };
}

function orNull(schema: Schema): Schema {
  return { anyOf: [schema, { type: "null" }] };
}

/** Names that end in `?` may be left out. */
function object(members: Readonly<Record<string, Schema>>): Schema {
  const properties = Object.fromEntries(
    Object.entries(members).map(([name, schema]) => [name.replace("?", ""), schema]),
  );
  const required = Object.keys(members).filter((name) => !name.endsWith("?"));
  return { type: "object", properties, required, additionalProperties: false };
}

const counters = Object.fromEntries(COUNTERS.map((name) => [name, COUNTER]));
const SUMS: Schema = object(
  Object.fromEntries(CLASS_NAMES.map((name) => [`${name}?`, object(counters)])),
);
const ANY: Schema = {};
const TRUNCATED = orNull(list(TEXT));
const RANGE = object({ from: TIME, to: TIME });
/** What the reader of an answer should know, in words. */
const NOTES = list(TEXT);

/** Counters of a difference may be below zero. */
const DIFFERENCE: Schema = { type: "object", additionalProperties: { type: "object" } };

const COMPLETENESS = object({
  share: orNull({ type: "number", minimum: 0, maximum: 1 }),
  nodes: list(object({
    node: TEXT,
    stream: INTEGER,
    share: NUMBER,
    "gapMs?": INTEGER,
    "missingMs?": INTEGER,
    "silentMs?": INTEGER,
    "silentSince?": TIME,
  })),
  nodesIncomplete: INTEGER,
  gaps: INTEGER,
  missing: INTEGER,
  "keptFrom?": {
    ...TIME,
    description: "Rows up to then are no longer kept, and count as not complete. " +
      "Absent: all of the range is kept, or no rows were read",
  },
});

const FLOW = object({
  start: TIME,
  end: TIME,
  node: TEXT,
  stream: INTEGER,
  class: { type: "string", enum: CLASS_NAMES },
  proto: INTEGER,
  src: TEXT,
  sport: INTEGER,
  dst: TEXT,
  dport: INTEGER,
  peer: TEXT,
  ...counters,
  "folded?": FLAG,
  entry: INTEGER,
  row: INTEGER,
});

const READ = { truncated: TRUNCATED, rowsRead: INTEGER, completeness: COMPLETENESS };

const dimensions = Object.fromEntries(
  DIMENSIONS.map((name) => {
    const isNumber = name === "proto" || name === "sport" || name === "dport";
    return [`${name}?`, isNumber ? INTEGER : TEXT];
  }),
);

/** What is refused. */
export const ERROR = object({
  error: object({
    message: TEXT,
    "parameter?": TEXT,
    "position?": object({ start: INTEGER, end: INTEGER }),
    "expected?": list(TEXT),
  }),
});

/** What is refused before the API is asked. */
export const REFUSAL = object({ error: TEXT });

export const FLOWS = object({
  range: RANGE,
  tier: TEXT,
  notes: NOTES,
  flows: list(FLOW),
  next: orNull(TEXT),
  ...READ,
});

export const CONNECTION = object({
  range: RANGE,
  tier: TEXT,
  notes: NOTES,
  flows: list(FLOW),
  ...READ,
});

const RATE = orNull(NUMBER);

export const TOP = object({
  range: RANGE,
  tier: TEXT,
  notes: NOTES,
  groups: list(object({
    ...dimensions,
    ...counters,
    "rows?": INTEGER,
    "flows?": INTEGER,
    averageBitsPerSecond: RATE,
    "peakBitsPerSecond?": RATE,
    "peakAt?": TIME,
    "percentile95BitsPerSecond?": RATE,
    "rateBucketMs?": INTEGER,
  })),
  groupCount: INTEGER,
  rest: orNull(object({ groups: INTEGER, ...counters })),
  total: object({ ...counters, "rows?": INTEGER }),
  ...READ,
});

const lines = Object.fromEntries(COUNTERS.map((name) => [name, list(orNull(COUNTER))]));

export const SERIES = object({
  range: RANGE,
  tier: TEXT,
  notes: NOTES,
  stepMs: INTEGER,
  starts: list(TIME),
  shares: list(orNull(NUMBER)),
  series: list(object({ ...dimensions, ...lines })),
  rest: orNull(object(lines)),
  lineCount: INTEGER,
  ...READ,
});

const LAW = object({
  state: { type: "string", enum: ["kept", "missing", "broken", "unknown"] },
  "reason?": TEXT,
  "difference?": DIFFERENCE,
});

const PROCESS = object({
  procId: TEXT,
  firstSeq: INTEGER,
  lastSeq: INTEGER,
  received: INTEGER,
  missingRanges: INTEGER,
  start: orNull(TIME),
  end: orNull(TIME),
  report: orNull(object({
    end: TIME,
    windows: INTEGER,
    messages: INTEGER,
    rows: INTEGER,
    foldedRows: INTEGER,
    drops: { type: "object", additionalProperties: object({ packets: COUNTER, bytes: COUNTER }) },
    lostEntries: { type: "object", additionalProperties: INTEGER },
    waitingEntries: INTEGER,
  })),
  "law?": LAW,
});

export const NODES = object({
  range: RANGE,
  nodes: list(object({
    nodeId: TEXT,
    name: TEXT,
    addresses: list(TEXT),
    logs: FLAG,
    streams: list(object({
      stream: INTEGER,
      collection: TEXT,
      publicId: TEXT,
      firstSeen: TIME,
      lastSeen: TIME,
      lastWord: orNull(TIME),
      adopted: orNull(TIME),
      bodyBytes: INTEGER,
      share: orNull(NUMBER),
      completeMs: INTEGER,
      gapMs: INTEGER,
      missingMs: INTEGER,
      silentMs: INTEGER,
      processes: list(PROCESS),
    })),
  })),
  completeness: COMPLETENESS,
});

export const GAPS = object({
  range: RANGE,
  gaps: list(object({
    kind: { type: "string", enum: ["declared", "missing"] },
    node: TEXT,
    stream: INTEGER,
    from: TIME,
    to: TIME,
    "cause?": TEXT,
    procId: TEXT,
    firstSeq: INTEGER,
    lastSeq: INTEGER,
    entries: INTEGER,
    "offered?": FLAG,
    "sums?": orNull(SUMS),
  })),
  truncated: TRUNCATED,
  completeness: COMPLETENESS,
});

const BOUNDS = orNull({ type: "array", items: NUMBER, minItems: 2, maxItems: 2 });
const VERDICT: Schema = {
  type: "string",
  enum: ["good", "loss", "altered", "withheld", "unknown"],
};
const verdict = {
  from: TEXT,
  to: TEXT,
  verdict: VERDICT,
  "sentPackets?": BOUNDS,
  "receivedPackets?": BOUNDS,
  lostPackets: BOUNDS,
  lostBytes: BOUNDS,
};

export const RECONCILE = object({
  range: RANGE,
  tier: TEXT,
  notes: NOTES,
  skewMs: INTEGER,
  transitMs: INTEGER,
  pairs: list(object({
    nodes: list(TEXT),
    share: NUMBER,
    directions: list(object(verdict)),
    flowCount: INTEGER,
    verdicts: object({
      good: INTEGER,
      loss: INTEGER,
      altered: INTEGER,
      withheld: INTEGER,
      unknown: INTEGER,
    }),
    flows: list(object({
      ...verdict,
      proto: INTEGER,
      src: TEXT,
      sport: INTEGER,
      dst: TEXT,
      dport: INTEGER,
    })),
    moreFlows: INTEGER,
  })),
  alarms: INTEGER,
  ...READ,
});

const NODE = orNull(
  object({ nodeId: TEXT, name: TEXT, addresses: list(TEXT), streams: list(INTEGER), logs: FLAG }),
);

export const EXPLAIN = object({
  range: RANGE,
  notes: NOTES,
  classes: list(object({
    class: TEXT,
    list: TEXT,
    windows: INTEGER,
    reason: TEXT,
    "exitMode?": TEXT,
  })),
  node: NODE,
  peer: NODE,
  flows: list(FLOW),
  otherEnd: orNull(list(FLOW)),
  physical: list(FLOW),
  messages: list(object({
    entry: INTEGER,
    stream: INTEGER,
    procId: INTEGER,
    procSeq: INTEGER,
    json: orNull(TEXT),
  })),
  ...READ,
});

export const COMPLETE = object({
  from: INTEGER,
  to: INTEGER,
  items: list(object({ text: TEXT, detail: TEXT })),
  canonical: orNull(TEXT),
  problem: orNull(object({
    message: TEXT,
    position: object({ start: INTEGER, end: INTEGER }),
    expected: list(TEXT),
  })),
});

/** Data of an event `window`. */
export const LIVE = object({
  id: INTEGER,
  node: TEXT,
  stream: INTEGER,
  start: TIME,
  end: TIME,
  received: TIME,
  rows: INTEGER,
  sums: SUMS,
});

export const HEALTH = object({
  ok: FLAG,
  store: ANY,
  queries: { type: "object", additionalProperties: INTEGER },
  live: { type: "object", additionalProperties: INTEGER },
});
