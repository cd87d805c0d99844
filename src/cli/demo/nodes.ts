/**
 * The demo's nodes: processes of this same program, one in each node's namespace, and what they log.
 *
 * In: a lab. Out: running nodes; each message of their flow logs, as it comes.
 */
import { writeFileSync } from "node:fs";
import { hasTraffic, type Message, parseExactJson, toMessage } from "../../netlog/mod.ts";
import { keyToBase64 } from "../../node/mod.ts";
import { openCrypto } from "../../platform/mod.ts";
import { KEY_BYTES } from "../../wireguard/mod.ts";
import type { Ending } from "./ending.ts";
import type { Lab } from "./lab.ts";
import { ownProgram } from "./process.ts";
import { type KeyPair, nodeConfig, type NodeName, NODES } from "./topology.ts";

/** Takes messages of all nodes. */
export type MessageListener = (message: Message) => void;

/** Seconds of a window: short, so that there is soon something to see. */
const PERIOD_S = 2;
const START_MS_MAX = 60_000;

/** Starts all nodes. @throws {Error} If one does not come up. A node that ends later fails the demo. */
export async function startNodes(
  lab: Lab,
  ending: Ending,
  onMessage: MessageListener,
): Promise<void> {
  const keys = makeKeys();
  await Promise.all(NODES.map((name) => startNode(lab, ending, name, keys, onMessage)));
}

async function startNode(
  lab: Lab,
  ending: Ending,
  name: NodeName,
  keys: Readonly<Record<NodeName, KeyPair>>,
  onMessage: MessageListener,
): Promise<void> {
  const interfaceName = lab.interfaceOf(name);
  const path = `${lab.directory}/${interfaceName}.conf`;
  const flowLog = [
    `Period = ${PERIOD_S}`,
    "Output = stdout",
    `StateDirectory = ${lab.directory}/${name}`,
  ];
  writeFileSync(path, nodeConfig(name, keys, flowLog), { mode: 0o600 });
  const { argv, cwd } = ownProgram();
  let isUp: () => void = () => {};
  const up = new Promise<void>((resolve) => isUp = resolve);
  const child = lab.spawn(name, [...argv, "up", path], {
    onLine: (line) => {
      try {
        const message = messageOf(line);
        if (message !== null) onMessage(message);
      } catch (error) {
        ending.fail(error as Error);
      }
    },
    onErrorLine: (line) => {
      if (line === `tunlog: ${interfaceName} is up`) isUp();
    },
  }, cwd);
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
}

/** A message of a flow log's line; null = a gap record or a report. */
function messageOf(line: string): Message | null {
  const value = parseExactJson(line);
  return hasTraffic(value) ? toMessage(value) : null;
}

/** Keys of all nodes. */
export function makeKeys(): Record<NodeName, KeyPair> {
  const crypto = openCrypto("noble");
  const pairs = NODES.map((name): [NodeName, KeyPair] => {
    const privateKey = new Uint8Array(KEY_BYTES);
    const publicKey = new Uint8Array(KEY_BYTES);
    crypto.random(privateKey);
    crypto.x25519Public(publicKey, privateKey);
    return [name, { privateKey: keyToBase64(privateKey), publicKey: keyToBase64(publicKey) }];
  });
  return Object.fromEntries(pairs) as Record<NodeName, KeyPair>;
}
