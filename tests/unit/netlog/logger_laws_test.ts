/**
 * Goal: whatever happens, counts handed over = counts logged + counts declared stale, to the byte, per class list, and
 * windows never overlap. Method: random histories of counts, clock steps, changed routes, devices that fail or wait, stops
 * and starts, under virtual time; sums are compared by parsing every message.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RouteConfig } from "../../../src/netlog/mod.ts";
import { settle } from "../../support/virtual_time.ts";
import {
  add,
  classListSums,
  FakeDevice,
  listSums,
  LoggerLab,
  TellingDevice,
} from "./logger_support.ts";
import { anyRouteConfig, anyRow, type Counted } from "./support.ts";

type Step =
  | { readonly kind: "count"; readonly rows: readonly Counted[] }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "setWall"; readonly ms: number }
  | { readonly kind: "routes"; readonly routes: RouteConfig }
  | { readonly kind: "fail" | "hold" | "release"; readonly isPhysical: boolean }
  | { readonly kind: "restart" };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("count" as const),
      rows: fc.array(anyRow, { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.oneof(fc.nat(7_000), fc.nat(70_000)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("setWall" as const),
      ms: fc.oneof(
        fc.integer({ min: -9_000, max: 9_000 }),
        fc.integer({ min: -7_200_000, max: 7_200_000 }),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("routes" as const), routes: anyRouteConfig }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("fail" as const, "hold" as const, "release" as const),
      isPhysical: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
);

/** One history: a lab, two devices, and what has been declared stale in runs that are over. */
class History {
  readonly lab = new LoggerLab();
  readonly devices: readonly [FakeDevice, FakeDevice];
  readonly #resolves: (() => void)[] = [() => {}, () => {}];
  /** By device's sum; stale counts are of both. */
  stale = [0n, 0n, 0n, 0n];

  constructor(tells: boolean) {
    this.devices = tells
      ? [new TellingDevice(), new TellingDevice()]
      : [new FakeDevice(), new FakeDevice()];
  }

  start(): Promise<void> {
    return this.lab.start(this.devices[0], this.devices[1]);
  }

  async stop(): Promise<void> {
    for (const index of [0, 1]) this.release(index);
    const totals = this.lab.logger.totals()!;
    await this.lab.logger.shutdown();
    assert.equal(this.lab.logger.running, false);
    assert.equal(this.lab.clock.nextDueMs, Infinity);
    this.stale = this.stale.map((sum, index) => sum + add([totals.stale])[index]);
  }

  hold(index: number): void {
    if (this.devices[index].hold !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.devices[index].hold = promise;
    this.#resolves[index] = resolve;
  }

  release(index: number): void {
    this.devices[index].hold = null;
    this.#resolves[index]();
  }

  async run(step: Step): Promise<void> {
    const { lab, devices } = this;
    switch (step.kind) {
      case "count":
        for (const each of step.rows) devices[each.isPhysical ? 1 : 0].count(each);
        break;
      case "wait":
        await lab.advance(step.ms);
        break;
      case "setWall":
        lab.clock.stepWall(step.ms);
        break;
      case "routes":
        lab.logger.reconfigRoutes(step.routes);
        break;
      case "fail":
        devices[step.isPhysical ? 1 : 0].failures++;
        break;
      case "hold":
        this.hold(step.isPhysical ? 1 : 0);
        break;
      case "release":
        this.release(step.isPhysical ? 1 : 0);
        break;
      case "restart":
        await this.stop();
        await this.start();
    }
    await settle();
  }
}

function sumOf(lists: Record<string, bigint[]>, names: readonly string[]): bigint[] {
  return [0, 1, 2, 3].map((at) => names.reduce((sum, name) => sum + lists[name][at], 0n));
}

test("Logger: counts handed over are logged or stale, exactly, whatever happens", async () => {
  const met = { windows: 0, stale: 0, failed: 0, stated: 0 };
  const scenario = fc.tuple(fc.boolean(), fc.array(anyStep, { maxLength: 30, size: "max" }));
  await fc.assert(
    fc.asyncProperty(scenario, async ([tells, steps]) => {
      const history = new History(tells);
      const { lab, devices } = history;
      await history.start();
      for (const step of steps) await history.run(step);
      // What a failure kept comes with the next extraction; the last one must not fail for that.
      for (const device of devices) device.failures = 0;
      await history.stop();

      const { messages, windows, reports } = lab.sink;
      const lists = listSums(messages);
      const logged = sumOf(lists, Object.keys(lists));
      const handedOver = devices.map(({ handedOver }) => add(handedOver));
      assert.deepEqual(
        logged.map((sum, at) => sum + history.stale[at]),
        handedOver[0].map((sum, at) => sum + handedOver[1][at]),
      );
      assert.deepEqual(devices.map(({ held }) => held), [[], []]);
      // Physical rows are the physical device's; nothing of a run without stale counts may have moved over.
      if (history.stale.every((sum) => sum === 0n)) assert.deepEqual(lists.physical, handedOver[1]);
      let lastEndNs = 0n;
      for (const { startNs, endNs, messages } of windows) {
        assert.ok(startNs > lastEndNs && endNs > startNs && messages.length > 0);
        lastEndNs = endNs;
        met.windows++;
      }
      if (!steps.some(({ kind }) => kind === "restart") && windows.length > 0) {
        assert.deepEqual(classListSums(reports.at(-1)!.sums), lists);
      }
      if (history.stale.some((sum) => sum > 0n)) met.stale++;
      if (lab.warnings.length > 0) met.failed++;
      if (messages.some(({ extension }) => extension.lengthMs !== undefined)) met.stated++;
    }),
    { seed: 4, numRuns: 300 },
  );
  assert.ok(
    met.windows > 500 && met.stale > 5 && met.failed > 50 && met.stated > 20,
    JSON.stringify(met),
  );
});
