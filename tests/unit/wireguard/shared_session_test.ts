// Goal: workers that share a session never use a counter twice, never accept one twice, and never fall so far behind
// one another that a peer's window refuses them.
// Method: random interleavings of sessions in one thread against a strict receiver; two real threads at once.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { NONCE_BLOCK, NONCE_BLOCKS_BEHIND_MAX } from "../../../src/limits.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";
import { SESSION } from "../../../src/wireguard/board_layout.ts";
import { SharedSession } from "../../../src/wireguard/shared_session.ts";
import { SessionKeys } from "../../../src/wireguard/noise.ts";
import { Session } from "../../../src/wireguard/session.ts";
import { PresentTime } from "../../../src/wireguard/time.ts";
import { completeTiming } from "../../../src/wireguard/timing.ts";
import { CRYPTO_PORTS } from "../../support/crypto_ports.ts";
import { labBuffer } from "../../support/wireguard_lab.ts";

const SEED = 1;
const crypto = CRYPTO_PORTS.at(-1)!;
/** wireguard-go replay.go: 128 blocks of 64 bits, one of which is being cleared. */
const STRICT_WINDOW = 8_128;

function sharedMemory(): SharedArrayBuffer {
  // One word more, for threads to meet.
  return new SharedArrayBuffer((SESSION.WORDS + 16) * 4);
}

/** Sessions of several workers over one memory. */
function workers(count: number, changes = {}): Session[] {
  const words = new Int32Array(sharedMemory());
  const time = new PresentTime();
  const keys = new SessionKeys();
  new SharedSession(words, 0).reset();
  return Array.from({ length: count }, () => {
    const shared = new SharedSession(words, 0);
    const place = { number: 0, shared, publish: () => {}, end: () => {} };
    const options = { peerSlot: 0, localIndex: 1, remoteIndex: 2, isInitiator: true, keys, place };
    return new Session(crypto, completeTiming(changes), time, options);
  });
}

const buffer = labBuffer(128);

/** Seals an empty message. @returns Its counter. */
function sealed(session: Session): number {
  assert.ok(session.maySeal());
  session.seal(buffer, 16, 0);
  return Number(buffer.view.getBigUint64(8, true));
}

test("no interleaving of workers uses a counter twice or leaves a strict receiver's window", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 16 }),
      fc.array(fc.tuple(fc.nat(15), fc.integer({ min: 1, max: 700 })), {
        minLength: 20,
        maxLength: 60,
        size: "max",
      }),
      (count, turns) => {
        const sessions = workers(count);
        const seen = new Set<number>();
        let largest = -1;
        for (const [who, packets] of turns) {
          for (let packet = 0; packet < packets; packet++) {
            const counter = sealed(sessions[who % count]!);
            assert.ok(!seen.has(counter), `${counter} is used twice`);
            assert.ok(counter > largest - STRICT_WINDOW / 2, `${counter} after ${largest}`);
            seen.add(counter);
            largest = Math.max(largest, counter);
          }
        }
      },
    ),
    { seed: SEED, numRuns: 60 },
  );
});

test("a worker keeps a block that is as far behind as is allowed, and throws away one that is further", () => {
  const counterAfter = (blocks: number): number => {
    const [idle, busy] = workers(2) as [Session, Session];
    assert.equal(sealed(idle), 0);
    for (let packet = 0; packet < blocks * NONCE_BLOCK; packet++) sealed(busy);
    return sealed(idle);
  };
  assert.equal(counterAfter(NONCE_BLOCKS_BEHIND_MAX), 1);
  const next = NONCE_BLOCKS_BEHIND_MAX + 2;
  assert.equal(counterAfter(NONCE_BLOCKS_BEHIND_MAX + 1), next * NONCE_BLOCK);
  // With all its neighbours under way a block must still be far within the window.
  assert.ok((NONCE_BLOCKS_BEHIND_MAX + 2) * NONCE_BLOCK < STRICT_WINDOW / 3);
});

test("nobody seals from rejectAfterMessages on, whoever took the block before it", () => {
  const limits = { rekeyAfterMessages: NONCE_BLOCK, rejectAfterMessages: NONCE_BLOCK + 3 };
  const [a, b] = workers(2, limits) as [Session, Session];
  for (let packet = 0; packet < NONCE_BLOCK; packet++) sealed(a);
  for (let packet = 0; packet < 3; packet++) assert.equal(sealed(b), NONCE_BLOCK + packet);
  assert.equal(b.maySeal(), false);
  assert.equal(a.maySeal(), false);
});

test("a counter that one worker has accepted is refused by the others", () => {
  const words = new Int32Array(sharedMemory());
  const [a, b] = [new SharedSession(words, 0), new SharedSession(words, 0)];
  a.reset();
  assert.ok(a.isNew(7) && b.isNew(7));
  assert.ok(a.accept(7));
  assert.equal(b.isNew(7), false);
  // Who had looked before the other marked it is refused by accept itself.
  assert.equal(b.accept(7), false);
  assert.ok(b.accept(6));
  // One that is too old leaves no mark where a newer one has its place.
  assert.ok(a.accept(10_000));
  assert.equal(b.accept(5), false);
  assert.ok(b.accept(5 + 8_192));
  a.reset();
  assert.ok(b.accept(7));
});

test("counters run out after 2^31 blocks", () => {
  const words = new Int32Array(sharedMemory());
  const session = new SharedSession(words, 0);
  words[SESSION.BLOCKS] = 2 ** 31 - 1;
  assert.equal(session.takeBlock(), (2 ** 31 - 1) * NONCE_BLOCK);
  assert.equal(session.takeBlock(), Infinity);
});

test("two threads take each block once and accept each counter once", async () => {
  const memory = sharedMemory();
  new SharedSession(new Int32Array(memory), 0).reset();
  const blocks = 20_000;
  const random = new SeededRandom(SEED);
  // Both are offered the same counters, a little shuffled: never further back than the window.
  const counters = 200_000;
  const offersOf = (): Float64Array => {
    const offers = Float64Array.from({ length: counters }, (_, index) => index);
    for (let index = 0; index + 8 < counters; index += 8) {
      const other = index + random.below(8);
      [offers[index], offers[other]] = [offers[other]!, offers[index]!];
    }
    return offers;
  };
  const results = await Promise.all(
    [0, 1].map(() =>
      new Promise<{ taken: Float64Array; accepted: Float64Array }>((resolve, reject) => {
        const worker = new Worker(new URL("./shared_session_worker.ts", import.meta.url), {
          workerData: { memory, blocks, offers: offersOf() },
        });
        worker.once("message", (result) => {
          resolve(result);
          void worker.terminate();
        });
        worker.once("error", reject);
      })
    ),
  );
  const taken = results.flatMap((result) => [...result.taken]);
  assert.equal(new Set(taken).size, 2 * blocks);
  const accepted = results.flatMap((result) => [...result.accepted]);
  assert.equal(new Set(accepted).size, accepted.length, "a counter was accepted twice");
  // One of them may run ahead by more than the window; then the other's are too old, but the first had them.
  assert.equal(accepted.length, counters);
});
