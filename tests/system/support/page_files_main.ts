/**
 * Gets all files of a collector's page as a browser finds them: URL. Prints JSON: each path with its headers, the hash of
 * its bytes, and its length as it is sent compressed.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { foreignOrigins, pageGraph } from "../../support/page_graph.ts";
import { rawRequest } from "../../support/raw_http.ts";

const [url] = process.argv.slice(2) as [string];
const files = await pageGraph((path) => rawRequest(url + path));
const found: [string, unknown][] = [];
for (const [path, { headers, bytes }] of files) {
  const packed = await rawRequest(url + path, { headers: { "accept-encoding": "gzip, br" } });
  found.push([path, {
    sha256: createHash("sha256").update(bytes).digest("hex"),
    foreign: foreignOrigins(new TextDecoder().decode(bytes)),
    headers: Object.fromEntries(headers),
    packedHeaders: Object.fromEntries(packed.headers),
    packedBytes: packed.bytes.length,
  }]);
}
console.log(JSON.stringify(Object.fromEntries(found)));
