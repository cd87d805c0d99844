/**
 * Goal: entries carry time, process and number, and numbers rise by one whoever takes them.
 * Method: a stream before a list, a clock that stands still; HEAD's write cases of SPEC 8.6 as far as they are the stream's.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { CLASS_NAMES } from "../../../src/counters.ts";
import { NO_SUMS } from "../../../src/logtail/mod.ts";
import { LogStream } from "../../../src/node/log_stream.ts";
import type { EntryMeta } from "../../../src/node/spool_record.ts";
import { MemoryClock } from "../../../src/platform/memory_clock.ts";

interface Appended {
  readonly procSeq: number;
  readonly meta: EntryMeta;
  readonly line: string;
}

function makeStream(): { stream: LogStream; clock: MemoryClock; appended: Appended[] } {
  const appended: Appended[] = [];
  const clock = new MemoryClock({ wallMs: 123_000.75 });
  const stream = new LogStream({
    ...{ procId: 7, clock },
    append: (procSeq, meta, entry) => {
      appended.push({ procSeq, meta, line: new TextDecoder().decode(entry) });
    },
  });
  return { stream, clock, appended };
}

test("LogStream.writeText() writes an entry with its time, process and number", () => {
  const { stream, clock, appended } = makeStream();
  stream.writeText("[v1] foo");
  clock.advance(1_500);
  stream.writeText(`{"text":"log line"}`);
  const about = (time: string, procSeq: number) =>
    `"logtail":{"client_time":"1970-01-01T00:02:${time}Z","proc_id":7,"proc_seq":${procSeq}}`;
  assert.deepEqual(appended.map(({ line }) => line), [
    `{${about("03", 1)},"v":1,"text":"foo"}\n`,
    `{${about("04.5", 2)},"text":"log line"}\n`,
  ]);
  assert.deepEqual(appended[0].meta, {
    startNs: 123_000_000_000n,
    endNs: 123_000_000_000n,
    sums: NO_SUMS,
  });
});

test("LogStream.writeText() writes nothing for empty text and takes no number", () => {
  const { stream, appended } = makeStream();
  stream.writeText("");
  assert.deepEqual(appended, []);
  assert.equal(stream.nextSeq(), 1);
});

test("LogStream.writeObject() puts the object behind its metadata and keeps what it is about", () => {
  const { stream, appended } = makeStream();
  const traffic = { txPackets: 1n, txBytes: 2n ** 64n - 1n, rxPackets: 0n, rxBytes: 0n };
  const sums = Object.fromEntries(CLASS_NAMES.map((name) => [name, traffic]));
  const meta = { startNs: 1n, endNs: 2n, sums: sums as EntryMeta["sums"] };
  stream.writeObject(new TextEncoder().encode(`{"a":18446744073709551615}`), meta);
  assert.equal(
    appended[0].line,
    `{"logtail":{"client_time":"1970-01-01T00:02:03Z","proc_id":7,"proc_seq":1},` +
      `"a":18446744073709551615}\n`,
  );
  assert.deepEqual(appended[0].meta, meta);
});

test("LogStream.nextSeq() shares its numbers with what is written", () => {
  const { stream, appended } = makeStream();
  stream.writeText("one");
  assert.equal(stream.nextSeq(), 2);
  stream.writeText("three");
  assert.deepEqual(appended.map(({ procSeq }) => procSeq), [1, 3]);
  assert.equal(stream.procId, 7);
});
