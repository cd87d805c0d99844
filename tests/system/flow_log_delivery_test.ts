/**
 * The way to the log collection under trouble: nothing that was counted is missing from it without being declared, to the
 * byte, and `tunlog status` says what goes on.
 *
 * Run alone: `deno test -A tests/system/flow_log_delivery_test.ts` (root; needs wireguard-go, wg, ip, rtmon, nft, ping).
 * Method: a real node against a real sink that is away, refuses or resets; with a spool too small for what comes; with a state
 * directory on a file system that is read-only, full, or removed. Then rows and gap records must be the kernel's counters.
 * TUNLOG_OUTAGE_S sets how long the sink is away.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import type { LogBooks } from "./support/log_books.ts";
import { type LoggedPair, proveComplete, startLoggedPair } from "./support/logged_pairs.ts";
import { withLab } from "./support/namespaces.ts";
import { sendNumberedDatagrams } from "./support/numbered_datagrams.ts";
import { INNER } from "./support/pairs.ts";
import { cannotRun } from "./support/runtimes.ts";
import { notOurs } from "./support/subjects.ts";
import { ping, startPing, stopPing } from "./support/traffic.ts";
import { pause } from "./support/wait.ts";

const skip = cannotRun("wireguard-go", "rtmon", "nft") || notOurs();

const OUTAGE_S = Number(process.env.TUNLOG_OUTAGE_S ?? 20);

/** Lets the sink listen again, waits until all has been delivered, and ends the node. */
async function recover(pair: LoggedPair): Promise<LogBooks> {
  await pair.sink.start();
  await pair.waitForCollector(
    "all is delivered",
    ({ waitingEntries, delivery }) => waitingEntries <= 1 && delivery.lastProblem === null,
    90_000,
  );
  const kernel = await pair.end();
  const books = pair.books();
  proveComplete(books, kernel);
  return books;
}

test(`sink that is away for ${OUTAGE_S} s costs nothing`, { skip }, async () => {
  await withLab(async (lab) => {
    const pair = await startLoggedPair(lab, { flowLog: ["Period = 1"] });
    const traffic = startPing(pair.left.namespace, INNER.right[4], 0.01);
    await pair.waitForCollector("an upload", ({ delivery }) => delivery.uploads > 0);
    assert.match(await pair.statusText(), /last upload: (now|\d+ seconds? ago)\n/);

    await pair.sink.stop();
    await pause(OUTAGE_S * 1_000);
    const away = await pair.collector();
    assert.ok(away.delivery.failuresInRow > 1, "it was tried again");
    assert.ok(away.waitingEntries > OUTAGE_S / 2, `${away.waitingEntries} entries wait`);
    const text = await pair.statusText();
    assert.match(text, /queue: \d+ entries, .* of 256\.00 MiB on disk\n/);
    assert.match(text, /failing: \d+ times in a row.*: .+\n/);

    await pair.sink.start();
    await pair.waitForCollector("an upload", ({ delivery }) => delivery.failuresInRow === 0);
    const { received, sent } = await stopPing(traffic);
    assert.ok(received >= sent - 1, `${received} of ${sent}: the tunnel went on`);
    assert.doesNotMatch(await pair.statusText(), /failing|lost/);
    const kernel = await pair.end();
    const books = pair.books();
    assert.deepEqual(books.gaps, []);
    proveComplete(books, kernel);
  });
});

test("errors, waits and resets cost nothing, and what came twice is known by its name", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const pair = await startLoggedPair(lab, { flowLog: ["Period = 1"] });
    const { sink, left } = pair;
    await sink.behave(
      // First of all, when the node by itself would wait a second at most.
      { status: 429, headers: { "retry-after": "2" }, times: 1 },
      { status: 500, times: 2 },
      { status: 401, times: 1 },
      { status: 200, isReset: true, stores: true, times: 1 },
      { status: 200, delayMs: 1_500, times: 1 },
    );
    const traffic = startPing(left.namespace, INNER.right[4], 0.01);
    const after = 6;
    await pair.waitForCollector("all answers", ({ delivery }) => delivery.uploads >= after);
    await stopPing(traffic);
    const kernel = await pair.end();
    const books = pair.books();
    assert.deepEqual(books.gaps, []);
    assert.ok(books.repetitions > 0, "what was stored before the reset came again");
    proveComplete(books, kernel);

    const requests = sink.requests();
    const asked = requests.findIndex(({ status }) => status === 429);
    const waitedMs = requests[asked + 1]!.wallMs - requests[asked]!.wallMs;
    assert.ok(waitedMs >= 2_000, `${waitedMs} ms after a Retry-After of 2 s`);
  });
});

test("what a sink refuses for good is set aside and declared, and the rest goes on", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const pair = await startLoggedPair(lab, { flowLog: ["Period = 1"] });
    const { sink, left, stateDirectory } = pair;
    // One port of the flood is poison; the flood makes one entry that is too large, what else there is stays far below.
    const poison = `${INNER.right[4]}:7777"`;
    const bytesAbove = 4_000;
    await sink.behave({ status: 413, bytesAbove }, { status: 400, contains: poison });
    const traffic = startPing(left.namespace, INNER.right[4], 0.01);
    await pause(1_500);
    await sendNumberedDatagrams(left.namespace, INNER.right[4], 403, 90);
    await pause(1_500);
    await left.namespace.run(["bash", "-c", `echo x > /dev/udp/${INNER.right[4]}/7777`]);
    const { lost } = await pair.waitForCollector(
      "both are set aside",
      (status) => status.lost.tooLarge !== undefined && status.lost.refused !== undefined,
      90_000,
    );
    const text = await pair.statusText();
    assert.match(text, /lost: \d+ entr(y|ies) with \d+ packets \(.*\): refused\n/);
    assert.match(text, /lost: \d+ entr(y|ies) with \d+ packets \(.*\): tooLarge\n/);
    await stopPing(traffic);
    const kernel = await pair.end();
    const books = pair.books();
    proveComplete(books, kernel);
    for (const cause of ["refused", "tooLarge"]) {
      const ranges = books.gaps.filter((gap) => gap.cause === cause);
      const entries = ranges.reduce((sum, gap) => sum + gap.entries, 0);
      assert.equal(entries, lost[cause]!.entries, cause);
    }
    assert.equal(lost.refused!.entries, 1, "only the poisoned window");
    assert.ok(sink.entries().every(({ text }) => !text.includes(poison)));
    assert.ok(sink.requests().every(({ textBytes, stores }) => !stores || textBytes <= bytesAbove));
    const aside = readFileSync(join(stateDirectory, "spool", "refused.ndjson"), "utf8");
    assert.equal(aside.split("\n").filter((line) => line.includes(poison)).length, 1);
  });
});

test("full spool drops the oldest windows, and its gap records say exactly what", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const pair = await startLoggedPair(lab, { flowLog: ["Period = 1", "SpoolSize = 4M"] });
    const { sink, left } = pair;
    await sink.stop();
    for (const sourcePort of [403, 404, 405]) {
      await sendNumberedDatagrams(left.namespace, INNER.right[4], sourcePort, 30_000);
    }
    const full = await pair.waitForCollector("the oldest go", ({ lost }) => "full" in lost);
    assert.ok(full.waitingBytes <= full.waitingBytesMax);
    const text = await pair.statusText();
    assert.match(text, /queue: \d+ entries, .* of 4\.00 MiB on disk\n/);
    assert.match(text, /lost: \d+ entries with \d+ packets \(.*\): full\n/);
    const books = await recover(pair);
    const ranges = books.gaps.filter(({ cause }) => cause === "full");
    assert.ok(ranges.length > 0);
    assert.deepEqual(books.gaps, ranges, "nothing else was lost");
  });
});

/** Puts a small file system of its own at `directory` before the node starts; it goes with the node. */
function onTmpfs(directory: string, options: string): readonly string[] {
  // `ip netns exec` has made a mount namespace for it.
  const script = `mkdir -p ${directory} && mount -t tmpfs -o ${options} none ${directory}`;
  return ["sh", "-c", `${script} && exec "$@"`, "sh"];
}

for (
  const [what, options] of [
    ["read-only", "ro"],
    ["too small for the state", "size=64k"],
    ["full after some windows", "size=1100k"],
  ] as const
) {
  test(`state directory that is ${what} costs nothing that memory holds`, { skip }, async () => {
    await withLab(async (lab) => {
      const stateDirectory = join(lab.directory, "state");
      const pair = await startLoggedPair(lab, {
        stateDirectory,
        flowLog: ["Period = 1"],
        start: { prefix: onTmpfs(stateDirectory, options) },
      });
      await pair.sink.stop();
      await sendNumberedDatagrams(pair.left.namespace, INNER.right[4], 403, 10_000);
      const { diskError } = await pair.waitForCollector(
        "the disk has failed",
        ({ diskError, waitingEntries }) => diskError !== null && waitingEntries > 2,
      );
      assert.match(diskError!, options === "ro" ? /EROFS/ : /ENOSPC/);
      const text = await pair.statusText();
      assert.match(text, /spool: .*(EROFS|ENOSPC)/);
      assert.match(text, /queue: \d+ entries, .* in memory\n/);
      assert.deepEqual((await recover(pair)).gaps, []);
    });
  });
}

test("state directory that is not there is made, and removed later costs nothing", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const stateDirectory = join(lab.directory, "not", "there", "yet");
    const pair = await startLoggedPair(lab, { stateDirectory, flowLog: ["Period = 1"] });
    assert.ok(existsSync(join(stateDirectory, "spool")));
    await pair.sink.stop();
    await ping(pair.left.namespace, INNER.right[4], { count: 300, intervalS: 0.01 });
    await pair.waitForCollector("windows wait on disk", (status) => {
      return status.waitingEntries > 1 && status.where === "disk";
    });
    rmSync(stateDirectory, { recursive: true });
    await ping(pair.left.namespace, INNER.right[4], { count: 300, intervalS: 0.01 });
    await pair.waitForCollector("it is made again", ({ where, diskError }) => {
      return where === "disk" && diskError === null && existsSync(join(stateDirectory, "spool"));
    });
    assert.deepEqual((await recover(pair)).gaps, []);
  });
});
