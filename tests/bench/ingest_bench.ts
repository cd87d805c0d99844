/**
 * How many rows per second does the collector take in? Budget: 150,000 rows/s end to end, so 400,000 from body to batch
 * on one core (2.5 µs a row).
 *
 * Mix: messages of one window as our own client writes them, 100 .. 1,800 rows, 10 % IPv6, from 4,096 or 262,144 addresses;
 * bodies of about 250 KB, zstd level 1. Compared: JSON.parse alone, which any reader by objects pays at least; the slow way
 * (the same bodies with a space in each list); the scanner. In CPU time, for the machine is shared. Run: `deno run -A tests/bench/ingest_bench.ts [ROUNDS]`.
 */
import process from "node:process";
import { readBody } from "../../src/collector/ingest/body.ts";
import { EntryReader, type IngestEntry } from "../../src/collector/ingest/entries.ts";
import { RowList } from "../../src/collector/ingest/row_list.ts";
import { openZstd } from "../../src/platform/mod.ts";
import { ingestBodies } from "../support/ingest_bodies.ts";

/** Numbers addresses about as fast as a store's table of recent ones. */
class FastNumbers {
  readonly #slots = new Uint32Array(5 << 20);
  #count = 0;

  address(): number {
    return 1;
  }

  addressOfWords(words: Uint32Array, wordOffset: number): number {
    const slots = this.#slots;
    let hash = 0;
    for (let word = 0; word < 4; word++) {
      hash = Math.imul(hash ^ words[wordOffset + word], 0x9e3779b1);
    }
    for (let slot = (hash >>> 12) & 0xfffff;; slot = (slot + 1) & 0xfffff) {
      const at = slot * 5;
      if (slots[at] === 0) {
        for (let word = 0; word < 4; word++) slots[at + 1 + word] = words[wordOffset + word];
        return slots[at] = ++this.#count;
      }
      if (slots[at + 4] === words[wordOffset + 3] && slots[at + 3] === words[wordOffset + 2]) {
        return slots[at];
      }
    }
  }
}

/** Runs all of it. @returns Rows per second by name. */
export async function measureIngest(
  rounds: number,
  bodyCount: number,
): Promise<Record<string, number>> {
  const zstd = await openZstd();
  const results: Record<string, number> = {};
  for (const addresses of [4_096, 262_144]) {
    const { bodies, rows } = ingestBodies({ bodies: bodyCount, addresses, seed: 7 });
    const packed = bodies.map((body) => zstd.compress(body));
    const slow = bodies.map((body) =>
      new TextEncoder().encode(
        new TextDecoder().decode(body).replaceAll('Traffic":[{', 'Traffic":[ {'),
      )
    );
    const decoder = new TextDecoder();
    const list = new RowList();
    const reader = new EntryReader(list, new FastNumbers());
    const read = (body: Uint8Array): void => {
      list.clear();
      const entries: IngestEntry[] = [];
      reader.read(body, 1, entries);
      if (entries.some((entry) => entry.kind !== "message")) {
        throw new Error(
          String((entries.find((entry) => entry.kind !== "message") as { json?: string }).json)
            .slice(0, 600),
        );
      }
      taken += list.count;
    };
    let taken = 0;
    const cases: readonly [string, () => void][] = [
      ["JSON.parse", () => bodies.forEach((body) => void JSON.parse(decoder.decode(body)))],
      ["slow way", () => slow.forEach(read)],
      ["scanner", () => bodies.forEach(read)],
      ["unpack + scanner", () =>
        packed.forEach((body) => {
          const content = readBody(body, zstd.name === "none" ? "" : "zstd", 1 << 20);
          if (content.kind !== "content") throw new Error(content.kind);
          read(content.bytes);
        })],
    ];
    const times = cases.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? [...cases.keys()] : [...cases.keys()].reverse();
      for (const index of order) {
        const start = process.cpuUsage();
        cases[index][1]();
        const { user, system } = process.cpuUsage(start);
        times[index].push((user + system) / 1_000);
      }
    }
    if (taken !== rows * 3 * rounds) throw new Error(`${taken} rows, not ${rows * 3 * rounds}`);
    for (const [index, [name]] of cases.entries()) {
      const median = times[index].sort((a, b) => a - b)[rounds >> 1];
      results[`${name}, ${addresses} addresses`] = rows / median * 1_000;
    }
  }
  return results;
}

if (import.meta.main) {
  const results = await measureIngest(Number(process.argv[2] ?? 9), 24);
  for (const [name, perSecond] of Object.entries(results)) {
    console.log(`${name.padEnd(36)} ${Math.round(perSecond).toLocaleString("en")} rows/s`);
  }
}
