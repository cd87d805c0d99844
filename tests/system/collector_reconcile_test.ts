/**
 * What both ends' books say of packets that were lost and of nodes that lie, on the real thing; and bodies of our own client,
 * posted again by a stranger.
 *
 * Run alone: `deno test -A tests/system/collector_reconcile_test.ts` (root; needs wg, ip, rtmon, nft, ping, curl). Method:
 * the kernel drops a part of the tunnel's datagrams on one way and counts at both ends what entered and left the tunnel, so
 * the true loss is known; a proxy in front of the collector changes what beta says of two of its servers.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { COMPLETE_LAG_MS } from "../../src/limits.ts";
import {
  COLLECTOR_PORT,
  CollectorLab,
  FRONT_PORT,
  OVERLAY,
  UNDERLAY,
} from "./support/collector_lab.ts";
import { between, CollectorProcess, type Json } from "./support/collector_process.ts";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import { PORT } from "./support/pairs.ts";
import { cannotRun, type Runtime } from "./support/runtimes.ts";
import { notOurs, SUBJECT } from "./support/subjects.ts";
import {
  curlSha256,
  type HttpServer,
  ping,
  startHttpServer,
  waitForPing,
} from "./support/traffic.ts";
import { UploadProxy } from "./support/upload_proxy.ts";
import { pause } from "./support/wait.ts";

const skip = cannotRun("rtmon", "nft", "curl") || notOurs();

const LOSS_PERCENT = 20;
const PINGS = 400;
const DOWNLOADS = 5;
const BODY_BYTES = 50_000;
/** All nodes have one clock here. A label is wrong by what the hand-over of a window takes, on a busy machine. */
const MARGINS = { skew: "300ms", transit: "500ms" };
/** Longer than what the margins take away from both ends of the time that can be compared. */
const QUIET_MS = 2_500;

/** Has beta's kernel drop a part of what alpha sends it, and both count echo requests of IPv6 inside the tunnel. */
function countProbes(lab: CollectorLab): void {
  const { alpha, beta } = lab.places;
  alpha.namespace.mustSync(["nft", "-f", "-"], {
    input: `table inet probes {
      counter there {}
      chain out {
        type filter hook postrouting priority 301
        oifname "${alpha.tunnelName}" icmpv6 type echo-request counter name there
      }
    }`,
  });
  beta.namespace.mustSync(["nft", "-f", "-"], {
    input: `table inet probes {
      counter there {}
      chain in {
        type filter hook prerouting priority -311
        iifname "${beta.tunnelName}" icmpv6 type echo-request counter name there
      }
    }`,
  });
}

function probeCount(namespace: Namespace): { packets: number; bytes: number } {
  const argv = ["nft", "-j", "list", "counter", "inet", "probes", "there"];
  const { nftables } = JSON.parse(namespace.mustSync(argv));
  const { packets, bytes } = nftables.find((each: Json) => each.counter !== undefined).counter;
  return { packets, bytes };
}

/** Pings while every fifth datagram of the tunnel is lost on its way there. @returns What the kernel says was lost. */
async function loseSome(lab: CollectorLab): Promise<{ packets: number; bytes: number }> {
  const { alpha, beta } = lab.places;
  countProbes(lab);
  beta.namespace.mustSync(["nft", "-f", "-"], {
    input: `table inet loss {
      chain in {
        type filter hook prerouting priority -400
        ip saddr ${UNDERLAY.alpha.own} udp dport ${PORT} numgen random mod 100 < ${LOSS_PERCENT} drop
      }
    }`,
  });
  const { sent, received } = await ping(alpha.namespace, OVERLAY.beta[6], {
    count: PINGS,
    intervalS: 0.01,
    waitS: 1,
  });
  beta.namespace.mustSync(["nft", "delete", "table", "inet", "loss"]);
  const [there, arrived] = [probeCount(alpha.namespace), probeCount(beta.namespace)];
  assert.deepEqual([there.packets, arrived.packets], [sent, received]);
  const lost = { packets: there.packets - arrived.packets, bytes: there.bytes - arrived.bytes };
  // Far from both none and all: else the interval would be an easy thing to give.
  assert.ok(lost.packets > sent / 10 && lost.packets < sent / 3, `${lost.packets} of ${sent}`);
  return lost;
}

/** Downloads some times from one of beta's servers. */
async function download(lab: CollectorLab, { url, sha256 }: HttpServer): Promise<void> {
  for (let each = 0; each < DOWNLOADS; each++) {
    assert.equal(await curlSha256(lab.places.alpha.namespace, url), sha256);
  }
}

type Direction = "alpha beta" | "beta alpha";

/** Verdicts of all flows of alpha and beta by direction, of flows at that server or of that protocol. */
function flowsOf(pair: Json, direction: Direction, isMeant: (flow: Json) => boolean): Json[] {
  return pair.flows.filter((flow: Json) =>
    `${flow.from} ${flow.to}` === direction && isMeant(flow)
  );
}

const isServer = (server: string) => (flow: Json): boolean =>
  [`${flow.src}:${flow.sport}`, `${flow.dst}:${flow.dport}`].includes(server);
const isProbe = (flow: Json): boolean => flow.proto === 58;

/** Proves the verdict of each flow, both ways. */
function proveVerdicts(
  pair: Json,
  isMeant: (flow: Json) => boolean,
  verdicts: Record<Direction, string>,
  flows: number,
): void {
  for (const [direction, verdict] of Object.entries(verdicts)) {
    const found = flowsOf(pair, direction as Direction, isMeant).map((flow) => flow.verdict);
    assert.deepEqual(found, Array(flows).fill(verdict), direction);
  }
}

/** Posts what was recorded to a new collector, by curl, and proves that it has the same rows then. */
async function proveReplay(lab: Lab, labUnderTest: CollectorLab, proxy: UploadProxy, range: Json) {
  const other = labUnderTest.hub;
  const directory = join(lab.directory, "replayed");
  const again = new CollectorProcess(SUBJECT as Runtime, directory, other, "127.0.0.1:8090");
  await again.start();
  const uploads = proxy.uploads().filter(({ isHonest }) => isHonest);
  assert.ok(uploads.some(({ encoding }) => encoding === "zstd"), "compressed ones are there");
  for (const { name, path, encoding } of uploads) {
    const header = encoding === null ? [] : ["-H", `Content-Encoding: ${encoding}`];
    const data = ["--data-binary", `@${join(proxy.directory, name)}`];
    await other.must(["curl", "-sS", "--fail", ...header, ...data, `${again.url}${path}`]);
  }
  const rowsOf = async (collector: CollectorProcess) =>
    (await collector.flows({ ...range, filter: "node alpha" })).map((row) =>
      JSON.stringify({ ...row, stream: 0, entry: 0 })
    ).sort();
  const rows = await rowsOf(again);
  assert.ok(rows.length > 30, `${rows.length} rows`);
  assert.deepEqual(rows, await rowsOf(labUnderTest.collector));
  await again.stop();
}

test("losses on the way and reports that lie are told, and nothing else", { skip }, async () => {
  await withLab(async (netLab) => {
    const lab = await CollectorLab.open(netLab, { port: FRONT_PORT });
    const { collector, hub } = lab;
    await collector.start();
    const target = `http://127.0.0.1:${COLLECTOR_PORT}`;
    const proxy = await UploadProxy.start(hub, { address: "0.0.0.0", port: FRONT_PORT }, target);
    await lab.start("beta", "alpha");
    const { alpha } = lab.places;
    await waitForPing(alpha.namespace, OVERLAY.beta[4]);
    const servers = await Promise.all(
      [1, 2, 3].map(() => startHttpServer(lab.places.beta.namespace, OVERLAY.beta[4], BODY_BYTES)),
    );
    const [honest, withheld, altered] = servers.map(({ url }) => new URL(url).host);
    await proxy.lie({ withheld: [withheld!], halved: [altered!] });
    await pause(QUIET_MS);
    const startMs = Date.now();
    const lost = await loseSome(lab);
    for (const server of servers) await download(lab, server);
    await pause(QUIET_MS);
    // A node vouches for the time until its last window.
    await ping(alpha.namespace, OVERLAY.beta[4], { count: 1 });
    const endMs = Date.now();
    await Promise.all([lab.end("alpha"), lab.end("beta")]);
    await pause(endMs + COMPLETE_LAG_MS + QUIET_MS - Date.now());

    const range = between(startMs - QUIET_MS, endMs + QUIET_MS);
    const question = { ...range, all: true, limit: 1_000 };
    const { pairs: [pair, ...others], alarms } = await collector.ask("/reconcile", {
      ...question,
      ...MARGINS,
    });
    assert.deepEqual(others, []);
    proveVerdicts(pair, isProbe, { "alpha beta": "loss", "beta alpha": "good" }, 1);
    const good = { "alpha beta": "good", "beta alpha": "good" };
    proveVerdicts(pair, isServer(honest!), good, DOWNLOADS);
    // What alpha sent may never have come, for all that beta says.
    const silent = { "alpha beta": "loss", "beta alpha": "withheld" };
    proveVerdicts(pair, isServer(withheld!), silent, DOWNLOADS);
    proveVerdicts(pair, isServer(altered!), { ...good, "beta alpha": "altered" }, DOWNLOADS);
    assert.equal(alarms, 1 + 3 * DOWNLOADS, "and nothing else");

    const [probe] = flowsOf(pair, "alpha beta", isProbe);
    for (
      const [[min, max], truth] of [
        [probe.lostPackets, lost.packets],
        [probe.lostBytes, lost.bytes],
      ]
    ) {
      assert.ok(0 < min && min <= truth && truth <= max, `${truth} in ${min}..${max}`);
    }
    const wide = (await collector.ask("/reconcile", question)).pairs[0];
    const [wideProbe] = flowsOf(wide, "alpha beta", isProbe);
    const [min, max] = wideProbe.lostPackets;
    assert.ok(min <= lost.packets && lost.packets <= max, `${lost.packets} in ${min}..${max}`);

    // The node's own report, which the proxy did not change, tells as well.
    const { nodes } = await collector.ask("/nodes", { ...range, check: true });
    const lawOf = (name: string) =>
      nodes.find((node: Json) => node.name === name).streams[0].processes[0].law.state;
    assert.deepEqual([lawOf("alpha"), lawOf("beta")], ["kept", "broken"]);
    await proveReplay(netLab, lab, proxy, range);
    await collector.stop();
  });
});
