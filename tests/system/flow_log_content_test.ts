/**
 * What the flow log says on the wire and on this machine: bodies that every reader of zstd reads, names, classes, exit modes.
 *
 * Run alone: `deno test -A tests/system/flow_log_content_test.ts` (root; needs bun, wireguard-go, wg, ip, rtmon, nft, ping,
 * zstd). Method: real nodes on Deno, on Bun, and as the compiled binary far from the project's folder; bodies are kept as they came
 * and read by fzstd, in the sink, and by the `zstd` command.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mustSync } from "./support/command.ts";
import { startLinkWitness } from "./support/link_witness.ts";
import { addSums, type LogRow, sumRows, tunnelRows } from "./support/log_books.ts";
import { type LoggedPair, proveComplete, startLoggedPair } from "./support/logged_pairs.ts";
import { type Lab, withLab } from "./support/namespaces.ts";
import { sendNumberedDatagrams } from "./support/numbered_datagrams.ts";
import { INNER, makeWire, pairConfig } from "./support/pairs.ts";
import { cannotRun, ROOT } from "./support/runtimes.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, waitForPing } from "./support/traffic.ts";
import { makeKeyPair, startTunnel } from "./support/tunnels.ts";
import { pause } from "./support/wait.ts";

const skip = cannotRun("bun", "wireguard-go", "rtmon", "nft", "zstd") || notOurs();

/** Address of each family on the other side of an exit; nothing of the test's own network looks like them. */
const OUTSIDE = ["203.0.113.77", "198.51.100.9", "2001:db8:77::9"] as const;

/** Proves that one body is a single zstd frame that tells its length, and that both readers agree on it. */
function proveFrame(pair: LoggedPair, bodyName: string, textBytes: number): void {
  const path = join(pair.sink.directory, bodyName);
  const listing = mustSync(["zstd", "--list", "--verbose", path]);
  assert.match(listing, /^# Zstandard Frames: 1$/m);
  assert.equal(/^Decompressed Size: .*\((\d+) B\)$/m.exec(listing)?.[1], `${textBytes}`);
  const text = mustSync(["zstd", "--decompress", "--stdout", path]);
  const own = pair.sink.entries().filter((entry) => entry.bodyName === bodyName);
  assert.equal(text, `[${own.map((entry) => entry.text).join("\n,")}\n]`, "as fzstd reads it");
}

/** Proves path, ids and headers of all requests, and their bodies. @returns How many were compressed. */
function proveRequests(pair: LoggedPair, publicId: string): number {
  const idsPath = join(pair.stateDirectory, "log.conf");
  assert.equal(statSync(idsPath).mode & 0o777, 0o600);
  const ids = JSON.parse(readFileSync(idsPath, "utf8"));
  const hash = createHash("sha256").update(Buffer.from(ids.PrivateID, "hex")).digest("hex");
  assert.deepEqual([ids.PublicID, publicId], [hash, hash]);
  const requests = pair.sink.requests();
  for (const { method, url, headers, textBytes, problem, bodyName } of requests) {
    assert.deepEqual([method, url], ["POST", `/c/tunlog/${ids.PrivateID}`]);
    assert.equal(problem, "");
    const body = pair.sink.body(bodyName);
    if (headers["content-encoding"] === undefined) {
      assert.equal(headers["orig-content-length"], undefined);
      assert.equal(body.length, textBytes);
    } else {
      assert.equal(headers["content-encoding"], "zstd");
      assert.equal(headers["orig-content-length"], `${textBytes}`);
      assert.ok(body.length < textBytes);
      proveFrame(pair, bodyName, textBytes);
    }
  }
  return requests.filter(({ headers }) => headers["content-encoding"] === "zstd").length;
}

/** Has a node send bodies of many lengths, up to the longest, and proves each. */
async function proveBodies(pair: LoggedPair): Promise<void> {
  const { left, sink } = pair;
  for (const [index, count] of [1, 30, 300, 6_000].entries()) {
    await sendNumberedDatagrams(left.namespace, INNER.right[4], 410 + index, count);
    await pair.waitForRequests(sink.requests().length + 1);
  }
  const { publicId } = await pair.collector();
  const kernel = await pair.end();
  assert.ok(proveRequests(pair, publicId) >= 4);
  const longest = Math.max(...sink.requests().map(({ textBytes }) => textBytes));
  assert.ok(longest > 200_000, `${longest} B is the longest body`);
  proveComplete(pair.books(), kernel);
}

for (const runtime of ["deno", "bun"] as const) {
  test(`every body of a node on ${runtime} is read by fzstd and by zstd`, { skip }, async () => {
    await withLab(async (lab) => {
      await proveBodies(await startLoggedPair(lab, { runtime, flowLog: ["Period = 1"] }));
    });
  });
}

/** Builds the single binary as `deno task build` does, into a folder that holds nothing else. */
function buildBinary(lab: Lab): string {
  const { tasks } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  const [, options] = /bun@\S+ (build .*) --outfile/.exec(tasks.build.command)!;
  const path = join(lab.directory, "tunlog");
  mustSync(["bun", ...options!.split(" "), "--outfile", path], { cwd: ROOT });
  return path;
}

test("every body of the compiled binary is compressed and read, far from node_modules", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const program = buildBinary(lab);
    // Hidden from the node: what it needs must be inside.
    const script = `mount -t tmpfs none ${ROOT} && cd /`;
    const prefix = ["sh", "-c", `${script} && shift 4 && exec ${program} "$@"`, "sh"];
    const pair = await startLoggedPair(lab, {
      runtime: "bun",
      flowLog: ["Period = 1"],
      start: { prefix },
    });
    assert.notEqual((await pair.collector()).compression, "none");
    await proveBodies(pair);
  });
});

test(
  "routes that come and go within a window leave its rows what they were",
  { skip },
  async () => {
    await withLab(async (lab) => {
      const pair = await startLoggedPair(lab, {
        flowLog: ["Period = 2"],
        allowedIps: ["10.99.0.0/16"],
      });
      const { left, right } = pair;
      right.namespace.ip(`address add 10.99.0.1/32 dev ${right.name}`);
      const own = `${INNER.right[4]}/32,${INNER.right[6]}/128`;
      const setAllowed = (allowed: string) =>
        left.namespace.mustSync([
          "wg",
          "set",
          left.name,
          "peer",
          right.publicKey,
          "allowed-ips",
          allowed,
        ]);
      const rounds = 3;
      const count = 10;
      for (let round = 0; round < rounds; round++) {
        const { received } = await ping(left.namespace, "10.99.0.1", { count });
        assert.equal(received, count);
        setAllowed(own);
        const refused = await ping(left.namespace, "10.99.0.1", { count: 2, waitS: 1 });
        assert.equal(refused.received, 0, "there is no such route now");
        assert.match(await pair.statusText(), /^ {2}outNoRoute: \d+ packets/m);
        // So that some windows end without the route, and some with it.
        await pause(round * 1_000);
        setAllowed(`${own},10.99.0.0/16`);
      }
      const kernel = await pair.end();
      const books = pair.books();
      proveComplete(books, kernel);
      const isThere = ({ src = "", dst = "" }: LogRow) => `${src} ${dst}`.includes("10.99.0.1");
      const subnet = books.messages.flatMap((message) => message.subnet).filter(isThere);
      const { txPackets, rxPackets } = sumRows(subnet);
      assert.deepEqual([txPackets, rxPackets], [rounds * count, rounds * count]);
      const others = books.messages.flatMap(({ virtual, exit }) => [...virtual, ...exit]);
      assert.ok(!others.some(isThere), "none was taken for something else");
      assert.deepEqual(books.messages.flatMap(({ exit }) => exit), []);
    });
  },
);

/** Sends traffic to the outside, and ends the node. @returns What the sink has of this life, as text and as exit rows. */
async function exitLife(pair: LoggedPair): Promise<{ text: string; rows: LogRow[] }> {
  const before = pair.sink.entries().length;
  const { left } = pair;
  for (const address of OUTSIDE) {
    const { received } = await ping(left.namespace, address, { count: 5 });
    assert.equal(received, 5);
  }
  const kernel = await pair.end();
  const books = pair.books();
  const procId = books.procIds.at(-1)!;
  proveComplete(books, kernel, procId);
  const rows = books.messages.filter((message) => message.procId === procId)
    .flatMap(({ exit }) => exit);
  const { txPackets, rxPackets } = sumRows(rows);
  assert.deepEqual([txPackets, rxPackets], [5 * OUTSIDE.length, 5 * OUTSIDE.length]);
  return { text: pair.sink.entries().slice(before).map(({ text }) => text).join("\n"), rows };
}

test("no exit mode but full lets an address of the outside reach the sink", { skip }, async () => {
  await withLab(async (lab) => {
    const pair = await startLoggedPair(lab, { allowedIps: ["0.0.0.0/0", "::/0"] });
    const { left, right } = pair;
    right.namespace.ip(...OUTSIDE.map((address) => `address add ${address} dev ${right.name}`));
    const base = left.config.flowLog!;
    const dstOf = (rows: readonly LogRow[]) => [...new Set(rows.map(({ dst = "" }) => dst))].sort();
    const live = async (mode: string) => {
      await pair.restart([...base, `ExitMode = ${mode}`]);
      return await exitLife(pair);
    };
    const first = await exitLife(pair);
    assert.deepEqual(dstOf(first.rows), [""], "zero is the default");
    const lives = { zero: first, node: await live("node"), prefix: await live("prefix") };
    const keyed = [await live("keyed"), await live("keyed")];
    for (const { text } of [...Object.values(lives), ...keyed]) {
      for (const address of OUTSIDE) assert.ok(!text.includes(address), address);
    }
    assert.match(lives.prefix.text, /203\.0\.113\.0/);
    assert.doesNotMatch(lives.node.text, /203\.0\.113/);
    const [pseudonyms, again] = keyed.map(({ rows }) => dstOf(rows)) as [string[], string[]];
    assert.equal(pseudonyms.length, OUTSIDE.length);
    assert.deepEqual(again, pseudonyms, "the same after a restart");
    assert.equal(statSync(join(pair.stateDirectory, "exit.key")).mode & 0o777, 0o600);

    const full = await live("full");
    for (const address of OUTSIDE) assert.ok(full.text.includes(address), address);
  });
});

/** Lines of a flow log on this machine, without reports. */
function messageLines(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("{") && !line.includes('"report"'));
}

test("without a collector the flow log is on standard output", { skip }, async () => {
  await withLab(async (lab) => {
    const { left, right } = makeWire(lab);
    const links = await startLinkWitness(left);
    const keys = { left: makeKeyPair(), right: makeKeyPair() };
    const options = { left: SUBJECT, right: REFERENCE } as const;
    await startTunnel(REFERENCE, right, pairConfig("right", keys, options));
    // The kernel is the witness: it counts packets one by one only where there are no super-packets.
    const config = { ...pairConfig("left", keys, options), offloads: "udp" as const, flowLog: [] };
    const tunnel = await startTunnel(SUBJECT, left, config);
    await waitForPing(left, INNER.right[4]);
    await ping(left, INNER.right[6], { count: 50 });
    const { code, stdout } = await tunnel.stop();
    assert.equal(code, 0);
    const kernel = await links.end(tunnel.name, 1);
    assert.ok(stdout.split("\n").slice(0, -1).every((line) => JSON.parse(line).nodeId !== ""));
    const messages = messageLines(stdout).map((line) => JSON.parse(line));
    const lists = ["virtualTraffic", "subnetTraffic", "exitTraffic"];
    const rows = messages.flatMap((message) => lists.flatMap((list) => message[list] ?? []));
    assert.equal(sumRows(rows).rxBytes, kernel.rxBytes);
    assert.ok(kernel.rxPackets > 50);
  });
});

test("a file and a collector get the same messages", { skip }, async () => {
  await withLab(async (lab) => {
    const path = join(lab.directory, "flows.ndjson");
    const pair = await startLoggedPair(lab, { flowLog: ["Period = 1", `Output = ${path}`] });
    await sendNumberedDatagrams(pair.left.namespace, INNER.right[4], 420, 5_000);
    await ping(pair.left.namespace, INNER.right[4], { count: 100, intervalS: 0.02 });
    const kernel = await pair.end();
    const books = pair.books();
    proveComplete(books, kernel);
    const sent = books.messages.toSorted((a, b) => a.procSeq - b.procSeq)
      // Its name and time of writing stand in front.
      .map(({ text }) => `{${/^\{"logtail":\{[^}]*\},(.*)$/.exec(text)![1]}`);
    assert.ok(sent.length > 2);
    assert.deepEqual(messageLines(readFileSync(path, "utf8")), sent);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const rows = books.messages.flatMap(tunnelRows);
    assert.ok(rows.length > 5_000);
    assert.deepEqual(addSums(sumRows(rows)), books.tunnel());
  });
});
