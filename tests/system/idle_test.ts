/**
 * An idle node costs nothing: 0.0 % of a CPU over ten seconds. Its memory is printed.
 *
 * Run alone: `deno test -A tests/system/idle_test.ts` (root; needs wg, ip, ping).
 * Method: two nodes of ours with a session between them, left alone. CPU time is what the kernel's scheduler says all
 * threads ran. Rule: below 0.05 % of one CPU, which is what 0.0 % means, that is 5 ms in 10 s.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withLab } from "./support/namespaces.ts";
import { INNER, startPair } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { statusAtRest } from "./support/status.ts";
import { notOurs } from "./support/subjects.ts";
import { waitForPing } from "./support/traffic.ts";
import { cpuTimeNs, residentBytes } from "./support/usage.ts";
import { pause } from "./support/wait.ts";

const skip = cannotRun() || notOurs();

const SPAN_MS = 10_000;
const CPU_MS_MAX = 5;
/**
 * A span in which packets came (the last keepalive, a router solicitation) or the runtime tidied up was not idle: the next
 * one is taken.
 */
const SPANS_MAX = 4;

test("idle node takes 0.0 % CPU on both runtimes", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = await startPair(lab, {
      left: "deno",
      right: "bun",
      initiator: "left",
      timers: { KeepaliveTimeout: 1, RekeyTimeout: 1 },
    });
    await waitForPing(left.namespace, INNER.right[4]);
    const tunnels = [left, right];
    const readCounters = async () => {
      return JSON.stringify(
        await Promise.all(tunnels.map(async (tunnel) => (await statusAtRest(tunnel)).counters)),
      );
    };
    for (let span = 1;; span++) {
      const before = await readCounters();
      // The status request itself costs CPU: it must be over before the measured span begins.
      await pause(1_000);
      const startNs = tunnels.map((tunnel) => cpuTimeNs(tunnel.process.pid));
      await pause(SPAN_MS);
      const cpuMs = tunnels.map((tunnel, index) =>
        (cpuTimeNs(tunnel.process.pid) - startNs[index]!) / 1e6
      );
      const wasIdle = await readCounters() === before;
      // What a runtime does once, such as compiling or collecting garbage, comes after its start and not again.
      const wasCalm = cpuMs.every((ms) => ms < CPU_MS_MAX);
      if ((!wasIdle || !wasCalm) && span < SPANS_MAX) continue;
      assert.ok(wasIdle, "the nodes were never left alone");
      tunnels.forEach((tunnel, index) => {
        const percent = (cpuMs[index]! / SPAN_MS * 100).toFixed(3);
        const megabytes = (residentBytes(tunnel.process.pid) / 1e6).toFixed(0);
        console.log(
          `idle on ${tunnel.implementation}: ${percent} % CPU over ${SPAN_MS / 1000} s, ` +
            `RSS ${megabytes} MB`,
        );
      });
      tunnels.forEach((tunnel, index) => {
        assert.ok(
          cpuMs[index]! < CPU_MS_MAX,
          `${tunnel.implementation}: ${cpuMs[index]} ms of CPU in ${SPAN_MS} ms`,
        );
      });
      return;
    }
  });
});
