/**
 * Runs all benchmarks, one after another, each in a process of its own: those that compare runtimes on both.
 *
 *     deno task bench [--quick] [WORD]…
 *
 * With words only those whose command holds one of them, e.g. `deno task bench tunnel` or `offload_bench.ts`. Budgets
 * and questions, and how to repeat one figure, stand in the files themselves. All take about 25 minutes, with --quick
 * 4. Those of tunnels need root, Debian's wireguard-go and gcc.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { putBunOnPath } from "./support/machine.ts";

const deno = [process.execPath, "run", "-A"];
const bun = ["bun", "run", "--no-install"];

/** One benchmark on one runtime. */
interface Benchmark {
  readonly command: readonly string[];
  /** Arguments, where the other runtime is meant. */
  readonly full?: readonly string[];
  /** Arguments that make it short. */
  readonly quick: readonly string[];
}

/** All, in order. */
export const BENCHMARKS: readonly Benchmark[] = [
  { command: [...deno, "tests/bench/flow_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/flow_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/classify_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/classify_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/spool_bench.ts"], quick: ["1", "4"] },
  { command: [...bun, "tests/bench/spool_bench.ts"], quick: ["1", "4"] },
  { command: [...deno, "tests/bench/ingest_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/ingest_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/collect_bench.ts"], quick: ["40"] },
  {
    command: [...deno, "tests/bench/collect_bench.ts"],
    full: ["400", "bun"],
    quick: ["40", "bun"],
  },
  { command: [...deno, "tests/bench/store_bench.ts"], quick: ["100000"] },
  { command: [...deno, "tests/bench/filter_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/filter_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/query_bench.ts"], quick: ["200000", "3"] },
  { command: [...bun, "tests/bench/query_bench.ts"], quick: ["200000", "3"] },
  {
    // README's figures are of 10 M rows: page_bench.ts by itself. Here: that it still runs, and how it compares.
    command: [...deno, "tests/bench/page_bench.ts"],
    full: ["1000000", "7", "10"],
    quick: ["100000", "1", "1"],
  },
  { command: [...deno, "tests/bench/platform_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/platform_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/aead_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/aead_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/handshake_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/handshake_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/offload_bench.ts"], quick: ["1", "2"] },
  { command: [...bun, "tests/bench/offload_bench.ts"], quick: ["1", "2"] },
  { command: [...deno, "tests/bench/tun_forward_bench.ts"], quick: ["--quick"] },
  { command: [...deno, "tests/bench/tunnel_bench.ts"], quick: ["--quick"] },
  {
    command: [...deno, "tests/bench/workers_bench.ts"],
    full: ["--rounds", "5", "--seconds", "2"],
    quick: ["--rounds", "1", "--seconds", "1"],
  },
  { command: [...deno, "tests/bench/flow_log_cost_bench.ts"], quick: ["--quick"] },
  { command: [...deno, "tests/bench/degradation_bench.ts"], quick: ["--quick"] },
];

/** Commands of the benchmarks that hold one of the words, or all; `--quick` is a wish and no word. */
export function chosenCommands(args: readonly string[]): string[][] {
  const words = args.filter((word) => word !== "--quick");
  return BENCHMARKS
    .map(({ command, full = [], quick }) => [
      ...command,
      ...args.includes("--quick") ? quick : full,
    ])
    .filter((argv) => words.length === 0 || words.some((word) => argv.join(" ").includes(word)));
}

function main(): number {
  putBunOnPath();
  const startMs = performance.now();
  let failed = 0;
  for (const [program, ...args] of chosenCommands(process.argv.slice(2))) {
    const line = [program, ...args].join(" ");
    const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
    console.log(`\n== after ${minutes} min: ${line}\n`);
    const { status, error } = spawnSync(program!, args, {
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (status !== 0) {
      failed++;
      console.log(`ended with ${error?.message ?? status}`);
    }
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = main();
