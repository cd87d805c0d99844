/// <reference lib="dom" />
/**
 * Goal: what real nodes carry is on the page without a reload, soon after the window in which it was sent, and to the byte:
 * as the API tells it, as the kernel counted it, as both ends say it.
 *
 * Method: three nodes of ours in namespaces with the default windows of 5 s, and a collector beside them; Chromium runs in the
 * collector's namespace, for without a key it answers its own machine only. Witness of the bytes: nftables' counters.
 * Needs root, besides Chromium.
 */
import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { CollectorLab, NODES, OVERLAY } from "../system/support/collector_lab.ts";
import { addSums, NO_TRAFFIC } from "../system/support/log_books.ts";
import { type Lab, type Namespace, withLab } from "../system/support/namespaces.ts";
import { cannotRun } from "../system/support/runtimes.ts";
import { notOurs } from "../system/support/subjects.ts";
import { curlSha256, ping, startHttpServer, waitForPing } from "../system/support/traffic.ts";
import { waitUntil } from "../system/support/wait.ts";
import { CHROMIUM } from "./obstacle.ts";
import { settled, shoot, startBrowser, withPage } from "./support.ts";

const skip = cannotRun("nft", "rtmon", "curl") || notOurs();

const WINDOW_MS = 5_000;
/** What the page may take from the end of the window on: the best of the bursts, for others use this machine too. */
const PICTURE_MS_MAX = 6_000;
const BURSTS = 2;
const BURST_PACKETS = 40;
const DOWNLOAD_BYTES = 300_000;

/** Starts Chromium in a namespace. */
async function startBrowserIn(lab: Lab, { name }: Namespace): Promise<Browser> {
  const path = join(lab.directory, "chromium");
  writeFileSync(path, `#!/bin/sh\nexec ip netns exec ${name} ${CHROMIUM} "$@"\n`);
  chmodSync(path, 0o755);
  return await startBrowser(path);
}

/** A figure of the Overview, with all its digits. */
async function figure(page: Page, index: number): Promise<number> {
  const text = await page.locator(".figure dd .number").nth(index).getAttribute("title");
  return Number(text?.replace(/\D/g, ""));
}

/** Packets of all classes, as the page tells them. */
const packetsOf = (page: Page) => figure(page, 2);

/** Waits until the page tells other packets than it did. @returns When it did, by the clock that windows are labelled by. */
async function waitForPackets(page: Page, isEnough: (packets: number) => boolean): Promise<number> {
  await waitUntil("the page shows it", async () => isEnough(await packetsOf(page)), {
    timeoutMs: 30_000,
    intervalMs: 20,
  });
  return Date.now();
}

/** Sends some packets and measures how soon they are on the page: both ends count both ways. */
async function measureBurst(page: Page, alpha: Namespace): Promise<{ sentMs: number; ms: number }> {
  const before = await packetsOf(page);
  const options = { count: BURST_PACKETS, intervalS: 0.002 };
  const { sent, received } = await ping(alpha, OVERLAY.beta[4], options);
  assert.equal(received, sent);
  const lastMs = Date.now();
  const shownMs = await waitForPackets(page, (packets) => packets >= before + 4 * sent);
  const windowEndMs = Math.ceil(lastMs / WINDOW_MS) * WINDOW_MS;
  return { sentMs: shownMs - lastMs, ms: shownMs - windowEndMs };
}

/** Proves that the page's sums are the API's and the kernel's. */
async function proveSums(page: Page, world: CollectorLab): Promise<void> {
  const { groups } = await world.collector.ask("/top", { by: "class", from: "-1h", to: "now" });
  const carried = groups.filter((group: { class: string }) => group.class !== "physical");
  const sent = carried.reduce((all: number, { txBytes }: { txBytes: number }) => all + txBytes, 0);
  const got = carried.reduce((all: number, { rxBytes }: { rxBytes: number }) => all + rxBytes, 0);
  assert.deepEqual([await figure(page, 0), await figure(page, 1)], [sent, got]);
  const kernel = NODES.map((name) => {
    const { virtual, subnet, exit } = world.witnessed(name);
    return addSums(virtual, subnet, exit);
  });
  const { txPackets, txBytes, rxPackets, rxBytes } = addSums(NO_TRAFFIC, ...kernel);
  assert.deepEqual(
    [await figure(page, 0), await figure(page, 1), await packetsOf(page)],
    [txBytes, rxBytes, txPackets + rxPackets],
  );
}

/** Follows a connection from the list of flows to both its ends. */
async function proveBothEnds(page: Page, url: string, port: string): Promise<void> {
  const filter = encodeURIComponent(`class virtual and node alpha and dport ${port}`);
  await page.goto(`${url}/explore?show=flows&filter=${filter}`);
  await settled(page);
  await page.locator("tbody tr a").first().click();
  await page.waitForURL(/\/flow\?/);
  await settled(page);
  const sides = await page.locator(".side").evaluateAll((elements) =>
    elements.map((side) => ({
      name: side.querySelector("h3")!.textContent,
      bytes: [...side.querySelectorAll(".pair .number:first-child")].map((number) =>
        number.getAttribute("title")
      ),
    }))
  );
  assert.deepEqual(sides.map(({ name }) => name), ["Reported by alpha", "Other end beta"]);
  const [alpha, beta] = sides;
  assert.ok(Number(alpha.bytes[1]!.replace(/\D/g, "")) > DOWNLOAD_BYTES);
  assert.deepEqual(beta.bytes, alpha.bytes.toReversed(), "what one end sent the other received");
  assert.match(await page.locator(".reason").textContent() ?? "", /alpha talked to beta/);
  await shoot(page, "flow-nodes");
}

test("real nodes: traffic is in the picture without a reload, to the byte, both ends of it", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const world = await CollectorLab.open(lab, { flowLog: ["Period = 5"] });
    const { hub, collector, places: { alpha, beta } } = world;
    await collector.start();
    await world.start("beta", "gamma", "alpha");
    for (const peer of ["beta", "gamma"] as const) {
      await waitForPing(alpha.namespace, OVERLAY[peer][4]);
    }
    const browser = await startBrowserIn(lab, hub);
    try {
      await withPage(browser, {}, async (page) => {
        await page.goto(collector.url);
        await settled(page);
        await page.locator(".live-live").waitFor();
        await waitForPackets(page, (packets) => packets > 0);
        await page.evaluate(() => (globalThis as { isSame?: boolean }).isSame = true);
        const bursts = [];
        for (let burst = 0; burst < BURSTS; burst++) {
          bursts.push(await measureBurst(page, alpha.namespace));
        }
        const told = bursts.map(({ sentMs, ms }) => `${sentMs} ms after it was sent, ${ms} ms`);
        console.log(`on the page ${told.join(" and ")} after its window's end`);
        assert.ok(Math.min(...bursts.map(({ ms }) => ms)) < PICTURE_MS_MAX);
        const server = await startHttpServer(beta.namespace, OVERLAY.beta[4], DOWNLOAD_BYTES);
        const before = await figure(page, 1);
        assert.equal(await curlSha256(alpha.namespace, server.url), server.sha256);
        await waitUntil(
          "the download is on the page",
          async () => await figure(page, 1) > before + DOWNLOAD_BYTES,
          { timeoutMs: 30_000 },
        );
        // Until nothing is under way any more: then all books must be the same.
        await waitUntil("page, API and kernel agree", async () => {
          await proveSums(page, world);
          return true;
        }, { timeoutMs: 30_000, intervalMs: 500 });
        assert.equal(await page.evaluate(() => (globalThis as { isSame?: boolean }).isSame), true);
        await shoot(page, "overview-nodes");
        await proveBothEnds(page, collector.url, new URL(server.url).port);
      });
    } finally {
      await browser.close();
    }
  });
});
