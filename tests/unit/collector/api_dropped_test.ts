/** Goal: a client that takes nothing holds no connection. Method: a server on loopback and a socket that never reads. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { connect } from "node:net";
import { HttpServer } from "../../../src/collector/http/server.ts";
import { Router } from "../../../src/collector/http/router.ts";

test("HttpServer closes the connection of a body whose client was dropped", async () => {
  const router = new Router();
  const dropped = new AbortController();
  let isStuck: () => void;
  const stuck = new Promise<void>((resolve) => isStuck = resolve);
  const ended = new Promise<void>((resolve) => {
    router.add("GET", "/live", ({ signal }) => {
      signal.addEventListener("abort", () => resolve());
      return { status: 200, body: pieces(), dropped: dropped.signal };
    }, "open");
  });
  async function* pieces(): AsyncGenerator<string> {
    // The server asks for the next piece only when the last was taken: it stops asking when the socket is full.
    for (;;) {
      const timer = setTimeout(isStuck, 200);
      yield "x".repeat(1024 * 1024);
      clearTimeout(timer);
    }
  }
  const server = new HttpServer({
    host: "127.0.0.1",
    port: 0,
    router,
    authorize: () => {},
    tls: null,
    warn: () => {},
  });
  const port = await server.start();
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  socket.write("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n");
  try {
    await stuck;
    dropped.abort();
    await ended;
    assert.equal(server.stats.handlerErrors, 0);
  } finally {
    socket.destroy();
    await server.stop();
  }
});
