/**
 * Goal: a login is what it says and nothing beyond; who may ask is decided by nothing that a web page can make a browser say.
 * Method: keys in a real file, a clock of its own, requests as values.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Access, PAGE_HEADER } from "../../../src/collector/http/access.ts";
import { ApiKeys } from "../../../src/collector/http/api_keys.ts";
import { LoginAttempts } from "../../../src/collector/http/login_attempts.ts";
import { isFromOtherOrigin } from "../../../src/collector/http/origin.ts";
import { HttpError, type HttpRequest } from "../../../src/collector/http/router.ts";
import { Sessions } from "../../../src/collector/http/sessions.ts";
import {
  LOGIN_ADDRESSES_MAX,
  LOGIN_FAILURE_MS,
  LOGIN_FAILURES_MAX,
  SESSION_MS_MAX,
  SESSIONS_MAX,
} from "../../../src/limits.ts";

const directory = mkdtempSync(join(tmpdir(), "tunlog-sessions-"));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

type Headers = Readonly<Record<string, string>>;

function request(
  headers: Headers = {},
  { method = "GET", remoteAddress = "192.0.2.7" } = {},
): HttpRequest {
  const all: Headers = { host: "log.example:8080", ...headers };
  return {
    ...{ method, remoteAddress, path: "/", params: {}, query: new URLSearchParams() },
    header: (name) => all[name],
    signal: new AbortController().signal,
    body: () => Promise.resolve(new Uint8Array()),
  };
}

class Scene {
  nowMs = 1_000_000;
  readonly keys = new ApiKeys(join(directory, `keys-${files++}.json`));
  readonly sessions: Sessions;

  constructor(isTls = false) {
    this.sessions = new Sessions({ keys: this.keys, isTls, nowMs: () => this.nowMs });
  }

  /** @returns The cookie as a browser sends it back. */
  logIn(key: string, headers: Headers = {}): string {
    const cookie = this.sessions.open(key, request(headers));
    assert.ok(cookie !== null);
    return cookie.split(";")[0];
  }
}

function statusOf(run: () => void): number {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof HttpError, String(error));
    return error.status;
  }
  return 200;
}

test("Sessions.open() sets a cookie that no script sees, other sites do not send, and TLS keeps to itself", () => {
  const plain = new Scene();
  const key = plain.keys.add("page", 1);
  const cookie = plain.sessions.open(key, request());
  assert.match(
    cookie!,
    /^tunlog-session-8080=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
  );
  assert.ok(!cookie!.includes(key));
  const secure = /; HttpOnly; SameSite=Strict; Secure$/;
  const tls = new Scene(true);
  assert.match(tls.sessions.open(tls.keys.add("page", 1), request())!, secure);
  // A browser that came by TLS to what stands before the collector.
  const behind = { host: "log.example", origin: "https://log.example" };
  assert.match(plain.sessions.open(key, request(behind))!, secure);
  assert.doesNotMatch(plain.sessions.open(key, request({ origin: "http://x" }))!, /Secure/);
});

test("Sessions.check() takes the cookie it gave, by the port it was given for, and no other", () => {
  const scene = new Scene();
  const cookie = scene.logIn(scene.keys.add("page", 1));
  const check = (headers: Headers) => scene.sessions.check(request(headers));
  assert.equal(check({ cookie }), true);
  assert.equal(check({ cookie: `a=b; ${cookie}; c=d` }), true);
  assert.equal(check({}), false);
  assert.equal(check({ cookie: "" }), false);
  assert.equal(check({ cookie, host: "log.example:8081" }), false);
  assert.equal(check({ cookie, host: "log.example" }), false);
  assert.equal(check({ cookie: cookie.slice(0, -1) }), false);
  assert.equal(check({ cookie: `${cookie}A` }), false);
  assert.equal(check({ cookie: cookie.replace("-8080", "") }), false);
  const last = cookie.at(-1) === "A" ? "B" : "A";
  assert.equal(check({ cookie: cookie.slice(0, -1) + last }), false);
  for (const value of ["", "__proto__", "x".repeat(43), "x".repeat(9_000), "\u0000"]) {
    assert.equal(check({ cookie: `tunlog-session-8080=${value}` }), false, value.slice(0, 10));
  }
});

test("Sessions.check() finds the right cookie among those that another port of the host has set", () => {
  const scene = new Scene();
  const cookie = scene.logIn(scene.keys.add("page", 1));
  const other = `tunlog-session-8080=${"x".repeat(43)}; `;
  assert.equal(scene.sessions.check(request({ cookie: other.repeat(7) + cookie })), true);
  // Each costs a hash: beyond eight none is looked at.
  assert.equal(scene.sessions.check(request({ cookie: other.repeat(8) + cookie })), false);
});

test("a login ends after its time, at logout, at the next login, and with its key", () => {
  const scene = new Scene();
  const key = scene.keys.add("page", 1);
  const check = (cookie: string) => scene.sessions.check(request({ cookie }));

  const expired = scene.logIn(key);
  scene.nowMs += SESSION_MS_MAX - 1;
  assert.equal(check(expired), true);
  scene.nowMs += 1;
  assert.equal(check(expired), false);

  const closed = scene.logIn(key);
  const removal = scene.sessions.close(request({ cookie: closed }));
  assert.match(removal, /^tunlog-session-8080=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict$/);
  assert.equal(check(closed), false);
  assert.match(scene.sessions.close(request()), /Max-Age=0/);

  const replaced = scene.logIn(key);
  const kept = scene.logIn(key, { cookie: replaced });
  assert.deepEqual([check(replaced), check(kept)], [false, true]);

  const other = scene.logIn(scene.keys.add("other", 1));
  assert.ok(scene.keys.remove("page"));
  assert.deepEqual([check(kept), check(other)], [false, true]);
  // One of the same name is another key.
  scene.keys.add("page", 1);
  assert.equal(check(kept), false);
});

test("Sessions holds SESSIONS_MAX logins; the one who came first goes first", () => {
  const scene = new Scene();
  const key = scene.keys.add("page", 1);
  const first = scene.logIn(key);
  const second = scene.logIn(key);
  for (let count = 2; count < SESSIONS_MAX; count++) scene.logIn(key);
  const check = (cookie: string) => scene.sessions.check(request({ cookie }));
  assert.deepEqual([check(first), check(second)], [true, true]);
  const last = scene.logIn(key);
  assert.deepEqual([check(first), check(second), check(last)], [false, true, true]);
});

test("Sessions.open() makes who gives wrong keys wait, and nobody else", () => {
  const scene = new Scene();
  const key = scene.keys.add("page", 1);
  const from = (remoteAddress: string) => request({}, { remoteAddress });
  for (let count = 1; count < LOGIN_FAILURES_MAX; count++) {
    assert.equal(scene.sessions.open("tunlog-wrong", from("192.0.2.1")), null);
  }
  // One below the limit a right key is taken, and what was before is forgotten.
  assert.ok(scene.sessions.open(key, from("192.0.2.1")));
  for (let count = 1; count <= LOGIN_FAILURES_MAX; count++) {
    assert.equal(scene.sessions.open("tunlog-wrong", from("192.0.2.1")), null);
  }
  for (const each of [key, "tunlog-wrong"]) {
    assert.throws(() => scene.sessions.open(each, from("192.0.2.1")), (error) => {
      assert.ok(error instanceof HttpError);
      assert.deepEqual([error.status, error.headers["retry-after"]], [429, "60"]);
      assert.ok(!error.message.includes(each));
      return true;
    });
  }
  assert.ok(scene.sessions.open(key, from("192.0.2.2")));
  scene.nowMs += LOGIN_FAILURE_MS - 1;
  assert.equal(statusOf(() => scene.sessions.refuseHaste(from("192.0.2.1"))), 429);
  scene.nowMs += 1;
  assert.ok(scene.sessions.open(key, from("192.0.2.1")));
});

test("LoginAttempts keeps LOGIN_ADDRESSES_MAX addresses and counts a minute from the first wrong key", () => {
  const attempts = new LoginAttempts();
  const failAll = (address: string, nowMs: number) => {
    for (let count = 0; count < LOGIN_FAILURES_MAX; count++) attempts.fail(address, nowMs);
  };
  failAll("a", 0);
  failAll("b", 1);
  assert.deepEqual([attempts.waitMs("a", 10), attempts.waitMs("b", 10)], [59_990, 59_991]);
  for (let count = 2; count < LOGIN_ADDRESSES_MAX; count++) attempts.fail(`x${count}`, 2);
  assert.ok(attempts.waitMs("a", 10) > 0);
  attempts.fail("one more", 2);
  assert.equal(attempts.waitMs("a", 10), 0);
  assert.ok(attempts.waitMs("b", 10) > 0);
  // What is over is not added to.
  attempts.fail("b", LOGIN_FAILURE_MS + 1);
  assert.equal(attempts.waitMs("b", LOGIN_FAILURE_MS + 1), 0);
});

/** Headers of browsers, and whether another origin's page had the request sent. */
const ORIGINS: readonly [string, Headers, boolean][] = [
  ["no browser", {}, false],
  [
    "the page itself",
    { "sec-fetch-site": "same-origin", origin: "http://log.example:8080" },
    false,
  ],
  ["an address that was typed", { "sec-fetch-site": "none" }, false],
  ["the page behind TLS", { origin: "https://log.example:8080" }, false],
  ["another site", { "sec-fetch-site": "cross-site" }, true],
  ["another port or subdomain", { "sec-fetch-site": "same-site" }, true],
  ["a word that is not known", { "sec-fetch-site": "weird" }, true],
  ["an old browser, another site", { origin: "http://evil.example" }, true],
  ["an old browser, another port", { origin: "http://log.example:8081" }, true],
  ["a sandboxed frame", { origin: "null" }, true],
  ["a name that begins alike", { origin: "http://log.example:8080.evil.example" }, true],
  ["two that do not agree", { "sec-fetch-site": "same-origin", origin: "http://a" }, true],
];

test("isFromOtherOrigin() by what browsers say; a login opens nothing for others", () => {
  const scene = new Scene();
  const cookie = scene.logIn(scene.keys.add("page", 1));
  for (const [name, headers, isForeign] of ORIGINS) {
    assert.equal(isFromOtherOrigin(request(headers)), isForeign, name);
    assert.equal(scene.sessions.check(request({ ...headers, cookie })), !isForeign, name);
  }
});

test("Access: without keys this machine's user may ask, and nobody in between", () => {
  const { keys, sessions } = new Scene();
  const access = new Access(keys, "own", sessions);
  const ask = (headers: Headers, remoteAddress = "127.0.0.1", method = "GET") =>
    statusOf(() =>
      access.check(request({ host: "localhost:8080", ...headers }, { remoteAddress, method }))
    );
  for (const address of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
    assert.equal(ask({}, address), 200, address);
  }
  for (const address of ["", "192.0.2.1", "::ffff:192.0.2.1", "128.0.0.1", "::2", "127.0.0.1.1"]) {
    assert.equal(ask({}, address), 403, address);
  }
  for (
    const host of ["localhost", "LocalHost:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:9"]
  ) assert.equal(ask({ host }), 200, host);
  for (
    const host of [
      ...[
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
      ],
      ...[
        "evil.example#localhost",
        "localhost:8080@evil.example",
        "0.0.0.0",
        "[::]",
        "localhost:x",
      ],
      ...["localhost\n", "127.0.0.1:8080, evil.example", "xlocalhost", "[::1"],
    ]
  ) assert.equal(ask({ host }), 403, host);
  for (
    const name of [
      ...["forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"],
      ...["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-server"],
    ]
  ) {
    assert.equal(ask({ [name]: "127.0.0.1" }), 403, name);
    assert.equal(ask({ [name]: "" }), 403, name);
  }
  for (const site of ["cross-site", "same-site"]) {
    assert.equal(ask({ "sec-fetch-site": site }), 403, site);
    assert.equal(ask({ "sec-fetch-site": site }, "127.0.0.1", "POST"), 403, site);
  }
  assert.equal(ask({ "sec-fetch-site": "same-origin" }), 200);
  assert.equal(ask({ origin: "http://localhost:8080" }, "127.0.0.1", "POST"), 200);
  assert.equal(ask({ origin: "http://localhost:8081" }, "127.0.0.1", "POST"), 403);
  assert.equal(ask({ origin: "null" }, "127.0.0.1", "POST"), 403);
});

test("Access: with keys a login reads and changes nothing; a challenge is for who is not the page", () => {
  const scene = new Scene();
  const key = scene.keys.add("page", 1);
  const access = new Access(scene.keys, "own", scene.sessions);
  const cookie = scene.logIn(key);
  const ask = (headers: Headers, method = "GET", remoteAddress = "192.0.2.7") =>
    statusOf(() => access.check(request(headers, { method, remoteAddress })));
  const basic = (user: string) => ({ authorization: `Basic ${btoa(`${user}:`)}` });
  assert.equal(ask({}, "GET", "127.0.0.1"), 401);
  assert.deepEqual([ask({ cookie }), ask({ cookie }, "HEAD")], [200, 200]);
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "TRACE"]) {
    assert.equal(ask({ cookie }, method), 401, method);
  }
  // A wrong key beside it takes nothing away.
  assert.equal(ask({ cookie, ...basic("wrong") }), 200);
  assert.equal(ask({ ...basic(key), origin: "http://evil.example" }, "POST"), 403);
  for (const given of [basic(key), { authorization: `bearer ${key}` }, basic("own")]) {
    assert.deepEqual([ask(given), ask(given, "POST")], [200, 200]);
  }
  for (
    const authorization of [
      ...["", "Basic", "Basic ", `Basic ${btoa("")}`, "Bearer ", `Digest ${key}`, key],
      ...[`Bearer ${key}x`, `Bearer ${key.slice(0, -1)}`, "Basic %%%", `Basic ${btoa(`:${key}`)}`],
    ]
  ) assert.equal(ask({ authorization }), 401, authorization);
  const challenge = (headers: Headers) => {
    try {
      access.check(request(headers));
    } catch (error) {
      return (error as HttpError).headers["www-authenticate"];
    }
    return assert.fail("let in");
  };
  assert.match(challenge({})!, /^Basic realm=/);
  assert.equal(challenge({ [PAGE_HEADER]: "1" }), undefined);
  scene.keys.remove("page");
  assert.equal(ask({ cookie }), 403);
  assert.equal(ask(basic(key)), 403);
});
