/**
 * How many rows per second does the collector store, end to end: HTTP, zstd, JSON, SQLite with synchronous=FULL, roll-ups?
 * Budget: 150,000 rows/s with the loader on the same two cores, resident memory below 300 MB.
 *
 * Mix: bodies of our own client's messages, about 250 KB before zstd level 1, from 8 streams over 4 keep-alive connections;
 * 16,384 addresses. Bodies are made and packed before the clock starts. The machine is shared, so CPU time of the collector
 * is told too: what it would do on cores of its own. Run: `deno run -A tests/bench/collect_bench.ts [BODIES [deno|bun]]`.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openZstd } from "../../src/platform/mod.ts";
import { ingestBodies } from "../support/ingest_bodies.ts";
import { Child } from "../system/support/command.ts";
import { programCommand, ROOT, type Runtime } from "../system/support/runtimes.ts";
import { waitUntil } from "../system/support/wait.ts";

const STREAMS = 8;
const CONNECTIONS = 4;
const TICKS_PER_S = 100;

/** What was measured. */
export interface CollectResult {
  readonly rows: number;
  readonly bodyBytes: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly rssBytesMax: number;
  readonly storeBytes: number;
}

/** Loads a collector with so many bodies. @throws If one is not acknowledged. */
export async function measureCollect(bodyCount: number, runtime: Runtime): Promise<CollectResult> {
  const zstd = await openZstd();
  const uploads: { path: string; body: Uint8Array; raw: number }[] = [];
  let rows = 0;
  for (let stream = 0; stream < STREAMS; stream++) {
    const made = ingestBodies({
      ...{ bodies: Math.ceil(bodyCount / STREAMS), addresses: 16_384, seed: stream + 1 },
      ...{ procId: stream + 1, startNs: BigInt(Date.now() - 600_000) * 1_000_000n },
    });
    rows += made.rows;
    const id = createHash("sha256").update(`stream ${stream}`).digest("hex");
    for (const body of made.bodies) {
      uploads.push({ path: `/c/bench/${id}`, body: zstd.compress(body), raw: body.length });
    }
  }
  // Streams by turns, as nodes come.
  const perStream = uploads.length / STREAMS;
  const order = uploads.map((_, index) =>
    uploads[(index % STREAMS) * perStream + Math.floor(index / STREAMS)]
  );
  const directory = mkdtempSync(join(tmpdir(), "tunlog-bench-"));
  const args = ["collect", "--listen", "127.0.0.1:0", "--data", directory, "--adopt-all"];
  const child = new Child(programCommand(runtime, args), { cwd: ROOT });
  try {
    const url = await waitUntil(
      "the collector's address",
      () => /Collector is at (http:\S+),/.exec(child.stderr)?.[1] ?? false,
    );
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    const cpuBefore = cpuSeconds(child.pid);
    const startMs = performance.now();
    let next = 0;
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
      for (let upload = order[next++]; upload !== undefined; upload = order[next++]) {
        await post(url + upload.path, upload.body, agent);
      }
    }));
    const seconds = (performance.now() - startMs) / 1_000;
    const cpu = cpuSeconds(child.pid) - cpuBefore;
    const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
    const rssBytesMax = Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) * 1_024;
    agent.destroy();
    await child.stop("SIGTERM", 30_000);
    const storeBytes = readFileSync(join(directory, "store.db")).length;
    const bodyBytes = uploads.reduce((sum, { raw }) => sum + raw, 0);
    return { rows, bodyBytes, seconds, cpuSeconds: cpu, rssBytesMax, storeBytes };
  } finally {
    if (child.running) await child.stop("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

function post(url: string, body: Uint8Array, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { "content-encoding": "zstd", "content-length": String(body.length) };
    const sent = request(url, { method: "POST", agent, headers }, (response) => {
      response.resume();
      response.on("end", () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** User and system time of a process and its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

if (import.meta.main) {
  const runtime = (process.argv[3] ?? "deno") as Runtime;
  const result = await measureCollect(Number(process.argv[2] ?? 400), runtime);
  const { rows, bodyBytes, seconds, cpuSeconds: cpu, rssBytesMax, storeBytes } = result;
  const number = (value: number) => Math.round(value).toLocaleString("en");
  console.log(`${runtime}: ${number(rows)} rows in ${seconds.toFixed(1)} s`);
  console.log(`  ${number(rows / seconds)} rows/s, ${number(rows / cpu)} rows per CPU second`);
  console.log(`  ${(bodyBytes / seconds / 1e6).toFixed(0)} MB/s of bodies`);
  console.log(`  ${(rssBytesMax / 2 ** 20).toFixed(0)} MB resident at most`);
  console.log(`  ${(storeBytes / rows).toFixed(1)} bytes of store a row`);
}
