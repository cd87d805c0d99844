/**
 * Debian's Chromium and a collector that it looks at.
 *
 * In: what a test does with a page. Out: the page's own errors and requests, which every test is held to: no message on the
 * console, nothing asked off the origin. Guarantees: browser and collector end with the test.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { CHROMIUM } from "./obstacle.ts";
import { PAGE_WINDOW_MS, PageLog } from "../support/page_log.ts";
import { Child, mustSync } from "../system/support/command.ts";
import { programCommand, ROOT } from "../system/support/runtimes.ts";
import { waitUntil } from "../system/support/wait.ts";

/** Where pictures go. */
export const SHOTS = "tests/out/page";
const ARGS = [
  ...[
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
  ],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** Starts Chromium with a profile of its own, which the browser removes when it is closed. */
export function startBrowser(executablePath = CHROMIUM): Promise<Browser> {
  return chromium.launch({ executablePath, headless: true, args: ARGS });
}

/** A collector with a log. */
export interface Scene {
  readonly url: string;
  readonly directory: string;
  readonly log: PageLog;
  /** Ends it as a signal does; its directory stays, to be started on again. */
  end(): Promise<void>;
  stop(): Promise<void>;
}

/** What a collector is started with. */
export interface SceneWanted {
  /** Length of its log, up to now; 0 = empty. */
  readonly minutes: number;
  /** 0 = the kernel's choice. */
  readonly port?: number;
  /** Of the nodes; default: PAGE_NODES. */
  readonly names?: readonly string[];
  /** One that was used before; null = a new one. */
  readonly directory?: string | null;
}

/** Starts one, as a process of its own. */
export async function startScene(
  { minutes, port = 0, names, directory: used }: SceneWanted,
): Promise<Scene> {
  const directory = used ?? mkdtempSync(join(tmpdir(), "tunlog-page-"));
  const options = ["--listen", `127.0.0.1:${port}`, "--data", directory, "--adopt-all"];
  const child = new Child(programCommand("deno", ["collect", ...options]), { cwd: ROOT });
  const url = await waitUntil(
    "the collector's address",
    () => /Collector is at (https?:\S+),/.exec(child.stderr)?.[1] ?? false,
  );
  const nowMs = Math.floor(Date.now() / PAGE_WINDOW_MS) * PAGE_WINDOW_MS;
  const log = new PageLog(url, nowMs - minutes * 60_000, names);
  if (minutes > 0) await log.postUntil(nowMs);
  const end = async () => {
    await child.stop("SIGTERM");
  };
  return {
    ...{ url, directory, log, end },
    async stop() {
      await end();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Makes an API key for the page. */
export function addKey(directory: string): string {
  return mustSync(programCommand("deno", ["collect", "key", "add", "page", "--data", directory]), {
    cwd: ROOT,
  }).trim();
}

/** How a page is looked at. */
export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly isDark?: boolean;
  readonly hasReducedMotion?: boolean;
  /** Whether errors are part of the test: refused requests are told on the console too. */
  readonly allowsErrors?: boolean;
}

/** Opens a page, and holds it to what every page must be. */
export async function withPage(
  browser: Browser,
  look: Look,
  run: (page: Page, context: BrowserContext) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width: look.width ?? 1280, height: look.height ?? 900 },
    colorScheme: look.isDark ? "dark" : "light",
    reducedMotion: look.hasReducedMotion ? "reduce" : "no-preference",
    timezoneId: "Europe/Berlin",
    acceptDownloads: true,
  });
  const page = await context.newPage();
  const problems: string[] = [];
  const origins = new Set<string>();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.message}`));
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (!["data:", "blob:"].includes(protocol)) origins.add(origin);
  });
  try {
    await run(page, context);
    const uncaught = problems.filter((problem) =>
      problem.startsWith("uncaught") || /Content.Security/.test(problem)
    );
    assert.deepEqual(look.allowsErrors ? uncaught : problems, []);
    assert.ok(origins.size <= 1, `asked of ${[...origins].join(", ")}`);
  } finally {
    await context.close();
  }
}

/** Waits until nothing on the page is still being asked. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    document.querySelector("main section, main form") !== null &&
    document.querySelector('section[aria-busy="true"]:not([hidden])') === null
  );
}

/** Writes a picture to look at. */
export async function shoot(page: Page, name: string, isWhole = true): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: isWhole });
}
