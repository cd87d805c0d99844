/**
 * `/api/v1` on the collector's router.
 *
 * In: a router, the query service. Out: handlers for all of API_ROUTES. Guarantees: a request is checked whole before anything
 * is asked; every refusal is `{"error":{"message",…}}`; no answer may be kept by a cache, none allows another site to read
 * it (CORS is off). Who may call is the server's affair (http/access.ts).
 */
import type { ClockPort, TimerPort } from "../../ports.ts";
import type { HttpReply, HttpRequest, Router } from "../http/router.ts";
import { type Answer, problem } from "../query/answer.ts";
import { writeJson } from "../query/json.ts";
import type { QueryService } from "../query/service.ts";
import { Live, type LiveStats } from "./live.ts";
import { openApiDocument } from "./openapi.ts";
import { ParameterProblem, readParameters } from "./parameters.ts";
import { API_PREFIX, API_ROUTES, type ApiRoute } from "./routes.ts";

/** What the API works with. */
export interface ApiParts {
  readonly queries: Pick<QueryService, "ask" | "stats" | "waiting">;
  readonly clock: Pick<ClockPort, "wallMs">;
  readonly timers: TimerPort;
}

/** What is seen of it from outside. */
export interface Api {
  readonly live: LiveStats;
}

const HEADERS = { "content-type": "application/json", "cache-control": "no-store" };
const EVENT_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  // A proxy that gathers pieces would make it anything but live.
  "x-accel-buffering": "no",
};

/** Adds the API to a router. */
export function mountApi(router: Pick<Router, "add">, parts: ApiParts): Api {
  const live = new Live({
    ask: (question, signal) => parts.queries.ask(question, signal),
    timers: parts.timers,
    wallMs: () => parts.clock.wallMs(),
  });
  const document = `${writeJson(openApiDocument())}\n`;
  for (const route of API_ROUTES) {
    router.add("GET", `${API_PREFIX}${route.path}`, async (request) => {
      try {
        return await answer(route, request, parts, live, document);
      } catch (error) {
        if (!(error instanceof ParameterProblem)) throw error;
        const { message, parameter, details } = error;
        return toReply(
          problem(400, message, { ...(parameter !== "" && { parameter }), ...details }),
        );
      }
    });
  }
  router.add("GET", `${API_PREFIX}/*`, () => {
    const known = API_ROUTES.map(({ path }) => API_PREFIX + path).join(", ");
    return toReply(problem(404, `There is no such path; there are ${known}`));
  });
  return { live: live.stats };
}

async function answer(
  route: ApiRoute,
  request: HttpRequest,
  parts: ApiParts,
  live: Live,
  document: string,
): Promise<HttpReply> {
  const nowMs = Math.floor(parts.clock.wallMs());
  const values = readParameters(route.parameters, request.query, nowMs);
  if (route.path === "/openapi.json") return { status: 200, headers: HEADERS, body: document };
  if (route.path === "/live") {
    if (request.method === "HEAD") return { status: 200, headers: EVENT_HEADERS };
    return liveReply(values.after as number, request, live);
  }
  const question = route.question(values as never, nowMs);
  if (question === null) throw new Error(`Route ${route.path} asks nothing`);
  const found = await parts.queries.ask(question, request.signal);
  return toReply(route.path === "/health" ? healthOf(found, parts, live.stats) : found);
}

function liveReply(after: number, request: HttpRequest, live: Live): HttpReply {
  const seen = request.header("last-event-id") ?? "";
  if (seen !== "" && !/^\d{1,15}$/.test(seen)) {
    throw new ParameterProblem("Header Last-Event-ID is not the id of an event");
  }
  if (!live.hasRoom) {
    return toReply(problem(503, "Too many clients follow the log: try again later"));
  }
  const id = seen === "" ? after : Number(seen);
  return {
    status: 200,
    headers: EVENT_HEADERS,
    ...live.stream(id === 0 ? null : id, request.signal),
  };
}

/** The collector runs, so that it says so; what it cannot do stands beside. */
function healthOf({ status, text }: Answer, { queries }: ApiParts, live: LiveStats): Answer {
  const counts = { ...queries.stats, waiting: queries.waiting };
  const more = `"queries":${writeJson(counts)},"live":${writeJson({ ...live })}`;
  return { status, text: `{"ok":${status === 200},"store":${text},${more}}` };
}

function toReply({ status, text }: Answer): HttpReply {
  const retry = status === 503 ? { "retry-after": "2" } : {};
  return { status, headers: { ...HEADERS, ...retry }, body: `${text}\n` };
}
