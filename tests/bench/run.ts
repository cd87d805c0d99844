/**
 * Runs all benchmarks, one after another, each in a process of its own: those that compare runtimes on both.
 *
 *     deno task bench [--quick]
 *
 * Budgets and questions stand in the files themselves. The tunnel's needs root and Debian's wireguard-go.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";

const QUICK = process.argv.includes("--quick");
const deno = [process.execPath, "run", "-A"];
const bun = ["bun", "run", "--no-install"];

/** Commands in order; `quick` are arguments that make one short. */
const BENCHMARKS: readonly { command: readonly string[]; quick: readonly string[] }[] = [
  { command: [...deno, "tests/bench/flow_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/flow_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/classify_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/classify_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/spool_bench.ts"], quick: ["1", "4"] },
  { command: [...bun, "tests/bench/spool_bench.ts"], quick: ["1", "4"] },
  { command: [...deno, "tests/bench/ingest_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/ingest_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/collect_bench.ts"], quick: ["40"] },
  { command: [...deno, "tests/bench/collect_bench.ts", "400", "bun"], quick: [] },
  { command: [...deno, "tests/bench/store_bench.ts"], quick: ["100000"] },
  { command: [...deno, "tests/bench/filter_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/filter_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/query_bench.ts"], quick: ["200000", "3"] },
  { command: [...bun, "tests/bench/query_bench.ts"], quick: ["200000", "3"] },
  // The page's figures in README are of 10 M rows: page_bench.ts by itself. Here: that it still runs, and how it compares.
  {
    command: [...deno, "tests/bench/page_bench.ts", "1000000", "7", "10"],
    quick: ["100000", "1", "1"],
  },
  { command: [...deno, "tests/bench/platform_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/platform_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/handshake_bench.ts"], quick: ["1"] },
  { command: [...bun, "tests/bench/handshake_bench.ts"], quick: ["1"] },
  { command: [...deno, "tests/bench/tunnel_bench.ts"], quick: ["--quick"] },
  { command: [...deno, "tests/bench/flow_log_cost_bench.ts"], quick: ["--quick"] },
];

let failed = 0;
for (const { command, quick } of BENCHMARKS) {
  const [program, ...args] = QUICK ? [...command, ...quick] : command;
  console.log(`\n== ${[program, ...args].join(" ")}\n`);
  const { status, error } = spawnSync(program!, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) {
    failed++;
    console.log(`ended with ${error?.message ?? status}`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
