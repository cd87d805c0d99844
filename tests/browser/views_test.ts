/// <reference lib="dom" />
/**
 * Goal: every view does what a person asks of it, in a real browser against a real collector: live, zoom, filters, completion,
 * sorting, files, both ends of a flow, what is lost; hostile names are text.
 *
 * Each test ends with the promises of withPage: nothing on the console, nothing asked off the origin.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { PAGE_NODES, PAGE_WINDOW_MS } from "../support/page_log.ts";
import { type Scene, settled, startBrowser, startScene, withPage } from "./support.ts";

let browser: Browser;
let scene: Scene;
before(async () => {
  scene = await startScene({ minutes: 70 });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await scene?.stop();
});

async function open(page: Page, path: string): Promise<void> {
  await page.goto(scene.url + path);
  await settled(page);
}

/** Values of the page's address. */
function query(page: Page): URLSearchParams {
  return new URL(page.url()).searchParams;
}

test("overview: classes, figures, talkers and nodes are there, exact on hover", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/");
    assert.equal(await page.title(), "Overview · tunlog");
    const legend = await page.locator(".legend-name").allTextContents();
    assert.deepEqual(legend, ["virtual", "subnet", "exit", "physical"]);
    assert.ok(await page.locator(".chart canvas").isVisible());
    const sent = page.locator(".figure dd .number").first();
    assert.match(await sent.textContent() ?? "", /^\d.*B$/);
    assert.match(await sent.getAttribute("title") ?? "", /^[\d\u202f]+ bytes$/);
    assert.equal(await page.locator(".talkers li").count(), 8);
    assert.equal(await page.locator("tbody tr").count(), PAGE_NODES.length);
    const beta = page.locator("tr", { hasText: "beta" });
    assert.match(await beta.textContent() ?? "", /3.*3 min$/);
  });
});

test("overview: a window that is stored is shown without a reload", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/");
    await page.locator(".live-live").waitFor();
    const packets = () => page.locator(".figure dd .number").nth(2).getAttribute("title");
    const before = await packets();
    const news = await page.locator(".news li").count();
    await page.evaluate(() => (globalThis as { isSame?: boolean }).isSame = true);
    // Two windows later than what there is; by the collector's clock they are of the next seconds.
    await scene.log.postUntil(scene.log.endMs + 2 * PAGE_WINDOW_MS);
    await page.waitForFunction((old) => document.querySelectorAll(".news li").length > old, news);
    await page.waitForFunction(
      (old) => document.querySelectorAll(".figure dd .number")[2]?.getAttribute("title") !== old,
      before,
    );
    assert.equal(await page.evaluate(() => (globalThis as { isSame?: boolean }).isSame), true);
  });
});

test("overview: a tab that is not looked at holds no connection, and is fresh when it is looked at again", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/");
    await page.locator(".live-live").waitFor();
    const streams: string[] = [];
    page.on("requestfailed", (request) => streams.push(new URL(request.url()).pathname));
    const show = (isHidden: boolean) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, isHidden);
    await show(true);
    await page.locator(".live-off").waitFor();
    assert.deepEqual(streams, ["/api/v1/live"]);
    await Promise.all([page.waitForRequest(/api\/v1\/series/), show(false)]);
    await page.locator(".live-live").waitFor();
  });
});

test("overview: dragging over the chart zooms, the address keeps it, going back undoes it", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/");
    const box = (await page.locator(".u-over").boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.25, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await page.waitForFunction(() => new URL(location.href).searchParams.has("from"));
    const lengthMs = Number(query(page).get("to")) - Number(query(page).get("from"));
    assert.ok(lengthMs > 13 * 60_000 && lengthMs < 17 * 60_000, `${lengthMs} ms`);
    await settled(page);
    assert.match(await page.locator(".live").textContent() ?? "", /paused/);
    const from = query(page).get("from");
    await page.reload();
    await settled(page);
    assert.equal(query(page).get("from"), from);
    await page.goBack();
    await settled(page);
    assert.equal(query(page).has("from"), false);
    assert.match(await page.locator(".picker-label").textContent() ?? "", /Last hour/);
  });
});

test("overview: steps go with the span, from 5 s to an hour", async () => {
  await withPage(browser, {}, async (page) => {
    for (const [from, stepMs] of [["-10m", 5_000], ["-1h", 60_000], ["-14d", 3_600_000]] as const) {
      const [response] = await Promise.all([
        page.waitForResponse((each) => each.url().includes("/api/v1/series?")),
        page.goto(`${scene.url}/?from=${from}`),
      ]);
      assert.equal((await response.json()).stepMs, stepMs, from);
      await settled(page);
      assert.ok(await page.locator(".chart canvas").isVisible());
    }
  });
});

test("overview: hovering tells the bucket under the pointer, local time, UTC on hover", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/?from=-10m");
    const box = (await page.locator(".u-over").boundingBox())!;
    // Far in a bucket: its end is nearer than its start.
    const buckets = 121;
    const bucketPx = box.width / buckets;
    await page.mouse.move(box.x + bucketPx * 60.8, box.y + 40);
    const told = page.locator(".chart-at span").first();
    const first = await told.textContent() ?? "";
    await page.mouse.move(box.x + bucketPx * 60.2, box.y + 40);
    assert.equal(await told.textContent(), first);
    const [, local] = /(\d\d:\d\d:\d\d) – /.exec(first)!;
    const [, utc] = /(\d\d:\d\d:\d\d) UTC/.exec(await told.getAttribute("title") ?? "")!;
    assert.equal(local.slice(3), utc.slice(3));
    assert.notEqual(local, utc);
    assert.ok((await page.locator(".legend-value").first().textContent())?.endsWith("bit/s"));
  });
});

test("overview: keyboard moves over the chart, zooms and hides a class", async () => {
  await withPage(browser, { hasReducedMotion: true }, async (page) => {
    await open(page, "/");
    await page.locator(".chart").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    assert.match(await page.locator(".chart-at").textContent() ?? "", /\d\d:\d\d:\d\d – /);
    const item = page.locator(".legend-item").first();
    await item.focus();
    await page.keyboard.press("Enter");
    assert.equal(query(page).get("hidden"), "virtual");
    assert.equal(await page.locator(".legend-item").first().getAttribute("aria-pressed"), "false");
    await page.locator(".chart").focus();
    await page.keyboard.press("+");
    await page.waitForFunction(() => new URL(location.href).searchParams.has("from"));
    assert.equal(query(page).get("hidden"), "virtual");
  });
});

test("time picker: presets, own times, and a range that is none", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/");
    await page.locator(".picker-label").click();
    await page.getByRole("button", { name: "15 min", exact: true }).click();
    assert.equal(query(page).get("from"), "-15m");
    await page.locator(".picker-label").click();
    await page.locator('input[name="from"]').fill("2026-01-02T00:00:00");
    await page.locator('input[name="to"]').fill("2026-01-01T00:00:00");
    await page.getByRole("button", { name: "Show" }).click();
    assert.match(
      await page.locator(".picker .field-problem").textContent() ?? "",
      /before the end/,
    );
    await page.locator('input[name="to"]').fill("2026-01-02T01:00:00");
    await page.getByRole("button", { name: "Show" }).click();
    // The browser's clock is Berlin's.
    assert.equal(query(page).get("from"), String(Date.UTC(2026, 0, 1, 23)));
    await settled(page);
    assert.match(
      await page.locator("main").textContent() ?? "",
      /No traffic is known in this range/,
    );
    assert.match(await page.locator("main").textContent() ?? "", /Nobody talked/);
  });
});

test("explore: completion writes a filter, Enter asks it, the table holds to it", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/explore");
    const input = page.locator("#filter");
    assert.equal(await input.inputValue(), "not class physical");
    // What stands there by default is written over.
    await input.click();
    await page.keyboard.type("cla");
    await page.locator("#filter-list li").first().waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    assert.equal(await input.inputValue(), "class ");
    await input.pressSequentially("sub");
    await page.locator("#filter-list li", { hasText: "subnet" }).first().waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Tab");
    assert.equal(await input.inputValue(), "class subnet ");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.search.includes("filter=class+subnet"));
    await settled(page);
    const cells = await page.locator("tbody td:nth-child(2)").allTextContents();
    assert.ok(cells.length > 0);
    for (const cell of cells) assert.match(cell, /^10\.0\./);
    const calls = await page.locator(".api-line code").allTextContents();
    assert.ok(calls.some((call) => /GET \/api\/v1\/top\?.*filter=class\+subnet/.test(call)));
  });
});

test("explore: what is wrong with a filter is marked where it is", async () => {
  // The collector's refusal is told on the console too.
  await withPage(browser, { allowsErrors: true }, async (page) => {
    await open(page, "/explore?filter=class+subnat+and+tcp");
    assert.equal(await page.locator(".filter-mark mark").textContent(), "subnat");
    assert.match(
      await page.locator("#filter-problem").textContent() ?? "",
      /"subnet" is probably meant/,
    );
    assert.equal(await page.locator("#filter").getAttribute("aria-invalid"), "true");
    await page.locator("#filter").fill("class subnet and tcp");
    await page.locator("#filter").press("Enter");
    await settled(page);
    await page.locator("tbody tr").first().waitFor();
    assert.equal(await page.locator(".filter-mark").count(), 0);
  });
});

test("explore: sorted by column, grouped by what is chosen, saved as files", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/explore?filter=class+virtual");
    await page.locator('[data-sort="p95"]').click();
    const rates = await page.locator("tbody td:last-child .number").evaluateAll((cells) =>
      cells.map((cell) => Number(cell.getAttribute("title")?.replace(/[^\d.]/g, "")))
    );
    assert.deepEqual(rates, rates.toSorted((a, b) => b - a));
    assert.ok(rates.length > 3);
    await page.locator('select[name="by0"]').selectOption("node");
    await page.locator('select[name="by1"]').selectOption("dport");
    await settled(page);
    assert.equal(query(page).get("by"), "node,dport");
    assert.deepEqual((await page.locator("thead th").allTextContents()).slice(0, 2), [
      "Node",
      "Destination port",
    ]);
    const [csv] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "CSV", exact: true }).click(),
    ]);
    const lines = readFileSync(await csv.path(), "utf8").trimEnd().split("\r\n");
    assert.match(lines[0], /^node,dport,txPackets,txBytes,/);
    assert.ok(lines.length > 3);
    const [ndjson] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "NDJSON", exact: true }).click(),
    ]);
    const rows = readFileSync(await ndjson.path(), "utf8").trimEnd().split("\n");
    assert.equal(rows.length, lines.length - 1);
    assert.ok("txBytes" in JSON.parse(rows[0]));
  });
});

test("explore: the drawing's parts narrow the filter", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/explore?show=sankey");
    assert.ok(await page.locator(".sankey-link").count() > 10);
    await page.locator(".sankey-node text", { hasText: "9100" }).last().click();
    await page.waitForFunction(() => location.search.includes("dport"));
    assert.equal(query(page).get("filter"), "not class physical and dport 9100");
    assert.equal(query(page).get("show"), "sankey");
  });
});

test("flow: from a row to both ends, class, verdict, path and message", async () => {
  await withPage(browser, {}, async (page) => {
    await open(
      page,
      `/explore?show=flows&from=-30m&filter=${
        encodeURIComponent("class virtual and node alpha and dport 5432")
      }`,
    );
    await page.locator("tbody tr a").nth(20).click();
    await page.waitForURL(/\/flow\?/);
    await settled(page);
    assert.match(
      await page.locator("h1").textContent() ?? "",
      /100\.64\.0\.1:40002 → 100\.64\.0\.3:5432/,
    );
    assert.match(await page.locator(".reason").textContent() ?? "", /alpha talked to gamma/);
    assert.equal(await page.locator(".side").count(), 2);
    const windows = await page.locator(".ends-table tbody tr").evaluateAll((rows) =>
      rows.map((row) =>
        [...row.querySelectorAll("td")].slice(1).map((cell) =>
          cell.querySelector(".number")?.getAttribute("title") ?? null
        )
      )
    );
    assert.ok(windows.length > 20);
    // Nothing is lost here: what one sent, the other received in the same window.
    const both = windows.filter((cells) => cells.every((cell) => cell !== null));
    assert.ok(both.length > 20);
    for (const cells of both) assert.deepEqual([cells[0], cells[2]], [cells[1], cells[3]]);
    assert.ok(await page.locator(".verdicts li").count() >= 2);
    assert.match(await page.locator("main").textContent() ?? "", /192\.0\.2\.12:51820/);
    await page.locator(".message summary").first().click();
    assert.match(
      await page.locator(".message pre").first().textContent() ?? "",
      /"virtualTraffic": \[/,
    );
  });
});

test("keyboard alone: from a filter to a flow, its raw message, and back", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/explore?from=-20m");
    const focused = () =>
      page.evaluate(() => {
        const { tagName, textContent, className } = document.activeElement!;
        return `${tagName} ${className} ${textContent}`;
      });
    const tabTo = async (wanted: RegExp) => {
      for (let count = 0; count < 60; count++) {
        if (wanted.test(await focused())) return;
        await page.keyboard.press("Tab");
      }
      assert.fail(`${wanted} is not reached by Tab`);
    };
    await tabTo(/^INPUT filter-input/);
    // What stands there by default is written over.
    await page.keyboard.type("class virtual and node alpha and dport 5432");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.search.includes("dport+5432"));
    await tabTo(/^BUTTON tab Flows/);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.search.includes("show=flows"));
    await settled(page);
    assert.match(await focused(), /Flows/, "the focus stays where it was");
    await tabTo(/^A .*\d\d:\d\d:\d\d/);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/flow\?/);
    await settled(page);
    await tabTo(/^SUMMARY .*Entry/);
    await page.keyboard.press("Enter");
    assert.ok(await page.locator(".message pre").first().isVisible());
    await page.goBack();
    await settled(page);
    assert.equal(query(page).get("show"), "flows");
  });
});

test("flows: pages go on and back", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/explore?show=flows&from=-20m");
    const first = await page.locator("tbody tr").first().textContent();
    await page.getByRole("button", { name: "Older ›" }).click();
    await page.waitForFunction(() => location.search.includes("cursor="));
    await settled(page);
    assert.notEqual(await page.locator("tbody tr").first().textContent(), first);
    await page.goBack();
    await settled(page);
    assert.equal(query(page).has("cursor"), false);
  });
});

test("completeness: a declared gap with its exact loss, what is missing, and nothing else in red", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/completeness");
    assert.equal(await page.locator(".track .state-gap").count(), 1);
    assert.equal(await page.locator(".track .state-missing").count(), 1);
    assert.ok(await page.locator(".track .state-complete").count() >= 4);
    const declared = page.locator("tr", { hasText: "lost, declared" });
    assert.match(await declared.textContent() ?? "", /beta.*spool was full.*36/);
    // Beyond 2^53: every digit, on hover. 9,007,199,254,740,993 + 61,000,123.
    const exact = await declared.locator(".losses .number").first().getAttribute("title");
    assert.equal(exact?.replace(/\D/g, ""), String(9_007_199_254_740_993n + 61_000_123n));
    await page.getByRole("button", { name: "Check the books" }).click();
    await settled(page);
    assert.ok(await page.locator(".verdict").count() >= 4);
  });
});

test("paths: loss where there is some, overhead of every pair, endpoints", async () => {
  await withPage(browser, {}, async (page) => {
    await open(page, "/paths?from=-1h");
    const red = await page.locator(".cell-loss").evaluateAll((cells) =>
      cells.map((cell) => cell.getAttribute("title"))
    );
    assert.equal(red.length, 1);
    assert.match(red[0] ?? "", /^alpha → gamma: /);
    const ratio = await page.locator("tr", { hasText: "alpha" }).locator("td:last-child .number")
      .first().textContent();
    assert.match(ratio ?? "", /^1\.0\d\d$/);
    assert.match(await page.locator("main").textContent() ?? "", /192\.0\.2\.10:51820/);
  });
});
