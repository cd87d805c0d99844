/**
 * Goal: one POST is what SPEC 2.2 says, ends in bounded time whatever the server does, and tells no secret.
 * Method: real node:http servers on loopback, on whichever runtime runs this; real time only where it is the matter.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import * as fzstd from "fzstd";
import { Uploader, type UploaderOptions } from "../../../src/node/upload.ts";
import { openZstd } from "../../../src/platform/zstd.ts";

const PRIVATE_ID = "0123456789abcdef".repeat(4);
const COPY_ID = "fedcba9876543210".repeat(4);
const ZSTD = await openZstd();
const BODY = new TextEncoder().encode(`[{"a":1}\n]`);
/** Far more than a loopback answer takes, far less than a person waits. */
const TIMEOUT_MS = 10_000;
/** For servers that never answer. */
const SHORT_TIMEOUT_MS = 150;

interface Request {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: Uint8Array;
  readonly port: number | undefined;
}

async function received(request: IncomingMessage): Promise<Request> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  const { method, url, headers } = request;
  return { method, url, headers, body: Buffer.concat(parts), port: request.socket.remotePort };
}

async function listen(server: Server): Promise<URL> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => void server.close(() => resolve()));
}

/** Runs `use` against a server that reads each request and then answers. */
async function withServer(
  answer: (response: ServerResponse, request: Request) => void,
  use: (uploader: Uploader, requests: Request[]) => Promise<void>,
  options: Partial<UploaderOptions> = {},
): Promise<void> {
  const requests: Request[] = [];
  const listener: RequestListener = async (message, response) => {
    const request = await received(message);
    requests.push(request);
    answer(response, request);
  };
  const server = createServer(listener);
  const uploader = uploaderTo(await listen(server), options);
  try {
    await use(uploader, requests);
  } finally {
    uploader.close();
    await close(server);
  }
}

function uploaderTo(baseUrl: URL, options: Partial<UploaderOptions> = {}): Uploader {
  return new Uploader({
    ...{ baseUrl, collection: "tailtraffic.log.tailscale.io", privateId: PRIVATE_ID },
    ...{ copyId: null, zstd: ZSTD, timeoutMs: TIMEOUT_MS },
    ...options,
  });
}

function status(code: number, text = "", headers: Record<string, string> = {}) {
  return (response: ServerResponse) => void response.writeHead(code, headers).end(text);
}

test("Uploader.post() sends what SPEC 2.2 says, a short body as it is", async () => {
  await withServer(status(200), async (uploader, requests) => {
    const result = await uploader.post(BODY);
    assert.deepEqual(result, {
      ...{ status: 200, retryAfter: null, problem: null },
      sentBytes: BODY.length,
    });
    assert.equal(requests.length, 1);
    const { method, url, headers, body } = requests[0];
    assert.equal(method, "POST");
    assert.equal(url, `/c/tailtraffic.log.tailscale.io/${PRIVATE_ID}`);
    assert.ok(Buffer.from(BODY).equals(body));
    assert.equal(headers["content-length"], String(BODY.length));
    for (
      const name of ["content-type", "content-encoding", "orig-content-length", "authorization"]
    ) {
      assert.equal(headers[name], undefined, name);
    }
    assert.equal(headers["accept-encoding"], "identity");
  });
});

test("Uploader.post() names the stream that gets a copy, under a base with a path", async () => {
  let base: URL | null = null;
  const server = createServer((request, response) => {
    base = new URL(request.url!, "http://collector");
    request.resume();
    response.end();
  });
  const url = await listen(server);
  const uploader = uploaderTo(new URL("/logs/", url), { copyId: COPY_ID });
  assert.equal((await uploader.post(BODY)).status, 200);
  assert.equal(
    String(base),
    `http://collector/logs/c/tailtraffic.log.tailscale.io/${PRIVATE_ID}?copyId=${COPY_ID}`,
  );
  uploader.close();
  await close(server);
});

test("Uploader.post() compresses bodies over 256 bytes", async () => {
  await withServer(status(200), async (uploader, requests) => {
    for (const length of [256, 257, 262_144]) {
      const body = new TextEncoder().encode("ab".repeat(length).slice(0, length));
      const { sentBytes } = await uploader.post(body);
      const request = requests.at(-1)!;
      const isPacked = length > 256;
      assert.equal(request.headers["content-encoding"], isPacked ? "zstd" : undefined);
      assert.equal(request.headers["orig-content-length"], isPacked ? String(length) : undefined);
      assert.equal(request.headers["content-length"], String(sentBytes));
      assert.equal(request.body.length, sentBytes);
      assert.ok(Buffer.from(isPacked ? fzstd.decompress(request.body) : request.body).equals(body));
    }
  });
});

test("Uploader.post() compresses only what saves more than 64 bytes", async () => {
  for (const [savedBytes, isPacked] of [[64, false], [65, true]] as const) {
    const zstd = { name: "cut", compress: (body: Uint8Array) => body.subarray(savedBytes) };
    await withServer(status(200), async (uploader, requests) => {
      const { sentBytes } = await uploader.post(new Uint8Array(300));
      assert.equal(sentBytes, isPacked ? 235 : 300);
      assert.equal(requests[0].headers["content-encoding"], isPacked ? "zstd" : undefined);
    }, { zstd });
  }
});

test("Uploader.post() sends a body as it is when the compressor fails", async () => {
  const zstd = {
    name: "broken",
    compress: () => {
      throw new Error("out of memory");
    },
  };
  await withServer(status(200), async (uploader, requests) => {
    const { status: code, sentBytes } = await uploader.post(new Uint8Array(300));
    assert.equal(code, 200);
    assert.equal(sentBytes, 300);
    assert.equal(requests[0].headers["content-encoding"], undefined);
  }, { zstd });
});

test("Uploader.post() tells status, problem and Retry-After of each answer", async () => {
  const date = "Thu, 01 Jan 2026 00:00:42 GMT";
  const cases: [code: number, text: string, retryAfter: string | null, problem: string | null][] = [
    [204, "", null, null],
    [400, "bad\r\n\u001b[31mentry", null, "status 400: bad [31mentry"],
    [401, "", null, "status 401"],
    [413, "", null, "status 413"],
    [
      429,
      "rate limited on bytes transferred per ID",
      "7",
      "status 429: rate limited on bytes " +
      "transferred per ID",
    ],
    [429, "", date, "status 429"],
    [
      500,
      `cannot store /c/x/${PRIVATE_ID.toUpperCase()}`,
      null,
      "status 500: cannot store " +
      "/c/x/<private id>",
    ],
  ];
  for (const [code, text, retryAfter, problem] of cases) {
    const headers: Record<string, string> = retryAfter === null
      ? {}
      : { "retry-after": retryAfter };
    await withServer(status(code, text, headers), async (uploader) => {
      const result = await uploader.post(BODY);
      assert.deepEqual(result, { status: code, retryAfter, problem, sentBytes: BODY.length });
    });
  }
});

test("Uploader.post() follows no redirect: the private id stays with its host", async () => {
  let strangerAsked = 0;
  const stranger = createServer((_, response) => {
    strangerAsked++;
    response.end();
  });
  const url = await listen(stranger);
  for (const code of [301, 302, 303, 307, 308]) {
    const location = `${url.href}c/x/${PRIVATE_ID}`;
    await withServer(status(code, "", { location }), async (uploader, requests) => {
      const result = await uploader.post(BODY);
      assert.equal(result.status, code);
      assert.equal(result.problem, `status ${code}`);
      assert.equal(requests.length, 1);
    });
  }
  assert.equal(strangerAsked, 0);
  await close(stranger);
});

test("Uploader.post() tells resets before and after the body was read, without the URL's id", async () => {
  const beforeBody = createTcpServer((socket) => socket.once("data", () => socket.destroy()));
  await new Promise<void>((resolve) => beforeBody.listen(0, "127.0.0.1", resolve));
  const { port } = beforeBody.address() as AddressInfo;
  const uploader = uploaderTo(new URL(`http://127.0.0.1:${port}`), { copyId: COPY_ID });
  assertNoAnswer(await uploader.post(new Uint8Array(2 ** 20)));
  await new Promise((resolve) => beforeBody.close(resolve));
  // Nobody listens any more.
  assertNoAnswer(await uploader.post(BODY));
  uploader.close();

  await withServer((response) => response.socket!.destroy(), async (other, requests) => {
    assertNoAnswer(await other.post(BODY));
    assert.ok(requests.length >= 1);
  });
});

function assertNoAnswer({ status, problem, retryAfter }: Awaited<ReturnType<Uploader["post"]>>) {
  assert.equal(status, null);
  assert.equal(retryAfter, null);
  assert.ok(problem !== null && problem.length > 5, `${problem}`);
  for (const secret of [PRIVATE_ID, COPY_ID]) assert.ok(!problem.includes(secret), problem);
}

test("Uploader.post() gives up a server that never answers", async () => {
  await withServer(() => {}, async (uploader) => {
    const result = await uploader.post(BODY);
    assertNoAnswer(result);
    assert.equal(result.problem, `no answer within ${SHORT_TIMEOUT_MS} ms`);
  }, { timeoutMs: SHORT_TIMEOUT_MS });
});

test("Uploader.post() keeps a status whose text never ends, and gives the text up in time", async () => {
  for (const code of [200, 500]) {
    await withServer(
      (response) => void response.writeHead(code).write("half"),
      async (uploader) => {
        const result = await uploader.post(BODY);
        assert.equal(result.status, code);
        assert.equal(result.problem, code === 200 ? null : "status 500: half");
      },
      { timeoutMs: SHORT_TIMEOUT_MS },
    );
  }
});

test("Uploader.post() reads little of a giant answer", async () => {
  const chunk = "x".repeat(65_536);
  let written = 0;
  let closed = () => {};
  const isClosed = new Promise<void>((resolve) => closed = resolve);
  await withServer((response) => {
    response.on("error", () => {});
    response.on("close", closed);
    response.writeHead(500);
    const more = () => {
      while (!response.destroyed && written < 2 ** 30) {
        written += chunk.length;
        if (!response.write(chunk)) return void response.once("drain", more);
      }
    };
    more();
  }, async (uploader) => {
    const { status: code, problem } = await uploader.post(BODY);
    assert.equal(code, 500);
    assert.ok(problem!.length < 250, `${problem!.length} characters`);
    // The rest is not waited for but refused.
    await isClosed;
  });
  assert.ok(written < 2 ** 28, `the server could write ${written} bytes`);
});

test("Uploader.post() uses one connection for one request after the other", async () => {
  for (const code of [200, 500]) {
    await withServer(status(code, "thanks"), async (uploader, requests) => {
      for (let count = 0; count < 5; count++) await uploader.post(BODY);
      assert.equal(requests.length, 5);
      assert.equal(new Set(requests.map(({ port }) => port)).size, 1);
    });
  }
});

test("Uploader.close() ends a request under way and refuses later ones", async () => {
  let arrived = () => {};
  const arrival = new Promise<void>((resolve) => arrived = resolve);
  await withServer(() => arrived(), async (uploader, requests) => {
    const result = uploader.post(BODY);
    await arrival;
    uploader.close();
    uploader.close();
    assert.equal((await result).problem, "the uploader was closed");
    assertNoAnswer(await uploader.post(BODY));
    assert.equal(requests.length, 1);
  });
});
