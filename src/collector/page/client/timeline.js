// @ts-check
/**
 * What is known of a node's time.
 *
 * In: a stream as /nodes tells of it, its gaps as /gaps does, a range. Out: stretches by state, as parts of the range. Time
 * between a process's first and last word is complete but for gaps and missing entries (query/completeness.ts).
 */

/**
 * @typedef {object} Stretch
 * @property {"complete" | "gap" | "missing"} state
 * @property {number} fromMs
 * @property {number} toMs
 * @property {any} [gap]
 */

/**
 * @param {any} stream
 * @param {readonly any[]} gaps
 * @param {import("./times.js").RangeMs} range
 * @returns {Stretch[]} Those that lie above others come later.
 */
export function stretchesOf(stream, gaps, range) {
  /** @type {Stretch[]} */
  const spans = stream.processes.flatMap((/** @type {any} */ process) => {
    const times = [process.start, process.end, process.report?.end].filter((time) =>
      typeof time === "string"
    ).map((time) => Date.parse(time));
    return times.length < 2
      ? []
      : [{ state: "complete", fromMs: Math.min(...times), toMs: Math.max(...times) }];
  });
  /** @type {Stretch[]} */
  const holes = gaps.filter((gap) => gap.stream === stream.stream).map((gap) => ({
    state: gap.kind === "declared" ? "gap" : "missing",
    fromMs: Math.min(Date.parse(gap.from), Date.parse(gap.to)),
    toMs: Math.max(Date.parse(gap.from), Date.parse(gap.to)),
    gap,
  }));
  // Missing wins over declared, as in the share.
  holes.sort((a, b) => Number(a.state === "missing") - Number(b.state === "missing"));
  return [...joined(spans), ...holes].filter(({ fromMs, toMs }) =>
    toMs >= range.fromMs && fromMs <= range.toMs
  ).map((stretch) => ({
    ...stretch,
    fromMs: Math.max(range.fromMs, stretch.fromMs),
    toMs: Math.min(range.toMs, stretch.toMs),
  }));
}

/** @param {Stretch[]} spans @returns {Stretch[]} */
function joined(spans) {
  /** @type {Stretch[]} */
  const all = [];
  for (const span of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = all.at(-1);
    if (last === undefined || span.fromMs > last.toMs) all.push({ ...span });
    else last.toMs = Math.max(last.toMs, span.toMs);
  }
  return all;
}

/** Place on a line from 0 to 100. @param {number} ms @param {import("./times.js").RangeMs} range */
export function percentAt(ms, { fromMs, toMs }) {
  return (ms - fromMs) / (toMs - fromMs) * 100;
}

/** Round moments within a range, for an axis. @param {import("./times.js").RangeMs} range @param {number} most */
export function ticksOf({ fromMs, toMs }, most) {
  const steps = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
    2_592_000,
  ];
  const stepMs = (steps.find((step) => (toMs - fromMs) / (step * 1_000) <= most) ?? 2_592_000) *
    1_000;
  const ticks = [];
  for (let at = Math.ceil(fromMs / stepMs) * stepMs; at <= toMs; at += stepMs) ticks.push(at);
  return { ticks, stepMs };
}
