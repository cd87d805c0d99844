/** Requests whose answers come as they were sent: not decompressed, not followed, with all headers. */
import { request } from "node:http";

/** An answer. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

/** Sends one on a connection of its own. @param url Of the path, too. */
export function rawRequest(
  url: string,
  { method = "GET", headers = {}, body = "" }: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
  } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, (answer) => {
      const pieces: Uint8Array[] = [];
      answer.on("data", (piece: Uint8Array) => pieces.push(piece));
      answer.on("error", reject);
      answer.on("end", () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: headersOf(answer.headers),
          bytes: joined(pieces),
        }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function headersOf(found: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(found)) {
    for (const each of [value ?? []].flat()) headers.append(name, each);
  }
  return headers;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
