/**
 * kill -9 of the collector under full ingest, seen from outside: what was answered 200 is in the answers of the API, once, and
 * every tier says the same.
 *
 * Run alone: `deno test -A tests/system/collector_kill_test.ts`. Method: clients post bodies of our own format without a
 * pause; the collector dies at any moment and is started again, on both runtimes in turn, and what was not acknowledged is sent again. The sums that are
 * to come out are read from the bodies by JSON.parse alone. The store by itself is killed in collector_store_test.ts.
 * TUNLOG_KILLS sets how many kills there are.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ingestBodies } from "../support/ingest_bodies.ts";
import { CollectorProcess, countersOf, type Json } from "./support/collector_process.ts";
import { addSums, type LogRow, NO_TRAFFIC, sumRows, type Sums } from "./support/log_books.ts";
import { Random } from "./support/random.ts";
import { hasCommand, OWN_RUNTIME, type Runtime } from "./support/runtimes.ts";
import { pause } from "./support/wait.ts";

const KILLS = Number(process.env.TUNLOG_KILLS ?? 50);
const LANES = 4;
/** How long it lives under load. */
const LIFE_MS = { min: 50, max: 350 };
/** Bodies that a client has ready at the start of a life. */
const READY_BODIES = 24;
const BODY_BYTES_MAX = 40_000;
const LISTS = ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"] as const;

/** What a body holds. */
interface Body {
  readonly bytes: Uint8Array;
  readonly rows: number;
  readonly sums: Sums;
}

/** Sum of some bodies. */
class Account {
  rows = 0;
  sums = NO_TRAFFIC;

  add(body: Body): void {
    this.rows += body.rows;
    this.sums = addSums(this.sums, body.sums);
  }
}

/** One client: one stream, one process whose numbers go on. */
class Client {
  readonly acknowledged = new Account();
  /** All that was ever sent. */
  readonly sent = new Account();
  readonly path: string;
  #ready: Body[] = [];
  /** Sent, nobody knows whether in vain. */
  #open: Body | null = null;
  #nextSeq = 1;

  constructor(readonly index: number) {
    this.path = `/c/log/${createHash("sha256").update(`client ${index}`).digest("hex")}`;
  }

  /** Makes bodies while nobody listens. */
  prepare(): void {
    const startNs = BigInt(Date.now() - 3_600_000) * 1_000_000n;
    while (this.#ready.length < READY_BODIES) {
      const { bodies } = ingestBodies({
        ...{ bodies: 8, addresses: 2_048, bodyBytesMax: BODY_BYTES_MAX },
        ...{ seed: this.index * 1_000 + this.#nextSeq, firstSeq: this.#nextSeq },
        ...{ procId: this.index + 1, startNs },
      });
      for (const bytes of bodies) {
        const entries: Json[] = JSON.parse(Buffer.from(bytes).toString("utf8"));
        const rows: LogRow[] = entries.flatMap((entry) => LISTS.flatMap((list) => entry[list]));
        this.#ready.push({ bytes, rows: rows.length, sums: sumRows(rows) });
        this.#nextSeq = entries.at(-1).logtail.proc_seq + 1;
      }
    }
  }

  /** Posts until nobody answers, or nothing is left. */
  async post(url: string, agent: Agent): Promise<void> {
    for (;;) {
      if (this.#open === null) {
        this.#open = this.#ready.shift() ?? null;
        if (this.#open === null) return;
        this.sent.add(this.#open);
      }
      if (!await isAcknowledged(`${url}${this.path}`, this.#open.bytes, agent)) return;
      this.acknowledged.add(this.#open);
      this.#open = null;
    }
  }

  /** Nothing new: what is open only. */
  forgetReady(): void {
    this.#ready = [];
  }
}

function isAcknowledged(url: string, body: Uint8Array, agent: Agent): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", agent }, (response) => {
      response.resume();
      response.on("error", () => resolve(false));
      response.on("end", () => {
        if (response.statusCode === 200) resolve(true);
        else reject(new Error(`answered ${response.statusCode}`));
      });
    });
    sent.on("error", () => resolve(false));
    sent.end(body);
  });
}

function total(accounts: readonly Account[]): { rows: number; sums: Sums } {
  return {
    rows: accounts.reduce((sum, { rows }) => sum + rows, 0),
    sums: addSums(...accounts.map(({ sums }) => sums)),
  };
}

/** Sums of all rows as a tier has them. */
async function stored(
  collector: CollectorProcess,
  parameters: Record<string, string>,
): Promise<{ rows: number; sums: Sums }> {
  const range = { from: "-2d", to: "+2d", by: "class", timeout: "60s" };
  const { total, truncated } = await collector.ask("/top", { ...range, ...parameters });
  assert.equal(truncated, null);
  return { rows: total.rows, sums: countersOf(total) };
}

/** One life under load. */
async function live(
  collector: CollectorProcess,
  clients: readonly Client[],
  random: Random,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  const posts = Promise.all(clients.map((client) => client.post(collector.url, agent)));
  await pause(LIFE_MS.min + random.below(LIFE_MS.max - LIFE_MS.min));
  await collector.stop("SIGKILL");
  await posts;
  agent.destroy();
}

test(
  `${KILLS} kills of the collector under full ingest: what it acknowledged is in every tier, once`,
  { skip: hasCommand("curl") ? false : "not installed: curl" },
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "tunlog-collector-kill-"));
    const collector = new CollectorProcess(OWN_RUNTIME, directory, null);
    const runtimes = (["deno", "bun"] as const satisfies Runtime[])
      .filter((runtime) => runtime === OWN_RUNTIME || hasCommand(runtime));
    const clients = Array.from({ length: LANES }, (_, index) => new Client(index));
    const acknowledged = () => total(clients.map((client) => client.acknowledged));
    const random = new Random(1);
    let busyLives = 0;
    /** Lives that stored something and could not say so: it is sent again, and must not count twice. */
    let unheard = 0;
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        const starting = collector.start(runtimes[kill % runtimes.length]);
        for (const client of clients) client.prepare();
        await starting;
        // Each time: what is whole at the end might have been mended by what was sent again.
        const { rows } = await stored(collector, { tier: "raw" });
        const sent = total(clients.map((client) => client.sent));
        assert.ok(acknowledged().rows <= rows, `${rows} of ${acknowledged().rows} rows`);
        assert.ok(rows <= sent.rows, `${rows} of ${sent.rows} rows`);
        if (rows > acknowledged().rows) unheard++;
        const before = acknowledged().rows;
        await live(collector, clients, random);
        if (acknowledged().rows > before) busyLives++;
      }
      assert.ok(busyLives > KILLS / 2, `${busyLives} lives took something`);
      assert.ok(unheard > 0, "something came twice");

      await collector.start();
      const agent = new Agent({ keepAlive: true });
      for (const client of clients) {
        client.forgetReady();
        await client.post(collector.url, agent);
      }
      agent.destroy();
      const all = acknowledged();
      assert.ok(all.rows > 1_000 * KILLS / 10, `${all.rows} rows`);
      assert.deepEqual(
        all,
        total(clients.map((client) => client.sent)),
        "nothing is open any more",
      );
      const raw = await stored(collector, { tier: "raw" });
      assert.deepEqual(raw, all);
      for (const tier of ["auto", "minute", "hour", "sum"]) {
        assert.deepEqual((await stored(collector, { tier })).sums, all.sums, tier);
      }
      // And once more when all of it has been rolled up.
      await collector.stop();
      await collector.start();
      for (const tier of ["auto", "raw", "minute", "hour", "sum"]) {
        assert.deepEqual((await stored(collector, { tier })).sums, all.sums, tier);
      }
      await collector.stop();
    } finally {
      collector.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
