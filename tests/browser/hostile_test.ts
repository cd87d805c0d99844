/// <reference lib="dom" />
/**
 * Goal: what nodes and strangers call themselves is text in every view: no markup, nothing runs, the text around is not
 * turned, ten thousand letters break no line; and whose names stand in the address of the page, too.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { MARKUP_NAME } from "../support/page_log.ts";
import { type Scene, settled, shoot, startBrowser, startScene, withPage } from "./support.ts";

/** Each would do something if it were more than text; each calls `hit` if it runs. */
const NAMES = [
  MARKUP_NAME,
  `</title></style><script>hit()</script>`,
  `\u202e\u2066"');hit();//\u001b[31m{{7*7}}`,
  `<b onmouseover=hit()>${"Ω<".repeat(5_000)}`,
];
/** The first visible letters of each. */
const SHOWN = ["<img src=x", "</title></style>", `"');hit()`, "<b onmouseover=hit()>"];

let browser: Browser;
let scene: Scene;
before(async () => {
  scene = await startScene({ minutes: 6, names: NAMES });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await scene?.stop();
});

/** Opens a page that counts what ran. */
async function withTrap(run: (page: Page) => Promise<void>, allowsErrors = false): Promise<void> {
  await withPage(browser, { width: 360, height: 740, allowsErrors }, async (page) => {
    await page.addInitScript(() => {
      const scope = globalThis as { hits?: number; hit?: () => void };
      scope.hits = 0;
      scope.hit = () => scope.hits!++;
    });
    await run(page);
  });
}

/** Proves that nothing of a name is more than text. */
async function proveHarmless(page: Page, path: string): Promise<string> {
  const found = await page.evaluate(() => ({
    text: document.querySelector("main")!.textContent ?? "",
    titles: [...document.querySelectorAll("[title]")].map((each) => each.getAttribute("title")),
    hits: (globalThis as { hits?: number }).hits,
    strange: document.querySelectorAll("main img, main script, main b, body > script").length,
    width: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    documentTitle: document.title,
  }));
  assert.deepEqual([found.hits, found.strange], [0, 0], path);
  // Marks that turn the text around, and controls, are shown and not obeyed.
  for (const text of [found.text, ...found.titles]) {
    for (const mark of ["\u202e", "\u2066", "\u001b"]) {
      assert.ok(text === null || !text.includes(mark), `${JSON.stringify(mark)} in ${path}`);
    }
  }
  assert.ok(found.width <= 0, `${path} is ${found.width} px too wide`);
  assert.match(found.documentTitle, / · tunlog$/);
  return found.text;
}

/** A flow that this node reports. */
function flowOf(node: number): string {
  const peer = (node + 1) % NAMES.length;
  const [client, server] = node < peer ? [node, peer] : [peer, node];
  const ports = [443, 22, 5432, 9100, 53];
  const ends = [
    { address: `100.64.0.${client + 1}`, port: 40_000 + server },
    { address: `100.64.0.${server + 1}`, port: ports[(client + server) % ports.length] },
  ];
  const [src, dst] = node === client ? ends : ends.toReversed();
  const proto = [src.port, dst.port].includes(53) ? 17 : 6;
  const values = {
    ...{ node: NAMES[node], proto: String(proto), from: "-6m" },
    ...{ src: src.address, sport: String(src.port), dst: dst.address, dport: String(dst.port) },
  };
  return `/flow?${new URLSearchParams(values)}`;
}

test("hostile names are text in every view", async () => {
  await withTrap(async (page) => {
    const views = [
      "/?from=-15m",
      "/explore?by=node,peer",
      "/explore?show=flows",
      "/completeness",
      "/paths",
    ];
    for (const path of views) {
      await page.goto(scene.url + path);
      await settled(page);
      const text = await proveHarmless(page, path);
      for (const shown of SHOWN) assert.ok(text.includes(shown), `${shown} in ${path}`);
    }
    await shoot(page, "paths-hostile");
  });
});

test("hostile names are text where one flow, and its raw message, are shown", async () => {
  await withTrap(async (page) => {
    for (const [node, shown] of SHOWN.entries()) {
      // Names of 10 kB are longer than an address may be.
      if (NAMES[node].length > 1_000) continue;
      await page.goto(scene.url + flowOf(node));
      await settled(page);
      await page.locator(".message summary").first().click();
      const text = await proveHarmless(page, `flow of ${shown}`);
      assert.ok(text.includes(shown));
      assert.ok(await page.locator(".ends-table tbody tr").count() > 5);
    }
    await shoot(page, "flow-hostile");
  });
});

test("hostile names can be filtered by: a link to one narrows to it", async () => {
  await withTrap(async (page) => {
    for (const shown of SHOWN.slice(0, 2)) {
      await page.goto(`${scene.url}/explore?by=node&filter=`);
      await settled(page);
      await page.locator("tbody a", { hasText: shown }).click();
      await page.waitForFunction(() => location.search.includes("filter=node"));
      await settled(page);
      assert.equal(await page.locator("tbody tr").count(), 1, shown);
      await proveHarmless(page, shown);
    }
  });
});

test("hostile addresses of the page are text, too, and lead to nothing", async () => {
  const markup = encodeURIComponent(`"><script>hit()</script><img src=x onerror=hit()>`);
  // What the collector refuses is told on the console; what is uncaught is held against the page all the same.
  await withTrap(async (page) => {
    for (
      const path of [
        `/flow?node=${markup}&proto=6&src=${markup}&dst=${markup}&sport=1&dport=2`,
        `/explore?by=${markup}&show=${markup}&sort=${markup}&page=${markup}`,
        `/explore?filter=${markup}`,
        `/?hidden=${markup}&units=${markup}`,
        `/?from=${markup}`,
        `/completeness?check=${markup}`,
        `/paths?skew=${markup}`,
      ]
    ) {
      await page.goto(scene.url + path);
      await settled(page);
      await proveHarmless(page, path);
    }
  }, true);
});
