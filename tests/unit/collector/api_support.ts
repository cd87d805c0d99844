/** Requests to the API without a server, and answers held against their schemas. */
import assert from "node:assert/strict";
import type { Schema } from "../../../src/collector/api/parameters.ts";
import { type ApiParts, mountApi } from "../../../src/collector/api/mount.ts";
import type { HttpReply, HttpRequest } from "../../../src/collector/http/router.ts";
import { Router } from "../../../src/collector/http/router.ts";
import { Answerer } from "../../../src/collector/query/answer.ts";
import type { StoreReader } from "../../../src/collector/store.ts";
import { parseExactJson } from "../../../src/netlog/mod.ts";
import { MemoryClock } from "../../../src/platform/memory_clock.ts";
import { type Found, HOUR_MS, START_MS } from "./query_support.ts";

/** An API over a store, without threads. */
export class ApiScene {
  readonly clock = new MemoryClock({ wallMs: START_MS + HOUR_MS });
  readonly router = new Router();
  readonly asked: Parameters<ApiParts["queries"]["ask"]>[0][] = [];
  readonly api;

  constructor(reader: StoreReader) {
    const answerer = new Answerer(reader, () => 0);
    const stats = {
      asked: 0,
      answered: 0,
      refused: 0,
      cancelled: 0,
      timedOut: 0,
      threadsLost: 0,
    };
    this.api = mountApi(this.router, {
      queries: {
        ask: (question) => {
          this.asked.push(question);
          return Promise.resolve(answerer.answer(question));
        },
        stats,
        waiting: 0,
      },
      clock: this.clock,
      timers: this.clock,
    });
  }

  /** @param target Path behind /api/v1, with its query. */
  async reply(
    target: string,
    { headers = {}, signal = new AbortController().signal, method = "GET" }: {
      headers?: Record<string, string>;
      signal?: AbortSignal;
      method?: string;
    } = {},
  ): Promise<HttpReply> {
    const [path, query = ""] = `/api/v1${target}`.split("?");
    const { handler, params } = this.router.match(method, path);
    const request: HttpRequest = {
      method,
      path,
      params,
      query: new URLSearchParams(query),
      header: (name) => headers[name],
      remoteAddress: "127.0.0.1",
      signal,
      body: () => Promise.reject(new Error("GET has no body")),
    };
    return await handler(request);
  }

  async get(target: string): Promise<{ status: number; value: Found }> {
    const { status, body } = await this.reply(target);
    return { status, value: parseExactJson(body as string) };
  }
}

/** Holds a value against as much of JSON Schema as the API uses. @throws {AssertionError} */
export function assertSchema(value: Found, schema: Schema, path = "$"): void {
  const { type, anyOf, items, properties, required, additionalProperties } = schema as Found;
  if (anyOf !== undefined) {
    const errors = anyOf.map((each: Schema) => problemOf(value, each, path));
    assert.ok(errors.includes(null), `${path}: ${errors.join("; ")}`);
    return;
  }
  if (type === undefined) return;
  assert.equal(typeOf(value, type), type, path);
  if (schema.enum !== undefined) assert.ok((schema.enum as string[]).includes(value), path);
  if (schema.minimum !== undefined) assert.ok(value >= (schema.minimum as number), path);
  if (type === "array") {
    for (const [index, item] of value.entries()) assertSchema(item, items, `${path}[${index}]`);
  }
  if (type !== "object" || (properties ?? additionalProperties) === undefined) return;
  for (const name of required ?? []) assert.ok(name in value, `${path}.${name} is missing`);
  for (const [name, member] of Object.entries(value)) {
    const own = properties?.[name] ?? additionalProperties;
    assert.ok(own, `${path}.${name} is in no schema`);
    assertSchema(member as Found, own, `${path}.${name}`);
  }
}

function problemOf(value: Found, schema: Schema, path: string): string | null {
  try {
    assertSchema(value, schema, path);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function typeOf(value: Found, wanted: string): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "bigint") return wanted === "number" ? "number" : "integer";
  if (typeof value === "number") {
    return wanted === "integer" && Number.isInteger(value) ? "integer" : "number";
  }
  return typeof value;
}
