/** Bodies of requests that configure: a form or JSON, both taken (SPEC 3). */
import { HTTP_FORM_BYTES_MAX } from "../../limits.ts";
import { HttpError, type HttpRequest } from "./router.ts";

/** Fields by name. */
export interface Form {
  /** @throws {HttpError} 400 unless it is there exactly once. */
  one(name: string): string;
  /** Empty values are left out. */
  all(name: string): string[];
}

/** Reads one. @throws {HttpError} If it is neither. */
export async function parseForm(request: HttpRequest): Promise<Form> {
  const text = new TextDecoder().decode(await request.body(HTTP_FORM_BYTES_MAX));
  const isJson = (request.header("content-type") ?? "").includes("json") ||
    text.trimStart().startsWith("{");
  const fields = isJson ? jsonFields(text) : formFields(text);
  const all = (name: string) => (fields.get(name) ?? []).filter((value) => value !== "");
  return {
    all,
    one(name) {
      const values = all(name);
      if (values.length !== 1) throw new HttpError(400, `"${name}" must be given once`);
      return values[0];
    },
  };
}

function formFields(text: string): Map<string, string[]> {
  const params = new URLSearchParams(text);
  return new Map([...params.keys()].map((name) => [name, params.getAll(name)]));
}

function jsonFields(text: string): Map<string, string[]> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HttpError(400, "the body is not JSON");
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new HttpError(400, "the body is not a JSON object");
  }
  return new Map(
    Object.entries(value).map(([name, member]) => [
      name,
      (Array.isArray(member) ? member : [member]).map(String),
    ]),
  );
}
