/**
 * Log collection of the system tests; a program of its own, because it runs inside a namespace and is to be killed.
 *
 * In: `ADDRESS PORT DIRECTORY`; on standard input one list of SinkRule as JSON a line, which replaces the one before.
 * Out: `listening` and `rules N` for each list. In the directory: `requests.ndjson`, one SinkRequest a line;
 * `entries.ndjson`, one SinkEntry a line; `body-N`, each body as it came. All of a request is written before it is answered.
 */
import { decompress } from "fzstd";
import { Buffer } from "node:buffer";
import { appendFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import type { SinkEntry, SinkRequest, SinkRule } from "./log_sink.ts";

const [address, port, directory] = process.argv.slice(2) as [string, string, string];

let rules: SinkRule[] = [];
let ruleLists = 0;
/** Names of bodies must not meet those of a former process. */
const startMs = Date.now();
let requestCount = 0;

/** Takes the first rule that is meant. */
function ruleFor(body: string): SinkRule {
  const rule = rules.find(({ times = Infinity, bytesAbove = -1, contains = "" }) =>
    times > 0 && Buffer.byteLength(body) > bytesAbove && body.includes(contains)
  );
  if (rule === undefined) return { status: 200 };
  rules = rules.map((each) =>
    each === rule && each.times !== undefined ? { ...each, times: each.times - 1 } : each
  );
  return rule;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Decoded as its header says; null with the reason when it cannot be. */
function decode(request: IncomingMessage, body: Uint8Array): { text: string; problem: string } {
  try {
    const isPacked = request.headers["content-encoding"] === "zstd";
    const bytes = isPacked ? decompress(body) : body;
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), problem: "" };
  } catch (error) {
    return { text: "", problem: String(error) };
  }
}

/** Lines `[{…}`, `,{…}`, `]` → the objects' own text. */
function entriesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.pop() !== "]") throw new SyntaxError("the body does not end with a line `]`");
  return lines.map((line, index) => {
    if (line[0] !== (index === 0 ? "[" : ",")) throw new SyntaxError(`line ${index} is not framed`);
    return line.slice(1);
  });
}

function append(name: string, values: readonly unknown[]): void {
  const text = values.map((value) => `${JSON.stringify(value)}\n`).join("");
  appendFileSync(join(directory, name), text);
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const bodyName = `body-${startMs}-${requestCount++}`;
  const body = await readBody(request);
  const { text, problem } = decode(request, body);
  const rule = ruleFor(text);
  const { status, isReset = false, delayMs = 0 } = rule;
  const stores = rule.stores ?? (status === 200 && !isReset);
  const entries: SinkEntry[] = [];
  let framing = problem;
  try {
    if (problem === "") entries.push(...entriesOf(text).map((text) => ({ bodyName, text })));
  } catch (error) {
    framing = String(error);
  }
  writeFileSync(join(directory, bodyName), body);
  if (stores) append("entries.ndjson", entries);
  const { method = "", url = "", headers } = request;
  const about: SinkRequest = {
    ...{ method, url, headers, bodyName, status, isReset, stores },
    ...{ textBytes: Buffer.byteLength(text), entries: entries.length, problem: framing },
    wallMs: Date.now(),
  };
  append("requests.ndjson", [about]);
  if (delayMs > 0) await pause(delayMs);
  if (isReset) return void request.socket.destroy();
  response.writeHead(framing === "" ? status : 400, rule.headers ?? {});
  response.end(framing);
}

createServer((request, response) => {
  serve(request, response).catch((error) => {
    console.error(error);
    request.socket.destroy();
  });
}).listen(Number(port), address, () => console.log("listening"));

for await (const line of createInterface({ input: process.stdin })) {
  rules = JSON.parse(line);
  console.log(`rules ${++ruleLists}`);
}
