/**
 * What to do after an upload, by class of outcome (SPEC 6.2 point 4).
 *
 * In: status or network error, Retry-After, how often this batch failed. Out: one decision. Pure: the random number and
 * the wall clock are handed in.
 *
 * 2xx: done (stock servers say 200). 408, 425, 429, 5xx, network errors: again, for ever. 413: split. Any other status is a
 * refusal: tried a bounded number of times, because a wrong key or a collector under repair may be mended, then set
 * aside, so that one bad batch never blocks what comes behind it (the original resends it for ever). When it is the
 * content that is refused, the batch is halved until the bad entry stands alone.
 */

/** First wait after a failure, in ms; it doubles. */
export const RETRY_MS_MIN = 1_000;
/** Longest wait of our own choice: HEAD's longest is 60 s. */
export const RETRY_MS_MAX = 60_000;
/** Longest wait that a server may ask for (HEAD: 5 min; servers have asked for years). */
export const RETRY_AFTER_MS_MAX = 300_000;
/** How often a refused batch is offered before it is set aside: with the waits between, 8 to 15 s. */
export const REFUSALS_MAX = 5;

/** How an upload ended. */
export interface UploadOutcome {
  /** HTTP status; null = no answer (connection refused or reset, timeout, broken off). */
  readonly status: number | null;
  /** The header's text; null = none. */
  readonly retryAfter: string | null;
  /** Entries of the batch. */
  readonly entries: number;
  /** Failures in a row that were waited for, this one included, since something was last delivered; sets the wait. */
  readonly failures: number;
  /** Refusals since something was last delivered or set aside, this one included. */
  readonly refusals: number;
  /** Whether these entries are part of a batch whose content has been refused as often as is allowed. */
  readonly suspect: boolean;
  /** Batches set aside since something was last delivered. */
  readonly setAsides: number;
}

/** What follows from it. */
export type UploadDecision =
  | { readonly action: "done" }
  | { readonly action: "retry"; readonly waitMs: number }
  /** Offer half as many entries at once; `suspect` says that the batch's content was refused, not its size. */
  | { readonly action: "split"; readonly suspect: boolean }
  /**
   * Keep the batch elsewhere, declare it, go on after the wait: none for the first, but a collector that refuses
   * everything is not to be asked, and the spool not to be emptied, at full speed.
   */
  | {
    readonly action: "setAside";
    readonly cause: "refused" | "tooLarge";
    readonly waitMs: number;
  };

/**
 * Decides.
 * @param random In [0, 1).
 * @param wallMs Unix time, to read a Retry-After that is a date.
 */
export function decideUpload(
  outcome: UploadOutcome,
  random: number,
  wallMs: number,
): UploadDecision {
  const { status, entries, refusals } = outcome;
  if (status !== null && status >= 200 && status <= 299) return { action: "done" };
  if (status === 413) {
    return entries > 1
      ? { action: "split", suspect: false }
      : setAside("tooLarge", outcome, random);
  }
  // Of a batch whose content is refused, only what is really bad is to be set aside.
  const isContent = status === 400 || status === 422;
  const mayMend = isTransient(status) ||
    (refusals < REFUSALS_MAX && !(isContent && outcome.suspect));
  if (mayMend) {
    const askedMs = parseRetryAfter(outcome.retryAfter, wallMs);
    const waitMs = askedMs === null
      ? backOffMs(outcome.failures, random)
      : Math.min(askedMs, RETRY_AFTER_MS_MAX);
    return { action: "retry", waitMs };
  }
  return isContent && entries > 1
    ? { action: "split", suspect: true }
    : setAside("refused", outcome, random);
}

function setAside(
  cause: "refused" | "tooLarge",
  { setAsides }: UploadOutcome,
  random: number,
): UploadDecision {
  return { action: "setAside", cause, waitMs: setAsides === 0 ? 0 : backOffMs(setAsides, random) };
}

/** Whether the same request may succeed later without anybody's doing; such failures are no refusals. */
export function isTransient(status: number | null): boolean {
  return status === null || status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Returns the wait after the given number of failures in a row: doubling, capped, the upper half of it random, so that
 * nodes that failed together do not come back together.
 */
export function backOffMs(failures: number, random: number): number {
  const fullMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures - 1, 30));
  return Math.round(fullMs * (0.5 + random / 2));
}

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
/** The three forms that a recipient must read (RFC 9110 §5.6.7): IMF-fixdate, RFC 850's, asctime's. */
const DATES = [
  /^\w{3}, (?<day>\d\d) (?<month>\w{3}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^\w{6,9}, (?<day>\d\d)-(?<month>\w{3})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^\w{3} (?<month>\w{3}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
];

/**
 * Reads a Retry-After header: seconds, or a date.
 * @returns Milliseconds to wait, at least 1; null when it asks for none, is in the past or cannot be read.
 */
export function parseRetryAfter(text: string | null, wallMs: number): number | null {
  const trimmed = text?.trim() ?? "";
  const waitMs = /^\d{1,10}$/.test(trimmed)
    ? Number(trimmed) * 1_000
    : (parseHttpDate(trimmed, wallMs) ?? 0) - wallMs;
  return waitMs > 0 ? Math.ceil(waitMs) : null;
}

function parseHttpDate(text: string, wallMs: number): number | null {
  const groups = DATES.map((form) => form.exec(text)?.groups).find((found) => found !== undefined);
  if (groups === undefined) return null;
  const month = MONTHS.indexOf(groups.month);
  if (month < 0 || month % 3 !== 0) return null;
  const day = groups.day.trim().padStart(2, "0");
  const monthText = String(month / 3 + 1).padStart(2, "0");
  const ms = Date.parse(`${fullYear(groups.year, wallMs)}-${monthText}-${day}T${groups.time}Z`);
  return Number.isNaN(ms) ? null : ms;
}

/** A year of two digits that seems more than 50 years ahead is of the past century (RFC 9110 §5.6.7). */
function fullYear(text: string, wallMs: number): string {
  if (text.length === 4) return text;
  const nowYear = new Date(wallMs).getUTCFullYear();
  const year = nowYear - (nowYear % 100) + Number(text);
  return String(year > nowYear + 50 ? year - 100 : year);
}
