/** The counting thread of banks_test.ts: counts random flows, more of them than the banks hold, and says how much. */
import { parentPort, workerData } from "node:worker_threads";
import { FlowWriter } from "../../../src/flow/mod.ts";
import { KEY } from "../../../src/packet/mod.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";
import { keyOf, noSums } from "./support.ts";

const { memory, packets } = workerData as { memory: SharedArrayBuffer; packets: number };
const BATCH = 16;
const writer = new FlowWriter(memory);
const random = new SeededRandom(1);
const keys = [keyOf({}), keyOf({ srcV6: true, dstV6: true })];
const sums = noSums();
for (let count = 0; count < packets; count++) {
  if (count % BATCH === 0) writer.handOver();
  const key = keys[count & 1];
  key[KEY.PORTS] = random.below(2_000);
  const bytes = random.below(1_500);
  if (random.happens(0.5)) {
    writer.countTx(key, 2, bytes, 0);
    sums.txPackets += 2;
    sums.txBytes += bytes;
  } else {
    writer.countRx(key, 2, bytes, 0);
    sums.rxPackets += 2;
    sums.rxBytes += bytes;
  }
}
parentPort!.postMessage(sums);
