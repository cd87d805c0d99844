/**
 * The OpenAPI 3.1 document of the API, made of the tables that requests are checked by.
 *
 * In: routes. Out: the document as a value.
 */
import type { Json } from "../query/question.ts";
import { ERROR, REFUSAL } from "./answers.ts";
import type { Parameter } from "./parameters.ts";
import { API_PREFIX, API_ROUTES, type ApiRoute } from "./routes.ts";

/** What may be answered instead of 200. */
const REFUSALS: Readonly<Record<string, string>> = {
  "400": "A parameter is wrong: the answer names it, and in a filter the place",
  "401": "An API key is needed",
  "403": "Only this machine may ask as long as there is no API key",
  "500": "The store failed",
  "503": "Too many ask, or the query thread was lost; try again",
  "504": "The query took too long",
};

/** Makes the document. */
export function openApiDocument(routes: readonly ApiRoute[] = API_ROUTES): Json {
  return {
    openapi: "3.1.0",
    info: {
      title: "tunlog collector",
      version: "1",
      description:
        "Questions to the flow log. Counters are integers of any size, written as digits: parse them as big integers " +
        "where they may exceed 2^53. Ranges of time are open at their start and closed at their end; a window " +
        "belongs where it ends. Every answer says how complete it is: `share` is the part of the expected time of the " +
        "nodes concerned for which nothing is missing or lost, null where nothing is expected.",
    },
    security: [{ key: [] }, { bearer: [] }, {}],
    paths: Object.fromEntries(routes.map((route) => [`${API_PREFIX}${route.path}`, pathOf(route)])),
    components: {
      schemas: { Error: ERROR, Refusal: REFUSAL },
      securitySchemes: {
        key: { type: "http", scheme: "basic", description: "The API key as user name" },
        bearer: { type: "http", scheme: "bearer", description: "The API key" },
      },
    },
  };
}

function pathOf(route: ApiRoute): Json {
  const refusals = Object.entries(REFUSALS).map(([status, description]) => [status, {
    description,
    content: {
      "application/json": { schema: { $ref: `#/components/schemas/${schemaOf(status)}` } },
    },
  }]);
  return {
    get: {
      operationId: route.path.replace(/\W+(\w)/g, (_match, letter: string) => letter.toUpperCase())
        .replace(/^\w/, (letter) => letter.toLowerCase()),
      summary: route.summary,
      description: route.description,
      parameters: Object.entries(route.parameters).map(([name, parameter]) =>
        parameterOf(name, parameter)
      ),
      responses: {
        "200": {
          description: route.summary,
          content: { [route.mediaType]: { schema: route.answer } },
        },
        ...Object.fromEntries(refusals),
      },
    },
  };
}

/** Who may not ask is told so before the request is looked at, in the words of the whole server. */
function schemaOf(status: string): string {
  return status === "401" || status === "403" ? "Refusal" : "Error";
}

function parameterOf(name: string, { description, schema, fallback }: Parameter<unknown>): Json {
  // The value that stands for one that is left out, in the schema of all kinds.
  const hasDefault = fallback !== null && !("default" in schema);
  return {
    name,
    in: "query",
    required: fallback === null,
    description,
    schema: hasDefault ? { ...schema, default: fallback } : schema,
  };
}
