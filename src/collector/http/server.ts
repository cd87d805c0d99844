/**
 * HTTP server over node:http: limits, time-outs, bodies, answers, and an end that loses nothing under way.
 *
 * In: a router, who may call what. Out: answers. Guarantees: every connection, header, body and wait is bounded; a client
 * that is slow, silent or gone holds nothing for longer than its time-out; a stream ends with the key that it was asked for
 * with; a handler that fails is answered 500, counted and told without the request's path, which may hold a credential.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  HTTP_CONNECTIONS_MAX,
  HTTP_DRAIN_MS_MAX,
  HTTP_HEADER_BYTES_MAX,
  HTTP_HEADERS_MS_MAX,
  HTTP_IDLE_MS_MAX,
  HTTP_REQUEST_MS_MAX,
} from "../../limits.ts";
import {
  errorReply,
  type HttpBody,
  HttpError,
  type HttpReply,
  type HttpRequest,
  type Router,
} from "./router.ts";

/** What the server works with. */
export interface HttpServerOptions {
  readonly host: string;
  /** 0 = the kernel's choice. */
  readonly port: number;
  readonly router: Router;
  /** @throws {HttpError} If the request may not call a route that wants a key. */
  readonly authorize: (request: HttpRequest) => void;
  /** PEM; null = no TLS. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly warn: (message: string) => void;
  /** For tests: all time-outs divided by it. */
  readonly haste?: number;
  readonly connectionsMax?: number;
}

/** What has been served. */
export interface HttpStats {
  requests: number;
  /** Connections that sent no request that can be read, or were too slow. */
  clientErrors: number;
  /** Handlers that failed: bugs, or the store. */
  handlerErrors: number;
  connections: number;
}

const BAD_REQUEST =
  'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 24\r\n\r\n{"error":"bad request"}\n';

/** See file header. */
export class HttpServer {
  readonly stats: HttpStats = { requests: 0, clientErrors: 0, handlerErrors: 0, connections: 0 };
  readonly #options: HttpServerOptions;
  readonly #sockets = new Set<Socket>();
  readonly #ending = new AbortController();
  #server: Server | null = null;
  #underWay = 0;
  #idle: (() => void) | null = null;

  constructor(options: HttpServerOptions) {
    this.#options = options;
  }

  /** Listens. @throws {Error} If it cannot. @returns The port. */
  async start(): Promise<number> {
    const { host, port, tls, haste = 1, connectionsMax = HTTP_CONNECTIONS_MAX } = this.#options;
    const listener: RequestListener = (message, response) => void this.#serve(message, response);
    const options: ServerOptions = {
      maxHeaderSize: HTTP_HEADER_BYTES_MAX,
      headersTimeout: HTTP_HEADERS_MS_MAX / haste,
      requestTimeout: HTTP_REQUEST_MS_MAX / haste,
      keepAliveTimeout: HTTP_IDLE_MS_MAX / haste,
      connectionsCheckingInterval: 1_000 / haste,
    };
    const server = tls === null
      ? createServer(options, listener)
      : createTlsServer({ ...options, ...tls }, listener);
    this.#server = server;
    server.maxConnections = connectionsMax;
    server.on(tls === null ? "connection" : "secureConnection", (socket: Socket) => {
      this.stats.connections++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("clientError", (_error: Error, socket: Duplex) => {
      this.stats.clientErrors++;
      if (socket.writable) socket.end(BAD_REQUEST);
      else socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (error: Error) => this.#options.warn(`HTTP server: ${error.message}`));
    return (server.address() as AddressInfo).port;
  }

  /** Takes no more requests, waits for those under way, and closes. Safe to call twice. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.#ending.abort();
    server.closeIdleConnections();
    if (this.#underWay > 0) {
      const { haste = 1 } = this.#options;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, HTTP_DRAIN_MS_MAX / haste);
        this.#idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    // Answers that were just written still have to leave.
    await new Promise<void>((resolve) => setTimeout(resolve, 20));
    for (const socket of this.#sockets) socket.destroy();
    server.closeAllConnections();
    await closed;
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    this.stats.requests++;
    this.#underWay++;
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    // What goes wrong on the way is told by "close".
    message.on("error", () => {});
    response.on("error", () => {});
    try {
      const reply = await this.#reply(message, gone.signal);
      await this.#send(message, response, reply, gone.signal);
    } catch (error) {
      // The client has gone, may ask no more, or a stream of pieces failed half way: nothing can be said any more.
      if (!gone.signal.aborted && !(error instanceof HttpError)) this.#fail(error);
      response.destroy();
    } finally {
      this.#underWay--;
      if (this.#underWay === 0) this.#idle?.();
    }
  }

  async #reply(message: IncomingMessage, gone: AbortSignal): Promise<HttpReply> {
    try {
      const request = this.#request(message, gone);
      const { handler, access, params } = this.#options.router.match(request.method, request.path);
      const full = { ...request, params };
      if (access === "open") return await handler(full);
      const authorize = () => this.#options.authorize(full);
      authorize();
      const { headers, body, ...reply } = await handler(full);
      return {
        ...reply,
        // What a key opens is for nobody who comes after.
        headers: { "cache-control": "no-store", ...headers },
        ...(body !== undefined && { body: isPieces(body) ? guarded(body, authorize) : body }),
      };
    } catch (error) {
      if (error instanceof HttpError) return errorReply(error);
      this.#fail(error);
      return errorReply(new HttpError(500, "internal error"));
    }
  }

  #fail(error: unknown): void {
    this.stats.handlerErrors++;
    const text = error instanceof Error ? error.message : String(error);
    this.#options.warn(`Request failed: ${text}`);
  }

  #request(message: IncomingMessage, gone: AbortSignal): HttpRequest {
    const target = message.url ?? "/";
    const mark = target.indexOf("?");
    return {
      method: message.method ?? "GET",
      path: mark < 0 ? target : target.slice(0, mark),
      params: {},
      query: new URLSearchParams(mark < 0 ? "" : target.slice(mark)),
      header: (name) => {
        const value = message.headers[name];
        return Array.isArray(value) ? value.join(", ") : value;
      },
      remoteAddress: message.socket.remoteAddress ?? "",
      signal: AbortSignal.any([gone, this.#ending.signal]),
      body: (bytesMax) => readBody(message, bytesMax),
    };
  }

  async #send(
    message: IncomingMessage,
    response: ServerResponse,
    reply: HttpReply,
    gone: AbortSignal,
  ): Promise<void> {
    const { status, headers = {}, body = "", dropped } = reply;
    dropped?.addEventListener("abort", () => response.destroy(), { once: true });
    const isEnding = this.#ending.signal.aborted;
    // What is left of a body that was not read would be taken for the next request.
    const isUnread = !message.complete;
    const all: Record<string, string> = {
      "x-content-type-options": "nosniff",
      // No page of another origin gets an answer into its own process as a picture or script.
      "cross-origin-resource-policy": "same-origin",
      ...headers,
      ...(isEnding || isUnread ? { connection: "close" } : {}),
    };
    if (gone.aborted) return;
    const isHead = message.method === "HEAD";
    if (BODILESS.includes(status)) {
      response.writeHead(status, all);
      response.end();
    } else if (!isPieces(body)) {
      const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
      response.writeHead(status, { ...all, "content-length": String(bytes.length) });
      response.end(isHead ? undefined : bytes);
    } else {
      response.writeHead(status, all);
      response.flushHeaders();
      if (!isHead) await writePieces(response, body, gone);
      response.end();
    }
    if (isUnread) this.#discard(message);
  }

  /** Takes what a refused client is still sending, for a while: a connection closed in its face would eat the answer. */
  #discard(message: IncomingMessage): void {
    const { haste = 1 } = this.#options;
    const timer = setTimeout(() => message.socket.destroy(), DISCARD_MS / haste);
    message.on("close", () => clearTimeout(timer));
    message.resume();
  }
}

/** How long a refused client may go on sending. */
const DISCARD_MS = 2_000;
/** Answers without a body, whose length would be said of the body that is not sent (RFC 9110 8.6). */
const BODILESS = [204, 304];

function isPieces(body: HttpBody | undefined): body is AsyncIterable<string | Uint8Array> {
  return body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
}

/** Pieces as long as who asked may have them: a key may be removed, or a login end, while a stream goes on. */
async function* guarded(
  pieces: AsyncIterable<string | Uint8Array>,
  authorize: () => void,
): AsyncGenerator<string | Uint8Array> {
  for await (const piece of pieces) {
    authorize();
    yield piece;
  }
}

async function writePieces(
  response: ServerResponse,
  pieces: AsyncIterable<string | Uint8Array>,
  gone: AbortSignal,
): Promise<void> {
  for await (const piece of pieces) {
    if (gone.aborted) return;
    if (response.write(piece)) continue;
    await new Promise<void>((resolve) => {
      response.once("drain", resolve);
      response.once("close", resolve);
    });
    if (gone.aborted) return;
  }
}

/** Reads a body to its end. @throws {HttpError} 413 beyond the limit, 400 if the client ends before. */
function readBody(message: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const tooLong = () => new HttpError(413, `body is longer than ${bytesMax} bytes`);
  if (Number(message.headers["content-length"] ?? 0) > bytesMax) return Promise.reject(tooLong());
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    message.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else {
        chunks.length = 0;
        message.removeAllListeners("data");
        reject(tooLong());
      }
    });
    message.on("end", () => resolve(joined(chunks, bytes)));
    message.on("close", () => reject(new HttpError(400, "the body breaks off")));
  });
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
