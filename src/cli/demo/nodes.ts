/**
 * The demo's nodes: processes of this same program, one in each node's namespace. alpha's keeps the log collection, to
 * which all of them send.
 *
 * In: a lab. Out: running nodes; the ids of their streams.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { idText, makePrivateId, publicIdOf } from "../../logtail/mod.ts";
import { keyToBase64 } from "../../node/mod.ts";
import { openCrypto } from "../../platform/mod.ts";
import { KEY_BYTES } from "../../wireguard/mod.ts";
import type { Ending } from "./ending.ts";
import type { Lab } from "./lab.ts";
import { ownProgram } from "./process.ts";
import { type KeyPair, nodeConfig, type NodeName, NODES, UNDERLAY } from "./topology.ts";

/** Seconds of a window: short, so that there is soon something to see. */
const PERIOD_S = 2;
const START_MS_MAX = 60_000;

/** Port of the collector, in alpha's namespace. */
export const COLLECTOR_PORT = 8_080;

/** The collector's directory. */
export function collectorDirectory(lab: Lab): string {
  return `${lab.directory}/collector`;
}

/**
 * Starts all nodes. A node that ends later fails the demo.
 * @returns Public ids of the nodes' streams.
 * @throws {Error} If one does not come up.
 */
export async function startNodes(lab: Lab, ending: Ending): Promise<string[]> {
  const keys = makeKeys();
  return await Promise.all(NODES.map((name) => startNode(lab, ending, name, keys)));
}

async function startNode(
  lab: Lab,
  ending: Ending,
  name: NodeName,
  keys: Readonly<Record<NodeName, KeyPair>>,
): Promise<string> {
  const interfaceName = lab.interfaceOf(name);
  const path = `${lab.directory}/${interfaceName}.conf`;
  const privateId = makePrivateId(randomBytes(32));
  const lines = [
    `Period = ${PERIOD_S}`,
    `StateDirectory = ${lab.directory}/${name}`,
    `PrivateId = ${idText(privateId)}`,
    ...(name === "alpha" ? collectorLines(lab) : [
      // Through the underlay, or the log would be about itself.
      `Collector = http://${UNDERLAY.alpha.address}:${COLLECTOR_PORT}`,
    ]),
  ];
  writeFileSync(path, nodeConfig(name, keys, lines), { mode: 0o600 });
  const { argv, cwd } = ownProgram();
  let isUp: () => void = () => {};
  const up = new Promise<void>((resolve) => isUp = resolve);
  const child = lab.spawn(name, [...argv, "up", path], {
    onErrorLine: (line) => {
      if (line === `tunlog: ${interfaceName} is up`) isUp();
    },
    cwd,
    // It takes the others' last windows.
    endsLast: name === "alpha",
  });
  void child.ended.then((how) =>
    ending.fail(new Error(`Node ${name} ended (${how}): ${child.errorText}`))
  );
  const late = setTimeout(
    () => ending.fail(new Error(`Node ${name} does not come up: ${child.errorText}`)),
    START_MS_MAX,
  );
  try {
    await ending.orEnd(up);
  } finally {
    clearTimeout(late);
  }
  return idText(publicIdOf(privateId, sha256));
}

function collectorLines(lab: Lab): string[] {
  return [
    "",
    "[Collector]",
    `Listen = 0.0.0.0:${COLLECTOR_PORT}`,
    `Data = ${collectorDirectory(lab)}`,
  ];
}

/** Keys of all nodes. */
export function makeKeys(): Record<NodeName, KeyPair> {
  const primitives = openCrypto("noble");
  const pairs = NODES.map((name): [NodeName, KeyPair] => {
    const privateKey = randomBytes(KEY_BYTES);
    const publicKey = new Uint8Array(KEY_BYTES);
    primitives.x25519Public(publicKey, privateKey);
    return [name, { privateKey: keyToBase64(privateKey), publicKey: keyToBase64(publicKey) }];
  });
  return Object.fromEntries(pairs) as Record<NodeName, KeyPair>;
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

function sha256(input: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(input).digest());
}
