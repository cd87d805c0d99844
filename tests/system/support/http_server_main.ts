/**
 * HTTP server of the system tests; a program of its own, because it runs inside a namespace.
 *
 * In: `ADDRESS BYTES`. Out: one line `listening PORT SHA256`; then the same pseudo-random body for every request.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Random } from "./random.ts";

const [address, byteCount] = process.argv.slice(2);
const body = new Uint8Array(Number(byteCount));
const random = new Random(1);
for (let index = 0; index < body.length; index++) body[index] = random.below(256);
const sha256 = createHash("sha256").update(body).digest("hex");

const server = createServer((_request, response) => {
  response.writeHead(200, { "content-length": body.length });
  response.end(body);
});
server.listen(0, address, () => {
  console.log(`listening ${(server.address() as AddressInfo).port} ${sha256}`);
});
