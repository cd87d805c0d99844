/** Goal: the network logger can be used from mod.ts alone, with devices of one's own, as README's example does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Device,
  HASH_SECRET_WORDS,
  KEY,
  KEY_WORDS,
  type LoggedWindow,
  Logger,
  parseAddress,
  parseMessage,
  parsePrefix,
  PROTO,
  type StatisticsRow,
} from "../../mod.ts";
import { MemoryClock } from "../../src/platform/memory_clock.ts";

/** A device that is told what to count. */
class ExampleDevice implements Device {
  #rows: StatisticsRow[] = [];

  setStatisticsEnabled(): void {}

  extractStatistics(visit: (row: StatisticsRow) => void): void {
    for (const row of this.#rows.splice(0)) visit(row);
  }

  /** Counts three packets of one connection. */
  count(): void {
    const key = new Uint32Array(KEY_WORDS);
    key[KEY.HEAD] = PROTO.TCP;
    key[KEY.PORTS] = (41_641 << 16) | 22;
    key.set(parseAddress("100.64.0.1")!.addressWords, KEY.SRC);
    key.set(parseAddress("100.64.0.2")!.addressWords, KEY.DST);
    const counters = { txPackets: 3, txBytes: 180, rxPackets: 0, rxBytes: 0 };
    this.#rows.push({ key, ...counters, folded: false, other: false });
  }
}

test("Logger of mod.ts logs a device of one's own", async () => {
  const clock = new MemoryClock();
  const windows: LoggedWindow[] = [];
  const logger = new Logger({
    clock,
    timers: clock,
    hashSecret: new Uint32Array(HASH_SECRET_WORDS).fill(7),
    warn: (message) => assert.fail(message),
  });
  logger.reconfigRoutes({
    localAddresses: [parsePrefix("100.64.0.1/32")!],
    routes: [{ prefix: parsePrefix("100.64.0.2/32")!, peer: "n2" }],
    subnetRoutes: [],
  });
  const tun = new ExampleDevice();
  await logger.startup({
    name: "example",
    tun,
    sink: {
      write: (window) => void windows.push(window),
      report: () => {},
      close: () => Promise.resolve(0),
    },
  });
  assert.equal(logger.running, true);
  await assert.rejects(
    logger.startup({
      name: "again",
      sink: { write() {}, report() {}, close: () => Promise.resolve(0) },
    }),
    /already running for example/,
  );
  tun.count();
  assert.equal(await logger.shutdown(), 0);
  assert.equal(logger.running, false);
  const [message] = windows.flatMap(({ messages }) => messages);
  const { virtual } = parseMessage(new TextDecoder().decode(message.bytes));
  assert.deepEqual(virtual.map(({ src, dst, txBytes }) => [src, dst, txBytes]), [
    ["100.64.0.1:41641", "100.64.0.2:22", 180],
  ]);
});
