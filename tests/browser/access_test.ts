/// <reference lib="dom" />
/**
 * Goal: who has no key sees nothing but the form; who has one sees all until the login ends; a collector that goes away is
 * said to be away, and found again; an empty one says how to fill it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import {
  addKey,
  type Scene,
  settled,
  shoot,
  startBrowser,
  startScene,
  withPage,
} from "./support.ts";

let browser: Browser;
before(async () => {
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
});

async function withScene(minutes: number, run: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await startScene({ minutes });
  try {
    await run(scene);
  } finally {
    await scene.stop();
  }
}

test("key: required, wrong, right, kept by a cookie that no script sees, given back", async () => {
  await withScene(2, async (scene) => {
    const key = addKey(scene.directory);
    // Refusals are told on the console.
    await withPage(browser, { allowsErrors: true }, async (page, context) => {
      await page.goto(`${scene.url}/explore?by=node`);
      await page.locator("#login-key").waitFor();
      assert.equal(await page.locator("table").count(), 0);
      assert.equal(await page.getByRole("button", { name: "Log out" }).isVisible(), false);
      await shoot(page, "login");
      await page.locator("#login-key").fill("tunlog-wrong");
      await page.keyboard.press("Enter");
      await page.locator("#login-problem", { hasText: "not an API key" }).waitFor();
      await page.locator("#login-key").fill(key);
      await page.keyboard.press("Enter");
      await page.locator("tbody tr").first().waitFor();
      assert.match(page.url(), /\/explore\?by=node$/);
      const [cookie] = await context.cookies();
      assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/"]);
      assert.equal(await page.evaluate(() => document.cookie), "");
      assert.equal(
        await page.evaluate((text) => document.documentElement.innerHTML.includes(text), key),
        false,
      );
      await page.reload();
      await page.locator("tbody tr").first().waitFor();
      await page.getByRole("button", { name: "Log out" }).click();
      await page.locator("#login-key").waitFor();
      await page.reload();
      await page.locator("#login-key").waitFor();
      assert.equal(await page.locator("table").count(), 0);
    });
  });
});

test("unreachable: said, what was shown stays, and the page finds the collector again", async () => {
  const scene = await startScene({ minutes: 5 });
  try {
    await withPage(browser, { allowsErrors: true }, async (page) => {
      await page.goto(scene.url);
      await settled(page);
      await page.locator(".live-live").waitFor();
      await scene.end();
      await page.locator(".banner", { hasText: "cannot be reached" }).waitFor();
      assert.ok(await page.locator(".talkers li").count() > 0);
      const port = Number(new URL(scene.url).port);
      const again = await startScene({ minutes: 0, port, directory: scene.directory });
      try {
        await page.locator(".live-live").waitFor({ timeout: 40_000 });
        await page.locator(".banner").waitFor({ state: "hidden" });
      } finally {
        await again.end();
      }
    });
  } finally {
    await scene.stop();
  }
});

test("unreachable: every view says so and fills itself when the collector is back, live or not", async () => {
  await withScene(12, async (scene) => {
    await withPage(browser, { allowsErrors: true }, async (page) => {
      const flow = "proto=6&src=100.64.0.1&sport=40002&dst=100.64.0.3&dport=5432";
      const past = `from=${scene.log.endMs - 600_000}&to=${scene.log.endMs}`;
      const paths = ["/", "/explore", "/completeness", "/paths", `/flow?node=alpha&${flow}`];
      for (const path of [...paths, `/?${past}`]) {
        await page.route("**/{api/v1/**,session}", (route) => route.abort());
        await page.goto(scene.url + path);
        await page.locator(".empty.error", { hasText: "cannot be reached" }).first().waitFor();
        await page.locator(".banner", { hasText: "cannot be reached" }).waitFor();
        if (path === "/") await shoot(page, "overview-unreachable");
        await page.unroute("**/{api/v1/**,session}");
        await page.locator(".banner").waitFor({ state: "hidden" });
        await page.waitForFunction(() => document.querySelector(".empty.error") === null);
        await settled(page);
        assert.ok(await page.locator("main canvas, main tbody tr, .track").count() > 0, path);
      }
    });
  });
});

test("busy: what a view cannot be told now it can be asked again, the rest stands", async () => {
  await withScene(2, async (scene) => {
    await withPage(browser, { allowsErrors: true }, async (page) => {
      const busy = { status: 503, json: { error: { message: "Too many queries wait" } } };
      await page.route("**/api/v1/series**", (route) => route.fulfill(busy));
      await page.goto(scene.url);
      await settled(page);
      const problem = page.locator(".wide .empty.error");
      assert.match(await problem.textContent() ?? "", /busy.*Too many queries wait/);
      assert.ok(await page.locator(".talkers li").count() > 0);
      await page.unroute("**/api/v1/series**");
      await problem.getByRole("button", { name: "Try again" }).click();
      await page.locator(".chart canvas").waitFor();
      assert.equal(await problem.count(), 0);
      await page.locator(".totals").getByRole("button", { name: "Try again" }).click();
      await page.locator(".figure").first().waitFor();
    });
  });
});

test("empty: every view says so, and what to do", async () => {
  await withScene(0, async (scene) => {
    await withPage(browser, {}, async (page) => {
      for (
        const path of [
          "/",
          "/explore",
          "/explore?show=sankey",
          "/explore?show=flows",
          "/flow",
          "/completeness",
          "/paths",
        ]
      ) {
        await page.goto(scene.url + path);
        await settled(page);
        assert.ok(await page.locator(".empty").count() > 0, path);
        if (path === "/") await shoot(page, "overview-empty");
        assert.equal(await page.locator(".error").count(), 0, path);
      }
    });
  });
});

test("keyboard: the skip link, navigation and the content are reached by Tab", async () => {
  await withScene(2, async (scene) => {
    await withPage(browser, {}, async (page) => {
      await page.goto(scene.url);
      await settled(page);
      const reached: string[] = [];
      for (let count = 0; count < 30; count++) {
        await page.keyboard.press("Tab");
        reached.push(
          await page.evaluate(() => {
            const element = document.activeElement!;
            return `${element.tagName} ${element.className} ${element.textContent?.slice(0, 20)}`;
          }),
        );
      }
      for (
        const wanted of [
          /skip/,
          /brand/,
          /A .*Explore/,
          /A .*Paths/,
          /SUMMARY picker-label/,
          /chart/,
          /legend-item/,
          /talker/,
        ]
      ) {
        assert.ok(reached.some((each) => wanted.test(each)), `${wanted} in ${reached.join("\n")}`);
      }
    });
  });
});

test("payload: all that the page loads is below 150 KB compressed", async () => {
  await withScene(0, async (scene) => {
    await withPage(browser, {}, async (page) => {
      const sizes: number[] = [];
      page.on("response", (response) => {
        if (response.url().includes("/api/")) return;
        sizes.push(Number(response.headers()["content-length"] ?? NaN));
      });
      await page.goto(scene.url);
      await settled(page);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      assert.ok(total > 20_000 && total < 150_000, `${total} bytes in ${sizes.length} files`);
      console.log(`page payload: ${total} bytes in ${sizes.length} files`);
    });
  });
});
