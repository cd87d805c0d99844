/**
 * Bodies of uploads as our own client writes them, any number, for benchmarks and loaders.
 *
 * In: how many, of which variety. Out: bodies, and how many rows they hold. The same seed gives the same bodies.
 */
import { BatchSize, encodeObjectEntry, frameBatch } from "../../src/logtail/mod.ts";
import { type Connection, writeMessage } from "../../src/netlog/mod.ts";

/** What is wanted. */
export interface BodiesWanted {
  readonly bodies: number;
  /** Addresses that rows choose from. */
  readonly addresses: number;
  readonly seed: number;
  /** Process that writes them; numbers of entries go on from `firstSeq`. */
  readonly procId?: number;
  readonly firstSeq?: number;
  readonly startNs?: bigint;
  readonly bodyBytesMax?: number;
}

const WINDOW_NS = 5_000_000_000n;

/** Makes them. */
export function ingestBodies(wanted: BodiesWanted): { bodies: Uint8Array[]; rows: number } {
  const { procId = 77, firstSeq = 1, bodyBytesMax = 250_000 } = wanted;
  let startNs = wanted.startNs ?? 1_790_000_000_000_000_000n;
  let state = wanted.seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((state >>> 8) / 2 ** 24) * below);
  };
  const end = (): string => {
    const number = random(wanted.addresses);
    const port = random(4) === 0 ? 443 : 1_024 + random(60_000);
    return random(10) === 0
      ? `[fd7a:115c:a1e0::${(number >> 16).toString(16)}:${(number & 0xffff).toString(16)}]:${port}`
      : `100.${64 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}:${port}`;
  };
  const row = (proto: number): Connection => ({
    ...{ proto, src: end(), dst: end(), folded: false },
    ...{ txPackets: random(500), txBytes: random(500_000) },
    ...{ rxPackets: random(500), rxBytes: random(2_000_000) },
  });
  const rowsOf = (count: number, proto: number) => Array.from({ length: count }, () => row(proto));
  let seq = firstSeq;
  let rows = 0;
  const bodies: Uint8Array[] = [];
  while (bodies.length < wanted.bodies) {
    const entries: Uint8Array[] = [];
    const size = new BatchSize(128, bodyBytesMax);
    for (;;) {
      const count = 100 + random(1_500);
      const message = writeMessage({
        ...{ nodeId: "node-1", startNs, endNs: startNs + WINDOW_NS - 1n, extension: {} },
        ...{
          srcNode: { nodeId: "node-1", name: "alpha", addresses: ["100.64.0.1"] },
          dstNodes: [],
        },
        virtual: rowsOf(count, random(3) === 0 ? 17 : 6),
        subnet: rowsOf(count >> 3, 6),
        exit: [{ ...row(0), src: "", dst: "" }],
        physical: rowsOf(5, 0),
      });
      const entry = encodeObjectEntry(new TextEncoder().encode(message), {
        ...{ procId, procSeq: seq, clientTimeNs: startNs + WINDOW_NS },
      });
      if (!size.takes(entry.length)) break;
      size.add(entry.length);
      entries.push(entry);
      seq++;
      startNs += WINDOW_NS;
      rows += count + (count >> 3) + 6;
    }
    bodies.push(frameBatch(entries));
  }
  return { bodies, rows };
}
