/**
 * The collector as one thing: store, ingest, server.
 *
 * In: options, the platform's clock and timers. Out: a running collector, to whose router others may add endpoints.
 * Guarantees: one collector at a time on a directory; an end that answers what is under way, commits it,
 * and closes the store; a start that fails leaves nothing open.
 * Not here: flags, signals and printing (cli).
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { setImmediate } from "node:timers";
import { MAINTAIN_PERIOD_MS } from "../limits.ts";
import type { ClockPort, TimerPort, ZstdPort } from "../ports.ts";
import { Access } from "./http/access.ts";
import { ApiKeys } from "./http/api_keys.ts";
import { Collections } from "./http/collections.ts";
import { writeJsonFile } from "./http/json_file.ts";
import { addRetrieval } from "./http/retrieval.ts";
import { Router } from "./http/router.ts";
import { Sessions } from "./http/sessions.ts";
import { HttpServer, type HttpStats } from "./http/server.ts";
import { uploadHandler } from "./http/upload.ts";
import { Ingest } from "./ingest/ingest.ts";
import type { IngestStats } from "./ingest/stats.ts";
import { addPage } from "./page/page.ts";
import { type Kept, openSqliteReader, openSqliteWriter } from "./sqlite/mod.ts";
import type { StoreReader, StoreWriter } from "./store.ts";

/** What a collector is made of. */
export interface CollectorOptions {
  /** Absolute path of its directory; made with mode 0700 if it is not there. */
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
  /** Adds more endpoints, once the store is open. @returns What ends them; called before the store is closed. */
  readonly mount?: (parts: MountParts) => () => void | Promise<void>;
  readonly warn: (message: string) => void;
}

/** What endpoints of others are built on. */
export interface MountParts {
  readonly router: Router;
  /** Path of the store, for readers of their own. */
  readonly storePath: string;
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  readonly stats: () => CollectorStats;
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
      this.#parts = parts;
      const port = await parts.server.start();
      const { host, tls } = this.#options;
      this.#url = urlOf(host, port, tls !== null);
      writeJsonFile(
        this.path("control"),
        { url: this.#url, key: parts.ownKey } satisfies ControlFile,
      );
    } catch (error) {
      const parts: Parts | null = this.#parts;
      this.#parts = null;
      await parts?.server.stop();
      await parts?.unmount();
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
    await parts.unmount();
    rmSync(this.path("control"), { force: true });
    parts.reader.close();
    parts.writer.close();
  }

  /** Adopts a stream, seen or not. @throws {Error} Unless the collector runs, and if the store cannot. */
  adopt({ collection, publicId }: StreamName): void {
    if (this.#parts === null) throw new Error("The collector does not run");
    this.#parts.writer.adopt(collection, publicId, Math.floor(this.#options.clock.wallMs()));
    this.#parts.collections.use(collection);
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
    const router = new Router();
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
    router.add("POST", "/c/:collection/:id", upload, "open");
    addRetrieval(router, { writer, reader, collections, clock, timers });
    const unmount = this.#options.mount?.({
      ...{ router, storePath: this.path("store"), clock, timers },
      stats: () => this.stats(),
    }) ?? (() => {});
    const ownKey = randomBytes(32).toString("base64url");
    const keys = new ApiKeys(this.path("keys"));
    const isTls = tls !== null;
    const sessions = new Sessions({ keys, isTls, nowMs: () => clock.nowMs() });
    addPage(router, sessions);
    const access = new Access(keys, ownKey, sessions);
    const server = new HttpServer({
      ...{ host, port, router, warn },
      authorize: (request) => access.check(request),
      tls: tls === null ? null : {
        cert: readFileSync(tls.certPath, "utf8"),
        key: readFileSync(tls.keyPath, "utf8"),
      },
    });
    return { writer, reader, collections, ingest, server, ownKey, unmount };
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
  readonly collections: Collections;
  readonly ingest: Ingest;
  readonly server: HttpServer;
  readonly ownKey: string;
  readonly unmount: () => void | Promise<void>;
}

/** Makes the directory, closed to others. One that is there stays as it is, for it may be somebody else's too. */
export function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** How the collector is reached from this machine. */
function urlOf(host: string, port: number, isTls: boolean): string {
  const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const name = reached.includes(":") ? `[${reached}]` : reached;
  return `${isTls ? "https" : "http"}://${name}:${port}`;
}
