/**
 * `tunlog up --collect`: the collector in the node's own process has its flows, tells of them while they happen, and does not
 * hold the flow log up when it is loaded.
 *
 * Run alone: `deno test -A tests/system/collector_embedded_test.ts` (root; needs wireguard-go, wg, ip, nft, ping, curl).
 * Method: one node of ours, wireguard-go at the other end; windows of a second. Where time matters windows are counted, and
 * spans are compared with the window's length. Its counters against the kernel's: collect_test.ts.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { CollectorProcess, type Json } from "./support/collector_process.ts";
import { type Namespace, withLab } from "./support/namespaces.ts";
import { silencePorts } from "./support/numbered_datagrams.ts";
import { INNER, makeWire, pairConfig } from "./support/pairs.ts";
import { cannotRun, helperCommand, type Runtime } from "./support/runtimes.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, startPing, stopPing, waitForPing } from "./support/traffic.ts";
import { makeKeyPair, startTunnel } from "./support/tunnels.ts";
import { pause, waitUntil } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "nft", "curl") || notOurs();

const PERIOD_MS = 1_000;
/** Windows that may have ended behind that of some traffic, when the traffic is told of: its window's flush is 2 s. */
const WINDOWS_BEHIND_MAX = 6;
const SPAN_MS = 10_000;
/** What no other packet here is as long as. */
const MARK_BYTES = 777;

/** Asks the collector in a node's process. */
function embedded(namespace: Namespace, directory: string): CollectorProcess {
  return CollectorProcess.running(
    SUBJECT as Runtime,
    directory,
    namespace,
    "http://127.0.0.1:8080",
  );
}

interface LiveWindow {
  readonly startMs: number;
  readonly endMs: number;
  readonly virtualBytes: number;
}

function windowsIn(stdout: string): LiveWindow[] {
  return [...stdout.matchAll(/^event: window\n(?:id: .*\n)?data: (.*)$/gm)].map(([, text]) => {
    const { start, end, sums } = JSON.parse(text!);
    return {
      startMs: Date.parse(start),
      endMs: Date.parse(end),
      virtualBytes: sums.virtual?.txBytes ?? 0,
    };
  });
}

/** Proves that a window is told of before many others have ended behind it. */
async function proveLive(collector: CollectorProcess): Promise<void> {
  const { namespace } = collector;
  const live = namespace!.spawn(["curl", "-sSN", `${collector.url}/api/v1/live`]);
  await live.waitForOutput(/: live/);
  const markedMs = Date.now();
  const { received } = await ping(namespace!, INNER.right[4], {
    count: 3,
    payloadBytes: 20 * MARK_BYTES,
  });
  assert.equal(received, 3);
  const marked = await waitUntil(
    "the window of the traffic is told of",
    () => windowsIn(live.stdout).find(({ virtualBytes }) => virtualBytes > 20 * MARK_BYTES),
    { timeoutMs: 30_000 },
  );
  const behind = Math.floor((Date.now() - marked.endMs) / PERIOD_MS);
  assert.ok(behind <= WINDOWS_BEHIND_MAX, `${behind} windows have ended since`);
  assert.ok(marked.endMs > markedMs, "it is no older one");
  await live.stop("SIGKILL");
}

/** How long after its end each window was written down, by the node's own words, in parts of a window. */
async function latenessOf(
  collector: CollectorProcess,
  fromMs: number,
  toMs: number,
): Promise<number[]> {
  const { logs } = JSON.parse(await collector.askText("/c/tunlog", { "max-count": 1_000 }));
  const windows = logs.filter(({ end, virtualTraffic }: Json) =>
    virtualTraffic !== undefined && fromMs < Date.parse(end) && Date.parse(end) <= toMs
  );
  // Windows are counted, too: one that is left out because the one before took so long is late as well.
  const count = Math.floor((toMs - fromMs) / PERIOD_MS);
  assert.ok(windows.length >= count, `${windows.length} windows in ${count} s`);
  return windows.map(({ logtail, end }: Json) =>
    (Date.parse(logtail.client_time) - Date.parse(end)) / PERIOD_MS
  ).sort((a: number, b: number) => a - b);
}

const median = (sorted: readonly number[]): number => sorted[sorted.length >> 1]!;

/** Proves that the flow-log task has its turn while the collector is loaded. */
async function proveNotHeldUp(collector: CollectorProcess): Promise<void> {
  const { namespace } = collector;
  const traffic = startPing(namespace!, INNER.right[4], 0.05);
  const quietMs = Date.now();
  await pause(SPAN_MS);
  const load = namespace!.spawn(helperCommand("collector_load_main.ts", collector.url));
  await load.waitForOutput(/^posted 10$/m, 60_000);
  const loadedMs = Date.now();
  await pause(SPAN_MS);
  const endMs = Date.now();
  await load.stop("SIGKILL");
  // What was written until then is uploaded.
  await pause(4 * PERIOD_MS);
  await stopPing(traffic);
  const [posted] = /(\d+)\s*$/.exec(load.stdout)!;
  assert.ok(Number(posted) > 20, `${posted} bodies are a load`);
  const quiet = median(await latenessOf(collector, quietMs, quietMs + SPAN_MS));
  const loaded = median(await latenessOf(collector, loadedMs, endMs));
  // A tenth of a window is what a busy machine may take at any time.
  assert.ok(
    loaded < Math.max(10 * quiet, 0.1),
    `windows are written down ${quiet} of their length late, under load ${loaded}`,
  );
}

test("node with up --collect answers of its own flows, live, and its flow log is not held up", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const { left, right } = makeWire(lab);
    silencePorts(right);
    const keys = { left: makeKeyPair(), right: makeKeyPair() };
    const implementations = { left: SUBJECT, right: REFERENCE } as const;
    const directory = join(lab.directory, "collector");
    const config = {
      ...pairConfig("left", keys, implementations),
      flowLog: [
        "Period = 1",
        `StateDirectory = ${join(lab.directory, "state")}`,
        ...["[Collector]", `Data = ${directory}`],
      ],
    };
    const [node] = await Promise.all([
      startTunnel(SUBJECT, left, config, { args: ["--collect"] }),
      startTunnel(REFERENCE, right, pairConfig("right", keys, implementations)),
    ]);
    const collector = embedded(left, directory);
    await waitForPing(left, INNER.right[4]);
    await ping(left, INNER.right[6], { count: 10 });
    const rows = await waitUntil("the node's own flows", async () => {
      const found = await collector.flows({ filter: "class virtual" });
      // They may lie in two windows.
      const sent = found.filter(({ dst }) => dst === INNER.right[6])
        .reduce((sum, { txPackets }) => sum + txPackets, 0);
      return sent === 10 && found;
    }, { timeoutMs: 30_000 });
    assert.ok(rows.every(({ src }) => [INNER.left[4], INNER.left[6]].includes(src)));

    await proveLive(collector);
    await proveNotHeldUp(collector);
    const { code, stderr } = await node.process.stop("SIGTERM", 60_000);
    assert.equal(code, 0, stderr);
  });
});
