/** A thread of shared_session_test.ts: takes blocks of counters and offers counters, as fast as it can. */
import { parentPort, workerData } from "node:worker_threads";
import { SharedSession } from "../../../src/wireguard/shared_session.ts";

const { memory, blocks, offers } = workerData as {
  memory: SharedArrayBuffer;
  blocks: number;
  offers: Float64Array;
};
const words = new Int32Array(memory);
const session = new SharedSession(words, 0);
// Both begin at once, so that they meet.
Atomics.add(words, words.length - 1, 1);
while (Atomics.load(words, words.length - 1) < 2) {
  // The other starts within milliseconds.
}
const taken = new Float64Array(blocks);
for (let index = 0; index < blocks; index++) taken[index] = session.takeBlock();
const accepted = offers.filter((counter) => session.isNew(counter) && session.accept(counter));
parentPort!.postMessage({ taken, accepted });
