/**
 * Goal: every outcome of an upload leads to what SPEC 6.2 point 4 says. Method: the whole table of statuses, both sides
 * of each bound, both forms of Retry-After.
 *
 * Where tunlog differs from HEAD on purpose (SPEC 2.2, 2.8):
 * - every 2xx is success, not 200 alone: a collector that says 204 has it;
 * - 4xx are not sent again for ever: one bad batch would block all that is behind it;
 * - Retry-After is read as a date, too, where HEAD waits 30 to 60 s;
 * - own waits double from 1 s to 60 s, where HEAD waits 30 to 60 s from the first failure on: a reset is over sooner.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  backOffMs,
  decideUpload,
  parseRetryAfter,
  REFUSALS_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_MS_MAX,
  type UploadOutcome,
} from "../../../src/logtail/mod.ts";

const WALL_MS = Date.parse("2026-01-01T00:00:00Z");

function decide(outcome: Partial<UploadOutcome>, random = 0) {
  return decideUpload(
    {
      status: null,
      retryAfter: null,
      entries: 1,
      failures: 1,
      refusals: 1,
      suspect: false,
      setAsides: 0,
      ...outcome,
    },
    random,
    WALL_MS,
  );
}

test("decideUpload() is done with every 2xx and with nothing else", () => {
  for (let status = 100; status <= 599; status++) {
    const isDone = decide({ status }).action === "done";
    assert.equal(isDone, status >= 200 && status <= 299, `${status}`);
  }
});

test("decideUpload() retries what may mend itself for ever", () => {
  for (const status of [null, 408, 425, 429, 500, 502, 503, 504, 599]) {
    const decision = decide({ status, failures: 1e6, refusals: 1e6, setAsides: 9, suspect: true });
    assert.deepEqual(decision, { action: "retry", waitMs: RETRY_MS_MAX / 2 }, `${status}`);
  }
});

test("decideUpload() offers a refused batch a bounded number of times, then sets it aside", () => {
  for (const status of [301, 302, 401, 403, 404, 409, 415, 424, 426, 428, 430, 499]) {
    const last = REFUSALS_MAX;
    assert.equal(decide({ status, entries: 9, refusals: last - 1 }).action, "retry", `${status}`);
    assert.deepEqual(
      decide({ status, entries: 9, refusals: last }),
      { action: "setAside", cause: "refused", waitMs: 0 },
      `${status}`,
    );
    // What is said about the request and not about its content is never taken for the entries' fault.
    assert.equal(decide({ status, entries: 9, refusals: 1, suspect: true }).action, "retry");
  }
});

test("decideUpload() halves a batch whose content is refused until the bad entry stands alone", () => {
  for (const status of [400, 422]) {
    assert.equal(decide({ status, entries: 2, refusals: REFUSALS_MAX - 1 }).action, "retry");
    const split = { action: "split", suspect: true };
    assert.deepEqual(decide({ status, entries: 2, refusals: REFUSALS_MAX }), split);
    assert.deepEqual(decide({ status, entries: 2, refusals: 1, suspect: true }), split);
    assert.deepEqual(decide({ status, entries: 1, refusals: 1, suspect: true }), {
      action: "setAside",
      cause: "refused",
      waitMs: 0,
    });
    assert.equal(decide({ status, entries: 1, refusals: 1 }).action, "retry");
  }
});

test("decideUpload() halves at once what is too large, and sets aside an entry that is so alone", () => {
  assert.deepEqual(decide({ status: 413, entries: 2 }), { action: "split", suspect: false });
  assert.deepEqual(decide({ status: 413, entries: 1 }), {
    action: "setAside",
    cause: "tooLarge",
    waitMs: 0,
  });
});

test("decideUpload() slows down when one after the other is set aside", () => {
  const wait = (setAsides: number) => {
    const decision = decide({ status: 413, setAsides });
    return decision.action === "setAside" ? decision.waitMs : null;
  };
  assert.deepEqual([0, 1, 2, 3, 99].map(wait), [0, 500, 1_000, 2_000, 30_000]);
});

test("decideUpload() waits as long as it is asked to, up to five minutes", () => {
  const wait = (retryAfter: string, status: number = 429) => {
    const decision = decide({ status, retryAfter }, 0.5);
    return decision.action === "retry" ? decision.waitMs : null;
  };
  assert.equal(wait("7"), 7_000);
  assert.equal(wait("7", 400), 7_000);
  assert.equal(wait("7", 503), 7_000);
  assert.equal(wait("300"), RETRY_AFTER_MS_MAX);
  assert.equal(wait("301"), RETRY_AFTER_MS_MAX);
  assert.equal(wait("Thu, 01 Jan 2026 00:00:42 GMT"), 42_000);
  assert.equal(wait("Fri, 01 Jan 2027 00:00:00 GMT"), RETRY_AFTER_MS_MAX);
  // Own wait instead.
  for (const text of ["0", "-1", "soon", "1.5", "", "Thu, 01 Jan 2025 00:00:00 GMT"]) {
    assert.equal(wait(text), 750, text);
  }
});

test("backOffMs() doubles to its cap, its upper half random", () => {
  const bounds = (failures: number) => [backOffMs(failures, 0), backOffMs(failures, 1 - 2 ** -53)];
  assert.deepEqual(bounds(1), [500, 1_000]);
  assert.deepEqual(bounds(2), [1_000, 2_000]);
  assert.deepEqual(bounds(6), [16_000, 32_000]);
  assert.deepEqual(bounds(7), [30_000, 60_000]);
  assert.deepEqual(bounds(1e9), [30_000, 60_000]);
});

test("parseRetryAfter() reads the three forms of a date, and only dates", () => {
  const at = Date.parse("1994-11-06T08:49:37Z");
  const texts = [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
  ];
  for (const text of texts) {
    assert.equal(parseRetryAfter(text, at - 1_500), 1_500, text);
    assert.equal(parseRetryAfter(` ${text} `, at - 1), 1, text);
    assert.equal(parseRetryAfter(text, at), null, text);
  }
  // Two digits more than 50 years ahead are of the past century (RFC 9110 §5.6.7).
  assert.ok(parseRetryAfter("Sunday, 06-Nov-76 08:49:37 GMT", Date.parse("2026-12-01T00:00:00Z")));
  assert.equal(parseRetryAfter("Sunday, 06-Nov-77 08:49:37 GMT", WALL_MS), null);
  const bad = [
    "Sun, 06 anF 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 25:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 CET",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "1994-11-06T08:49:37Z",
    "99999999999",
    "0x10",
    "1e3",
  ];
  for (const text of bad) assert.equal(parseRetryAfter(text, 0), null, text);
  assert.equal(parseRetryAfter(null, 0), null);
  assert.equal(parseRetryAfter("9999999999", 0), 9_999_999_999_000);
});
