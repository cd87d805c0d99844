/**
 * How soon does the page show its first chart, and how long do the questions of each view take? Budgets at 10 M raw rows: first
 * chart below 1 s from an empty browser cache, the 95th percentile of every question below 200 ms, the page's own files below
 * 150 KB compressed.
 *
 * Log: that of query_bench.ts, a day of 20 nodes, up to now. The collector is a process of its own, its thread for questions
 * works on one at a time: what is told is what Chromium waited for an answer, behind the view's other questions and while it
 * loads the page itself; and, beside it, what the same questions take one by one while no browser works. Loads are each of a
 * browser without a cache; rounds load each view again. Collector, browser and loader share the machine.
 *
 *     deno run -A tests/bench/page_bench.ts [rows] [loads] [rounds]
 *
 * Out: a table, and tests/out/page_bench.json. Needs Debian's Chromium; without it says so and ends well.
 */
/// <reference lib="dom" />
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Browser, Page } from "playwright-core";
import { browserObstacle } from "../browser/obstacle.ts";
import { settled, startBrowser } from "../browser/support.ts";
import { Child } from "../system/support/command.ts";
import { programCommand, ROOT } from "../system/support/runtimes.ts";
import { waitUntil } from "../system/support/wait.ts";
import { fillStore } from "./query_bench.ts";
import { spanMsOf } from "./store_bench.ts";

const WINDOW_MS = 5_000;
const OUT = "tests/out";

/** What one question of a view took: as Chromium saw it, and alone. */
export interface QuestionTimes {
  readonly view: string;
  readonly question: string;
  readonly count: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly maxMs: number;
  readonly aloneMedianMs: number;
  readonly aloneP95Ms: number;
}

/** See file header. */
export interface PageResult {
  readonly rows: number;
  readonly machine: string;
  readonly versions: string;
  /** Of the last minute, before it began: 0 = nobody else was there. */
  readonly load: number;
  /** From navigation to the chart's first frame, each with an empty cache. */
  readonly firstChartMs: readonly number[];
  /** Of all files of a cold load, without answers of the API. */
  readonly payloadBytes: number;
  readonly payloadFiles: number;
  readonly questions: readonly QuestionTimes[];
}

/** Builds a store of so many rows, and looks at it. */
export async function measurePage(
  rows: number,
  loads: number,
  rounds: number,
): Promise<PageResult> {
  // Not /dev/shm: Deno gives files below /dev to programs with all permissions only.
  const load = loadavg()[0];
  const directory = mkdtempSync(join(tmpdir(), "tunlog-page-"));
  let child: Child | null = null;
  let browser: Browser | null = null;
  try {
    const endMs = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS;
    await fillStore(join(directory, "store.db"), rows, endMs - spanMsOf(rows));
    const args = ["collect", "--listen", "127.0.0.1:0", "--data", directory];
    child = new Child(programCommand("deno", args), { cwd: ROOT });
    const url = await waitUntil(
      "the collector's address",
      () => /Collector is at (http:\S+),/.exec(child!.stderr)?.[1] ?? false,
      { timeoutMs: 60_000 },
    );
    browser = await startBrowser();
    const cold = await measureLoads(browser, url, loads);
    const questions = await measureViews(browser, url, rounds);
    const versions = `Deno ${process.versions.deno}, Chromium ${browser.version()}`;
    const machine = `${cpus().length} x ${cpus()[0].model}, Linux ${release()}`;
    return { rows, machine, versions, load, ...cold, questions };
  } finally {
    await browser?.close();
    await child?.stop("SIGTERM", 30_000);
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measureLoads(browser: Browser, url: string, loads: number) {
  const firstChartMs: number[] = [];
  let payloadBytes = 0;
  let payloadFiles = 0;
  for (let load = 0; load < loads; load++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    await page.addInitScript(markFirstChart);
    payloadBytes = 0;
    payloadFiles = 0;
    page.on("response", (response) => {
      if (response.url().includes("/api/")) return;
      payloadBytes += Number(response.headers()["content-length"] ?? 0);
      payloadFiles++;
    });
    await page.goto(url);
    const mark = await page.waitForFunction(() =>
      (globalThis as { firstChartMs?: number }).firstChartMs
    );
    firstChartMs.push(Number(await mark.jsonValue()));
    await settled(page);
    await context.close();
  }
  return { firstChartMs, payloadBytes, payloadFiles };
}

/** Runs in the page: notes when the frame with the first chart is done. */
function markFirstChart(): void {
  const observer = new MutationObserver(() => {
    if (document.querySelector(".chart canvas") === null) return;
    observer.disconnect();
    requestAnimationFrame(() =>
      setTimeout(() => {
        (globalThis as { firstChartMs?: number }).firstChartMs = performance.now();
      })
    );
  });
  observer.observe(document, { childList: true, subtree: true });
}

async function measureViews(browser: Browser, url: string, rounds: number) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const views: [string, string][] = [
    ["overview, hour", "/"],
    ["overview, day", "/?from=-24h"],
    ["overview, 15 min", "/?from=-15m"],
    ["explore, hour", "/explore"],
    ["explore, day", "/explore?from=-24h"],
    ["explore, day, filter", "/explore?from=-24h&by=dst%2Cdport&filter=class+subnet+and+dport+443"],
    ["sankey, hour", "/explore?show=sankey"],
    ["flows, hour", "/explore?show=flows"],
    ["flow", await flowPath(url)],
    ["completeness, hour", "/completeness"],
    ["paths, 15 min", "/paths"],
  ];
  const results: QuestionTimes[] = [];
  for (const [view, path] of views) {
    const times = new Map<string, { address: string; all: number[] }>();
    for (let round = 0; round < rounds; round++) {
      await page.goto(url + path);
      await settled(page);
      for (const { question, address, ms } of await questionTimes(page)) {
        const known = times.get(question) ?? { address, all: [] };
        known.all.push(ms);
        times.set(question, known);
      }
    }
    await page.goto("about:blank");
    for (const [question, { address, all }] of times) {
      const alone = await timesAlone(address, rounds);
      results.push({
        ...{ view, question, count: all.length, medianMs: quantile(all, 0.5) },
        ...{ p95Ms: quantile(all, 0.95), maxMs: Math.max(...all) },
        ...{ aloneMedianMs: quantile(alone, 0.5), aloneP95Ms: quantile(alone, 0.95) },
      });
    }
  }
  await context.close();
  return results;
}

/** What one question takes again and again while nothing else is asked. */
async function timesAlone(address: string, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    const response = await fetch(address);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${address} is answered ${response.status}`);
    times.push(performance.now() - startMs);
  }
  return times;
}

/** Address of the view of a flow between nodes that is there. */
async function flowPath(url: string): Promise<string> {
  const query = "filter=class+virtual&from=-1h&limit=1";
  const { flows } = await (await fetch(`${url}/api/v1/flows?${query}`)).json();
  const { node, proto, src, sport, dst, dport, end } = flows[0];
  const endMs = Date.parse(end);
  const range = { from: endMs - 120_000, to: endMs + 1_000 };
  const values = Object.entries({ node, proto, src, sport, dst, dport, ...range });
  return `/flow?${new URLSearchParams(values.map(([name, value]) => [name, String(value)]))}`;
}

/** What has been asked since the page was loaded; the live stream has no end. */
async function questionTimes(
  page: Page,
): Promise<{ question: string; address: string; ms: number }[]> {
  const entries = await page.evaluate(() =>
    performance.getEntriesByType("resource").map(({ name, duration }) => ({ name, duration }))
  );
  return entries.filter(({ name }) => /\/api\/v1\/(?!live)/.test(name)).map(
    ({ name, duration }) => {
      const { pathname, searchParams } = new URL(name);
      const by = searchParams.get("by");
      const question = pathname.slice(7) + (by === null ? "" : ` by ${by}`);
      return { question, address: name, ms: duration };
    },
  );
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function print({ rows, machine, versions, load, ...result }: PageResult): void {
  const { firstChartMs, payloadBytes, payloadFiles, questions } = result;
  console.log(`${machine}; ${versions}; ${rows} rows; load before ${load.toFixed(1)}\n`);
  const [median, most] = [quantile(firstChartMs, 0.5), Math.max(...firstChartMs)];
  const loads = `${firstChartMs.length} cold loads`;
  console.log(`first chart  ${median.toFixed(0)} ms median, ${most.toFixed(0)} at most, ${loads}`);
  console.log(`payload      ${(payloadBytes / 1e3).toFixed(1)} KB in ${payloadFiles} files\n`);
  console.log(
    `${"view".padEnd(22)}${"question".padEnd(28)}  median     p95     max   alone     p95`,
  );
  for (const { view, question, medianMs, p95Ms, maxMs, aloneMedianMs, aloneP95Ms } of questions) {
    const times = [medianMs, p95Ms, maxMs, aloneMedianMs, aloneP95Ms].map((ms) =>
      ms.toFixed(1).padStart(8)
    ).join("");
    console.log(`${view.padEnd(22)}${question.padEnd(28)}${times}`);
  }
}

/** Whether this file is the program. */
if (import.meta.main) {
  const obstacle = browserObstacle();
  if (obstacle !== null) console.log(`left out: ${obstacle}`);
  else {
    const [rows, loads, rounds] = [10_000_000, 9, 20].map((byDefault, index) =>
      Number(process.argv[2 + index] ?? byDefault)
    );
    const result = await measurePage(rows, loads, rounds);
    print(result);
    mkdirSync(OUT, { recursive: true });
    writeFileSync(`${OUT}/page_bench.json`, JSON.stringify(result, null, 2) + "\n");
  }
}
