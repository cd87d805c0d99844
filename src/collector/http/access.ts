/**
 * Who may read and configure: HTTP Basic with an API key as user name (SPEC 3), or loopback as long as there is no key. Who
 * logged in to the page may read.
 *
 * In: a request. Out: nothing, or an HttpError. Guarantees: a web page that a user of this machine looks at gets nothing,
 * neither under a name that it makes lead to loopback nor by what it has the browser send; nor does who comes through a proxy
 * that says so. A key that is removed opens nothing from then on.
 */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import type { ApiKeys } from "./api_keys.ts";
import { isFromOtherOrigin, refuseForeignOrigin } from "./origin.ts";
import { HttpError, type HttpRequest } from "./router.ts";
import type { Sessions } from "./sessions.ts";

const CHALLENGE = { "www-authenticate": 'Basic realm="tunlog", charset="UTF-8"' };
const LOOPBACK = /^(?:::ffff:)?127\.\d+\.\d+\.\d+$|^::1$/;
const LOOPBACK_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i;
/** What proxies say of themselves. One that says nothing, and asks for `localhost`, cannot be told from this machine's user. */
const PROXY_HEADERS = [
  ...["forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"],
  ...["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-server"],
];
const SAFE_METHODS = ["GET", "HEAD"];
/** What the page's own requests say: a challenge would make the browser ask for a password over the page's form. */
export const PAGE_HEADER = "x-tunlog-page";

/** See file header. */
export class Access {
  readonly #keys: ApiKeys;
  readonly #ownKey: string | null;
  readonly #sessions: Pick<Sessions, "check"> | null;

  /**
   * @param ownKey Key of the command line on this machine; it does not count as one that was made. null = none.
   * @param sessions Logins of the page; null = there is none.
   */
  constructor(
    keys: ApiKeys,
    ownKey: string | null,
    sessions: Pick<Sessions, "check"> | null = null,
  ) {
    this.#keys = keys;
    this.#ownKey = ownKey;
    this.#sessions = sessions;
  }

  /** @throws {HttpError} 401 or 403. */
  check(request: HttpRequest): void {
    const isSafe = SAFE_METHODS.includes(request.method);
    if (!isSafe) refuseForeignOrigin(request);
    const key = keyOf(request.header("authorization"));
    if (key !== null && this.#ownKey !== null && isSame(key, this.#ownKey)) return;
    const hasKeys = this.#keys.list().length > 0;
    if (key !== null && hasKeys && this.#keys.check(key)) return;
    if (hasKeys) {
      if (isSafe && this.#sessions?.check(request)) return;
      const challenge = request.header(PAGE_HEADER) === undefined ? CHALLENGE : {};
      throw new HttpError(401, "an API key is needed as user name", challenge);
    }
    const isLocal = LOOPBACK.test(request.remoteAddress) &&
      LOOPBACK_HOST.test(request.header("host") ?? "") && !isFromOtherOrigin(request) &&
      PROXY_HEADERS.every((name) => request.header(name) === undefined);
    if (!isLocal) {
      throw new HttpError(403, "without an API key only this machine may ask");
    }
  }
}

/** User name of HTTP Basic, or a bearer token; null = neither. */
function keyOf(header: string | undefined): string | null {
  const [, scheme, value] = /^(Basic|Bearer) +(\S+)$/i.exec(header ?? "") ?? [];
  if (scheme === undefined) return null;
  if (scheme.toLowerCase() === "bearer") return value;
  const text = Buffer.from(value, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? text : text.slice(0, colon);
}

function isSame(a: string, b: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}
