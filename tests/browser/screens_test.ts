/// <reference lib="dom" />
/**
 * Goal: pictures of every view, light, dark, narrow and wide, for people to look at; and what can be checked of them: nothing
 * overflows the window, no view has an error. Written to tests/out/page.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import {
  type Look,
  type Scene,
  settled,
  shoot,
  startBrowser,
  startScene,
  withPage,
} from "./support.ts";

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

const FLOW =
  "/flow?node=alpha&proto=6&src=100.64.0.1&sport=40002&dst=100.64.0.3&dport=5432&from=-10m";
const VIEWS: Record<string, string> = {
  overview: "/",
  explore: "/explore?filter=not+class+physical",
  sankey: "/explore?show=sankey",
  flows: "/explore?show=flows&filter=class+virtual",
  flow: FLOW,
  completeness: "/completeness",
  paths: "/paths",
};
/** Each of another size; what is dark is seen without loading the page again, as when the system changes. */
const LOOKS: Record<string, Look> = {
  light: {},
  narrow: { width: 360, height: 740 },
  wide: { width: 2560, height: 1300 },
};

for (const [lookName, look] of Object.entries(LOOKS)) {
  test(`page: every view, ${lookName === "light" ? "light and dark" : lookName}`, async () => {
    await withPage(browser, look, async (page) => {
      for (const [name, path] of Object.entries(VIEWS)) {
        await page.emulateMedia({ colorScheme: "light" });
        await page.goto(scene.url + path);
        await settled(page);
        await shoot(page, `${name}-${lookName}`);
        const { scroll, client } = await page.evaluate(() => ({
          scroll: document.documentElement.scrollWidth,
          client: document.documentElement.clientWidth,
        }));
        assert.ok(scroll <= client, `${name} is ${scroll} px wide in ${client}`);
        assert.equal(await page.locator(".error").count(), 0, name);
        if (lookName !== "light") continue;
        await page.emulateMedia({ colorScheme: "dark" });
        await shoot(page, `${name}-dark`);
      }
    });
  });
}
