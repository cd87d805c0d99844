/**
 * The collector as its clients see it: a real server on loopback over a real store in a directory of its own.
 *
 * Raw sockets where a client library would not do what a hostile or a stock client does.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiKeys, Collector, type CollectorOptions } from "../../../src/collector/mod.ts";
import { HttpServer } from "../../../src/collector/http/server.ts";
import { HttpError, jsonReply, Router } from "../../../src/collector/http/router.ts";
import { openClock, openTimers, openZstd } from "../../../src/platform/mod.ts";
import { ingestBodies } from "../../support/ingest_bodies.ts";

const PRIVATE = "0123456789abcdef".repeat(4);
const PUBLIC = createHash("sha256").update(PRIVATE, "hex").digest("hex");
const zstd = await openZstd();
const directories: string[] = [];
after(() => directories.forEach((path) => rmSync(path, { recursive: true, force: true })));

function newDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "tunlog-http-"));
  directories.push(path);
  return path;
}

function optionsOf(directory: string, more: Partial<CollectorOptions> = {}): CollectorOptions {
  return {
    ...{ directory, host: "127.0.0.1", port: 0, tls: null, kept: {}, bodyBytesMax: 1 << 20 },
    ...{ adoptAll: false, openCollections: true, adopted: [], zstd },
    ...{ clock: openClock(), timers: openTimers(), warn: () => {} },
    ...more,
  };
}

async function withCollector(
  run: (collector: Collector, directory: string) => Promise<void>,
  more: Partial<CollectorOptions> = {},
): Promise<void> {
  const directory = newDirectory();
  const collector = new Collector(optionsOf(directory, more));
  await collector.start();
  try {
    await run(collector, directory);
  } finally {
    await collector.stop();
  }
}

async function post(
  collector: Collector,
  body: string | Uint8Array,
  path = `/c/log/${PRIVATE}`,
  headers: Record<string, string> = {},
): Promise<Response> {
  const response = await fetch(collector.url + path, {
    method: "POST",
    body: body as string | Uint8Array<ArrayBuffer>,
    headers,
  });
  return response;
}

async function statusOf(response: Promise<Response>): Promise<number> {
  const { status, body } = await response;
  await body?.cancel();
  return status;
}

/** Sends bytes as they are; reads until the server closes, or `enough` is in what it said. */
function exchange(url: string, sent: string, enough = "\u0000"): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let said = "";
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    socket.on("close", () => resolve(said));
    socket.on("data", (chunk: Uint8Array) => {
      said += new TextDecoder("latin1").decode(chunk);
      if (said.includes(enough)) socket.destroy();
    });
    socket.write(sent);
  });
}

test("uploads raw and compressed, in either case of the id, without content type, land under the public id", async () => {
  await withCollector(async (collector) => {
    const entry = (seq: number) =>
      `[{"logtail":{"proc_id":7,"proc_seq":${seq}},"text":"${"x".repeat(400)}"}\n]`;
    const ok = await post(collector, entry(1));
    assert.equal(ok.status, 200);
    assert.equal(await ok.text(), "");
    const upper = await post(collector, entry(2), `/c/log/${PRIVATE.toUpperCase()}`);
    assert.equal(upper.status, 200);
    await upper.body?.cancel();
    const packed = zstd.compress(new TextEncoder().encode(entry(3)));
    const headers: Record<string, string> = zstd.name === "none"
      ? {}
      : { "content-encoding": "zstd" };
    assert.equal(await statusOf(post(collector, packed, undefined, headers)), 200);
    const answer = await (await fetch(`${collector.url}/c/log`)).json();
    assert.deepEqual(
      answer.logs.map((
        { logtail }: { logtail: Record<string, unknown> },
      ) => [logtail.id, logtail.proc_seq]),
      [[PUBLIC, 1], [PUBLIC, 2], [PUBLIC, 3]],
    );
    assert.match(answer.logs[0].logtail.server_time, /^20\d\d-.*Z$/);
    assert.ok(!JSON.stringify(answer).includes(PRIVATE));
  });
});

test("keep-alive, Expect: 100-continue and chunked bodies are served as stock clients want them", async () => {
  await withCollector(async ({ url }) => {
    const head = `POST /c/log/${PRIVATE} HTTP/1.1\r\nHost: x\r\n`;
    const two =
      `${head}Content-Length: 4\r\n\r\n[{}]${head}Content-Length: 4\r\nConnection: close\r\n\r\n[{}]`;
    assert.equal((await exchange(url, two)).match(/HTTP\/1\.1 200/g)?.length, 2);
    const waits =
      `${head}Expect: 100-continue\r\nConnection: close\r\nContent-Length: 4\r\n\r\n[{}]`;
    assert.match(await exchange(url, waits), /^HTTP\/1\.1 100 [^]*HTTP\/1\.1 200 /);
    const chunked =
      `${head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n[{\r\n2\r\n}]\r\n0\r\n\r\n`;
    assert.match(await exchange(url, chunked), /^HTTP\/1\.1 200 /);
  });
});

test("paths, methods and names that are wrong are answered short, and never with what was asked", async () => {
  await withCollector(async (collector) => {
    assert.equal(await statusOf(fetch(`${collector.url}/nothing`)), 404);
    assert.equal(await statusOf(fetch(`${collector.url}/c/log/${PRIVATE}`)), 405);
    assert.equal(await statusOf(post(collector, "[]", "/c/log/1234")), 404);
    assert.equal(await statusOf(post(collector, "[]", `/c/log/${"0".repeat(64)}`)), 404);
    assert.equal(await statusOf(post(collector, "[]", `/c/log/${PRIVATE}/more`)), 404);
    assert.equal(await statusOf(post(collector, "[]", `/c/%zz/${PRIVATE}`)), 400);
    for (const name of ["a%20b", "a%2fb", "x".repeat(254)]) {
      const response = await post(collector, "[]", `/c/${name}/${PRIVATE}`);
      assert.equal(response.status, 403, name);
      assert.deepEqual(await response.json(), { error: "invalid collection name" });
    }
    assert.equal(await statusOf(post(collector, "[]", `/c/${"x".repeat(253)}/${PRIVATE}`)), 200);
  });
});

test("no body that a stock client can send makes it send it again for ever", async () => {
  await withCollector(async (collector) => {
    const bodies: [string | Uint8Array, Record<string, string>][] = [
      ...[
        "[]",
        "",
        "null",
        "[1]",
        "[{]",
        `[{"logtail":{"odd":1}}]`,
        "\u0000",
        `[{"text":"\u0001"}]`,
      ]
        .map((body): [string, Record<string, string>] => [body, {}]),
      ["[{}]", { "content-encoding": "zstd" }],
      ["[{}]", { "content-encoding": "lzma" }],
      ["[{}]", { "orig-content-length": "99" }],
      ["x".repeat(1 << 20), {}],
      ["x".repeat((1 << 20) + 1), {}],
      [zstd.compress(new Uint8Array(4 << 20)), { "content-encoding": "zstd" }],
    ];
    for (const [body, headers] of bodies) {
      // HEAD: the same body again on whatever is not 200 (SPEC 2.8).
      let tries = 0;
      while (tries < 10 && await statusOf(post(collector, body, undefined, headers)) !== 200) {
        tries++;
      }
      assert.ok(tries < 3, `${body.slice(0, 20)}: ${tries} tries`);
    }
  });
});

test("a body far over the limit is refused before it is read, and by chunks as soon as it is over", async () => {
  await withCollector(async (collector) => {
    const head = `POST /c/log/${PRIVATE} HTTP/1.1\r\nHost: x\r\n`;
    const huge = await exchange(
      collector.url,
      `${head}Content-Length: 99999999999\r\n\r\n[`,
      "\n}",
    );
    assert.match(huge, /^HTTP\/1\.1 413 /);
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    const chunked = await exchange(
      collector.url,
      `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}`,
      "large",
    );
    assert.match(chunked, /^HTTP\/1\.1 413 /);
  }, { bodyBytesMax: 65_536 });
});

test("collections are registered by first use or by hand, and deleted ones stay refused", async () => {
  await withCollector(async (collector) => {
    const change = (body: string) =>
      statusOf(fetch(`${collector.url}/collections`, { method: "POST", body }));
    assert.equal(await statusOf(post(collector, "[{}]")), 200);
    assert.equal(await change("collection=by.hand&action=create"), 200);
    assert.equal(await change(`{"collection":"json-1","action":"create"}`), 200);
    assert.equal(await change("collection=a%20b&action=create"), 400);
    assert.equal(await change("collection=log&action=paint"), 400);
    const list = async (query = "") =>
      (await (await fetch(`${collector.url}/collections${query}`)).json()).collections;
    assert.deepEqual(Object.keys(await list()), ["by.hand", "json-1", "log"]);
    const { instances } = (await list("?collection-name=log")).log;
    assert.equal(instances[PUBLIC].orphan, true);
    assert.ok(instances[PUBLIC].size >= 4);
    assert.match(instances[PUBLIC]["first-seen"], /Z$/);
    assert.equal(await change("collection=log&action=delete"), 200);
    assert.equal(await change("collection=log&action=delete"), 404);
    assert.equal(await statusOf(post(collector, "[{}]")), 403);
    assert.equal(await change("collection=log&action=create"), 200);
    assert.equal(await statusOf(post(collector, "[{}]")), 200);
  });
  await withCollector(async (collector) => {
    assert.equal(await statusOf(post(collector, "[{}]")), 403);
    await statusOf(
      fetch(`${collector.url}/collections`, {
        method: "POST",
        body: "collection=log&action=create",
      }),
    );
    assert.equal(await statusOf(post(collector, "[{}]")), 200);
  }, { openCollections: false });
});

test("instances are adopted, seen or not, and given back", async () => {
  await withCollector(async (collector) => {
    await statusOf(post(collector, "[{}]"));
    const unseen = "ab".repeat(32);
    const adopt = (body: string) =>
      statusOf(fetch(`${collector.url}/instances`, { method: "POST", body }));
    assert.equal(await adopt(`collection=log&instances=${PUBLIC}&adopt=true`), 200);
    assert.equal(await adopt(JSON.stringify({ collection: "log", instances: [unseen] })), 200);
    assert.equal(await adopt("collection=log&instances=abc"), 400);
    assert.equal(await adopt("collection=log"), 400);
    const orphans = async () => {
      const { collections } = await (await fetch(`${collector.url}/collections`)).json();
      return Object.entries<{ orphan?: boolean }>(collections.log.instances)
        .map(([id, { orphan }]) => [id, orphan === true]);
    };
    assert.deepEqual((await orphans()).sort(), [[PUBLIC, false], [unseen, false]].sort());
    assert.equal(await adopt(`collection=log&instances=${PUBLIC}&adopt=false`), 200);
    assert.deepEqual(Object.fromEntries(await orphans())[PUBLIC], true);
  });
});

test("entries are handed out in pages, by instance and time, and followed", async () => {
  await withCollector(async (collector) => {
    const { url } = collector;
    const other = "ff".repeat(32);
    for (let seq = 1; seq <= 30; seq++) {
      const id = seq % 3 === 0 ? other : PRIVATE;
      await statusOf(
        post(collector, `[{"logtail":{"proc_id":7,"proc_seq":${seq}},"text":"t"}]`, `/c/log/${id}`),
      );
    }
    const seqs = (answer: { logs: { logtail: { proc_seq: number } }[] }) =>
      answer.logs.map(({ logtail }) => logtail.proc_seq);
    const found: number[] = [];
    let next: number | undefined = 0;
    while (next !== undefined) {
      const page: { logs: { logtail: { proc_seq: number } }[]; next?: number } =
        await (await fetch(`${url}/c/log?max-count=7&after=${next}`)).json();
      assert.ok(page.logs.length <= 7);
      found.push(...seqs(page));
      next = page.next;
    }
    assert.deepEqual(found, Array.from({ length: 30 }, (_, index) => index + 1));
    const own = await (await fetch(`${url}/c/log?instances=${PUBLIC}`)).json();
    assert.equal(own.logs.length, 20);
    const none = await (await fetch(`${url}/c/log?instances=${"12".repeat(32)}`)).json();
    assert.deepEqual(none, { logs: [] });
    const past = await (await fetch(`${url}/c/log?time-end=2020-01-01T00:00:00Z`)).json();
    assert.deepEqual(past, { logs: [] });
    for (
      const query of [
        "stream=true&time-end=2020-01-01T00:00:00Z",
        "time-start=now",
        "max-count=0",
        "instances=xyz",
      ]
    ) {
      assert.equal(await statusOf(fetch(`${url}/c/log?${query}`)), 400, query);
    }
    assert.equal(await statusOf(fetch(`${url}/c/nothing`)), 404);
    const followed = await fetch(`${url}/c/log?stream=true&instances=${PUBLIC}`);
    const reader = followed.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const until = async (lines: number) => {
      while (text.split("\n").length <= lines) {
        const { value, done } = await reader.read();
        assert.ok(!done);
        text += value;
      }
    };
    await until(21);
    await statusOf(post(collector, `[{"logtail":{"proc_id":7,"proc_seq":31},"text":"new"}]`));
    await until(22);
    await reader.cancel();
    const lines = text.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines[0], { logs: "stream" });
    assert.deepEqual([lines.length, lines[21].text], [22, "new"]);
  });
});

test("without a key this machine may read, but no page, proxy or other machine; with one, who has it", async () => {
  await withCollector(async ({ url }, directory) => {
    const ask = (headers: Record<string, string>, line = "GET /collections") => {
      const all = { Host: "localhost", Connection: "close", ...headers };
      const text = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("");
      return exchange(url, `${line} HTTP/1.1\r\n${text}\r\n`);
    };
    const basic = (key: string) => ({ Authorization: `Basic ${btoa(`${key}:`)}` });
    assert.match(await ask({}), /^HTTP\/1\.1 200 /);
    assert.match(await ask({ Host: "rebound.example" }), /^HTTP\/1\.1 403 /);
    assert.match(await ask({ "X-Forwarded-For": "192.0.2.1" }), /^HTTP\/1\.1 403 /);
    const form = { "Content-Length": "0", Origin: "http://evil.example" };
    assert.match(await ask(form, "POST /collections"), /^HTTP\/1\.1 403 /);
    const control = JSON.parse(readFileSync(`${directory}/control.json`, "utf8"));
    assert.equal(statSync(`${directory}/control.json`).mode & 0o777, 0o600);
    const keys = new ApiKeys(`${directory}/keys.json`);
    const key = keys.add("grafana", 1);
    assert.throws(() => keys.add("grafana", 1), /there is one of that name/);
    assert.throws(() => keys.add("a b", 1), /a name has/);
    assert.ok(!readFileSync(`${directory}/keys.json`, "utf8").includes(key));
    assert.match(await ask({}), /^HTTP\/1\.1 401 [^]*www-authenticate: Basic/i);
    assert.match(await ask(basic(`${key}x`)), /^HTTP\/1\.1 401 /);
    assert.match(await ask({ Host: "rebound.example", ...basic(key) }), /^HTTP\/1\.1 200 /);
    assert.match(await ask({ Authorization: `Bearer ${key}` }), /^HTTP\/1\.1 200 /);
    assert.match(await ask(basic(control.key)), /^HTTP\/1\.1 200 /);
    assert.ok(keys.remove("grafana") && !keys.remove("grafana"));
    assert.match(await ask({}), /^HTTP\/1\.1 200 /);
  });
});

test("a second collector on a directory is told so; an end stores what is under way and removes its traces", async () => {
  const directory = newDirectory();
  const first = new Collector(optionsOf(directory));
  await first.start();
  await assert.rejects(new Collector(optionsOf(directory)).start(), /store\.db/);
  const { bodies } = ingestBodies({ bodies: 3, addresses: 100, seed: 1, bodyBytesMax: 60_000 });
  const answers = bodies.map((body) => statusOf(post(first, body)));
  assert.deepEqual(await Promise.all(answers), [200, 200, 200]);
  const { rows } = first.stats().ingest;
  assert.ok(rows > 100);
  await first.stop();
  await first.stop();
  assert.ok(!existsSync(`${directory}/control.json`));
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  const second = new Collector(optionsOf(directory));
  await second.start();
  try {
    for (const body of bodies) assert.equal(await statusOf(post(second, body)), 200);
    const { ingest } = second.stats();
    assert.equal(ingest.rows, 0);
    assert.ok(ingest.repeated >= 3);
  } finally {
    await second.stop();
  }
});

test("slow headers, slow bodies and too many connections hold nothing for long", async () => {
  const router = new Router();
  router.add("POST", "/echo", async (request) => {
    return jsonReply(200, (await request.body(100)).length);
  }, "open");
  router.add("GET", "/fail", () => {
    throw new Error("a bug");
  }, "open");
  const warnings: string[] = [];
  const server = new HttpServer({
    ...{ host: "127.0.0.1", port: 0, router, tls: null, haste: 50, connectionsMax: 4 },
    authorize: () => {
      throw new HttpError(401, "no");
    },
    warn: (message) => warnings.push(message),
  });
  const url = `http://127.0.0.1:${await server.start()}`;
  const head = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  // Each ends by the server's own time-out; without one the test would not end.
  assert.doesNotMatch(await exchange(url, head), / 200 /);
  assert.doesNotMatch(await exchange(url, `${head}Content-Length: 5\r\n\r\nabc`), / 200 /);
  assert.match(
    await exchange(url, `GET / HTTP/1.1\r\nY: ${"y".repeat(70_000)}\r\n\r\n`),
    /^HTTP\/1\.1 400|^$/,
  );
  assert.match(
    await exchange(url, `${head}Content-Length: 3\r\nConnection: close\r\n\r\nabc`),
    /^HTTP\/1\.1 200 [^]*3\n$/,
  );
  const failed = await exchange(url, "GET /fail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.match(failed, /^HTTP\/1\.1 500 [^]*"internal error"/);
  assert.ok(!failed.includes("a bug"));
  assert.deepEqual(warnings, ["Request failed: a bug"]);
  const many = Array.from({ length: 12 }, () => exchange(url, "G"));
  await Promise.all(many);
  assert.ok(server.stats.clientErrors >= 3, `${server.stats.clientErrors}`);
  await server.stop();
});
