/** Goal: requests are checked strictly, answers are what the OpenAPI document says, and the document says all there is. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { ERROR } from "../../../src/collector/api/answers.ts";
import { API_ROUTES } from "../../../src/collector/api/routes.ts";
import { MemoryStoreReader } from "../../support/memory_store_reader.ts";
import { ApiScene, assertSchema } from "./api_support.ts";
import { type Found, HOUR_MS, rowOf, START_MS, START_NS, windowOf } from "./query_support.ts";

/** Two nodes that talk, with everything in their logs that answers can show. */
function logOf(): MemoryStoreReader {
  const reader = new MemoryStoreReader();
  reader.addStream();
  reader.addStream();
  const physical = rowOf({ classCode: 4, src: "100.64.0.2", dst: "192.0.2.7", proto: 0 });
  const exit = rowOf({ classCode: 2, dst: "", counters: [2n ** 60n + 1n, 2n ** 63n + 1n, 0n, 0n] });
  const swapped = rowOf({ src: "100.64.0.2", dst: "100.64.0.1", srcPort: 443, dstPort: 40_000 });
  for (const index of [0, 1, 2, 5, 6]) {
    reader.add(windowOf(index, [rowOf(), physical, exit, rowOf({ folded: index === 6 })]), {
      srcNode: { nodeId: "id1", addresses: ["100.64.0.1"] },
      tunlog: { exitMode: "node" },
    });
    reader.add(windowOf(index, [swapped], { stream: 2 }), {
      srcNode: { nodeId: "id2", addresses: ["100.64.0.2"] },
    });
  }
  reader.addGap(1, {
    cause: "full",
    procId: 1,
    firstSeq: 4,
    lastSeq: 4,
    entries: 1,
    startNs: START_NS,
    endNs: START_NS + 1n,
    sums: null,
    offered: false,
  });
  reader.addReport(
    1,
    1,
    8,
    '{"logtail":{"proc_seq":8},"nodeId":"id1","start":"2026-01-05T10:00:00Z",' +
      '"end":"2026-01-05T10:00:35Z","tunlog":{"report":{"windows":7,"drops":{"outNoRoute":{"pkts":1,"bytes":2}},"lost":{"full":{"entries":1}}}}}',
  );
  return reader;
}

const CONNECTION = "node=node1&proto=6&src=100.64.0.1&sport=40000&dst=100.64.0.2&dport=443";
/** One request that is right for each path. */
const REQUESTS: Record<string, string> = {
  "/flows": "/flows?from=-2h&limit=2",
  "/connection": `/connection?from=-2h&${CONNECTION}`,
  "/top": "/top?from=-2h&to=-55m&by=dst,class,host&flows=true&rates=true&limit=3",
  "/series": "/series?from=-2h&step=5m&by=dst",
  "/nodes": "/nodes?from=-2h&check=true",
  "/gaps": "/gaps?from=-2h",
  "/reconcile": "/reconcile?from=-2h&all=true",
  "/explain": `/explain?from=-2h&${CONNECTION}`,
  "/health": "/health",
  "/openapi.json": "/openapi.json",
  "/complete": "/complete?text=node%20&position=5",
};

test("API: each answer is what its schema says, with nothing left unsaid", async () => {
  const scene = new ApiScene(logOf());
  for (const route of API_ROUTES.filter(({ path }) => path !== "/live")) {
    const { status, value } = await scene.get(REQUESTS[route.path]);
    assert.equal(status, 200, `${route.path}: ${value.error?.message}`);
    assertSchema(value, route.answer);
  }
});

test("API: counters beyond 2^53 are exact digits", async () => {
  const scene = new ApiScene(logOf());
  const { body } = await scene.reply("/top?from=-2h&by=class&filter=class%20exit");
  assert.match(body as string, new RegExp(`"txBytes":${5n * (2n ** 63n + 1n)}[,}]`));
  assert.doesNotMatch(body as string, /e\+/);
});

test("API: pages follow `next`, answers may not be kept nor be read by other sites", async () => {
  const scene = new ApiScene(logOf());
  let found = 0;
  let cursor = "";
  for (let page = 0; page < 20; page++) {
    const { value } = await scene.get(`/flows?from=-2h&limit=3&cursor=${cursor}`);
    found += value.flows.length;
    if (value.next === null) break;
    cursor = value.next;
  }
  assert.equal(found, 25);
  const { headers = {} } = await scene.reply("/flows");
  assert.equal(headers["cache-control"], "no-store");
  assert.deepEqual(Object.keys(headers).filter((name) => /access-control/i.test(name)), []);
});

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ["/flows?form=-1h", "form", /"from" is probably meant/],
  ["/flows?from=-1h&from=-2h", "from", /more than once/],
  ["/flows?from=yesterday", "from", /is not a time/],
  ["/flows?from=2026-02-30T00:00:00Z", "from", /is not a time/],
  ["/flows?from=253402300800000", "from", /not in 1970 \.\. 9999/],
  ["/flows?from=now&to=-1h", "from", /range is empty/],
  ["/flows?from=now", "from", /range is empty/],
  ["/flows?limit=0", "limit", /from 1 to 10000/],
  ["/flows?limit=10001", "limit", /from 1 to 10000/],
  ["/flows?limit=1e3", "limit", /whole number/],
  ["/flows?limit=", "limit", /whole number/],
  ["/flows?order=latest", "order", /is not known/],
  ["/flows?cursor=1.2", "cursor", /is not what "next"/],
  ["/flows?orphans=yes", "orphans", /is not known/],
  ["/flows?timeout=61s", "timeout", /not within/],
  ["/flows?timeout=9ms", "timeout", /not within/],
  ["/flows?timeout=1", "timeout", /length of time/],
  ["/top?by=src,src", "by", /stands twice/],
  ["/top?by=src,dst,proto,class", "by", /More than 3/],
  ["/top?by=scr", "by", /"src" is probably meant/],
  ["/top?net4=33", "net4", /from 0 to 32/],
  ["/top?by=sport&tier=hour", "tier", /"raw" can/],
  ["/series?step=999ms", "step", /not within/],
  ["/explain?node=a&proto=6&src=1.2.3&dst=1.2.3.4", "src", /is not an address/],
  ["/explain?proto=6&src=1.2.3.4&dst=1.2.3.4", "node", /is missing/],
  ["/health?x=1", "x", /is not known/],
];

test("API: what is wrong with a request is said with the parameter's name, and nothing is asked", async () => {
  const scene = new ApiScene(logOf());
  for (const [target, parameter, message] of REFUSED) {
    const { status, value } = await scene.get(target);
    assert.equal(status, 400, target);
    assertSchema(value, ERROR);
    assert.equal(value.error.parameter, parameter, target);
    assert.match(value.error.message, message, target);
  }
  // The tier alone is judged where the question is answered.
  assert.equal(scene.asked.length, 1);
});

test("API: limits of parameters are taken at both ends", async () => {
  const scene = new ApiScene(logOf());
  for (
    const query of [
      ...["limit=1", "limit=10000", "timeout=10ms", "timeout=60s", "from=0", "to=253402300799999"],
      ...["from=-1h&to=now", "from=now-1h", "from=2026-01-05T11:00:00%2B01:00&to=1767610000000"],
      ...["from=2026-01-05T11:00:00+01:00", "to=now%2B1h"],
    ]
  ) {
    const { status, value } = await scene.get(`/flows?${query}`);
    assert.equal(status, 200, `${query}: ${value.error?.message}`);
  }
  const asked = scene.asked.map((question) => "range" in question ? question.range.fromMs : 0);
  assert.deepEqual(asked.slice(-3, -1), [START_MS, START_MS]);
});

test("API: a filter's problem has its place and what could stand there", async () => {
  const scene = new ApiScene(logOf());
  const { status, value } = await scene.get("/flows?filter=class%20subnat");
  assert.equal(status, 400);
  assertSchema(value, ERROR);
  assert.equal(value.error.parameter, "filter");
  assert.deepEqual(value.error.position, { start: 6, end: 12 });
  assert.ok(value.error.expected.length > 0);
  assert.match(value.error.message, /"subnet" is probably meant/);
});

test("API: paths that are not there are 404 in the same form", async () => {
  const { status, value } = await new ApiScene(logOf()).get("/flow");
  assert.equal(status, 404);
  assertSchema(value, ERROR);
});

test("OpenAPI: structure is that of 3.1, all paths and parameters stand in it", async () => {
  const { value } = await new ApiScene(logOf()).get("/openapi.json");
  assert.match(value.openapi, /^3\.1\.\d+$/);
  assert.ok(value.info.title && value.info.version);
  assert.deepEqual(
    Object.keys(value.paths).sort(),
    API_ROUTES.map(({ path }) => `/api/v1${path}`).sort(),
  );
  const ids = new Set<string>();
  for (const route of API_ROUTES) {
    const { get } = value.paths[`/api/v1${route.path}`];
    assert.ok(get.operationId && !ids.has(get.operationId), route.path);
    ids.add(get.operationId);
    assert.deepEqual(
      get.parameters.map(({ name }: Found) => name),
      Object.keys(route.parameters),
      route.path,
    );
    for (const { in: place, required, schema, description } of get.parameters) {
      assert.equal(place, "query");
      assert.equal(typeof required, "boolean");
      assert.ok(description.length > 0 && typeof schema.type === "string");
    }
    assert.ok(get.responses["200"].content[route.mediaType].schema);
    for (const response of Object.values(get.responses) as Found[]) assert.ok(response.description);
  }
  for (
    const reference of JSON.stringify(value).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)
  ) {
    assert.ok(value.components.schemas[reference[1]], reference[0]);
  }
});

test("OpenAPI: what a schema allows is taken, what it does not is refused", async () => {
  const scene = new ApiScene(logOf());
  let checked = 0;
  for (
    const route of API_ROUTES.filter(({ path }) => path !== "/live" && path !== "/openapi.json")
  ) {
    for (const [name, { schema }] of Object.entries(route.parameters)) {
      const values = valuesFor(schema as Found);
      for (const [text, isAllowed] of values) {
        const [path, rest = ""] = REQUESTS[route.path].split("?");
        const query = new URLSearchParams(rest);
        query.set(name, text);
        const { status, value } = await scene.get(`${path}?${query}`);
        const isRefused = status === 400 && value.error.parameter === name;
        // What is right by itself may still be too much together.
        const isTogether = status === 400 &&
          /too many|more than|cannot tell|has no rates/.test(value.error.message);
        assert.equal(
          isRefused && !isTogether,
          !isAllowed,
          `${path} ${name}=${text}: ${value.error?.message}`,
        );
        checked++;
      }
    }
  }
  assert.ok(checked > 200, `only ${checked} values`);
});

/** Values at and beyond the limits of a schema. */
function valuesFor(schema: Found): [string, boolean][] {
  const values: [string, boolean][] = [];
  if (schema.enum) {
    for (const word of schema.enum) values.push([word, true]);
    values.push(["no such word", false], ["", false]);
  } else if (schema.type === "integer") {
    values.push([`${schema.minimum}`, true], [`${schema.minimum - 1}`, false]);
    values.push([`${schema.maximum}`, true], [`${schema.maximum + 1}`, false], ["1.5", false]);
  } else if (schema.type === "boolean") {
    values.push(["true", true], ["false", true], ["1", false]);
  } else if (schema.pattern) {
    const pattern = new RegExp(schema.pattern);
    for (const text of ["nothing like it", "1.2", "5 s", ","]) {
      if (!pattern.test(text)) values.push([text, false]);
    }
    values.push([schema.default, true]);
  }
  return values;
}

test("API: times relative to now are those of the collector", async () => {
  const scene = new ApiScene(logOf());
  await scene.get("/gaps?from=-90s&to=now");
  const [question] = scene.asked;
  assert.ok("range" in question);
  assert.deepEqual(question.range, {
    fromMs: START_MS + HOUR_MS - 90_000,
    toMs: START_MS + HOUR_MS,
  });
});

test("API: /complete offers names of nodes, marks what is wrong, and spells what is right", async () => {
  const scene = new ApiScene(logOf());
  const { value } = await scene.get("/complete?text=tcp%20and%20node%20&position=13");
  assert.deepEqual([value.from, value.to], [13, 13]);
  assert.ok(value.items.length > 1);
  const details = value.items.map(({ detail }: { detail: string }) => detail);
  assert.deepEqual([...new Set(details.slice(0, -1))], ["node"]);
  assert.deepEqual(value.items.at(-1), { text: "in", detail: "" });
  assert.equal(value.canonical, null);
  assert.deepEqual(value.problem.position, { start: 13, end: 13 });
  const whole = await scene.get("/complete?text=proto%20tcp%20%26%26%20dst%20port%20443");
  assert.equal(whole.value.problem, null);
  assert.equal(whole.value.canonical, "tcp and dport 443");
  const wrong = await scene.get("/complete?text=class%20subnat");
  assert.deepEqual(wrong.value.problem.position, { start: 6, end: 12 });
});
