/**
 * `POST /c/<collection>/<private id>[?copyId=<private id>]`: uploads (SPEC 3).
 *
 * In: requests. Out: 200 with an empty body after everything is durable; 403 for a collection's name; 413 over the limit;
 * 503 with Retry-After when the store or memory is full. Guarantees: private ids are hashed at once, and neither kept,
 * told nor answered.
 */
import { createHash } from "node:crypto";
import { INGEST_BUSY_S, INGEST_FRAME_BYTES_EXTRA } from "../../limits.ts";
import { idText, isZeroId, parsePrivateId, publicIdOf } from "../../logtail/mod.ts";
import type { Ingest, UploadAnswer } from "../ingest/ingest.ts";
import type { Collections } from "./collections.ts";
import { HttpError, type HttpHandler, type HttpReply, type HttpRequest } from "./router.ts";

const sha256 = (input: Uint8Array) => createHash("sha256").update(input).digest();
/** The document's own words (SPEC 3). */
const INVALID_COLLECTION = "invalid collection name";
const BUSY: UploadAnswer = { status: 503, retryAfterS: INGEST_BUSY_S };
/** Room reserved for a body whose length is not told, as far as the limit allows. */
const UNTOLD_BYTES = 256 * 1024;

/** Makes the handler. @param bodyBytesMax Limit after decompression. */
export function uploadHandler(
  ingest: Ingest,
  collections: Collections,
  bodyBytesMax: number,
): HttpHandler {
  const wireBytesMax = bodyBytesMax + INGEST_FRAME_BYTES_EXTRA;
  return async (request) => {
    const { collection } = request.params;
    const publicId = publicIdIn(request.params.id);
    if (publicId === null) throw new HttpError(404, "not found");
    if (!collections.use(collection)) {
      ingest.stats.answers["403"] = (ingest.stats.answers["403"] ?? 0) + 1;
      throw new HttpError(403, INVALID_COLLECTION);
    }
    // One that cannot be read is no reason to refuse what can: the stream itself gets its entries.
    const copyPublicId = publicIdIn(request.query.get("copyId") ?? "");
    const about = { collection, publicId, copyPublicId };
    const told = wholeNumber(request.header("content-length"));
    if (told !== null && told > wireBytesMax) return replyTo(await ingest.refuse(about, told));
    const room = told ?? Math.min(UNTOLD_BYTES, wireBytesMax);
    if (!ingest.reserve(room)) return replyTo(BUSY);
    try {
      return await receive(request, ingest, about, wireBytesMax);
    } finally {
      ingest.release(room);
    }
  };
}

async function receive(
  request: HttpRequest,
  ingest: Ingest,
  about: { collection: string; publicId: string; copyPublicId: string | null },
  wireBytesMax: number,
): Promise<HttpReply> {
  let body: Uint8Array;
  try {
    body = await request.body(wireBytesMax);
  } catch (error) {
    const isTooLong = error instanceof HttpError && error.status === 413;
    if (!isTooLong) throw error;
    return replyTo(await ingest.refuse(about, wireBytesMax + 1));
  }
  return replyTo(
    await ingest.store({
      ...about,
      encoding: request.header("content-encoding") ?? "",
      lengthHint: wholeNumber(request.header("orig-content-length")),
      body,
    }),
  );
}

/** Public id of a private one in hexadecimal digits of either case; null if it is none. */
function publicIdIn(text: string): string | null {
  try {
    const privateId = parsePrivateId(text);
    return isZeroId(privateId) ? null : idText(publicIdOf(privateId, sha256));
  } catch {
    return null;
  }
}

function wholeNumber(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function replyTo({ status, retryAfterS }: UploadAnswer): HttpReply {
  if (status === 200) return { status };
  const headers = {
    "content-type": "application/json",
    ...(retryAfterS !== undefined && { "retry-after": String(retryAfterS) }),
  };
  const error = status === 413 ? "body is too large" : "try again later";
  return { status, headers, body: `{"error":"${error}"}\n` };
}
