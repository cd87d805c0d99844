// Goal: several workers are one to the node: a change is in force everywhere when it is answered, carriers stop first.
// Method: threads that write down what they are told and answer when the test says so.
import { test } from "node:test";
import assert from "node:assert/strict";
import { HASH_SECRET_WORDS } from "../../../src/packet/mod.ts";
import { MemoryTun, MemoryWake } from "../../../src/platform/memory.ts";
import { WorkerGroup } from "../../../src/node/worker_group.ts";
import type { Answer, Command, WorkerStart } from "../../../src/node/worker_protocol.ts";
import type { RouteChange } from "../../../src/wireguard/mod.ts";
import { settle } from "../../support/virtual_time.ts";

const OFFLOADS = {
  ...{ tcp: true, udp: true, writes: true, sends: true, receives: true },
  plainPaths: 0,
};
const CHANGES: RouteChange[] = [{ type: "gone", slot: 1 }];

/** Threads of a group. */
async function lab(count: number, changes = CHANGES) {
  const log: string[] = [];
  const starts: WorkerStart[] = [];
  /** Workers that do not answer for now. */
  const silent = new Set<number>();
  const pending: (() => void)[] = [];
  const failed: string[] = [];
  const answers: ((answer: Answer) => void)[] = [];
  let made = 0;
  const answerTo = (command: Command, worker: number): Answer => {
    if (command.type === "start") starts.push(command.start);
    if (command.type === "configure") return { type: "configured", changes };
    if (command.type === "offloads") {
      return { type: "offloads", offloads: { ...OFFLOADS, plainPaths: worker } };
    }
    if (command.type !== "snapshot") return { type: "done" };
    const device = { privateKey: new Uint8Array(32), publicKey: new Uint8Array(32), peers: [] };
    const snapshot = { device, waitingPackets: 3, cryptoName: "none", offloads: OFFLOADS };
    return { type: "snapshot", snapshot };
  };
  const wakes: MemoryWake[] = [];
  const group = new WorkerGroup({
    queues: Array.from({ length: count }, () => new MemoryTun("tun0")),
    hashSecret: new Uint32Array(HASH_SECRET_WORDS),
    flowsMax: 64,
    openWake: () => {
      wakes.push(new MemoryWake());
      return wakes.at(-1)!;
    },
    startThread: () => {
      const worker = made++;
      return {
        post: (command) => {
          log.push(`${worker} ${command.type}`);
          const answer = () => answers[worker]!(answerTo(command, worker));
          if (silent.has(worker)) pending.push(answer);
          else queueMicrotask(answer);
        },
        onAnswer: (listener) => answers[worker] = listener,
        onError: () => {},
        terminate: () => log.push(`${worker} terminated`),
      };
    },
  });
  group.open();
  await group.start({
    ...{ mtuBytes: 1_420, timing: {} },
    listeners: { counting: () => {}, failed: (message) => failed.push(message) },
  });
  log.length = 0;
  return { group, log, starts, silent, pending, answers, wakes, failed };
}

test("WorkerGroup of one worker shares nothing", async () => {
  const { group, log, starts } = await lab(1, []);
  assert.deepEqual([starts.length, starts[0]!.team, group.count], [1, null, 1]);
  await group.configure({});
  assert.deepEqual((await group.snapshot()).offloads, OFFLOADS);
  await group.stop();
  assert.deepEqual(log, ["0 configure", "0 snapshot", "0 stop", "0 terminated"]);
});

test("WorkerGroup gives all workers one board, and each its own banks and number", async () => {
  const { starts } = await lab(3);
  assert.deepEqual(starts.map((start) => start.team!.worker), [0, 1, 2]);
  assert.equal(new Set(starts.map((start) => start.team!.board)).size, 1);
  assert.equal(new Set(starts.flatMap((start) => [start.virtual, start.physical])).size, 6);
  assert.equal(starts[0]!.team!.relays.length, 2);
});

test("WorkerGroup answers a configuration when every carrier has confirmed it", async () => {
  const { group, log, silent, pending } = await lab(3);
  silent.add(2);
  let isDone = false;
  const done = group.configure({}).then(() => isDone = true);
  await settle();
  assert.deepEqual(log, ["0 configure", "1 routes", "2 routes"]);
  assert.equal(isDone, false);
  pending.shift()!();
  await done;
});

test("WorkerGroup tells carriers nothing of a configuration that the first worker refuses", async () => {
  const { group, log, silent, answers } = await lab(2);
  silent.add(0);
  const done = group.configure({});
  answers[0]!({ type: "refused", message: "No" });
  await assert.rejects(done, /^Error: No$/);
  assert.deepEqual(log, ["0 configure"]);
});

test("WorkerGroup asks carriers before the first worker, so that it knows what they left to it", async () => {
  const { group, log } = await lab(3);
  const { offloads, waitingPackets } = await group.snapshot();
  assert.deepEqual(log, ["1 offloads", "2 offloads", "0 snapshot"]);
  assert.deepEqual([offloads.plainPaths, waitingPackets], [2, 3]);
});

test("WorkerGroup stops carriers before the first worker, and ends all threads though one has failed", async () => {
  const first = await lab(3);
  first.silent.add(1);
  const stopped = first.group.stop();
  await settle();
  assert.deepEqual(first.log, ["1 stop", "2 stop"]);
  first.pending.shift()!();
  await stopped;
  assert.deepEqual(first.log.slice(2), [
    "0 stop",
    "0 terminated",
    "1 terminated",
    "2 terminated",
  ]);
  const second = await lab(2);
  second.answers[1]!({ type: "failed", message: "Gone" });
  assert.deepEqual(second.failed, ["Gone"]);
  await assert.rejects(second.group.stop(), /Gone/);
  assert.deepEqual(second.log, ["0 terminated", "1 terminated"]);
});

test("WorkerGroup wakes all workers, and its counters are the sum of theirs", async () => {
  const { group, starts, wakes } = await lab(2);
  for (const wake of wakes) wake.drain();
  group.wake();
  assert.ok(wakes.every((wake) => wake.pending));
  for (const [worker, { counters }] of starts.entries()) {
    // tunRead is the first counter: packets, then bytes.
    new Float64Array(counters).set([worker + 1, 100]);
  }
  assert.deepEqual(group.counters().tunRead, { packets: 3, bytes: 200 });
  assert.deepEqual(group.readPackets(), [1, 2]);
});
