/**
 * Goal: the benchmarks of tunnels keep running. Method: each with as little as it can do; not how fast, but that every
 * contender was measured, and that forwarders count what the kernel counts.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { run } from "./support/command.ts";
import { cannotRun, OWN_RUNTIME, ROOT } from "./support/runtimes.ts";

/** Runs a benchmark. @returns What it printed and the results it wrote. */
async function bench(
  file: string,
  ...args: string[]
  // deno-lint-ignore no-explicit-any -- each benchmark has results of its own; tests name the members they use.
): Promise<{ stdout: string; results: any }> {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-bench-"));
  const json = join(directory, "results.json");
  const runtime = OWN_RUNTIME === "deno"
    ? [process.execPath, "run", "-A"]
    : [process.execPath, "run", "--no-install"];
  try {
    const argv = [...runtime, join("tests/bench", file), "--quick", "--json", json, ...args];
    const { code, stdout, stderr } = await run(argv, { cwd: ROOT, timeoutMs: 240_000 });
    assert.equal(code, 0, `${stdout}${stderr}`);
    return { stdout, results: JSON.parse(readFileSync(json, "utf8")) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Every row has one sample a round, and none of them is nothing. */
function assertMeasured(rows: readonly { samples: number[]; measure: string }[]): void {
  for (const { samples, measure } of rows) {
    assert.equal(samples.length, 1, measure);
    assert.ok(Number.isFinite(samples[0]), measure);
    if (!measure.endsWith("lost")) assert.ok(samples[0]! > 0, measure);
  }
}

test("tun_forward_bench: forwarders in C and TypeScript count as the kernel does", {
  skip: cannotRun("iperf3", "gcc", "tc"),
}, async () => {
  const { stdout, results } = await bench("tun_forward_bench.ts");
  assert.deepEqual(results.differences, []);
  for (const contender of ["c", "deno", "bun"]) {
    const packets = new RegExp(`^${contender}: (\\d+) packets in (\\d+) reads`, "m").exec(stdout)!;
    // Super-packets came, or there was nothing to count wrongly.
    assert.ok(Number(packets[1]) > 2 * Number(packets[2]), packets[0]);
  }
  assert.equal(results.rows.length, 12);
  assertMeasured(results.rows);
});

test("tunnel_bench measures every line for every contender", {
  skip: cannotRun("wireguard-go", "iperf3", "tc", "gcc"),
}, async () => {
  const contenders = ["direct", "wireguard-go", "deno"];
  const { stdout, results } = await bench(
    "tunnel_bench.ts",
    ...contenders.flatMap((contender) => ["--only", contender]),
    ...["ping", "udp64", "bulk64", "bulk", "busy", "memory"].flatMap((name) => ["--measure", name]),
  );
  assertMeasured(results.rows);
  const measuresOf = (contender: string) =>
    results.rows.filter((row: { contender: string }) => row.contender === contender).length;
  // CPU time and memory of no tunnel there are none.
  assert.deepEqual(contenders.map(measuresOf), [8, 16, 16]);
  assert.match(
    stdout,
    /^\| UDP, 64 B packets \| at least 5 of wireguard-go \| [\d.]+ (yes|no) \|$/m,
  );
  assert.match(stdout, /^- deno: [\d.]+, /m);
});

test("flow_log_cost_bench compares a node that logs with two that do not", {
  skip: cannotRun("iperf3", "tc"),
}, async () => {
  // Long enough for a window to end in it.
  const args = ["--measure", "tcp", "--seconds", "5"];
  const { results } = await bench("flow_log_cost_bench.ts", ...args);
  const [round] = results.rounds.tcp;
  assert.deepEqual(Object.keys(round).sort(), ["off", "off again", "on"]);
  for (const { rate, carrierUs, allUs } of Object.values<Record<string, number>>(round)) {
    assert.ok(rate! > 0 && carrierUs! > 0);
    assert.ok(allUs! >= carrierUs!);
  }
  assert.ok(results.uploads >= 1);
});

test("degradation_bench offers more than saturation and says what was delivered", {
  skip: cannotRun("wireguard-go", "iperf3", "tc", "taskset"),
}, async () => {
  const args = ["--only", "deno", "--measure", "udp64"];
  const { results } = await bench("degradation_bench.ts", ...args);
  const [curve] = results.curves["udp64|deno"];
  assert.deepEqual(curve.map(({ part }: { part: number | null }) => part), [0.5, 1, 3, null]);
  for (const { part, asked, sent, delivered } of curve) {
    assert.ok(delivered > 0 && delivered <= sent);
    if (part !== null) assert.ok(sent <= asked * 1.1);
  }
});
