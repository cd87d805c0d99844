// Goal: the number of workers is what was asked for, or what the cores are worth. Method: both sides of each limit.
import { test } from "node:test";
import assert from "node:assert/strict";
import { mergeOffloads, offloadTexts } from "../../../src/node/offload_state.ts";
import { workersOf } from "../../../src/node/worker_count.ts";

test("workersOf() takes a number as it is, and for auto one below four cores", () => {
  assert.deepEqual([1, 2, 3, 4, 64].map((cores) => workersOf("auto", cores)), [1, 1, 1, 2, 2]);
  assert.deepEqual([workersOf(1, 64), workersOf(16, 1)], [1, 16]);
});

const ALL = {
  ...{ tcp: true, udp: true, writes: true, sends: true, receives: true },
  plainPaths: 0,
};

test("mergeOffloads() says what all workers do, and the most paths that any has found plain", () => {
  assert.deepEqual(mergeOffloads([ALL]), ALL);
  const merged = mergeOffloads([ALL, { ...ALL, writes: false }, { ...ALL, plainPaths: 2 }]);
  assert.deepEqual(merged, { ...ALL, writes: false, plainPaths: 2 });
});

test("offloadTexts() names what is in use, and what is not sent so", () => {
  assert.deepEqual(offloadTexts(ALL), ["read TCP and UDP", "write TCP and UDP", "send", "receive"]);
  const some = { ...ALL, udp: false, writes: false, receives: false };
  assert.deepEqual(offloadTexts({ ...some, plainPaths: 1 }), [
    "read TCP",
    "send (not to 1 path that refuses it)",
  ]);
  assert.deepEqual(
    offloadTexts({ ...some, plainPaths: 2 })[1],
    "send (not to 2 paths that refuse it)",
  );
  assert.deepEqual(
    offloadTexts({ ...some, plainPaths: Infinity }).at(-1),
    "send (to no path: too many refuse it)",
  );
  const none = { ...ALL, tcp: false, udp: false, sends: false, receives: false };
  assert.deepEqual(offloadTexts(none), []);
});
