/**
 * Where a request comes from, as far as a browser says it.
 *
 * In: a request. Out: whether another site had it sent. Guarantees: what is said by either of the two headers counts, and
 * no page can make a browser leave them out or say what is not so; clients that are no browser say nothing.
 */
import { HttpError, type HttpRequest } from "./router.ts";

/** Fetch Metadata: the page itself, or a person who typed the address. Another port of this machine is `same-site`. */
const OWN_SITES = ["same-origin", "none"];

/** Whether a browser says that it was sent by a page of another origin. */
export function isFromOtherOrigin(request: Pick<HttpRequest, "header">): boolean {
  const site = request.header("sec-fetch-site");
  if (site !== undefined && !OWN_SITES.includes(site)) return true;
  const origin = request.header("origin");
  // Without its scheme: what ends TLS in front of the collector changes it.
  return origin !== undefined && origin.replace(/^https?:\/\//, "") !== request.header("host");
}

/** @throws {HttpError} 403 if it was. */
export function refuseForeignOrigin(request: Pick<HttpRequest, "header">): void {
  if (isFromOtherOrigin(request)) throw new HttpError(403, "the request comes from another site");
}
