/**
 * The collector as a process, and in a node's own: what was acknowledged is there however it ended, and rows are the kernel's
 * counters.
 *
 * Run alone: `deno test -A tests/system/collect_test.ts` (the second part: root, wireguard-go, wg, ip, rtmon, ping).
 * Method: uploads from several clients at once until the process is told to end, or killed; then its store is read. A pair of
 * nodes, the left one with a [Collector] of its own; then store and kernel are compared.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openSqliteReader } from "../../src/collector/mod.ts";
import { CLASS_NAMES } from "../../src/counters.ts";
import { Child, mustSync, type SignalName } from "./support/command.ts";
import { startLinkWitness } from "./support/link_witness.ts";
import { withLab } from "./support/namespaces.ts";
import { silencePorts } from "./support/numbered_datagrams.ts";
import { INNER, makeWire, pairConfig } from "./support/pairs.ts";
import { cannotRun, hasCommand, programCommand, ROOT, type Runtime } from "./support/runtimes.ts";
import { nodeStatus } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { startPing, stopPing, waitForPing } from "./support/traffic.ts";
import { makeKeyPair, startTunnel } from "./support/tunnels.ts";
import { waitUntil } from "./support/wait.ts";

const CLIENTS = 4;

/** Posts numbered entries until nobody answers any more. @returns Numbers of those that were acknowledged. */
async function postUntilEnd(url: string, client: number): Promise<number[]> {
  const acknowledged: number[] = [];
  const privateId = createHash("sha256").update(`client ${client}`).digest("hex");
  for (let seq = 1;; seq++) {
    const name = `"logtail":{"proc_id":${client + 1},"proc_seq":${seq}}`;
    const body = `[{${name},"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:05Z",` +
      `"exitTraffic":[{"txPkts":1,"txBytes":${seq}}]}\n]`;
    try {
      const response = await fetch(`${url}/c/log/${privateId}`, { method: "POST", body });
      await response.body?.cancel();
      if (response.status === 200) acknowledged.push(seq);
    } catch {
      return acknowledged;
    }
  }
}

async function startCollector(
  runtime: Runtime,
  directory: string,
  more: readonly string[] = [],
): Promise<[Child, string]> {
  const args = ["collect", "--listen", "127.0.0.1:0", "--data", directory, ...more];
  const child = new Child(programCommand(runtime, args), { cwd: ROOT });
  // On standard error, where people look.
  const url = await waitUntil(
    "the collector's address",
    () => /Collector is at (https?:\S+),/.exec(child.stderr)?.[1] ?? false,
  );
  return [child, url];
}

/** Numbers of the entries that the store has of each process. */
function storedSeqs(directory: string): Map<number, number[]> {
  const reader = openSqliteReader(join(directory, "store.db"));
  const seqs = new Map<number, number[]>();
  for (let after = 0;;) {
    const entries = reader.entries({ collection: "log", fromMs: 0, after, limit: 500 });
    if (entries.length === 0) break;
    for (const { procId, procSeq } of entries) {
      seqs.set(procId, [...seqs.get(procId) ?? [], procSeq]);
    }
    after = entries.at(-1)!.id;
  }
  reader.close();
  return seqs;
}

for (const runtime of ["deno", "bun"] as const) {
  for (const signal of ["SIGTERM", "SIGKILL"] as const satisfies SignalName[]) {
    test(`collector on ${runtime} that ends by ${signal} has all that it acknowledged, once`, async () => {
      const directory = mkdtempSync(join(tmpdir(), "tunlog-collect-"));
      try {
        const [child, url] = await startCollector(runtime, directory);
        const clients = Array.from({ length: CLIENTS }, (_, client) => postUntilEnd(url, client));
        const seen = () =>
          fetch(`${url}/c/log?max-count=1&after=200`).then((answer) => answer.json());
        await waitUntil("200 entries", async () => (await seen()).logs.length > 0);
        const { code, stderr } = await child.stop(signal, 20_000);
        if (signal === "SIGTERM") assert.equal(code, 0, stderr);
        const acknowledged = await Promise.all(clients);
        const stored = storedSeqs(directory);
        for (const [client, seqs] of acknowledged.entries()) {
          assert.ok(seqs.length > 10, `client ${client}: ${seqs.length}`);
          const own = stored.get(client + 1) ?? [];
          assert.equal(new Set(own).size, own.length, "none twice");
          assert.deepEqual(seqs.filter((seq) => !own.includes(seq)), [], "none lost");
          // One more at most: stored, but its answer did not arrive any more.
          assert.ok(own.length <= seqs.length + 1, `${own.length} of ${seqs.length}`);
        }
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    });
  }
}

for (const runtime of ["deno", "bun"] as const) {
  test(
    `collector on ${runtime} serves HTTPS by a given certificate, and its own command line finds it`,
    {
      skip: ["openssl", "curl"].every(hasCommand) ? false : "not installed: openssl or curl",
    },
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "tunlog-collect-"));
      const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
      mustSync([
        ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ...["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
      ]);
      const tls = ["--tls-cert", cert, "--tls-key", key];
      const [child, url] = await startCollector(runtime, directory, tls);
      try {
        assert.match(url, /^https:/);
        const publicId = "ab".repeat(32);
        const adopt = ["collect", "adopt", publicId, "--data", directory];
        assert.match(
          mustSync(programCommand(runtime, adopt), { cwd: ROOT }),
          /adopted .* in tunlog/,
        );
        const add = ["collect", "key", "add", "page", "--data", directory];
        const apiKey = mustSync(programCommand(runtime, add), { cwd: ROOT }).trim();
        // The page's cookie goes over TLS only.
        const answer = mustSync([
          ...[
            "curl",
            "-sSi",
            "--cacert",
            cert,
            "--resolve",
            `localhost:${new URL(url).port}:127.0.0.1`,
          ],
          ...["--data-urlencode", `key=${apiKey}`, `https://localhost:${new URL(url).port}/login`],
        ]);
        assert.match(
          answer,
          /^set-cookie: tunlog-session-\d+=.*; HttpOnly; SameSite=Strict; Secure\r$/im,
        );
        assert.equal((await child.stop("SIGTERM", 20_000)).code, 0);
      } finally {
        if (child.running) await child.stop("SIGKILL");
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );
}

const skip = cannotRun("wireguard-go", "rtmon") || notOurs();

test(
  "node with a collector of its own: its stream is adopted, its rows are the kernel's counters",
  {
    skip,
  },
  async () => {
    await withLab(async (lab) => {
      const { left, right } = makeWire(lab);
      silencePorts(right);
      const links = await startLinkWitness(left);
      const keys = { left: makeKeyPair(), right: makeKeyPair() };
      const implementations = { left: SUBJECT, right: REFERENCE } as const;
      const directory = join(lab.directory, "collector");
      const config = {
        ...pairConfig("left", keys, implementations),
        // The kernel is the witness: it counts packets one by one only where there are no super-packets.
        offloads: "udp" as const,
        flowLog: [
          "Period = 1",
          `StateDirectory = ${join(lab.directory, "state")}`,
          "[Collector]",
          `Data = ${directory}`,
          "Listen = 127.0.0.1:8080",
        ],
      };
      const [node] = await Promise.all([
        startTunnel(SUBJECT, left, config),
        startTunnel(REFERENCE, right, pairConfig("right", keys, implementations)),
      ]);
      await waitForPing(left, INNER.right[4]);
      const traffic = startPing(left, INNER.right[4], 0.01);
      await waitUntil("three uploads", async () => {
        const { collector } = (await nodeStatus(node)).flowLog;
        assert.equal(collector?.url, "http://127.0.0.1:8080");
        return collector.delivery.uploads >= 3;
      });
      await stopPing(traffic);
      const { code, stderr } = await node.process.stop("SIGTERM", 30_000);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /Collector is at http:\/\/127\.0\.0\.1:8080/);
      assert.doesNotMatch(stderr, /not delivered|died|put off/);
      const kernel = await links.end(node.name, 1);

      const reader = openSqliteReader(join(directory, "store.db"));
      const [stream, ...others] = reader.streams();
      assert.deepEqual(others, []);
      assert.notEqual(stream!.adoptedMs, null);
      const ids = readFileSync(join(lab.directory, "state", "log.conf"), "utf8");
      assert.ok(ids.includes(stream!.publicId));
      const sums = { txPackets: 0n, txBytes: 0n, rxPackets: 0n, rxBytes: 0n };
      for (const window of reader.windows(stream!.number, 0, Date.now() + 60_000)) {
        for (const name of CLASS_NAMES.filter((each) => each !== "physical")) {
          for (const key of Object.keys(sums) as (keyof typeof sums)[]) {
            sums[key] += window.sums[name][key];
          }
        }
      }
      const [process] = reader.processes();
      assert.deepEqual(process!.missing, []);
      assert.equal(process!.firstSeq, 1);
      reader.close();
      assert.ok(sums.txPackets > 50n, `${sums.txPackets} packets`);
      // What the tunnel delivered is what the kernel counted on the interface; what it dropped was refused, not logged.
      assert.equal(sums.rxPackets, BigInt(kernel.rxPackets));
      assert.equal(sums.rxBytes, BigInt(kernel.rxBytes));
    });
  },
);
