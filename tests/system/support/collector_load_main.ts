/**
 * Load for a collector: posts bodies of our own format without a pause, until it is ended.
 *
 * In: `URL`. Out: `loading`, then `posted N` for each ten bodies that were acknowledged.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { ingestBodies } from "../../support/ingest_bodies.ts";

const BODIES = 16;
const LANES = 2;

const [url] = process.argv.slice(2) as [string];
let posted = 0;

async function post(lane: number): Promise<void> {
  const path = `/c/load/${createHash("sha256").update(`load ${lane}`).digest("hex")}`;
  for (let firstSeq = 1;; firstSeq += 10_000) {
    const { bodies } = ingestBodies({ bodies: BODIES, addresses: 4_096, seed: lane, firstSeq });
    for (const body of bodies) {
      const response = await fetch(url + path, { method: "POST", body: body as BufferSource });
      await response.body?.cancel();
      if (response.status === 200 && ++posted % 10 === 0) console.log(`posted ${posted}`);
    }
  }
}

console.log("loading");
await Promise.all(Array.from({ length: LANES }, (_, lane) => post(lane)));
