/**
 * Goal: whatever the collector or the network answers becomes one of few things that a person can act on; a key is sent in a
 * body only. Method: the page's own client with a `fetch` of the test.
 */
import { after, beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import {
  ApiError,
  apiUrl,
  ask,
  isLoggedIn,
  login,
  logout,
  onAskError,
} from "../../../../src/collector/page/client/api.js";

interface Sent {
  readonly url: string;
  readonly init: RequestInit;
}

const realFetch = globalThis.fetch;
let sent: Sent[] = [];
let told: ApiError[] = [];
let answer: () => Response | Promise<Response> = () => new Response("{}");

beforeEach(() => {
  sent = [];
  told = [];
  onAskError((error) => void told.push(error));
  globalThis.fetch = ((url: string, init: RequestInit) => {
    sent.push({ url, init });
    return Promise.resolve().then(answer);
  }) as typeof fetch;
});
after(() => {
  globalThis.fetch = realFetch;
});

const json = (status: number, value: unknown) => () =>
  new Response(JSON.stringify(value), { status });

async function refusal(run: () => Promise<unknown>): Promise<ApiError> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error;
  }
  return assert.fail("it was answered");
}

test("apiUrl() leaves out what is empty, and encodes the rest", () => {
  assert.equal(apiUrl("/nodes"), "/api/v1/nodes");
  assert.equal(
    apiUrl("/top", { by: "", limit: 0, flows: false }),
    "/api/v1/top?limit=0&flows=false",
  );
  assert.equal(
    apiUrl("/top", { filter: 'node "a&b=c#"\n' }),
    "/api/v1/top?filter=node+%22a%26b%3Dc%23%22%0A",
  );
});

test("ask() keeps counts exact, asks for no cache, and says that the page asks", async () => {
  answer = () => new Response('{"bytes":9007199254740993}');
  assert.deepEqual(await ask("/top", { by: "src" }), { bytes: 9007199254740993n });
  const [{ url, init }] = sent;
  assert.equal(url, "/api/v1/top?by=src");
  assert.deepEqual(
    [init.credentials, init.cache, init.method, new Headers(init.headers).get("x-tunlog-page")],
    ["same-origin", "no-store", undefined, "1"],
  );
  assert.deepEqual(told, []);
});

test("ask() tells apart what a person can do: log in, mend the question, wait, look at the collector", async () => {
  const details = { parameter: "filter", position: { start: 1, end: 3 }, expected: ["and"] };
  const cases: readonly [number, unknown, string, string][] = [
    [400, { error: { message: "Filter is wrong", ...details } }, "wrong", "Filter is wrong"],
    [401, { error: "an API key is needed" }, "login", "an API key is needed"],
    [403, { error: "only this machine" }, "forbidden", "only this machine"],
    [404, { error: { message: "no such path" } }, "failed", "no such path"],
    [429, { error: "too many wrong keys" }, "failed", "too many wrong keys"],
    [500, { error: "internal error" }, "failed", "internal error"],
    [503, { error: { message: "Too many" } }, "busy", "Too many"],
    [504, { error: { message: "Too long" } }, "busy", "Too long"],
    // What stands between may answer anything.
    [502, "<html>Bad gateway</html>", "failed", "The collector answered 502"],
    [500, null, "failed", "The collector answered 500"],
    [500, { error: null }, "failed", "The collector answered 500"],
    [500, { error: { message: undefined } }, "failed", "The collector answered 500"],
    [500, [], "failed", "The collector answered 500"],
  ];
  for (const [status, body, kind, message] of cases) {
    answer = json(status, body);
    const error = await refusal(() => ask("/top"));
    assert.deepEqual([error.kind, error.message], [kind, message], `${status} ${body}`);
    assert.equal(told.at(-1), error);
  }
  assert.equal(told.length, cases.length);
  answer = json(...([400, cases[0][1]] as const));
  const { parameter, position, expected } = (await refusal(() => ask("/top"))).details;
  assert.deepEqual({ parameter, position, expected }, details);
  answer = () => new Response("<html>", { status: 500 });
  assert.equal((await refusal(() => ask("/top"))).message, "The collector answered 500");
});

test("ask() without an answer is `unreachable`; one that was called off is nobody's error", async () => {
  answer = () => Promise.reject(new TypeError("Failed to fetch"));
  assert.equal((await refusal(() => ask("/top"))).kind, "unreachable");
  assert.equal(told.length, 1);
  const broken = new ReadableStream({
    start: (controller) => controller.error(new TypeError("network error")),
  });
  answer = () => new Response(broken);
  assert.equal((await refusal(() => ask("/top"))).kind, "unreachable");
  assert.equal(told.length, 2);
  const calling = new AbortController();
  answer = () => {
    calling.abort();
    return Promise.reject(calling.signal.reason);
  };
  await assert.rejects(ask("/top", {}, calling.signal), { name: "AbortError" });
  // While the answer comes, too.
  const late = new AbortController();
  const stuck = new ReadableStream({
    pull: (controller) => {
      late.abort();
      controller.error(late.signal.reason);
    },
  });
  answer = () => new Response(stuck);
  await assert.rejects(ask("/top", {}, late.signal), { name: "AbortError" });
  assert.equal(told.length, 2);
  answer = () => new Response("<html>Log in to the network</html>");
  assert.equal((await refusal(() => ask("/top"))).kind, "failed");
  assert.equal(told.length, 3);
});

test("login() sends the key in the body, and never in an address or header", async () => {
  const key = "tunlog-secret&key";
  answer = () => new Response(null, { status: 204 });
  await login(key);
  await logout();
  const [{ url, init }, second] = sent;
  assert.deepEqual([url, init.method, String(init.body)], [
    "/login",
    "POST",
    "key=tunlog-secret%26key",
  ]);
  assert.ok(init.body instanceof URLSearchParams);
  assert.deepEqual([second.url, second.init.method, second.init.body], [
    "/logout",
    "POST",
    undefined,
  ]);
  for (const each of sent) {
    assert.equal(new Headers(each.init.headers).get("x-tunlog-page"), "1");
    assert.doesNotMatch(each.url + JSON.stringify([...new Headers(each.init.headers)]), /secret/);
  }
  answer = json(403, { error: "this is not an API key of this collector" });
  assert.equal((await refusal(() => login(key))).kind, "forbidden");
  // It is the form's own affair.
  assert.deepEqual(told, []);
  for (const [value, isIn] of [[{ loggedIn: true }, true], [{ loggedIn: 1 }, false], [{}, false]]) {
    answer = json(200, value);
    assert.equal(await isLoggedIn(), isIn);
  }
});
