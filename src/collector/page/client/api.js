// @ts-check
/// <reference lib="dom" />
/**
 * Questions to the collector.
 *
 * In: path and parameters. Out: values with exact counts, or an ApiError that says what a person can do about it.
 */
import { parseExact } from "./exact_json.js";

/**
 * `unreachable`: no answer; `login`: a key is needed; `forbidden`: only the collector's machine may ask; `wrong`: the
 * question; `busy`: later; `failed`: all else.
 * @typedef {"unreachable" | "login" | "forbidden" | "wrong" | "busy" | "failed"} ErrorKind
 */

const PREFIX = "/api/v1";
const HEADERS = { "x-tunlog-page": "1" };

/** @type {(error: ApiError) => void} */
let listener = () => {};

/** Who is told of every question that failed. @param {(error: ApiError) => void} listen */
export function onAskError(listen) {
  listener = listen;
}

export class ApiError extends Error {
  /**
   * @param {ErrorKind} kind
   * @param {string} message
   * @param {{ parameter?: string, position?: { start: number, end: number }, expected?: string[] }} [details]
   */
  constructor(kind, message, details = {}) {
    super(message);
    this.kind = kind;
    this.details = details;
  }
}

/** Address of a question, below the origin. @param {string} path @param {Record<string, string | number | boolean>} parameters */
export function apiUrl(path, parameters = {}) {
  const entries = Object.entries(parameters).filter(([, value]) => value !== "").map((
    [name, value],
  ) => [name, String(value)]);
  const query = new URLSearchParams(entries).toString();
  return `${PREFIX}${path}${query === "" ? "" : `?${query}`}`;
}

/**
 * @param {string} path
 * @param {Record<string, string | number | boolean>} [parameters]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function ask(path, parameters = {}, signal) {
  try {
    const init = { signal: signal ?? null, headers: HEADERS };
    return await valueOf(await request(apiUrl(path, parameters), init), signal);
  } catch (error) {
    if (error instanceof ApiError) listener(error);
    throw error;
  }
}

/** @param {Response} response @param {AbortSignal | undefined} signal */
async function valueOf(response, signal) {
  const text = await response.text().catch((error) => {
    if (signal?.aborted) throw error;
    throw new ApiError("unreachable", "The collector's answer broke off");
  });
  try {
    return parseExact(text);
  } catch {
    throw new ApiError("failed", "The answer is not the collector's");
  }
}

/**
 * One answer for several parts of a view: asked once, and once more after it failed.
 * @param {() => Promise<any>} question
 * @returns {() => Promise<any>}
 */
export function shared(question) {
  /** @type {Promise<any> | null} */
  let asked = null;
  return () =>
    asked ??= question().catch((error) => {
      asked = null;
      throw error;
    });
}

/**
 * @param {string} url
 * @param {RequestInit} init
 * @throws {ApiError} Unless it is answered 2xx.
 */
export async function request(url, init) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError("unreachable", "The collector cannot be reached");
  }
  if (response.ok) return response;
  throw errorOf(response.status, await response.text().catch(() => ""));
}

/** @param {number} status @param {string} text */
function errorOf(status, text) {
  let problem;
  try {
    problem = JSON.parse(text).error;
  } catch {
    problem = undefined;
  }
  const message = typeof problem === "string"
    ? problem
    : problem?.message ?? `The collector answered ${status}`;
  /** @type {Record<number, ErrorKind>} */
  const kinds = { 400: "wrong", 401: "login", 403: "forbidden", 503: "busy", 504: "busy" };
  return new ApiError(
    kinds[status] ?? "failed",
    message,
    typeof problem === "object" ? problem : {},
  );
}

/** @param {string} key @throws {ApiError} `forbidden` if it is not a key. */
export async function login(key) {
  await request("/login", { method: "POST", headers: HEADERS, body: new URLSearchParams({ key }) });
}

export async function logout() {
  await request("/logout", { method: "POST", headers: HEADERS });
}

/** @returns {Promise<boolean>} Whether there is a login that can be ended. */
export async function isLoggedIn() {
  const response = await request("/session", { headers: HEADERS });
  return (await response.json()).loggedIn === true;
}
