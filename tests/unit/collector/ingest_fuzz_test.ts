/**
 * Laws of reading uploads: nothing throws; good entries survive whatever stands beside them; the fast and the slow way read
 * the same; what our own client writes comes back exactly.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeEntry, frameBatch } from "../../../src/logtail/mod.ts";
import { type Connection, type Count, writeMessage } from "../../../src/netlog/mod.ts";
import { ingestBodies } from "../../support/ingest_bodies.ts";
import { kindsOf, readEntries, readEntry, rowTexts } from "./ingest_support.ts";

const SEED = 20_260_801;

const count: fc.Arbitrary<Count> = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.constantFrom<Count>(0, 1, 999_999_999_999_999, 2 ** 53 - 1, 2n ** 53n, 2n ** 64n - 1n),
);
const ipv6Group = fc.oneof(fc.constant(0), fc.nat(0xffff));
const address = fc.oneof(
  fc.ipV4(),
  fc.array(ipv6Group, { minLength: 8, maxLength: 8 }).map((groups) =>
    `[${
      new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]/`).hostname.slice(
        1,
        -1,
      )
    }]`
  ),
);
const end = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(address, fc.nat(65_535)).map(([host, port]) => `${host}:${port}`),
  },
  { weight: 1, arbitrary: fc.constant("") },
);
const connection: fc.Arbitrary<Connection> = fc.record({
  proto: fc.nat(255),
  src: end,
  dst: end,
  txPackets: count,
  txBytes: count,
  rxPackets: count,
  rxBytes: count,
  folded: fc.boolean(),
});
const message = fc.record({
  virtual: fc.array(connection, { maxLength: 6 }),
  subnet: fc.array(connection, { maxLength: 3 }),
  exit: fc.array(connection, { maxLength: 3 }),
  physical: fc.array(connection, { maxLength: 3 }),
}).map((lists) => ({
  ...lists,
  ...{ nodeId: "n", startNs: 1_790_000_000_000_000_000n, endNs: 1_790_000_004_999_999_999n },
  ...{ srcNode: null, dstNodes: [], extension: {} },
}));

/** Rows of a message as text, addresses without brackets. */
function expectedRows(
  lists: Record<"virtual" | "subnet" | "exit" | "physical", Connection[]>,
): string[] {
  const part = (text: string) => {
    const colon = text.lastIndexOf(":");
    return text === "" ? ":0" : `${text.slice(0, colon).replace(/[[\]]/g, "")}${text.slice(colon)}`;
  };
  return (["virtual", "subnet", "exit", "physical"] as const).flatMap((list) =>
    lists[list].map((row) =>
      `${list} ${row.proto} ${part(row.src)}>${
        part(row.dst)
      } ${row.txPackets} ${row.txBytes} ${row.rxPackets} ${row.rxBytes}${
        row.folded ? " folded" : ""
      }`
    )
  );
}

test("messages that our client writes come back row by row, by the fast and by the slow way", () => {
  let rows = 0;
  fc.assert(
    fc.property(message, (value) => {
      const text = writeMessage(value);
      const expected = expectedRows(value);
      if (expected.length === 0) return;
      rows += expected.length;
      const fast = rowTexts(readEntry(`[${text}\n]`));
      assert.deepEqual(fast, expected);
      assert.deepEqual(
        rowTexts(readEntry(`[${text.replaceAll('Traffic":[', 'Traffic":[ ')}\n]`)),
        expected,
      );
    }),
    { seed: SEED, numRuns: 400 },
  );
  assert.ok(rows > 1_000, `${rows} rows`);
});

test("a list of rows with damage is read the same by both ways, or is an error by both", () => {
  let errors = 0;
  let messages = 0;
  const list = (rows: Connection[]) => {
    const value = { virtual: rows, subnet: [], exit: [], physical: [] };
    const frame = {
      nodeId: "n",
      startNs: 0n,
      endNs: 1n,
      srcNode: null,
      dstNodes: [],
      extension: {},
    };
    return writeMessage({ ...frame, ...value });
  };
  const damage = fc.constantFrom(...`0159:.[]{}",-+eE\\ afx`);
  fc.assert(
    fc.property(
      fc.array(connection, { minLength: 1, maxLength: 3 }),
      fc.nat(),
      damage,
      fc.constantFrom("replace", "insert", "delete"),
      (rows, place, sign, how) => {
        const text = list(rows);
        const from = text.indexOf("[{") + 1;
        const at = from + place % (text.length - 2 - from);
        const damaged = text.slice(0, at) + (how === "delete" ? "" : sign) +
          text.slice(how === "insert" ? at : at + 1);
        const fast = readEntries(`[${damaged}\n]`);
        const slow = readEntries(`[${damaged.replace('Traffic":[', 'Traffic":[ ')}\n]`);
        assert.deepEqual(kindsOf(fast), kindsOf(slow), damaged);
        assert.deepEqual(fast.map(rowTexts), slow.map(rowTexts), damaged);
        if (fast[0].entry.kind === "message") messages++;
        else errors++;
      },
    ),
    { seed: SEED, numRuns: 3_000 },
  );
  assert.ok(errors > 500 && messages > 300, `${errors} errors, ${messages} messages`);
});

test("random bytes, and genuine bodies with flipped bits, never throw; most entries of the latter survive", () => {
  const { bodies: [body] } = ingestBodies({
    bodies: 1,
    addresses: 64,
    seed: 3,
    bodyBytesMax: 16_000,
  });
  const genuine = readEntries(body).length;
  assert.ok(genuine >= 1);
  const small = frameBatch(
    Array.from(
      { length: 20 },
      (_, index) => encodeEntry(`entry ${index}`, { procId: 7, procSeq: index + 1 })!,
    ),
  );
  let lost = 0;
  let runs = 0;
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400, size: "max" }),
      fc.array(fc.nat(small.length * 8 - 1), { minLength: 1, maxLength: 3 }),
      fc.nat(body.length * 8 - 1),
      (noise, flips, flip) => {
        readEntries(noise);
        readEntries(new Uint8Array([0x5b, ...noise, 0x5d]));
        const large = body.slice();
        large[flip >> 3] ^= 1 << (flip & 7);
        const kept = readEntries(large);
        assert.ok(kept.length >= 1);
        const damaged = small.slice();
        const touched = new Set<number>();
        for (const bit of flips) {
          damaged[bit >> 3] ^= 1 << (bit & 7);
          touched.add(bit >> 3);
        }
        const good = readEntries(damaged).filter(({ entry }) => entry.kind === "text").length;
        runs++;
        // A flip harms the entry that it is in, and, in the framing between two, both.
        if (good < 20 - 2 * touched.size) lost++;
      },
    ),
    { seed: SEED, numRuns: 400 },
  );
  assert.equal(lost, 0, `${lost} of ${runs} runs lost entries that were not touched`);
});

test("texts of any content come back as they were written", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (text) => {
      if (text.startsWith("{") || /\[v\d|\[v\0/.test(text)) return;
      const entry = encodeEntry(text, { procId: 1, procSeq: 1 })!;
      const [{ entry: kept }] = readEntries(frameBatch([entry]));
      assert.ok(kept.kind === "text" || kept.kind === "drops");
      assert.equal(JSON.parse(kept.json).text, text.toWellFormed());
    }),
    { seed: SEED, numRuns: 500 },
  );
});
