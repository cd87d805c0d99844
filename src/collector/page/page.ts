/**
 * The page on the collector's router: its files, login and logout.
 *
 * In: a router, the logins. Out: handlers. Guarantees: files hold no data, so anybody may have them; what the page shows it
 * asks of `/api/v1` by the rules there. No script or style but the page's own files, nothing off the origin, no frame around
 * it. Files are compressed once, and sent again only when they have changed.
 */
import { createHash } from "node:crypto";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { parseForm } from "../http/form.ts";
import { refuseForeignOrigin } from "../http/origin.ts";
import {
  HttpError,
  type HttpReply,
  type HttpRequest,
  jsonReply,
  type Router,
} from "../http/router.ts";
import type { Sessions } from "../http/sessions.ts";
import { type Asset, ASSETS, DOCUMENT } from "./assets.ts";

/** Paths of the views: all of them lead to the one document, which looks at its own address. */
export const VIEW_PATHS = ["/", "/explore", "/flow", "/completeness", "/paths"];

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  // No text becomes markup or script, even where code of the page or its packages would have it so.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  // Kept, but asked for each time: a collector that was updated must not meet its old page.
  "cache-control": "no-cache",
  vary: "accept-encoding",
};

/** Adds the page. */
export function addPage(router: Pick<Router, "add">, sessions: Sessions): void {
  for (const path of VIEW_PATHS) add(router, path, DOCUMENT);
  for (const [name, asset] of Object.entries(ASSETS)) add(router, `/page/${name}`, asset);
  router.add("GET", "/favicon.ico", () => ({ status: 204 }), "open");
  router.add("GET", "/session", (request) => {
    return jsonReply(200, { loggedIn: sessions.check(request) }, { "cache-control": "no-store" });
  }, "open");
  router.add("POST", "/login", (request) => login(request, sessions), "open");
  router.add("POST", "/logout", (request) => {
    refuseForeignOrigin(request);
    const headers = { "set-cookie": sessions.close(request), "cache-control": "no-store" };
    return { status: 204, headers };
  }, "open");
}

async function login(request: HttpRequest, sessions: Sessions): Promise<HttpReply> {
  refuseForeignOrigin(request);
  // Before the body is read; what came in at once is looked at again when it is.
  sessions.refuseHaste(request);
  const form = await parseForm(request);
  const cookie = sessions.open(form.one("key").trim(), request);
  if (cookie === null) throw new HttpError(403, "this is not an API key of this collector");
  return { status: 204, headers: { "set-cookie": cookie, "cache-control": "no-store" } };
}

function add(router: Pick<Router, "add">, path: string, asset: Asset): void {
  const file = new PageFile(asset);
  router.add("GET", path, (request) => file.reply(request), "open");
}

type Coding = "br" | "gzip" | "";

/** One file in the forms in which it is sent, each made when it is first asked for. */
class PageFile {
  readonly #asset: Asset;
  readonly #bodies = new Map<Coding, Uint8Array>();
  #tag = "";

  constructor(asset: Asset) {
    this.#asset = asset;
  }

  reply(request: HttpRequest): HttpReply {
    const { type, text } = this.#asset;
    const coding = codingOf(request.header("accept-encoding") ?? "");
    if (this.#tag === "") this.#tag = createHash("sha256").update(text).digest("base64url");
    // What is sent differs by coding, and so must its name (RFC 9110 8.8.3.3).
    const etag = `"${this.#tag.slice(0, 22)}${coding === "" ? "" : `-${coding}`}"`;
    const headers = { ...HEADERS, "content-type": type, etag };
    const known = (request.header("if-none-match") ?? "").split(/, */);
    if (known.some((each) => each === "*" || each.replace(/^W\//, "") === etag)) {
      return { status: 304, headers };
    }
    return {
      status: 200,
      headers: { ...headers, ...(coding !== "" && { "content-encoding": coding }) },
      body: this.#body(coding),
    };
  }

  #body(coding: Coding): Uint8Array {
    let body = this.#bodies.get(coding);
    if (body === undefined) {
      body = compressed(new TextEncoder().encode(this.#asset.text), coding);
      this.#bodies.set(coding, body);
    }
    return body;
  }
}

/** The best that the client takes. `;q=0` refuses one; other weights are not looked at. */
export function codingOf(accepted: string): Coding {
  const offers = accepted.toLowerCase().split(",").map((offer) => offer.trim())
    .filter((offer) => !/;\s*q=0(\.0*)?$/.test(offer))
    .map((offer) => offer.split(";")[0].trim());
  if (offers.includes("br")) return "br";
  return offers.includes("gzip") ? "gzip" : "";
}

function compressed(bytes: Uint8Array, coding: Coding): Uint8Array {
  switch (coding) {
    case "br":
      // 5 of 11: 86.3 KB for the whole page and a fifth of the time that 9 takes for 85.7 KB (Deno 2.9, Bun 1.4). Uploads wait
      // meanwhile, if only once.
      return brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } });
    case "gzip":
      return gzipSync(bytes, { level: 9 });
    case "":
      return bytes;
  }
}
