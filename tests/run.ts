/**
 * Runs the test suites and closes with one line `N passed, N failed, N skipped`, summed over all of them.
 *
 * In: names of suites (`unit`, `bun`, `system`); none = all. Out: the runners' own output, the closing line, exit
 * code 1 when anything failed or a runner ran no test.
 *
 * Suites of one stage run beside one another, each as one or several runners: the unit tests of either runtime take
 * one core, and half of the system tests mostly wait. What a runner prints is shown when it has ended, in one piece;
 * while it runs it is in tests/out. `system` needs root, because it makes network namespaces; without root it is left
 * out, and the output says so.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

/** Pinned beside Deno's version in README and .ci/run. */
const BUN_VERSION = "1.4.5";
const OUT = "tests/out";

interface Suite {
  readonly name: string;
  /** Suites of the same stage run beside one another. */
  readonly stage: number;
  /** Why it cannot run here, or null. */
  readonly obstacle: () => string | null;
  /** One runner for each list of test files or folders. */
  readonly shards: () => readonly (readonly string[])[];
  readonly command: (report: string) => readonly string[];
}

/** Counts of one runner. */
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const deno = process.execPath;
const denoTest = (report: string) => [deno, "test", "-A", `--junit-path=${report}`];

const SUITES: readonly Suite[] = [
  {
    name: "unit",
    stage: 1,
    obstacle: () => null,
    shards: () => [["tests/unit"]],
    command: denoTest,
  },
  {
    name: "bun",
    stage: 1,
    obstacle: () => null,
    shards: () => [["./tests/unit"]],
    command: (report) => [
      ...["bun", "test", "--no-install", "--timeout", "120000"],
      ...["--reporter=junit", `--reporter-outfile=${report}`],
    ],
  },
  {
    name: "system",
    stage: 2,
    obstacle: () =>
      process.getuid?.() === 0 ? null : "it makes network namespaces, which needs root",
    shards: systemShards,
    command: denoTest,
  },
];

/** System tests that mostly wait: for windows, outages, timers. */
const PATIENT = [
  "collector_embedded_test.ts",
  "collector_end_to_end_test.ts",
  "collector_reconcile_test.ts",
  "demo_test.ts",
  "flow_log_content_test.ts",
  "flow_log_delivery_test.ts",
  "flow_log_kill_test.ts",
  "flows_test.ts",
  "idle_test.ts",
  "sessions_test.ts",
];

function systemShards(): string[][] {
  const files = readdirSync("tests/system").filter((name) => name.endsWith("_test.ts"));
  const missing = PATIENT.filter((name) => !files.includes(name));
  if (missing.length > 0) throw new Error(`No system test ${missing.join(", ")}`);
  const paths = (names: readonly string[]) => names.map((name) => `tests/system/${name}`);
  return [paths(PATIENT), paths(files.filter((name) => !PATIENT.includes(name)).sort())];
}

/** Folder in which `bun` is the pinned version: that on PATH, else npm's. */
function bunFolder(): string {
  const run = (command: string, ...args: string[]) =>
    spawnSync(command, args, { encoding: "utf8" }).stdout?.trim() ?? "";
  if (run("bun", "--version") === BUN_VERSION) return dirname(run("sh", "-c", "command -v bun"));
  const fetched = run("npx", "-y", "-p", `bun@${BUN_VERSION}`, "-c", "command -v bun");
  if (fetched === "") throw new Error(`Cannot get bun@${BUN_VERSION} from npm`);
  return dirname(fetched);
}

/** Counts of one junit report; every runner writes them as attributes of `<testcase>`s and `<testsuites>`. */
function readReport(path: string): Counts {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const cases = text.match(/<testcase\b[^>]*?(?:\/>|>[\s\S]*?<\/testcase>)/g) ?? [];
  const failed = cases.filter((xml) => /<(failure|error)\b/.test(xml)).length;
  const skipped = cases.filter((xml) => /<skipped\b/.test(xml)).length;
  return { passed: cases.length - failed - skipped, failed, skipped };
}

/** Runs one runner and shows what it printed. */
async function runShard(suite: Suite, shard: readonly string[], name: string): Promise<Counts> {
  const report = `${OUT}/${name}.xml`;
  const log = `${OUT}/${name}.log`;
  rmSync(report, { force: true });
  const [command, ...args] = [...suite.command(report), ...shard];
  console.log(`${name}: begins; its output so far is in ${log}`);
  const output = openSync(log, "w");
  const status = await new Promise<number>((resolve) => {
    const child = spawn(command!, args, { stdio: ["ignore", output, output] });
    child.on("error", () => resolve(-1));
    child.on("close", (code) => resolve(code ?? -1));
  });
  closeSync(output);
  console.log(`\n== ${name}: ${[command, ...args].join(" ")}`);
  console.log(readFileSync(log, "utf8"));
  const counts = readReport(report);
  // A runner that dies before its report, or finds no test, must not look like a success.
  if (counts.failed === 0 && (status !== 0 || counts.passed === 0)) counts.failed = 1;
  return counts;
}

/** Runs all runners of one suite. @returns Their sums and a line that says them. */
async function runSuite(suite: Suite): Promise<{ counts: Counts; line: string }> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const obstacle = suite.obstacle();
  if (obstacle !== null) return { counts, line: `${suite.name}: left out: ${obstacle}` };
  const startMs = performance.now();
  const shards = suite.shards();
  const all = await Promise.all(shards.map((shard, index) => {
    const name = shards.length === 1 ? suite.name : `${suite.name}-${index + 1}`;
    return runShard(suite, shard, name);
  }));
  for (const { passed, failed, skipped } of all) {
    counts.passed += passed;
    counts.failed += failed;
    counts.skipped += skipped;
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const { passed, failed, skipped } = counts;
  const line =
    `${suite.name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s`;
  return { counts, line };
}

async function run(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    console.error(
      `No suite "${unknown.join('", "')}": the suites are ${SUITES.map((s) => s.name).join(", ")}`,
    );
    return 2;
  }
  mkdirSync(OUT, { recursive: true });
  // First on PATH, for the tests themselves start nodes on Bun too.
  process.env.PATH = `${bunFolder()}:${process.env.PATH}`;
  const chosen = SUITES.filter((suite) => names.length === 0 || names.includes(suite.name));
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const lines: string[] = [];
  for (const stage of new Set(chosen.map((suite) => suite.stage))) {
    const suites = chosen.filter((suite) => suite.stage === stage);
    for (const { counts, line } of await Promise.all(suites.map(runSuite))) {
      lines.push(line);
      total.passed += counts.passed;
      total.failed += counts.failed;
      total.skipped += counts.skipped;
    }
  }
  console.log(`\n${lines.join("\n")}\n`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed === 0 ? 0 : 1;
}

process.exit(await run(process.argv.slice(2)));
