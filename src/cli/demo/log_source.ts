/**
 * The demo's source of messages: the log collection that alpha's process keeps, read as anybody could.
 *
 * In: base URL, and the collector's own directory. Out: each message that it stores, as it comes. What is shown has thus
 * gone all the way: node, spool, upload, store, query.
 */
import { readFileSync } from "node:fs";
import { get, type IncomingMessage, request } from "node:http";
import { COLLECTOR_FILES, type ControlFile } from "../../collector/mod.ts";
import { hasTraffic, type Message, parseExactJson, toMessage } from "../../netlog/mod.ts";

/** Where messages come from. */
export interface LogSource {
  /** Hands over all messages from now on. @param onEnd Called when there will be no more, with the reason. */
  follow(onMessage: (message: Message) => void, onEnd: (reason: Error) => void): void;
  stop(): void;
}

/** Collection that nodes send to unless configured. */
const COLLECTION = "tunlog";

/** Adopts streams: what a stranger sends is kept apart. @throws {Error} If the collector refuses. */
export async function adoptStreams(
  url: string,
  directory: string,
  publicIds: readonly string[],
): Promise<void> {
  const control = readFileSync(`${directory}/${COLLECTOR_FILES.control}`, "utf8");
  const { key } = JSON.parse(control) as ControlFile;
  const form = new URLSearchParams({
    collection: COLLECTION,
    instances: publicIds.join(","),
    adopt: "true",
  });
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${key}`,
      "content-type": "application/x-www-form-urlencoded",
    };
    const asked = request(`${url}/instances`, { method: "POST", headers, agent: false });
    asked.on("error", reject);
    asked.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    asked.end(String(form));
  });
  if (status !== 200) throw new Error(`Cannot adopt the nodes' streams: status is ${status}`);
}

/** A collector as a source. */
export class CollectorSource implements LogSource {
  readonly #url: string;
  #stop: () => void = () => {};

  /** @param url Base URL. */
  constructor(url: string) {
    this.#url = url;
  }

  follow(onMessage: (message: Message) => void, onEnd: (reason: Error) => void): void {
    const end = (words: string) => onEnd(new Error(`Cannot read the collector's log: ${words}`));
    const asked = get(`${this.#url}/c/${COLLECTION}?stream=true`, { agent: false });
    this.#stop = () => asked.destroy();
    asked.on("error", (error) => end(error.message));
    asked.on("response", (response: IncomingMessage) => {
      response.on("error", (error) => end(error.message));
      response.on("end", () => end(`it ended, status is ${response.statusCode}`));
      let rest = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        try {
          for (const line of lines) readLine(line, onMessage);
        } catch (error) {
          onEnd(error as Error);
        }
      });
    });
  }

  stop(): void {
    this.#stop();
  }
}

/** A line is the stream's head, a message, or a gap record or report. */
function readLine(line: string, onMessage: (message: Message) => void): void {
  const value = parseExactJson(line);
  if (hasTraffic(value)) onMessage(toMessage(value));
}
