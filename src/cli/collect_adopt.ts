/**
 * Adopting a stream from the command line: through the collector that runs on the directory, else in its store.
 *
 * In: directory, public id. Out: the collections in which it is adopted now.
 */
import { existsSync, readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { COLLECTOR_FILES, type ControlFile, openSqliteWriter } from "../collector/mod.ts";
import { openZstd } from "../platform/mod.ts";

/** Where nothing was received of a stream and no collection is named: nodes' own default. */
const COLLECTION_DEFAULT = "tunlog";
const ANSWER_MS_MAX = 10_000;

/** See file header. @param collection null = all in which it was seen. @throws {Error} If it cannot. */
export async function adoptStream(
  directory: string,
  publicId: string,
  collection: string | null,
): Promise<readonly string[]> {
  const control = readControl(`${directory}/${COLLECTOR_FILES.control}`);
  if (control !== null) {
    try {
      return await adoptByRequest(control, publicId, collection);
    } catch (error) {
      // One that was killed leaves its file behind.
      if ((error as { code?: unknown }).code !== "ECONNREFUSED") throw error;
    }
  }
  return await adoptInStore(`${directory}/${COLLECTOR_FILES.store}`, publicId, collection);
}

async function adoptByRequest(
  control: ControlFile,
  publicId: string,
  collection: string | null,
): Promise<readonly string[]> {
  const { collections } = JSON.parse(await ask(control, "GET", "/collections", "")) as {
    collections: Record<string, { instances: Record<string, unknown> }>;
  };
  const seen = Object.keys(collections).filter((name) =>
    Object.hasOwn(collections[name].instances, publicId)
  );
  const names = namesOf(seen, collection);
  for (const name of names) {
    const form = new URLSearchParams({ collection: name, instances: publicId, adopt: "true" });
    await ask(control, "POST", "/instances", String(form));
  }
  return names;
}

function namesOf(seen: readonly string[], collection: string | null): readonly string[] {
  if (collection !== null) return [collection];
  return seen.length === 0 ? [COLLECTION_DEFAULT] : seen;
}

async function adoptInStore(
  path: string,
  publicId: string,
  collection: string | null,
): Promise<readonly string[]> {
  if (!existsSync(path)) throw new Error(`Cannot adopt: there is no collector's store "${path}"`);
  const store = openSqliteWriter(path, { zstd: await openZstd() });
  try {
    const seen = store.streams().filter((stream) => stream.publicId === publicId);
    const names = namesOf(seen.map((stream) => stream.collection), collection);
    for (const name of names) store.adopt(name, publicId, Date.now());
    return names;
  } finally {
    store.close();
  }
}

function readControl(path: string): ControlFile | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ControlFile;
  } catch {
    return null;
  }
}

function ask(
  { url, key }: ControlFile,
  method: string,
  path: string,
  body: string,
): Promise<string> {
  const request = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(url + path, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-length": String(body.length) },
      timeout: ANSWER_MS_MAX,
      // It is this machine's own collector, whose certificate names another host than loopback.
      rejectUnauthorized: false,
    }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => text += piece);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else {reject(
            new Error(`Cannot adopt: the collector says ${response.statusCode}: ${text.trim()}`),
          );}
      });
    });
    sent.on("timeout", () => sent.destroy(new Error("The collector does not answer")));
    sent.on("error", reject);
    sent.end(body);
  });
}
