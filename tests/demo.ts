/**
 * Shows tunlog at work: two nodes in network namespaces of their own, real traffic through the tunnel between them,
 * and one node's flow log as it is written. Needs root and `ip`; takes some ten seconds; leaves nothing behind.
 *
 *     deno task demo
 */
import { generateKeyPairSync } from "node:crypto";
import { Buffer } from "node:buffer";
import process from "node:process";
import type { Child } from "./system/support/command.ts";
import { type Lab, withLab } from "./system/support/namespaces.ts";
import { endpointText, INNER, makeWire, OUTER, PORT, type Side } from "./system/support/pairs.ts";
import {
  hasCommand,
  helperCommand,
  OWN_RUNTIME,
  programCommand,
  ROOT,
} from "./system/support/runtimes.ts";
import { type KeyPair, startTunnel } from "./system/support/tunnels.ts";

const WINDOWS = 4;
const PERIOD_S = 2;
const OTHER = { left: "right", right: "left" } as const;
const PROTO_NAMES: Readonly<Record<number, string>> = {
  1: "ICMP",
  6: "TCP",
  17: "UDP",
  58: "ICMP6",
};

/** One row of the flow log; members that are zero are absent. */
interface Row {
  readonly proto?: number;
  readonly src?: string;
  readonly dst?: string;
  readonly txPkts?: number;
  readonly txBytes?: number;
  readonly rxPkts?: number;
  readonly rxBytes?: number;
}

interface Window {
  readonly start: string;
  readonly end: string;
  readonly virtualTraffic?: readonly Row[];
  readonly subnetTraffic?: readonly Row[];
  readonly exitTraffic?: readonly Row[];
  readonly physicalTraffic?: readonly Row[];
}

const LISTS = [
  ["between nodes", "virtualTraffic"],
  ["with networks behind nodes", "subnetTraffic"],
  ["with the internet, and what no route explains", "exitTraffic"],
  ["on the wire", "physicalTraffic"],
] as const;

function obstacle(): string | null {
  if (process.getuid?.() !== 0) {
    return "it makes network namespaces and TUN devices: run it as root";
  }
  return hasCommand("ip") ? null : 'it needs the command "ip" (Debian: apt-get install iproute2)';
}

/** X25519 keys in wg's form, made without wg. */
function makeKeys(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const base64 = (value: string | undefined) => Buffer.from(value!, "base64url").toString("base64");
  return {
    privateKey: base64(privateKey.export({ format: "jwk" }).d),
    publicKey: base64(publicKey.export({ format: "jwk" }).x),
  };
}

async function startNodes(lab: Lab) {
  const namespaces = makeWire(lab);
  const keys = { left: makeKeys(), right: makeKeys() };
  const start = (side: Side) => {
    const other = OTHER[side];
    return startTunnel(OWN_RUNTIME, namespaces[side], {
      keys: keys[side],
      listenPort: PORT,
      addresses: [`${INNER[side][4]}/24`, `${INNER[side][6]}/64`],
      flowLog: [`Output = ${side === "left" ? "stdout" : "none"}`, `Period = ${PERIOD_S}`],
      peers: [{
        publicKey: keys[other].publicKey,
        allowedIps: [`${INNER[other][4]}/32`, `${INNER[other][6]}/128`],
        endpoint: endpointText(OUTER[other][4], PORT),
      }],
    });
  };
  const [left, right] = await Promise.all([start("left"), start("right")]);
  return { left, right };
}

function count(value = 0): string {
  const units = ["", "k", "M", "G"];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)}${units[unit]}`;
}

function printRows(title: string, rows: readonly Row[] = []): void {
  if (rows.length > 0) console.log(`  ${title}`);
  for (const row of rows) {
    const proto = row.proto === undefined ? "" : PROTO_NAMES[row.proto] ?? `proto ${row.proto}`;
    const flow = `${proto.padEnd(6)} ${row.src ?? ""} -> ${row.dst ?? ""}`.padEnd(58);
    const tx = `tx ${count(row.txPkts)} packets ${count(row.txBytes)}B`.padEnd(26);
    console.log(`    ${flow} ${tx} rx ${count(row.rxPkts)} packets ${count(row.rxBytes)}B`);
  }
}

/** Prints windows as the node writes them. @returns When `wanted` have come, or the node has ended. */
async function printWindows(node: Child, wanted: number): Promise<void> {
  let printed = 0;
  while (printed < wanted && node.running) {
    const lines = node.stdout.split("\n").slice(0, -1).filter((line) => line.includes('Traffic":'));
    for (; printed < Math.min(wanted, lines.length); printed++) {
      const window = JSON.parse(lines[printed]!) as Window;
      console.log(`\nwindow ${window.start.slice(11, 19)} .. ${window.end.slice(11, 19)} UTC`);
      for (const [title, list] of LISTS) printRows(title, window[list]);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function demo(lab: Lab): Promise<void> {
  console.log("Starting two nodes in two network namespaces ...");
  const { left, right } = await startNodes(lab);
  const addresses = [INNER.right[4], INNER.right[6]];
  const server = right.namespace.spawn(
    helperCommand("demo_traffic_main.ts", "serve", ...addresses),
  );
  await server.waitForOutput(/serving/);
  left.namespace.spawn(helperCommand("demo_traffic_main.ts", "talk", ...addresses));
  console.log(`Traffic flows. The flow log of ${left.name}, every ${PERIOD_S} s:`);
  await printWindows(left.process, WINDOWS);
  console.log(`\n$ tunlog status ${left.name}\n`);
  const status = await left.namespace.run(programCommand(OWN_RUNTIME, ["status", left.name]), {
    cwd: ROOT,
  });
  console.log(status.stdout);
  await Promise.all([left.stop(), right.stop()]);
  console.log("Done: nodes, interfaces and namespaces are gone.");
}

const problem = obstacle();
if (problem === null) {
  await withLab(demo);
} else {
  console.error(`The demo cannot run here: ${problem}`);
  process.exitCode = 1;
}
