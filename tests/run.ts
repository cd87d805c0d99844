/**
 * Runs the test suites and closes with one line `N passed, N failed, N skipped`, summed over all of them.
 *
 * In: names of suites (`unit`, `bun`, `system`, `browser`); none = all. Out: the runners' own output, the closing line, exit
 * code 1 when anything failed or a suite ran no test.
 *
 * `system` needs root, because it makes network namespaces, `browser` Debian's Chromium; without, they are left out, and the
 * output says so.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { browserObstacle } from "./browser/obstacle.ts";

/** Pinned beside Deno's version in README and .ci/run. */
const BUN_VERSION = "1.4.5";
const OUT = "tests/out";

interface Suite {
  readonly name: string;
  /** Why it cannot run here, or null. */
  readonly obstacle: () => string | null;
  readonly command: (report: string) => readonly string[];
}

const deno = process.execPath;

const SUITES: readonly Suite[] = [
  {
    name: "unit",
    obstacle: () => null,
    command: (report) => [deno, "test", "-A", `--junit-path=${report}`, "tests/unit"],
  },
  {
    name: "bun",
    obstacle: () => null,
    command: (report) => [
      "bun",
      "test",
      "--no-install",
      "--timeout",
      "120000",
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      "./tests/unit",
    ],
  },
  {
    name: "system",
    obstacle: () =>
      process.getuid?.() === 0 ? null : "it makes network namespaces, which needs root",
    command: (report) => [deno, "test", "-A", `--junit-path=${report}`, "tests/system"],
  },
  {
    name: "browser",
    obstacle: browserObstacle,
    command: (report) => [deno, "test", "-A", `--junit-path=${report}`, "tests/browser"],
  },
];

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
function readReport(path: string): { passed: number; failed: number; skipped: number } {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const cases = text.match(/<testcase\b[^>]*?(?:\/>|>[\s\S]*?<\/testcase>)/g) ?? [];
  const failed = cases.filter((xml) => /<(failure|error)\b/.test(xml)).length;
  const skipped = cases.filter((xml) => /<skipped\b/.test(xml)).length;
  return { passed: cases.length - failed - skipped, failed, skipped };
}

function run(names: readonly string[]): number {
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
  const total = { passed: 0, failed: 0, skipped: 0 };
  const rows: string[] = [];
  for (const suite of SUITES) {
    if (names.length > 0 && !names.includes(suite.name)) continue;
    const obstacle = suite.obstacle();
    if (obstacle !== null) {
      rows.push(`${suite.name}: left out: ${obstacle}`);
      continue;
    }
    const report = `${OUT}/${suite.name}.xml`;
    rmSync(report, { force: true });
    const [command, ...args] = suite.command(report);
    console.log(`\n== ${suite.name}: ${[command, ...args].join(" ")}`);
    const startMs = performance.now();
    const { status } = spawnSync(command!, args, { stdio: ["ignore", "inherit", "inherit"] });
    const counts = readReport(report);
    // A runner that dies before its report, or finds no test, must not look like a success.
    if (counts.failed === 0 && (status !== 0 || counts.passed === 0)) counts.failed = 1;
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
    rows.push(
      `${suite.name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped in ${seconds} s`,
    );
  }
  console.log(`\n${rows.join("\n")}\n`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed === 0 ? 0 : 1;
}

process.exit(run(process.argv.slice(2)));
