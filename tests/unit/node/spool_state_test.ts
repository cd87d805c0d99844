/**
 * Goal: the formats of a spool on disk: what is written is read, the longest fits, and what a later version wrote is refused.
 * Method: round trips by property, and the largest state there can be.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { CLASS_NAMES, type ClassName } from "../../../src/counters.ts";
import {
  GAP_RANGES_MAX,
  MESSAGE_BYTES_MAX,
  SPOOL_BYTES_MAX,
  SPOOL_ENTRY_BYTES_MAX,
  SPOOL_SEGMENT_BYTES,
  SPOOL_SEGMENTS_MAX,
  SPOOL_SEGMENTS_MIN,
  SPOOL_STATE_BYTES,
} from "../../../src/limits.ts";
import type { LostRange } from "../../../src/logtail/mod.ts";
import { crc32c } from "../../../src/node/crc32c.ts";
import {
  checkSegmentVersion,
  encodeRecord,
  RECORD_HEADER_BYTES,
  type RecordInfo,
  scanSegment,
  SEGMENT_WINDOW_BYTES,
  segmentHeader,
  type SegmentPart,
} from "../../../src/node/spool_record.ts";
import { DiskSegment } from "../../../src/node/spool_segment.ts";
import { type SpoolState, SpoolStateFile } from "../../../src/node/spool_state.ts";
import { MemoryDisk, MemorySpoolFiles } from "../../support/memory_spool_files.ts";
import { sumsOf } from "../../support/spool_books.ts";

const NS = 1_767_225_600_123_456_789n;
const INFO: RecordInfo = { procId: 4, procSeq: 5, startNs: NS, endNs: NS + 1n, sums: sumsOf(1) };
const MOST = 2n ** 64n - 1n;

function sumsOfAll(value: bigint) {
  const traffic = { txPackets: value, txBytes: value, rxPackets: value, rxBytes: value };
  return Object.fromEntries(CLASS_NAMES.map((name) => [name, traffic])) as Record<
    ClassName,
    typeof traffic
  >;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

test("scanSegment() reads what encodeRecord() wrote, whatever stands between", () => {
  const record = fc.record({
    procId: fc.nat(4_294_967_295),
    procSeq: fc.nat(Number.MAX_SAFE_INTEGER),
    startNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
    endNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
    sum: fc.bigInt({ min: 0n, max: MOST }),
    entry: fc.uint8Array({ maxLength: 60, size: "max" }),
    junk: fc.uint8Array({ maxLength: 30 }),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), (records) => {
      const wrote = records.map(({ sum, entry, junk: _, ...name }) => ({
        ...{ info: { ...name, sums: sumsOfAll(sum) }, entry },
      }));
      const bytes = concat(
        wrote.flatMap(({ info, entry }, index) => [records[index].junk, encodeRecord(info, entry)]),
      );
      const parts = [...scanSegment(bytes, true)];
      const read = parts.flatMap((part) =>
        part.kind === "record" ? [{ info: part.info, entry: part.payload }] : []
      );
      assert.deepEqual(read, wrote);
      checkTiling(parts, bytes.length);
    }),
    { numRuns: 300, seed: 4 },
  );
});

/** Parts follow one another without holes. */
function checkTiling(parts: readonly SegmentPart[], end: number): void {
  let at = 0;
  for (const part of parts) {
    assert.equal(part.offset, at);
    assert.ok(part.end > at);
    at = part.end;
  }
  assert.equal(at, end);
}

test("scanSegment() never throws on any bytes and leaves none out", () => {
  const header = encodeRecord(INFO, new Uint8Array(3));
  const near = fc.tuple(fc.nat(header.length - 1), fc.nat(255)).map(([at, value]) => {
    const bytes = header.slice();
    bytes[at] = value;
    return bytes;
  });
  const piece = fc.oneof(fc.uint8Array({ maxLength: 300, size: "max" }), near, fc.constant(header));
  let records = 0;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 4 }), (pieces) => {
      const bytes = concat(pieces);
      const parts = [...scanSegment(bytes, true)];
      checkTiling(parts, bytes.length);
      records += parts.filter(({ kind }) => kind === "record").length;
    }),
    { numRuns: 500, seed: 5 },
  );
  assert.ok(records > 50, `${records} records`);
});

test("scanSegment() leaves a part that reaches beyond the window for the next one", () => {
  const [first, second] = [
    encodeRecord(INFO, new Uint8Array(50)),
    encodeRecord(INFO, new Uint8Array(9)),
  ];
  const bytes = concat([first, second]);
  for (let end = 0; end <= bytes.length; end++) {
    const parts = [...scanSegment(bytes.subarray(0, end), false)];
    const whole = parts.filter((part) => part.kind === "record" && part.payload !== null);
    assert.equal(whole.length, end >= bytes.length ? 2 : end >= first.length ? 1 : 0);
    assert.equal(parts.length, whole.length, "what may be whole later is not called damaged");
  }
  assert.ok(SEGMENT_WINDOW_BYTES > SPOOL_ENTRY_BYTES_MAX + RECORD_HEADER_BYTES);
});

test("encodeRecord() refuses what does not fit", () => {
  const most = { ...INFO, sums: sumsOfAll(MOST) };
  assert.equal(
    encodeRecord(most, new Uint8Array(SPOOL_ENTRY_BYTES_MAX)).length,
    RECORD_HEADER_BYTES + SPOOL_ENTRY_BYTES_MAX,
  );
  assert.throws(() => encodeRecord(INFO, new Uint8Array(SPOOL_ENTRY_BYTES_MAX + 1)), RangeError);
  assert.throws(
    () => encodeRecord({ ...INFO, sums: sumsOfAll(MOST + 1n) }, new Uint8Array(1)),
    RangeError,
  );
  assert.throws(
    () => encodeRecord({ ...INFO, sums: sumsOfAll(-1n) }, new Uint8Array(1)),
    RangeError,
  );
});

test("checkSegmentVersion() refuses a later version and passes a damaged header", () => {
  const header = segmentHeader(3);
  checkSegmentVersion(header);
  checkSegmentVersion(header.subarray(0, 9));
  header[7]++;
  checkSegmentVersion(header);
  new DataView(header.buffer).setUint32(12, crc32c(header, 0, 12), true);
  assert.throws(() => checkSegmentVersion(header), /version 2, not 1/);
});

const EMPTY: SpoolState = {
  segments: [],
  nextId: 1,
  lost: [],
  frozen: null,
  writer: null,
  coveredNs: 0n,
};

/** A state of the longest numbers, and as many segments and losses as there can be. */
function largest(): SpoolState {
  const segments = 2 * SPOOL_SEGMENTS_MAX + 2;
  const lost: LostRange = {
    ...{ cause: "tooLarge", procId: 4_294_967_295, firstSeq: 2 ** 53 - 1, lastSeq: 2 ** 53 - 1 },
    ...{ entries: 2 ** 53 - 1, startNs: NS, endNs: NS, sums: sumsOfAll(2n ** 84n), offered: true },
  };
  return {
    segments: Array.from({ length: segments }, () => ({
      ...{ id: 4_294_967_295, startNs: -(2n ** 63n), endNs: -(2n ** 63n) },
      ...{ ackedBytes: SPOOL_BYTES_MAX, offeredBytes: SPOOL_BYTES_MAX, endBytes: SPOOL_BYTES_MAX },
    })),
    nextId: 4_294_967_295,
    lost: Array(GAP_RANGES_MAX).fill(lost),
    frozen: { procId: 1, procSeq: 2, line: `{"x":"${"ü".repeat(MESSAGE_BYTES_MAX / 2 - 9)}"}\n` },
    writer: { procId: 4_294_967_295, startedNs: NS },
    coveredNs: NS,
  };
}

test("SpoolStateFile reads what it wrote, the largest state too", () => {
  for (const state of [EMPTY, largest()]) {
    for (const durable of [false, true]) {
      const files = new MemorySpoolFiles(new MemoryDisk());
      const stateFile = new SpoolStateFile(files);
      assert.deepEqual(stateFile.read(), { state: null, damaged: false });
      stateFile.reserve();
      assert.deepEqual(stateFile.read(), { state: null, damaged: false });
      assert.equal(files.size("state"), 2 * SPOOL_STATE_BYTES);
      stateFile.write(state, durable);
      assert.deepEqual(stateFile.read(), { state, damaged: false });
      assert.deepEqual(new SpoolStateFile(files).read(), { state, damaged: false });
      assert.equal(files.size("state"), 2 * SPOOL_STATE_BYTES, "it takes no more room");
    }
  }
});

test("segments of a spool are as many as the state file is made for", () => {
  // Two neighbours together are longer than one may be, so that there are at most twice as many.
  for (const bytesMax of [4_000_000, SPOOL_SEGMENT_BYTES * SPOOL_SEGMENTS_MIN, SPOOL_BYTES_MAX]) {
    const parts = Math.min(bytesMax / SPOOL_SEGMENTS_MIN, SPOOL_SEGMENT_BYTES);
    assert.ok(Math.max(parts, bytesMax / SPOOL_SEGMENTS_MAX) * SPOOL_SEGMENTS_MAX >= bytesMax);
  }
  assert.ok(SPOOL_BYTES_MAX / SPOOL_SEGMENTS_MAX < 2 ** 32, "lengths fit");
});

test("SpoolStateFile refuses a later version's state", () => {
  const disk = new MemoryDisk();
  const files = new MemorySpoolFiles(disk);
  const stateFile = new SpoolStateFile(files);
  stateFile.write(EMPTY, true);
  const bytes = disk.bytes("state");
  const view = new DataView(bytes.buffer);
  for (const place of [0, SPOOL_STATE_BYTES]) {
    const length = view.getUint32(place + 8, true);
    const text = new TextDecoder().decode(bytes.subarray(place + 16, place + 16 + length));
    bytes.set(new TextEncoder().encode(text.replace(`"version":1`, `"version":2`)), place + 16);
    const crc = crc32c(bytes, place + 16, length, crc32c(bytes, place + 4, 8));
    view.setUint32(place + 12, crc, true);
  }
  disk.put("state", bytes);
  assert.throws(() => new SpoolStateFile(files).read(), /version 2, not 1/);
});

test("SpoolStateFile goes on after the newer of its places, and knows zeros from damage", () => {
  const disk = new MemoryDisk();
  const files = new MemorySpoolFiles(disk);
  const stateFile = new SpoolStateFile(files);
  stateFile.write({ ...EMPTY, nextId: 2 }, true);
  stateFile.write({ ...EMPTY, nextId: 3 }, false);
  assert.equal(new SpoolStateFile(files).read().state?.nextId, 3);
  disk.flip("state", 8 * 20);
  assert.equal(new SpoolStateFile(files).read().state?.nextId, 2);
  disk.flip("state", 8 * (SPOOL_STATE_BYTES + 20));
  assert.deepEqual(new SpoolStateFile(files).read(), { state: null, damaged: true });
});

test("SpoolStateFile: a write that fails in the middle leaves the state before it, in any order", () => {
  // Every course of three writes, each durable or not, failing in its first or second file call or not at all.
  const kinds = [false, true].flatMap((durable) =>
    [-1, 0, 1, 2].map((fails) => ({ durable, fails }))
  );
  for (let course = 0; course < kinds.length ** 3; course++) {
    const disk = new MemoryDisk();
    const stateFile = new SpoolStateFile(new MemorySpoolFiles(disk));
    let safe = 0;
    let possible = [0];
    for (let step = 0; step < 3; step++) {
      const { durable, fails } = kinds[Math.floor(course / kinds.length ** step) % kinds.length];
      const first = disk.calls;
      disk.fault = ({ index }) =>
        fails >= 0 && index === first + fails ? { errno: 5, writtenBytes: 20 } : null;
      possible.push(step + 1);
      try {
        stateFile.write({ ...EMPTY, nextId: step + 1 }, durable);
        if (durable) {
          safe = step + 1;
          possible = [safe];
        }
      } catch {
        // That is the test's doing.
      }
      disk.fault = () => null;
      for (const keep of [true, false]) {
        const cut = disk.copy();
        for (const [name, file] of disk.files) cut.files.set(name, { ...file });
        cut.syncedNames = new Map(cut.files);
        cut.powerCut(() => keep);
        const { state } = new SpoolStateFile(new MemorySpoolFiles(cut)).read();
        const found = state?.nextId ?? 0;
        assert.ok(possible.includes(found), `${found} of ${possible}, course ${course}`);
      }
    }
  }
});

test("DiskSegment.append() that fails seals the segment where it ended", () => {
  const disk = new MemoryDisk();
  const segment = DiskSegment.make(new MemorySpoolFiles(disk), 1, NS, new Uint8Array(10));
  const { bytes } = segment;
  segment.append(new Uint8Array(5));
  assert.deepEqual([segment.bytes, segment.isSealed], [bytes + 5, false]);
  disk.fault = ({ operation }) => operation === "write" ? { errno: 28, writtenBytes: 3 } : null;
  assert.throws(() => segment.append(new Uint8Array(5)), /ENOSPC/);
  assert.deepEqual([segment.bytes, segment.isSealed], [bytes + 5, true]);
  assert.equal(disk.bytes("00000001.seg").length, bytes + 5, "what was written is taken back");
});
