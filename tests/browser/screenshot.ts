/**
 * README's picture of the page: an hour of a made-up log. Run by `deno task screenshot`.
 *
 * Out: docs/overview.png. The hour is always the last one, so that the picture differs between runs by its times.
 */
import { settled, startBrowser, startScene } from "./support.ts";

const PATH = "docs/overview.png";

const scene = await startScene({ minutes: 70, names: ["berlin", "lisbon", "oslo", "turin"] });
const browser = await startBrowser();
try {
  const page = await browser.newPage({
    viewport: { width: 1280, height: 800 },
    colorScheme: "light",
  });
  await page.goto(scene.url);
  await settled(page);
  await page.screenshot({ path: PATH, fullPage: true });
  console.log(`${PATH} is made`);
} finally {
  await browser.close();
  await scene.stop();
}
