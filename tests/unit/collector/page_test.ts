/**
 * Goal: the page's files come whole, compressed and kept to the collector's own origin; login, logout and the end of a key
 * are what they say, streams included. Method: a real collector on loopback, requests as they are on the wire.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { ApiKeys, Collector } from "../../../src/collector/mod.ts";
import { ASSETS } from "../../../src/collector/page/assets.ts";
import { codingOf, VIEW_PATHS } from "../../../src/collector/page/page.ts";
import { FILTER_HELP } from "../../../src/collector/filter/mod.ts";
import { LOGIN_FAILURES_MAX } from "../../../src/limits.ts";
import { openClock, openTimers, openZstd } from "../../../src/platform/mod.ts";
import { foreignOrigins, pageGraph, preloadsOf, referencesOf } from "../../support/page_graph.ts";
import { rawRequest } from "../../support/raw_http.ts";

const PAYLOAD_BYTES_MAX = 150_000;
const CLIENT = fileURLToPath(new URL("../../../src/collector/page/client/", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "tunlog-page-"));
const warnings: string[] = [];
const collector = new Collector({
  ...{ directory, host: "127.0.0.1", port: 0, tls: null, kept: {}, bodyBytesMax: 1 << 20 },
  ...{ adoptAll: true, openCollections: true, adopted: [], zstd: await openZstd() },
  ...{ clock: openClock(), timers: openTimers(), warn: (message) => warnings.push(message) },
});
const keys = new ApiKeys(join(directory, "keys.json"));

before(() => collector.start());
after(async () => {
  await collector.stop();
  rmSync(directory, { recursive: true, force: true });
  assert.deepEqual(warnings, []);
});

const ask = (path: string, options: Parameters<typeof rawRequest>[1] = {}) =>
  rawRequest(collector.url + path, options);

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("page: what the document leads to is all that there is, and is what lies in the folder", async () => {
  const files = await pageGraph((path) => ask(path));
  const names = [...files.keys()].filter((path) => path !== "/").map((path) => path.slice(6));
  assert.deepEqual(names.sort(), Object.keys(ASSETS).sort());
  const onDisk = readdirSync(CLIENT);
  const ofPackages = ["d3-sankey.js", "filter_help.json", "uplot.css", "uplot.js"];
  assert.deepEqual([...names, "index.html"].sort(), [...onDisk, ...ofPackages].sort());
  for (const [path, { bytes }] of files) {
    const name = path === "/" ? "index.html" : path.slice(6);
    if (onDisk.includes(name)) assert.deepEqual(text(bytes), readFileSync(CLIENT + name, "utf8"));
    assert.deepEqual(foreignOrigins(text(bytes)), [], path);
  }
  assert.deepEqual(JSON.parse(text(files.get("/page/filter_help.json")!.bytes)), FILTER_HELP);
});

test("page: the document asks ahead for every module, and for nothing else", async () => {
  const files = await pageGraph((path) => ask(path));
  const document = text(files.get("/")!.bytes);
  const scripts = [...document.matchAll(/<script defer src="([^"]*)">/g)].map(([, path]) => path);
  const modules = [...files.keys()].filter((path) =>
    path.endsWith(".js") && !scripts.includes(path)
  );
  assert.deepEqual(preloadsOf(document), modules.sort());
  assert.deepEqual(scripts, ["/page/uplot.js", "/page/sankey_parts.js", "/page/d3-sankey.js"]);
});

test("pageGraph() and foreignOrigins() see what leaves the page", () => {
  const script = `import { a } from "./a.js";\nimport "https://b.example/c.js";\n` +
    `/** @typedef {import("./type.js").T} T */\nawait import("./d.js");\nfetch("/page/e.json");`;
  assert.deepEqual(referencesOf("text/javascript; charset=utf-8", script), [
    ...["./a.js", "https://b.example/c.js", "./d.js", "/page/e.json"],
  ]);
  const style = `@import "a.css"; p { background: url(https://b.example/c.png) }`;
  assert.deepEqual(referencesOf("text/css", style), ["a.css", "https://b.example/c.png"]);
  const document = `<script src="/page/a.js"></script><link href="//b.example/c.css">`;
  assert.deepEqual(referencesOf("text/html", document), ["/page/a.js", "//b.example/c.css"]);
  const ahead = `<link rel="modulepreload" href="/page/a.js">`;
  assert.deepEqual(referencesOf("text/html", ahead), []);
  assert.deepEqual(preloadsOf(ahead), ["/page/a.js"]);
  assert.deepEqual(foreignOrigins(`/* http://a.example */\nfetch("https://b.example/c")`), [
    "https://b.example/c",
  ]);
  assert.deepEqual(foreignOrigins(`"http://www.w3.org/2000/svg"`), []);
});

test("page: every view is the one document; its policy lets nothing in, its headers nothing out", async () => {
  const types: Record<string, string> = {
    "/page/main.js": "text/javascript; charset=utf-8",
    "/page/uplot.css": "text/css; charset=utf-8",
    "/page/icon.svg": "image/svg+xml",
    "/page/filter_help.json": "application/json",
  };
  const [first] = await Promise.all([ask("/")]);
  for (const path of [...VIEW_PATHS, "/?from=-1h", ...Object.keys(types)]) {
    const { status, headers, bytes } = await ask(path);
    assert.equal(status, 200, path);
    assert.equal(headers.get("content-type"), types[path] ?? "text/html; charset=utf-8", path);
    if (types[path] === undefined) assert.deepEqual(bytes, first.bytes);
    const policy = new Map(
      headers.get("content-security-policy")!.split("; ").map((directive) => {
        const [name, ...values] = directive.split(" ");
        return [name, values.join(" ")];
      }),
    );
    assert.deepEqual(Object.fromEntries(policy), {
      "default-src": "'none'",
      ...{ "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'" },
      ...{ "img-src": "'self'", "form-action": "'self'" },
      ...{ "frame-ancestors": "'none'", "base-uri": "'none'" },
      ...{ "require-trusted-types-for": "'script'", "trusted-types": "'none'" },
    });
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.equal(headers.get("cross-origin-resource-policy"), "same-origin");
    assert.equal(headers.get("cache-control"), "no-cache");
    assert.equal(headers.get("set-cookie"), null);
    assert.equal(headers.get("access-control-allow-origin"), null);
  }
  const { headers } = await ask("/collections");
  assert.equal(headers.get("access-control-allow-origin"), null);
  assert.equal(headers.get("cross-origin-resource-policy"), "same-origin");
  assert.equal(headers.get("cache-control"), "no-store");
});

test("page: files come as small as the client takes them, and only once", async () => {
  let payload = 0;
  for (const path of ["/", ...Object.keys(ASSETS).map((name) => `/page/${name}`)]) {
    const plain = await ask(path);
    assert.equal(plain.headers.get("content-encoding"), null);
    const tags = new Set([plain.headers.get("etag")]);
    for (const [coding, unpack] of [["br", brotliDecompressSync], ["gzip", gunzipSync]] as const) {
      const headers = { "accept-encoding": coding };
      const packed = await ask(path, { headers });
      assert.equal(packed.headers.get("content-encoding"), coding);
      assert.match(packed.headers.get("vary")!, /accept-encoding/i);
      assert.equal(packed.headers.get("content-length"), String(packed.bytes.length));
      assert.deepEqual(new Uint8Array(unpack(packed.bytes)), new Uint8Array(plain.bytes), path);
      tags.add(packed.headers.get("etag"));
      if (coding === "br") payload += packed.bytes.length;
      const head = await ask(path, { method: "HEAD", headers });
      assert.deepEqual([head.status, head.bytes.length], [200, 0]);
      assert.equal(head.headers.get("content-length"), String(packed.bytes.length));
      const etag = packed.headers.get("etag")!;
      for (const known of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
        const again = await ask(path, { headers: { ...headers, "if-none-match": known } });
        assert.deepEqual([again.status, again.bytes.length], [304, 0], known);
        assert.equal(again.headers.get("etag"), etag);
        assert.equal(again.headers.get("content-length"), null);
      }
      const other = plain.headers.get("etag")!;
      const stale = await ask(path, { headers: { ...headers, "if-none-match": other } });
      assert.equal(stale.status, 200);
    }
    assert.equal(tags.size, 3, `each form of ${path} has a tag of its own`);
  }
  assert.ok(payload < PAYLOAD_BYTES_MAX, `${payload} bytes`);
  assert.ok(payload > 20_000, `${payload} bytes: is that all?`);
});

test("codingOf() takes the best that is offered and none that is refused", () => {
  for (
    const [accepted, coding] of [
      ["", ""],
      ["br", "br"],
      ["gzip, deflate, br, zstd", "br"],
      ["GZIP;q=0.5", "gzip"],
      ["br;q=0, gzip", "gzip"],
      ["br; q=0.000", ""],
      ["br;q=0.001", "br"],
      ["brotli, xgzip, identity, *", ""],
      [",;q=,,", ""],
    ]
  ) assert.equal(codingOf(accepted), coding, accepted);
});

test("page: paths beside it are not there, and its files take no other method", async () => {
  for (
    const path of [
      ...[
        "/page/",
        "/page/nothing.js",
        "/explore/",
      ],
      ...["/page/assets.ts", "/page/client/main.js", "/index.html", "/page/__proto__"],
      "/page/constructor",
    ]
  ) assert.equal((await ask(path)).status, 404, path);
  for (const path of ["/", "/page/main.js", "/session"]) {
    const { status, headers } = await ask(path, { method: "POST" });
    assert.deepEqual([status, headers.get("allow")], [405, "GET"], path);
  }
  assert.deepEqual((await ask("/favicon.ico")).status, 204);
  assert.equal((await ask("/login")).status, 405);
});

const FORM = { "content-type": "application/x-www-form-urlencoded" };

const logIn = (key: string, headers: Record<string, string> = {}) =>
  ask("/login", {
    method: "POST",
    headers: { ...FORM, ...headers },
    body: String(new URLSearchParams({ key })),
  });

const isLoggedIn = async (cookie: string) =>
  JSON.parse(text((await ask("/session", { headers: { cookie } })).bytes)).loggedIn;

test("login: a key once, then the cookie; wrong, foreign and malformed ones are refused without a cookie", async () => {
  const key = keys.add("page", 1);
  try {
    const list = (headers: Record<string, string>) => ask("/collections", { headers });
    assert.equal((await list({})).status, 401);
    // No challenge: the browser would ask for a password over the page's form.
    const own = await list({ "x-tunlog-page": "1" });
    assert.deepEqual([own.status, own.headers.get("www-authenticate")], [401, null]);
    const { status, headers, bytes } = await logIn(` ${key}\n`);
    assert.deepEqual([status, bytes.length], [204, 0]);
    assert.equal(headers.get("cache-control"), "no-store");
    const set = headers.get("set-cookie")!;
    assert.match(set, /^tunlog-session-\d+=[\w-]{43}; .*; HttpOnly; SameSite=Strict$/);
    const cookie = set.split(";")[0];
    assert.equal((await list({ cookie })).status, 200);
    const change = {
      method: "POST",
      headers: { ...FORM, cookie },
      body: "collection=a&action=create",
    };
    assert.equal((await ask("/collections", change)).status, 401);
    for (
      const foreign of [
        { origin: "http://evil.example" },
        { origin: "null" },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
      ]
    ) {
      const refused = await logIn(key, foreign as unknown as Record<string, string>);
      assert.deepEqual([refused.status, refused.headers.get("set-cookie")], [403, null]);
      const out = await ask("/logout", { method: "POST", headers: { cookie, ...foreign } });
      assert.equal(out.status, 403);
    }
    assert.equal(await isLoggedIn(cookie), true);
    for (
      const [body, wanted] of [
        ["", 400],
        ["key=", 400],
        ["key=a&key=b", 400],
        ["other=a", 400],
        ['{"key":', 400],
        ["[]", 400],
        [`key=${"x".repeat(70_000)}`, 413],
        [`{"key":"${key}"}`, 204],
      ] as const
    ) {
      const answer = await ask("/login", { method: "POST", headers: FORM, body });
      assert.equal(answer.status, wanted, body.slice(0, 20));
      assert.equal(answer.headers.has("set-cookie"), wanted === 204);
    }
    // A key in the address is not looked at: addresses end up in logs.
    assert.equal((await ask(`/login?key=${key}`, { method: "POST", headers: FORM })).status, 400);
    assert.equal((await ask(`/collections?key=${key}`)).status, 401);
    const out = await ask("/logout", { method: "POST", headers: { cookie } });
    assert.match(out.headers.get("set-cookie")!, /^tunlog-session-\d+=; Path=\/; Max-Age=0; /);
    assert.equal(await isLoggedIn(cookie), false);
    assert.equal((await ask("/collections", { headers: { cookie } })).status, 401);
  } finally {
    keys.remove("page");
  }
});

test("login: whoever gives wrong keys has to wait, and is told how long", async () => {
  const key = keys.add("page", 1);
  try {
    for (let count = 0; count < LOGIN_FAILURES_MAX; count++) {
      const { status, bytes } = await logIn(`tunlog-${count}`);
      assert.equal(status, 403);
      assert.doesNotMatch(text(bytes), /tunlog-\d/);
    }
    const { status, headers } = await logIn(key);
    assert.equal(status, 429);
    const waitS = Number(headers.get("retry-after"));
    assert.ok(waitS >= 1 && waitS <= 60, `${waitS} s`);
    assert.equal(headers.get("set-cookie"), null);
    // Before anything of the body is looked at.
    assert.equal((await ask("/login", { method: "POST", headers: FORM, body: "" })).status, 429);
    // Clients that bring the key with each request are not the form's.
    const authorization = `Bearer ${key}`;
    assert.equal((await ask("/collections", { headers: { authorization } })).status, 200);
  } finally {
    keys.remove("page");
  }
});

/** A client that follows a stream. */
class Follower {
  #read = "";
  #isEnded = false;
  #wake: () => void = () => {};
  readonly #sent;

  constructor(path: string, key: string) {
    const headers = { authorization: `Bearer ${key}` };
    this.#sent = get(collector.url + path, { headers, agent: false }, (answer) => {
      answer.on("data", (piece: Uint8Array) => {
        this.#read += text(piece);
        this.#wake();
      });
      answer.on("error", () => this.#end());
      answer.on("close", () => this.#end());
    });
    this.#sent.on("error", () => this.#end());
  }

  #end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** @returns All that was read until the word stood there, or the stream had ended. */
  async until(word: string): Promise<string> {
    while (!this.#isEnded && !this.#read.includes(word)) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#read;
  }

  stop(): void {
    this.#sent.destroy();
  }
}

test("a stream that is under way ends with the key that it was asked for with, and with no other", async () => {
  let seq = 1;
  const post = async (word: string) => {
    const id = createHash("sha256").update("page").digest("hex");
    const body = `[{"logtail":{"proc_id":7,"proc_seq":${seq++}},"text":"${word}"}]`;
    assert.equal((await ask(`/c/log/${id}`, { method: "POST", body })).status, 200);
  };
  await post("before");
  const followers = ["page", "other"].map((name) =>
    new Follower("/c/log?stream=true", keys.add(name, 1))
  );
  const [revoked, other] = followers;
  try {
    for (const each of followers) assert.match(await each.until("before"), /before/);
    keys.remove("page");
    await post("afterwards");
    assert.doesNotMatch(await revoked.until("afterwards"), /afterwards/);
    assert.match(await other.until("afterwards"), /afterwards/);
  } finally {
    followers.forEach((each) => each.stop());
    keys.remove("page");
    keys.remove("other");
  }
});
