/**
 * A proxy between nodes and a collector that keeps bodies as they came, and that can lie for a node; a program of its own,
 * because it runs inside a namespace.
 *
 * In: `ADDRESS PORT TARGET DIRECTORY`; on standard input one UploadLies as JSON a line, which replaces the one before. Out:
 * `listening`, and `lies N` for each. In the directory: `body-N`, as it came, and a line of `uploads.ndjson` for each that the
 * target answered 200. What is not changed is handed on as it came.
 */
import { decompress } from "fzstd";
import { Buffer } from "node:buffer";
import { appendFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { RecordedUpload, UploadLies } from "./upload_proxy.ts";

const [address, port, target, directory] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];
let lies: UploadLies = { withheld: [], halved: [] };
let count = 0;
let liesCount = 0;

// deno-lint-ignore no-explicit-any -- rows of JSON.
type Row = any;

/** @returns null = there is nothing to change. */
function changed(text: string): string | null {
  const entries = JSON.parse(text);
  let isChanged = false;
  for (const entry of entries) {
    const rows: Row[] | undefined = entry.virtualTraffic;
    if (rows === undefined) continue;
    const kept = rows.filter(({ src }) => !lies.withheld.includes(src));
    isChanged ||= kept.length < rows.length;
    for (const row of kept.filter(({ src }) => lies.halved.includes(src))) {
      isChanged = true;
      row.txPkts = Math.floor((row.txPkts ?? 0) / 2);
      row.txBytes = Math.floor((row.txBytes ?? 0) / 2);
    }
    entry.virtualTraffic = kept;
  }
  return isChanged ? JSON.stringify(entries) : null;
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const encoding = request.headers["content-encoding"] as string | undefined;
  const text = new TextDecoder().decode(encoding === "zstd" ? decompress(body) : body);
  const lie = changed(text);
  const name = `body-${count++}`;
  writeFileSync(join(directory, name), body);
  const answer = await fetch(`${target}${request.url}`, {
    method: "POST",
    body: lie ?? body,
    ...(lie === null && encoding !== undefined && { headers: { "content-encoding": encoding } }),
  });
  const upload: RecordedUpload = {
    name,
    path: request.url!,
    encoding: encoding ?? null,
    isHonest: lie === null,
  };
  if (answer.status === 200) {
    appendFileSync(join(directory, "uploads.ndjson"), `${JSON.stringify(upload)}\n`);
  }
  response.writeHead(answer.status);
  response.end(await answer.text());
}

createServer((request, response) => {
  serve(request, response).catch((error) => {
    console.error(error);
    request.socket.destroy();
  });
}).listen(Number(port), address, () => console.log("listening"));

for await (const line of createInterface({ input: process.stdin })) {
  lies = JSON.parse(line);
  console.log(`lies ${++liesCount}`);
}
