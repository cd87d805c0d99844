/**
 * Logins of the page: an API key once, then a cookie.
 *
 * In: keys, requests. Out: whether a request's cookie is a login that still holds. Guarantees: the cookie is 32 random bytes
 * of which only the hash is kept, it holds SESSION_MS_MAX at most and no longer than its key; it opens reading only, and
 * nothing that a browser says another site asked for. Who gives wrong keys again and again has to wait.
 */
import { createHash, randomBytes } from "node:crypto";
import { SESSION_MS_MAX, SESSIONS_MAX } from "../../limits.ts";
import type { ApiKeys } from "./api_keys.ts";
import { LoginAttempts } from "./login_attempts.ts";
import { isFromOtherOrigin } from "./origin.ts";
import { HttpError, type HttpRequest } from "./router.ts";

const COOKIE = "tunlog-session";
/** Cookies of the name that are looked at: each costs a hash. */
const COOKIES_MAX = 8;

interface Session {
  /** SHA-256 of the key that it was opened with. */
  readonly keySha256: string;
  readonly endMs: number;
}

/** What it works with. */
export interface SessionsOptions {
  readonly keys: Pick<ApiKeys, "list" | "check">;
  /** Monotonic, time asleep included. */
  readonly nowMs: () => number;
  /** Whether the collector is reached by TLS only, so that the cookie may be kept to that. */
  readonly isTls: boolean;
}

/** See file header. */
export class Sessions {
  readonly #options: SessionsOptions;
  /** By the token's SHA-256, the oldest first. */
  readonly #sessions = new Map<string, Session>();
  readonly #attempts = new LoginAttempts();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** @throws {HttpError} 429 if the client has to wait before it may give a key. */
  refuseHaste({ remoteAddress }: Pick<HttpRequest, "remoteAddress">): void {
    const waitS = Math.ceil(this.#attempts.waitMs(remoteAddress, this.#options.nowMs()) / 1_000);
    if (waitS === 0) return;
    const headers = { "retry-after": String(waitS) };
    throw new HttpError(429, `too many wrong keys: try again in ${waitS} s`, headers);
  }

  /**
   * Opens a login in place of the one that the request may have.
   * @returns The cookie to be set; null = the key is none.
   * @throws {HttpError} 429 as refuseHaste().
   */
  open(key: string, request: Pick<HttpRequest, "header" | "remoteAddress">): string | null {
    this.refuseHaste(request);
    const { keys, nowMs } = this.#options;
    if (!keys.check(key)) {
      this.#attempts.fail(request.remoteAddress, nowMs());
      return null;
    }
    this.#attempts.forget(request.remoteAddress);
    for (const hash of tokenHashesOf(request)) this.#sessions.delete(hash);
    if (this.#sessions.size >= SESSIONS_MAX) {
      this.#sessions.delete(this.#sessions.keys().next().value!);
    }
    const token = randomBytes(32).toString("base64url");
    this.#sessions.set(hashOf(token), { keySha256: hashOf(key), endMs: nowMs() + SESSION_MS_MAX });
    return this.#cookie(request, token, SESSION_MS_MAX / 1_000);
  }

  /** Ends the request's login, if it has one. @returns The cookie that removes it. */
  close(request: Pick<HttpRequest, "header">): string {
    for (const hash of tokenHashesOf(request)) this.#sessions.delete(hash);
    return this.#cookie(request, "", 0);
  }

  /** Whether the request has a login that holds. */
  check(request: Pick<HttpRequest, "header">): boolean {
    return !isFromOtherOrigin(request) && tokenHashesOf(request).some((hash) => this.#holds(hash));
  }

  #holds(hash: string): boolean {
    const session = this.#sessions.get(hash);
    if (session === undefined) return false;
    const { keys, nowMs } = this.#options;
    const isValid = nowMs() < session.endMs &&
      keys.list().some(({ sha256 }) => sha256 === session.keySha256);
    if (!isValid) this.#sessions.delete(hash);
    return isValid;
  }

  #cookie(request: Pick<HttpRequest, "header">, value: string, maxAgeS: number): string {
    // A browser that came by TLS says so, whoever ends it.
    const isTls = this.#options.isTls || request.header("origin")?.startsWith("https://");
    const attributes = `Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict`;
    return `${cookieName(request)}=${value}; ${attributes}${isTls ? "; Secure" : ""}`;
  }
}

/** Cookies do not tell ports apart: without it, two collectors of one host would log each other out. */
function cookieName(request: Pick<HttpRequest, "header">): string {
  const port = /:(\d{1,5})$/.exec(request.header("host") ?? "")?.[1];
  return port === undefined ? COOKIE : `${COOKIE}-${port}`;
}

/** Of all cookies of the name: a page of another port of the host can add some, which must not hide the right one. */
function tokenHashesOf(request: Pick<HttpRequest, "header">): string[] {
  const name = `${cookieName(request)}=`;
  return (request.header("cookie") ?? "").split(/; */)
    .filter((cookie) => cookie.startsWith(name)).map((cookie) => cookie.slice(name.length))
    .filter((token) => /^[\w-]{43}$/.test(token)).slice(0, COOKIES_MAX).map(hashOf);
}

/** What is looked up is a hash of what was sent: no time that it takes tells of what is kept. */
function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
