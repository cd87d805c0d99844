/**
 * What our node says of itself: `tunlog status NAME --json`, and counters read from it at rest.
 *
 * In: a tunnel of ours. Out: NodeStatus. Asked by the same runtime that the node runs on, with the project's
 * permission set, as a user would.
 */
import { isDeepStrictEqual } from "node:util";
import type { CounterName } from "../../../src/counters.ts";
import type { NodeStatus } from "../../../src/node/status.ts";
import { must } from "./command.ts";
import { programCommand, ROOT } from "./runtimes.ts";
import type { Tunnel } from "./tunnels.ts";
import { pause } from "./wait.ts";

/** Asks a node of ours for its status. */
export async function nodeStatus(tunnel: Tunnel): Promise<NodeStatus> {
  if (tunnel.implementation === "wireguard-go") throw new TypeError("wireguard-go has no status");
  const argv = programCommand(tunnel.implementation, ["status", tunnel.name, "--json"]);
  return JSON.parse(await must(argv, { cwd: ROOT })) as NodeStatus;
}

/** Readings that must be equal before the node counts as at rest. */
const REST_PAUSE_MS = 200;
const REST_READINGS_MAX = 100;

/** What moves while packets are under way. */
function moving(status: NodeStatus): unknown {
  const { counters, flowLog: { virtual: flows }, link, waitingPackets } = status;
  return { counters, flows, link, waitingPackets };
}

/** Reads the status until two readings in a row say the same: no packet is under way any more. */
export async function statusAtRest(tunnel: Tunnel): Promise<NodeStatus> {
  let last = await nodeStatus(tunnel);
  for (let reading = 0; reading < REST_READINGS_MAX; reading++) {
    await pause(REST_PAUSE_MS);
    const next = await nodeStatus(tunnel);
    if (isDeepStrictEqual(moving(next), moving(last))) return next;
    last = next;
  }
  throw new Error(`${tunnel.name} does not come to rest: ${JSON.stringify(moving(last))}`);
}

/** Returns by how many packets each counter grew, leaving out those that did not. */
export function counterGrowth(
  before: NodeStatus,
  after: NodeStatus,
): Partial<Record<CounterName, number>> {
  const growth: Partial<Record<CounterName, number>> = {};
  for (const name of Object.keys(after.counters) as CounterName[]) {
    const packets = after.counters[name].packets - before.counters[name].packets;
    if (packets !== 0) growth[name] = packets;
  }
  return growth;
}
