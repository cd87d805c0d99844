/** Goal: what waits for a session comes out once, in order, or is reported; method: examples at the limits and a model. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { StagedPackets } from "../../../src/node/staging.ts";

const SLOT_BYTES = 32;

function packet(mark: number, length = 8): Uint8Array {
  return new Uint8Array(length).fill(mark);
}

function stagedOf(limits: { perPeerMax: number; totalMax: number }) {
  const dropped: number[] = [];
  const staged = new StagedPackets({ ...limits, slotBytes: SLOT_BYTES }, (n) => dropped.push(n));
  const pop = (peer: number): number[] => {
    const output = new Uint8Array(SLOT_BYTES);
    const length = staged.pop(peer, output, 0);
    return [...output.subarray(0, length)];
  };
  return { staged, dropped, pop };
}

test("StagedPackets keeps the order of each peer apart", () => {
  const { staged, pop } = stagedOf({ perPeerMax: 4, totalMax: 8 });
  for (const mark of [1, 2, 3]) staged.push(0, packet(mark), 0, 2);
  staged.push(70, packet(9), 0, 3);
  assert.equal(staged.total, 4);
  assert.deepEqual(pop(70), [9, 9, 9]);
  assert.deepEqual([pop(0), pop(0), pop(0), pop(0)], [[1, 1], [2, 2], [3, 3], []]);
  assert.equal(staged.total, 0);
});

test("StagedPackets pushes out the oldest of a full peer and reports its length", () => {
  const { staged, dropped, pop } = stagedOf({ perPeerMax: 2, totalMax: 8 });
  for (const length of [3, 4, 5]) staged.push(1, packet(length, length), 0, length);
  assert.deepEqual(dropped, [3]);
  assert.equal(pop(1).length, 4);
});

test("StagedPackets drops the new packet when the pool is full of others' packets", () => {
  const { staged, dropped } = stagedOf({ perPeerMax: 4, totalMax: 2 });
  staged.push(0, packet(1), 0, 1);
  staged.push(0, packet(2), 0, 2);
  staged.push(1, packet(3), 0, 7);
  assert.deepEqual(dropped, [7]);
  staged.push(0, packet(4), 0, 4);
  assert.deepEqual(dropped, [7, 1], "a peer with packets gives up its own oldest");
});

test("StagedPackets refuses what is longer than a slot and takes what just fits", () => {
  const { staged, dropped, pop } = stagedOf({ perPeerMax: 4, totalMax: 4 });
  staged.push(0, new Uint8Array(SLOT_BYTES + 1), 0, SLOT_BYTES + 1);
  staged.push(0, packet(5, SLOT_BYTES), 0, SLOT_BYTES);
  assert.deepEqual(dropped, [SLOT_BYTES + 1]);
  assert.equal(pop(0).length, SLOT_BYTES);
});

test("StagedPackets equals a list of lists under random use", () => {
  const operation = fc.record({
    kind: fc.constantFrom("push", "push", "push", "pop", "clear"),
    peer: fc.integer({ min: 0, max: 40 }),
    length: fc.integer({ min: 1, max: SLOT_BYTES }),
  });
  let pushes = 0;
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300, size: "max" }), (operations) => {
      const perPeerMax = 3;
      const totalMax = 70;
      const { staged, dropped, pop } = stagedOf({ perPeerMax, totalMax });
      const model = new Map<number, number[]>();
      const modelDropped: number[] = [];
      const total = () => [...model.values()].reduce((sum, list) => sum + list.length, 0);
      for (const { kind, peer, length } of operations) {
        const list = model.get(peer) ?? [];
        model.set(peer, list);
        if (kind === "push") {
          pushes++;
          if (list.length >= perPeerMax) modelDropped.push(list.shift()!);
          if (total() >= totalMax && list.length > 0) modelDropped.push(list.shift()!);
          if (total() >= totalMax) modelDropped.push(length);
          else list.push(length);
          staged.push(peer, packet(1, length), 0, length);
        } else if (kind === "pop") {
          assert.equal(pop(peer).length, list.shift() ?? 0);
        } else {
          const cleared: number[] = [];
          staged.clear(peer, (bytes) => cleared.push(bytes));
          assert.deepEqual(cleared, list.splice(0));
        }
        assert.equal(staged.total, total());
        assert.equal(staged.count(peer), model.get(peer)!.length);
      }
      assert.deepEqual(dropped, modelDropped);
    }),
    { seed: 7, numRuns: 60 },
  );
  assert.ok(pushes > 1000);
});
