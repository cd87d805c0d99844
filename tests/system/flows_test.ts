/**
 * `tunlog flows` as a process against `tunlog collect` as a process, over loopback: one answer whichever way it is asked for.
 *
 * Run alone: `deno test -A tests/system/flows_test.ts`; needs neither root nor tools but bun for half of it.
 * Method: a small log is uploaded; each question is asked of the collector, of its store beside it, and of the store when it has
 * ended, and all answers are compared. Then keys, lost collectors, servers that are none, and readers that go away.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { HttpSource } from "../../src/cli/flows/source_http.ts";
import { ask } from "../../src/cli/flows/source.ts";
import { timeText } from "../../src/time_text.ts";
import { FLOWS_START_NS, FLOWS_WINDOWS, flowsLines } from "../support/flows_lines.ts";
import { Child, type CommandResult, run } from "./support/command.ts";
import { hasCommand, OWN_RUNTIME, programCommand, ROOT, type Runtime } from "./support/runtimes.ts";
import { waitUntil } from "./support/wait.ts";

const RANGE = [
  "--from",
  timeText(FLOWS_START_NS),
  "--to",
  timeText(FLOWS_START_NS + BigInt(FLOWS_WINDOWS) * 5_000_000_000n),
];
const QUESTIONS: readonly (readonly string[])[] = [
  ["top", ...RANGE],
  ["top", "--by", "node,class", "--tier", "raw", "--flows", "--rates", "--exact", ...RANGE],
  ["query", "--limit", "150", ...RANGE, "not", "class", "physical"],
  ["series", "--step", "20s", ...RANGE],
  ["nodes", "--check", ...RANGE],
  ["gaps", "--csv", ...RANGE],
  ["reconcile", "--all", ...RANGE],
  ["explain", "alpha", "beta:443", ...RANGE],
  ["explain", "--json", "alpha", "beta:443", ...RANGE],
  ["export", ...RANGE],
  ["export", "--messages", "--last", "1h"],
];

/** Starts a collector. @returns Child and base URL. */
async function startCollector(
  runtime: Runtime,
  directory: string,
  listen = "127.0.0.1:0",
): Promise<[Child, string]> {
  const args = ["collect", "--listen", listen, "--data", directory, "--adopt-all"];
  const child = new Child(programCommand(runtime, args), { cwd: ROOT });
  const url = await waitUntil(
    "the collector's address",
    () => /Collector is at (https?:\S+),/.exec(child.stderr)?.[1] ?? false,
    { timeoutMs: 60_000 },
  );
  return [child, url];
}

/** Uploads lines, one stream for each node. */
async function upload(url: string, lines: readonly string[]): Promise<void> {
  const byNode = Map.groupBy(lines, (line) => /"id":"(\w+)"/.exec(line)![1]);
  for (const [node, own] of byNode) {
    const privateId = createHash("sha256").update(node).digest("hex");
    const entries = own.map((line) => line.replace(/"id":"\w+",?/, ""));
    const body = `[${entries.join("\n,")}\n]`;
    const response = await fetch(`${url}/c/flows/${privateId}`, { method: "POST", body });
    await response.body?.cancel();
    assert.equal(response.status, 200);
  }
}

async function flows(
  runtime: Runtime,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const command = programCommand(runtime, ["flows", ...args, "--utc"]);
  const result = await run(command, { cwd: ROOT, env });
  return { ...result, stderr: ours(result.stderr) };
}

/** What the program itself said: Deno warns of permissions in deno.json. */
function ours(stderr: string): string {
  return stderr.replace(/^.*Warning.*experimental.*\n/m, "");
}

for (const runtime of ["deno", "bun"] as const) {
  const skip = runtime === OWN_RUNTIME || hasCommand(runtime) ? false : `no ${runtime} on PATH`;

  test(
    `flows answers the same from a collector and from its store (${runtime})`,
    { skip },
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "tunlog-flows-test-"));
      const [collector, url] = await startCollector(runtime, directory);
      try {
        await upload(url, flowsLines());
        const answers: string[] = [];
        for (const question of QUESTIONS) {
          const asked = await flows(runtime, question, { TUNLOG_COLLECTOR: `${url}/` });
          assert.equal(asked.code, 0, asked.stderr);
          assert.ok(asked.stdout.split("\n").length >= 4, asked.stdout);
          const stored = await flows(runtime, [...question, "--data", directory]);
          assert.deepEqual(stored, asked, question.join(" "));
          answers.push(asked.stdout);
        }
        await collector.stop("SIGTERM");
        for (const [index, question] of QUESTIONS.entries()) {
          const { code, stdout, stderr } = await flows(runtime, [...question, "--data", directory]);
          assert.equal(code, 0, stderr);
          assert.equal(stdout, answers[index], question.join(" "));
        }
        const gone = await flows(runtime, ["top", "--collector", url]);
        assert.deepEqual(gone, {
          code: 1,
          signal: null,
          stdout: "",
          stderr:
            `tunlog: Cannot reach collector ${url}: connection refused: is it running there?\n`,
        });
      } finally {
        collector.signal("SIGKILL");
        rmSync(directory, { recursive: true });
      }
    },
  );

  test(`flows hands over a key, and says when one is wanted (${runtime})`, { skip }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "tunlog-flows-test-"));
    const made = await run(
      programCommand(runtime, ["collect", "key", "add", "reader", "--data", directory]),
      { cwd: ROOT },
    );
    const key = made.stdout.trim();
    const path = join(directory, "key");
    writeFileSync(path, `${key}\n`);
    const [collector, url] = await startCollector(runtime, directory);
    try {
      const at = ["nodes", "--collector", url];
      const refused = `tunlog: Collector ${url} wants an API key that it knows: ` +
        "--key-file or TUNLOG_KEY\n";
      for (const more of [[], ["--key", "tunlog-wrong"]]) {
        const { code, stdout, stderr } = await flows(runtime, [...at, ...more]);
        assert.deepEqual([code, stdout, stderr], [1, "", refused]);
      }
      const tail = await flows(runtime, ["tail", "--collector", url]);
      assert.deepEqual([tail.code, tail.stderr], [1, refused]);
      assert.equal((await flows(runtime, [...at, "--key", key])).code, 0);
      assert.equal((await flows(runtime, [...at, "--key-file", path])).code, 0);
      assert.equal((await flows(runtime, at, { TUNLOG_KEY: key })).code, 0);
      const inUrl = url.replace("://", `://${key}@`);
      assert.equal((await flows(runtime, ["nodes", "--collector", inUrl])).code, 0);
    } finally {
      collector.signal("SIGKILL");
      await collector.ended;
      rmSync(directory, { recursive: true });
    }
  });

  test(
    `flows tail outlives its collector and shows each row once (${runtime})`,
    { skip },
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "tunlog-flows-test-"));
      const lines = flowsLines();
      let [collector, url] = await startCollector(runtime, directory);
      await upload(url, lines.slice(0, 10));
      const args = ["flows", "tail", "--json", "--collector", url, "not class physical"];
      const tail = new Child(programCommand(runtime, args), { cwd: ROOT });
      const rows = () => tail.stdout.trimEnd().split("\n").filter((line) => line.includes('"src"'));
      try {
        await waitUntil("tail to follow", () => tail.stderr.includes("Following"));
        await upload(url, lines.slice(0, 20));
        await waitUntil("rows that came", () => rows().length > 10);
        const before = rows().length;
        await collector.stop("SIGKILL");
        await waitUntil("the loss to be told", () => tail.stderr.includes("was lost"));
        [collector] = await startCollector(runtime, directory, new URL(url).host);
        // What was stored already is no news; what comes while nobody is connected is.
        await upload(url, lines.slice(0, 30));
        await waitUntil("rows that came again", () => rows().length > before, {
          timeoutMs: 60_000,
        });
        await waitUntil("the way back to be told", () => tail.stderr.includes("Connected again"));
        const { code, stderr } = await tail.stop("SIGINT");
        assert.equal(code, 0, stderr);
        const seen = rows().map((line) => JSON.parse(line)).map(({ entry, row }) =>
          `${entry} ${row}`
        );
        assert.equal(new Set(seen).size, seen.length);
        const last = JSON.parse(tail.stdout.trimEnd().split("\n").at(-1)!);
        assert.ok("completeness" in last);
      } finally {
        tail.signal("SIGKILL");
        collector.signal("SIGKILL");
        await collector.ended;
        rmSync(directory, { recursive: true });
      }
    },
  );

  test(`flows is quiet when its reader goes away (${runtime})`, { skip }, async () => {
    const command = programCommand(runtime, ["flows", "export", "--file", "-"]);
    const line = command.map((word) => `'${word}'`).join(" ");
    const { code, stdout, stderr } = await run(
      ["bash", "-c", `set -o pipefail; ${line} < "$0" | head -n 1`, sampleFile()],
      { cwd: ROOT },
    );
    assert.deepEqual([code, ours(stderr)], [0, ""]);
    assert.equal(stdout.split("\n").length, 2);
  });
}

let sample: string | null = null;

/** A log that a pipe does not hold. */
function sampleFile(): string {
  if (sample === null) {
    sample = join(mkdtempSync(join(tmpdir(), "tunlog-flows-test-")), "flows.ndjson");
    writeFileSync(sample, flowsLines(2_000).join("\n"));
  }
  return sample;
}

test.after(() => {
  if (sample !== null) rmSync(join(sample, ".."), { recursive: true });
});

// ---- Servers that are none --------------------------------------------------------------------------------------------

async function withServer(
  listener: RequestListener,
  body: (source: HttpSource, url: string) => Promise<void>,
): Promise<void> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await body(new HttpSource(url, "key", 300), url);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("HttpSource gives a server that does not answer up, in words", async () => {
  const none = new URLSearchParams();
  await withServer(() => {}, async (source, url) => {
    await assert.rejects(() => ask(source, "/top", none), {
      message: `Collector ${url} did not answer within 0.3 s`,
    });
  });
  const stalls: RequestListener = (_request, response) => void response.writeHead(200).write("{");
  await withServer(stalls, async (source) => {
    await assert.rejects(() => ask(source, "/top", none), /did not answer within 0.3 s$/);
  });
});

test("HttpSource follows no server elsewhere, and takes no page for an answer", async () => {
  const none = new URLSearchParams();
  const paths: string[] = [];
  const elsewhere: RequestListener = (request, response) => {
    paths.push(`${request.url} ${request.headers.authorization}`);
    response.writeHead(302, { location: "/else" }).end();
  };
  await withServer(elsewhere, async (source) => {
    await assert.rejects(() => ask(source, "/top", none), /answered 302$/);
  });
  assert.deepEqual(paths, [`/api/v1/top Basic ${btoa("key:")}`]);
  const page: RequestListener = (_request, response) => void response.end("<html>");
  await withServer(page, async (source) => {
    await assert.rejects(
      () => ask(source, "/top", none),
      /^Error: Cannot read the answer: it is not JSON/,
    );
  });
  const busy: RequestListener = (_request, response) =>
    void response.writeHead(503, { "retry-after": "7" }).end('{"error":{"message":"later"}}');
  await withServer(busy, async (source) => {
    await assert.rejects(
      () => ask(source, "/top", none),
      /cannot answer now, try again in 7 s: later$/,
    );
  });
});
