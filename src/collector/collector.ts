/**
 * The collector as one thing: store, ingest, server.
 *
 * In: options, the platform's clock and timers. Out: a running collector; its router, to which more endpoints are added
 * before it starts. Guarantees: one collector at a time on a directory; an end that answers what is under way, commits it,
 * and closes the store; a start that fails leaves nothing open.
 * Not here: flags, signals and printing (cli).
 */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { setImmediate } from "node:timers";
import { MAINTAIN_PERIOD_MS } from "../limits.ts";
import type { ClockPort, TimerPort, ZstdPort } from "../ports.ts";
import { Access } from "./http/access.ts";
import { ApiKeys } from "./http/api_keys.ts";
import { Collections } from "./http/collections.ts";
import { writeJsonFile } from "./http/json_file.ts";
import { addRetrieval } from "./http/retrieval.ts";
import { Router } from "./http/router.ts";
import { HttpServer, type HttpStats } from "./http/server.ts";
import { uploadHandler } from "./http/upload.ts";
import { Ingest } from "./ingest/ingest.ts";
import type { IngestStats } from "./ingest/stats.ts";
import { type Kept, openSqliteReader, openSqliteWriter } from "./sqlite/mod.ts";
import type { StoreReader, StoreWriter } from "./store.ts";

/** What a collector is made of. */
export interface CollectorOptions {
  /** Absolute path of its own directory; made with mode 0700 if it is not there. */
  readonly directory: string;
  readonly host: string;
  /** 0 = the kernel's choice. */
  readonly port: number;
  /** PEM files; null = no TLS. */
  readonly tls: { readonly certPath: string; readonly keyPath: string } | null;
  readonly kept: Partial<Kept>;
  readonly bodyBytesMax: number;
  /** Whether streams are adopted when they are first seen. */
  readonly adoptAll: boolean;
  /** Whether an upload registers its collection. */
  readonly openCollections: boolean;
  /** Streams that are adopted from the start. */
  readonly adopted: readonly StreamName[];
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  readonly zstd: ZstdPort;
  readonly warn: (message: string) => void;
}

/** A stream, seen or not. */
export interface StreamName {
  readonly collection: string;
  /** 64 hexadecimal digits. */
  readonly publicId: string;
}

/** What the collector has done since it started. */
export interface CollectorStats {
  readonly ingest: IngestStats;
  readonly http: HttpStats;
  readonly storeBytes: number;
  readonly streams: number;
  readonly orphans: number;
}

/** Files below the directory. */
export const COLLECTOR_FILES = {
  store: "store.db",
  keys: "keys.json",
  collections: "collections.json",
  /** Where a running collector is reached, and the key of this machine's command line. */
  control: "control.json",
} as const;

/** Content of the control file. */
export interface ControlFile {
  readonly url: string;
  readonly key: string;
}

/** See file header. */
export class Collector {
  /** Endpoints; those of others are to be added before start(). */
  readonly router = new Router();
  readonly #options: CollectorOptions;
  #parts: Parts | null = null;
  #cancelMaintain: () => void = () => {};
  #url = "";

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** Opens the store and listens. @throws {Error} If it cannot. */
  async start(): Promise<void> {
    const { directory, adopted, clock } = this.#options;
    makeDirectory(directory);
    const writer = openSqliteWriter(this.path("store"), this.#options);
    let reader: StoreReader | null = null;
    try {
      reader = openSqliteReader(this.path("store"));
      for (const { collection, publicId } of adopted) {
        writer.adopt(collection, publicId, Math.floor(clock.wallMs()));
      }
      const parts = this.#makeParts(writer, reader);
      const port = await parts.server.start();
      this.#parts = parts;
      const { host, tls } = this.#options;
      this.#url = urlOf(host, port, tls !== null);
      writeJsonFile(
        this.path("control"),
        { url: this.#url, key: parts.ownKey } satisfies ControlFile,
      );
    } catch (error) {
      await this.#parts?.server.stop();
      this.#parts = null;
      reader?.close();
      writer.close();
      throw error;
    }
    this.#scheduleMaintain(MAINTAIN_PERIOD_MS);
  }

  /** Ends it; safe to call twice. */
  async stop(): Promise<void> {
    const parts = this.#parts;
    if (parts === null) return;
    this.#parts = null;
    this.#cancelMaintain();
    await parts.server.stop();
    // What a client sent whole but was not answered any more: stored all the same, it will be a repetition.
    parts.ingest.flush();
    rmSync(this.path("control"), { force: true });
    parts.reader.close();
    parts.writer.close();
  }

  /** Base URL. Valid once it has started. */
  get url(): string {
    return this.#url;
  }

  /** Path of a file of the collector. */
  path(file: keyof typeof COLLECTOR_FILES): string {
    return `${this.#options.directory}/${COLLECTOR_FILES[file]}`;
  }

  /** @throws {Error} Unless it runs. */
  stats(): CollectorStats {
    const parts = this.#parts;
    if (parts === null) throw new Error("The collector does not run");
    const streams = parts.writer.streams();
    return {
      ingest: parts.ingest.stats,
      http: parts.server.stats,
      storeBytes: parts.writer.sizeBytes(),
      streams: streams.length,
      orphans: streams.filter((stream) => stream.adoptedMs === null).length,
    };
  }

  #makeParts(writer: StoreWriter, reader: StoreReader): Parts {
    const { host, port, tls, clock, timers, warn } = this.#options;
    const { bodyBytesMax, adoptAll, openCollections } = this.#options;
    const collections = new Collections(
      this.path("collections"),
      openCollections,
      writer.streams().map((stream) => stream.collection),
    );
    const ingest = new Ingest({
      ...{ store: writer, clock, bodyBytesMax, adoptAll, warn },
      defer: (run) => void setImmediate(run),
    });
    const upload = uploadHandler(ingest, collections, bodyBytesMax);
    this.router.add("POST", "/c/:collection/:id", upload, "open");
    addRetrieval(this.router, { writer, reader, collections, clock, timers });
    const ownKey = randomBytes(32).toString("base64url");
    const access = new Access(new ApiKeys(this.path("keys")), ownKey);
    const server = new HttpServer({
      ...{ host, port, router: this.router, warn },
      authorize: (request) => access.check(request),
      tls: tls === null ? null : {
        cert: readFileSync(tls.certPath, "utf8"),
        key: readFileSync(tls.keyPath, "utf8"),
      },
    });
    return { writer, reader, ingest, server, ownKey };
  }

  #scheduleMaintain(delayMs: number): void {
    this.#cancelMaintain = this.#options.timers.schedule(delayMs, () => {
      if (this.#parts === null) return;
      let isMoreDue = false;
      try {
        isMoreDue = this.#parts.writer.maintain(Math.floor(this.#options.clock.wallMs()));
      } catch (error) {
        this.#options.warn(error instanceof Error ? error.message : String(error));
      }
      this.#scheduleMaintain(isMoreDue ? 0 : MAINTAIN_PERIOD_MS);
    });
  }
}

interface Parts {
  readonly writer: StoreWriter;
  readonly reader: StoreReader;
  readonly ingest: Ingest;
  readonly server: HttpServer;
  readonly ownKey: string;
}

/** Makes the directory, or closes one that is there to others: it holds addresses and keys. */
export function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}

/** How the collector is reached from this machine. */
function urlOf(host: string, port: number, isTls: boolean): string {
  const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const name = reached.includes(":") ? `[${reached}]` : reached;
  return `${isTls ? "https" : "http"}://${name}:${port}`;
}
