/**
 * Bodies in the original clients' exact forms, made by hand and posted by curl to a real `tunlog collect`: asked by curl, the
 * API has the right rows.
 *
 * Run alone: `deno test -A tests/system/collector_corpus_test.ts` (needs curl, zstd). Method: each form once, written out as
 * SPEC 1.2 and 2.3 to 2.6 have it; forms that are wrong, and cases of each, are with the ingest's unit tests. Bodies of our own
 * client are posted again in collector_reconcile_test.ts.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CollectorProcess, type Json } from "./support/collector_process.ts";
import { must, mustSync } from "./support/command.ts";
import { hasCommand, OWN_RUNTIME, type Runtime } from "./support/runtimes.ts";

const missing = ["curl", "zstd"].filter((name) => !hasCommand(name));
const skip = missing.length === 0 ? false : `not installed: ${missing.join(", ")}`;

/** Ten minutes ago, on a whole second. */
const endMs = Math.floor(Date.now() / 1_000) * 1_000 - 600_000;
/** With and without fractions, as RFC 3339 with trailing zeros removed. */
const START = new Date(endMs - 4_356).toISOString();
const END = new Date(endMs).toISOString().replace(".000Z", "Z");
const CLIENT_TIME = new Date(endMs + 100).toISOString().replace("00Z", "Z");

const logtail = (procId: number, procSeq: number): string =>
  `"logtail":{"client_time":"${CLIENT_TIME}","proc_id":${procId},"proc_seq":${procSeq}}`;

/** The seed: keys sorted at every level, numbers through float64, no member left out of a row but zero counters. */
const SEED =
  `[{"end":"${END}","exitTraffic":[{"dst":"","proto":0,"src":"","txPkts":3}],${
    logtail(7, 1)
  },"physicalTraffic":[{"dst":"192.0.2.1:41641","proto":0,"rxBytes":148,"rxPkts":1,"src":"100.64.0.2:0"}],"start":"${START}",` +
  `"subnetTraffic":[{"dst":"10.1.2.3:443","proto":6,"src":"100.64.0.1:50000","txBytes":9007199254740992,"txPkts":1e3}],` +
  `"virtualTraffic":[{"dst":"[fd7a:115c:a1e0::53]:80","proto":6,"rxBytes":18446744073709552000,"src":"100.64.0.1:22","txBytes":2,"txPkts":1}]}\n` +
  // Text, with the spaces of its metadata and of "text", and the escapes of a JSON object.
  `,{"logtail": {"client_time": "${CLIENT_TIME}","proc_id": 7,"proc_seq": 2}, "v":1,"text": "a \\"b\\" \\u003c\\u0026\\u2028"}\n` +
  // From the memory buffer, without metadata; and an object that brought a logtail of its own.
  `,{"text": "----------- 12 logs dropped ----------"}\n` +
  `,{"error_has_logtail":{"a":1},"key":"value",${logtail(7, 15)}}\n]`;

/** HEAD: members in order of declaration, bytes as they were, zero members left out, nodes beside. */
const HEAD =
  `[{${
    logtail(4294967295, 1)
  },"nodeId":"nHEAD","start":"${START}","end":"${END}","srcNode":{"nodeId":"nHEAD","name":"head.example.ts.net","addresses":["100.64.9.1","fd7a:115c:a1e0::9"],"os":"linux","tags":["tag:a"]},"dstNodes":[{"nodeId":"nOther","name":"other.example.ts.net","addresses":["100.64.9.2"],"user":"\\u003ca@b\\u003e"}],` +
  `"virtualTraffic":[{"proto":17,"src":"100.64.9.1:53","dst":"100.64.9.2:53","txPkts":1,"txBytes":18446744073709551615,"rxPkts":9007199254740993}],` +
  `"subnetTraffic":[{"proto":1,"src":"[fd7a:115c:a1e0::9]:0","dst":"[2001:db8:0:1:1:1:1:1]:0","rxPkts":5,"rxBytes":420}],` +
  `"exitTraffic":[{"src":"100.64.9.1:0","txPkts":3,"txBytes":120}],"physicalTraffic":[{"src":"100.64.9.2:0","dst":"[2001:db8::1]:41641","txPkts":2,"txBytes":296}]}\n` +
  `,{"logtail":{"client_time":"${CLIENT_TIME}","proc_id":4294967295,"proc_seq":2,"error":{"detail":"entry too large: 300000 bytes","bad_data":"{\\"a\\":…+256310"}}}\n` +
  `,{${logtail(4294967295, 3)},"v":2,"text":"line\\u0007 two\\n…+9"}\n]`;

/** Rows as `NODE CLASS PROTO SRC SPORT > DST DPORT COUNTERS`; counters are texts, for they go beyond what a number holds. */
const ROWS = [
  "head.example.ts.net exit 0 100.64.9.1 0 >  0 3 120 0 0",
  "head.example.ts.net physical 0 100.64.9.2 0 > 2001:db8::1 41641 2 296 0 0",
  "head.example.ts.net subnet 1 fd7a:115c:a1e0::9 0 > 2001:db8:0:1:1:1:1:1 0 0 0 5 420",
  "head.example.ts.net virtual 17 100.64.9.1 53 > 100.64.9.2 53 1 18446744073709551615 9007199254740993 0",
  "seed exit 0  0 >  0 3 0 0 0",
  "seed physical 0 100.64.0.2 0 > 192.0.2.1 41641 0 0 1 148",
  "seed subnet 6 100.64.0.1 50000 > 10.1.2.3 443 1000 9007199254740992 0 0",
  "seed virtual 6 100.64.0.1 22 > fd7a:115c:a1e0::53 80 1 2 0 18446744073709551615",
];

/** Numbers of more than 15 digits become texts. */
function parseExact(text: string): Json {
  return JSON.parse(text.replace(/:(\d{16,})(?=[,}])/g, ':"$1"'));
}

for (const runtime of ["deno", "bun"] as const) {
  const isThere = runtime === OWN_RUNTIME || hasCommand(runtime);
  test(`collector on ${runtime}: bodies in the original clients' forms land as the right rows`, {
    skip: skip || (isThere ? false : `not installed: ${runtime}`),
  }, () => proveCorpus(runtime));
}

async function proveCorpus(runtime: Runtime): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "tunlog-corpus-"));
  const collector = new CollectorProcess(runtime, directory, null);
  const post = async (path: string, body: string, ...headers: string[]) => {
    const bodyPath = join(directory, "body");
    writeFileSync(bodyPath, body);
    const isPacked = headers.some((header) => header.endsWith("zstd"));
    if (isPacked) mustSync(["zstd", "-q", "-f", bodyPath, "-o", `${bodyPath}.zst`]);
    return await must([
      ...["curl", "-sS", "--http1.1", "-w", "%{http_code} %{size_download}"],
      // No content type, which curl would set.
      ...["-H", "Content-Type:", ...headers.flatMap((header) => ["-H", header])],
      ...["--data-binary", `@${bodyPath}${isPacked ? ".zst" : ""}`, `${collector.url}${path}`],
    ]);
  };
  try {
    await collector.start();
    const [seedId, headId] = ["5e".repeat(32), "EA".repeat(32)];
    for (let time = 0; time < 2; time++) {
      assert.equal(await post(`/c/tailtraffic.log.tailscale.io/${seedId}`, SEED), "200 0");
      const packed = ["Content-Encoding: zstd", `Orig-Content-Length: ${HEAD.length}`];
      const path = `/c/tailtraffic.log.tailscale.io/${headId}`;
      assert.equal(await post(path, HEAD, ...packed), "200 0");
    }
    const page = parseExact(
      await collector.askText("/api/v1/flows", { from: START, to: END, limit: 100 }),
    );
    const rows = page.flows.map((row: Json) => {
      const node = row.node === "head.example.ts.net" ? row.node : "seed";
      const { txPackets, txBytes, rxPackets, rxBytes } = row;
      const counters = [txPackets, txBytes, rxPackets, rxBytes].join(" ");
      const ends = `${row.src} ${row.sport} > ${row.dst} ${row.dport}`;
      return `${node} ${row.class} ${row.proto} ${ends} ${counters}`;
    });
    assert.deepEqual(rows.sort(), ROWS);

    const { nodes } = await collector.ask("/nodes", { from: "-1h" });
    const other = nodes.find(({ nodeId }: Json) => nodeId === "nOther");
    assert.deepEqual([other.name, other.logs], ["other.example.ts.net", false]);
    // The seed's 3 .. 14 never came, and it says so itself of 12.
    const { gaps } = await collector.ask("/gaps", { from: "-1h" });
    assert.deepEqual(
      gaps.map(({ kind, firstSeq, lastSeq, entries }: Json) => [kind, firstSeq, lastSeq, entries]),
      [["missing", 3, 14, 12]],
    );
    const { logs } = JSON.parse(await collector.askText("/c/tailtraffic.log.tailscale.io"));
    assert.equal(logs.length, 8, "each once, but for the one that has no name to be known by");
    const texts = logs.map(({ text }: Json) => text).filter((text: unknown) => text !== undefined);
    assert.deepEqual(texts.sort(), [
      "----------- 12 logs dropped ----------",
      "----------- 12 logs dropped ----------",
      'a "b" <&\u2028',
      "line\u0007 two\n…+9",
    ]);
    const errors = logs.filter(({ logtail }: Json) => logtail.error !== undefined);
    assert.deepEqual(
      errors.map(({ logtail }: Json) => logtail.error.detail),
      ["entry too large: 300000 bytes"],
    );
    assert.deepEqual(logs.find(({ key }: Json) => key === "value").error_has_logtail, { a: 1 });
    await collector.stop();
  } finally {
    collector.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
