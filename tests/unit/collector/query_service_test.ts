/** Goal: every question is answered whatever the thread does: in turn, called off, hung, dead, never opened. */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  QUERIES_WAITING_MAX,
  QUERY_GRACE_MS,
  QUERY_WORKER_FAILURES_MAX,
} from "../../../src/limits.ts";
import type { Question } from "../../../src/collector/query/question.ts";
import { QueryService, type QueryThread } from "../../../src/collector/query/service.ts";
import {
  type QueryCommand,
  QueryHost,
  type QueryReport,
} from "../../../src/collector/query/worker.ts";
import { MemoryClock } from "../../../src/platform/memory_clock.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { settle } from "../../support/virtual_time.ts";
import { topOf } from "./query_support.ts";

const HEALTH: Question = { kind: "health", nowMs: 0, timeMs: 1_000 };

/** A thread whose answers are given by hand. */
class HandThread implements QueryThread {
  readonly commands: QueryCommand[] = [];
  isTerminated = false;
  report: (report: QueryReport) => void = () => {};
  fail: (message: string) => void = () => {};

  post(command: QueryCommand): void {
    this.commands.push(command);
  }

  onReport(listener: (report: QueryReport) => void): void {
    this.report = listener;
  }

  onError(listener: (message: string) => void): void {
    this.fail = listener;
  }

  terminate(): void {
    this.isTerminated = true;
  }

  /** Numbers of the questions that it was asked. */
  get asked(): number[] {
    return this.commands.flatMap((command) => command.type === "ask" ? [command.number] : []);
  }

  open(): void {
    this.report({ type: "opened", problem: null });
  }

  answer(number: number, status = 200): void {
    this.report({ type: "answer", number, answer: { status, text: `${number}` } });
  }
}

class Scene {
  readonly clock = new MemoryClock();
  readonly threads: HandThread[] = [];
  readonly warnings: string[] = [];
  readonly service = new QueryService({
    path: "store",
    startThread: () => {
      const thread = new HandThread();
      this.threads.push(thread);
      return thread;
    },
    timers: this.clock,
    clock: this.clock,
    warn: (message) => this.warnings.push(message),
  });

  get thread(): HandThread {
    return this.threads.at(-1)!;
  }
}

test("QueryService asks one question after the other, in their order", async () => {
  const { service, threads } = new Scene();
  assert.equal(threads.length, 0, "no thread without a question");
  const answers = [service.ask(HEALTH), service.ask(HEALTH), service.ask(HEALTH)];
  const [thread] = threads;
  assert.deepEqual(thread.asked, []);
  thread.open();
  assert.deepEqual(thread.asked, [1]);
  thread.answer(1);
  assert.deepEqual(thread.asked, [1, 2]);
  thread.answer(2);
  thread.answer(3);
  assert.deepEqual((await Promise.all(answers)).map(({ text }) => text), ["1", "2", "3"]);
  assert.equal(threads.length, 1);
  assert.equal(service.stats.answered, 3);
  assert.equal(service.waiting, 0);
});

test("QueryService refuses what its queue has no room for", async () => {
  const scene = new Scene();
  const { service } = scene;
  const first = service.ask(HEALTH);
  scene.thread.open();
  const waiting = Array.from({ length: QUERIES_WAITING_MAX }, () => service.ask(HEALTH));
  const refused = await service.ask(HEALTH);
  assert.equal(refused.status, 503);
  assert.equal(service.stats.refused, 1);
  for (let number = 1; number <= QUERIES_WAITING_MAX + 1; number++) scene.thread.answer(number);
  const answers = await Promise.all([first, ...waiting]);
  assert.ok(answers.every(({ status }) => status === 200));
});

test("QueryService replaces a thread that hangs and answers 504; what waits is asked of the next", async () => {
  const scene = new Scene();
  const hung = scene.service.ask(HEALTH);
  scene.thread.open();
  const next = scene.service.ask(HEALTH);
  scene.clock.advance(HEALTH.timeMs + QUERY_GRACE_MS - 1);
  assert.equal(scene.threads.length, 1);
  scene.clock.advance(1);
  assert.equal((await hung).status, 504);
  assert.equal(scene.threads.length, 2);
  assert.ok(scene.threads[0].isTerminated);
  // What the first still says is nobody's.
  scene.thread.open();
  scene.threads[0].answer(2, 200);
  scene.thread.answer(2, 201);
  assert.equal((await next).status, 201);
  assert.deepEqual([scene.service.stats.timedOut, scene.service.stats.threadsLost], [1, 1]);
});

test("QueryService answers 503 when the thread dies, and gives up one that dies again and again, for a minute", async () => {
  const scene = new Scene();
  for (let time = 0; time < QUERY_WORKER_FAILURES_MAX; time++) {
    const answer = scene.service.ask(HEALTH);
    scene.thread.open();
    scene.thread.fail("out of memory");
    assert.equal((await answer).status, 503);
  }
  assert.equal(scene.threads.length, QUERY_WORKER_FAILURES_MAX);
  assert.equal((await scene.service.ask(HEALTH)).status, 503);
  assert.equal(scene.threads.length, QUERY_WORKER_FAILURES_MAX, "no further one");
  scene.clock.advance(60_000);
  const answer = scene.service.ask(HEALTH);
  assert.equal(scene.threads.length, QUERY_WORKER_FAILURES_MAX + 1);
  scene.thread.open();
  scene.thread.answer(QUERY_WORKER_FAILURES_MAX + 2);
  assert.equal((await answer).status, 200);
});

test("QueryService says when a store cannot be opened", async () => {
  const scene = new Scene();
  const answer = scene.service.ask(HEALTH);
  scene.thread.report({ type: "opened", problem: 'Cannot open store "x"' });
  const { status, text } = await answer;
  assert.equal(status, 503);
  assert.match(text, /Cannot open store/);
  assert.equal(scene.threads.length, 1, "nobody waits: no other is started");
});

test("QueryService takes a question whose client went out of the queue, or calls it off", async () => {
  const scene = new Scene();
  const gone = new AbortController();
  const underWay = scene.service.ask(HEALTH, gone.signal);
  scene.thread.open();
  const waiting = scene.service.ask(HEALTH, gone.signal);
  const [open] = scene.thread.commands;
  assert.ok(open.type === "open");
  gone.abort();
  assert.equal((await waiting).status, 499);
  assert.equal(new Int32Array(open.cancelled)[0], 1);
  scene.thread.answer(1, 499);
  assert.equal((await underWay).status, 499);
  assert.deepEqual(scene.thread.asked, [1]);
  assert.equal((await scene.service.ask(HEALTH, gone.signal)).status, 499);
  assert.equal(scene.service.stats.cancelled, 3);
});

test("QueryService ends once, answering all that waits", async () => {
  const scene = new Scene();
  const answers = [scene.service.ask(HEALTH), scene.service.ask(HEALTH)];
  scene.thread.open();
  scene.service.stop();
  scene.service.stop();
  assert.deepEqual((await Promise.all(answers)).map(({ status }) => status), [503, 503]);
  assert.equal((await scene.service.ask(HEALTH)).status, 503);
  assert.ok(scene.thread.isTerminated);
  assert.equal(scene.clock.nextDueMs, Infinity, "no watch is left");
});

test("QueryHost answers each question once, and calls off the one that its word names", async () => {
  const reports: QueryReport[] = [];
  const reader = new MemoryStoreReader();
  const host = new QueryHost((report) => reports.push(report), () => 0, (path) => {
    if (path !== "store") throw new Error(`Cannot open store "${path}"`);
    return reader;
  });
  const cancelled = new SharedArrayBuffer(4);
  host.accept({ type: "ask", number: 1, question: HEALTH });
  host.accept({ type: "open", path: "other", cancelled });
  host.accept({ type: "open", path: "store", cancelled });
  host.accept({ type: "ask", number: 2, question: HEALTH });
  new Int32Array(cancelled)[0] = 3;
  host.accept({ type: "ask", number: 3, question: topOf() });
  host.accept({ type: "ask", number: 4, question: topOf() });
  await settle();
  assert.deepEqual(
    reports.map((report) =>
      report.type === "opened" ? report.problem : [report.number, report.answer.status]
    ),
    [[1, 503], 'Cannot open store "other"', null, [2, 200], [3, 499], [4, 200]],
  );
});
