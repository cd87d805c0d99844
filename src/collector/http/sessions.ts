/**
 * Logins of the page: an API key once, then a cookie.
 *
 * In: keys, requests. Out: whether a request's cookie is a login that still holds. Guarantees: the cookie is 32 random bytes
 * of which only the hash is kept, it holds SESSION_MS_MAX at most and no longer than its key; it opens reading only, so that
 * no form of another site can change anything by it, and none that a browser says another site asked for.
 */
import { createHash, randomBytes } from "node:crypto";
import { SESSION_MS_MAX, SESSIONS_MAX } from "../../limits.ts";
import type { ApiKeys } from "./api_keys.ts";
import type { HttpRequest } from "./router.ts";

const COOKIE = "tunlog-session";
/** What a browser may say of where a request comes from (Fetch Metadata); older ones say nothing. */
const OWN_SITES = ["same-origin", "none"];

interface Session {
  /** SHA-256 of the key that it was opened with. */
  readonly keySha256: string;
  readonly endMs: number;
}

/** What it works with. */
export interface SessionsOptions {
  readonly keys: Pick<ApiKeys, "list" | "check">;
  readonly wallMs: () => number;
  /** Whether the collector is reached by TLS only, so that the cookie may be kept to that. */
  readonly isTls: boolean;
}

/** See file header. */
export class Sessions {
  readonly #options: SessionsOptions;
  /** By the token's SHA-256, the oldest first. */
  readonly #sessions = new Map<string, Session>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** @returns The cookie to be set; null = the key is none. */
  open(key: string, request: Pick<HttpRequest, "header">): string | null {
    const { keys, wallMs } = this.#options;
    if (!keys.check(key)) return null;
    const token = randomBytes(32).toString("base64url");
    if (this.#sessions.size >= SESSIONS_MAX) {
      this.#sessions.delete(this.#sessions.keys().next().value!);
    }
    this.#sessions.set(hashOf(token), {
      keySha256: hashOf(key),
      endMs: wallMs() + SESSION_MS_MAX,
    });
    return this.#cookie(request, token, SESSION_MS_MAX / 1_000);
  }

  /** Ends the request's login, if it has one. @returns The cookie that removes it. */
  close(request: Pick<HttpRequest, "header">): string {
    const token = tokenOf(request);
    if (token !== null) this.#sessions.delete(hashOf(token));
    return this.#cookie(request, "", 0);
  }

  /** Whether the request has a login that holds. */
  check(request: Pick<HttpRequest, "header">): boolean {
    const token = tokenOf(request);
    if (token === null) return false;
    const site = request.header("sec-fetch-site");
    if (site !== undefined && !OWN_SITES.includes(site)) return false;
    const { keys, wallMs } = this.#options;
    const session = this.#sessions.get(hashOf(token));
    if (session === undefined) return false;
    const isValid = wallMs() < session.endMs &&
      keys.list().some(({ sha256 }) => sha256 === session.keySha256);
    if (!isValid) this.#sessions.delete(hashOf(token));
    return isValid;
  }

  #cookie(request: Pick<HttpRequest, "header">, value: string, maxAgeS: number): string {
    const secure = this.#options.isTls ? "; Secure" : "";
    return `${
      cookieName(request)
    }=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict` +
      secure;
  }
}

/** Cookies do not tell ports apart: without it, two collectors of one host would log each other out. */
function cookieName(request: Pick<HttpRequest, "header">): string {
  const port = /:(\d{1,5})$/.exec(request.header("host") ?? "")?.[1];
  return port === undefined ? COOKIE : `${COOKIE}-${port}`;
}

function tokenOf(request: Pick<HttpRequest, "header">): string | null {
  const name = `${cookieName(request)}=`;
  const cookies = (request.header("cookie") ?? "").split(/; */);
  const value = cookies.find((cookie) => cookie.startsWith(name))?.slice(name.length) ?? "";
  return /^[\w-]{43}$/.test(value) ? value : null;
}

/** What is looked up is a hash of what was sent: no time that it takes tells of what is kept. */
function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
