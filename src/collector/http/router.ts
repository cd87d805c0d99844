/**
 * Requests and answers as handlers see them, and which handler answers what.
 *
 * In: method and path. Out: a handler with the path's parameters, or what to say instead. Handlers of the ingest, of the
 * retrieval API, of `/api/v1` and of the page are all added here.
 */

/** A request. Header names are lower case. */
export interface HttpRequest {
  readonly method: string;
  /** Decoded, without query. */
  readonly path: string;
  /** Values of `:name` in the pattern, decoded; `*` is the rest of the path. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  header(name: string): string | undefined;
  readonly remoteAddress: string;
  /** Aborted when the client goes away, or the collector ends. */
  readonly signal: AbortSignal;
  /**
   * Reads the body. @throws {HttpError} 413 if it is longer. The connection's time-outs hold.
   */
  body(bytesMax: number): Promise<Uint8Array>;
}

/** What is sent as body: text, bytes, or pieces that are written as fast as the client takes them. */
export type HttpBody = string | Uint8Array | AsyncIterable<string | Uint8Array>;

/** An answer. */
export interface HttpReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpBody;
  /** Aborted when the client has been too slow for the body's pieces: its connection is closed. */
  readonly dropped?: AbortSignal;
}

/** Answers a request. @throws {HttpError} For what the client did wrong; anything else is answered 500 and told. */
export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;

/**
 * Who may call it. `open`: anybody, as uploads bring their own credential. `key`: who has an API key, or loopback where
 * there is none (access.ts).
 */
export type RouteAccess = "open" | "key";

/** A request that is refused: answered `{"error":…}`. */
export class HttpError extends Error {
  override readonly name = "HttpError";

  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

/** What a path leads to. */
export interface RouteMatch {
  readonly handler: HttpHandler;
  readonly access: RouteAccess;
  readonly params: Readonly<Record<string, string>>;
}

interface Route extends Omit<RouteMatch, "params"> {
  readonly method: string;
  readonly segments: readonly string[];
}

/** See file header. */
export class Router {
  readonly #routes: Route[] = [];

  /**
   * Adds a handler. The first that fits a path answers it. GET answers HEAD too.
   * @param pattern `/c/:collection/:id`; a last segment `*` takes the rest of the path, even if it is empty.
   */
  add(method: string, pattern: string, handler: HttpHandler, access: RouteAccess = "key"): void {
    this.#routes.push({ method, segments: segmentsOf(pattern), handler, access });
  }

  /** @throws {HttpError} 404 if no pattern fits the path, 405 if it does with another method, 400 if it cannot be read. */
  match(method: string, path: string): RouteMatch {
    const wanted = method === "HEAD" ? "GET" : method;
    const segments = segmentsOf(path);
    const methods = new Set<string>();
    for (const route of this.#routes) {
      const params = paramsOf(route.segments, segments);
      if (params === null) continue;
      if (route.method === wanted) {
        return { handler: route.handler, access: route.access, params: decoded(params) };
      }
      methods.add(route.method);
    }
    if (methods.size === 0) throw new HttpError(404, "not found");
    throw new HttpError(405, "method not allowed", { allow: [...methods].join(", ") });
  }
}

function segmentsOf(path: string): string[] {
  return path.split("/").slice(1);
}

function paramsOf(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | null {
  const hasRest = pattern.at(-1) === "*";
  if (hasRest ? segments.length < pattern.length - 1 : segments.length !== pattern.length) {
    return null;
  }
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    if (part === "*" && index === pattern.length - 1) {
      params["*"] = segments.slice(index).join("/");
    } else if (part.startsWith(":")) params[part.slice(1)] = segments[index];
    else if (part !== segments[index]) return null;
  }
  return params;
}

function decoded(params: Record<string, string>): Record<string, string> {
  try {
    return Object.fromEntries(
      Object.entries(params).map(([name, value]) => [name, decodeURIComponent(value)]),
    );
  } catch {
    throw new HttpError(400, "path is not encoded as it should be");
  }
}

/** An answer of JSON. @param value Or the text itself. */
export function jsonReply(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): HttpReply {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: `${JSON.stringify(value)}\n`,
  };
}

/** The answer to what is refused. */
export function errorReply(error: HttpError): HttpReply {
  return jsonReply(error.status, { error: error.message }, error.headers);
}
