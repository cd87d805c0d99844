/**
 * The books of our node must balance, exactly, in packets and bytes: the equations of src/counters.ts, and the kernel's
 * own counters of the TUN interface as the independent witness.
 *
 * In: a tunnel of ours. Out: nothing, or an assertion that names the equation.
 */
import assert from "node:assert/strict";
import { COUNTER_INFO, COUNTER_NAMES, type CounterValue } from "../../../src/counters.ts";
import type { NodeStatus } from "../../../src/node/status.ts";
import { statusAtRest } from "./status.ts";
import type { Tunnel } from "./tunnels.ts";

function sum(values: readonly CounterValue[]): CounterValue {
  return {
    packets: values.reduce((total, value) => total + value.packets, 0),
    bytes: values.reduce((total, value) => total + value.bytes, 0),
  };
}

/**
 * Brings the node to rest and checks that nothing was lost or invented between kernel, counters and flow rows.
 * Does nothing for wireguard-go, which has no books.
 * @returns The status that was checked.
 */
export async function proveConservation(tunnel: Tunnel): Promise<NodeStatus | null> {
  if (tunnel.implementation === "wireguard-go") return null;
  const status = await statusAtRest(tunnel);
  const { counters, link, waitingPackets } = status;
  const flows = status.flowLog.virtual;
  assert.ok(link !== null, "the kernel's counters are known");
  assert.equal(waitingPackets, 0, "packets that wait have no bytes to compare");

  // The kernel counts a super-packet as one packet with one header.
  const kernelTx = { packets: link.txPackets, bytes: link.txBytes };
  const kernelRx = { packets: link.rxPackets, bytes: link.rxBytes };
  assert.deepEqual(
    counters.tunRead,
    sum([kernelTx, counters.tunReadSplit]),
    "tunRead = the kernel's tx + tunReadSplit",
  );
  assert.deepEqual(
    counters.tunWritten,
    sum([kernelRx, counters.tunWrittenJoined]),
    "tunWritten = the kernel's rx + tunWrittenJoined",
  );

  const outDrops = COUNTER_NAMES
    .filter((name) => COUNTER_INFO[name].side === "tun" && COUNTER_INFO[name].kind === "drop")
    .filter((name) => name.startsWith("out"))
    .map((name) => counters[name]);
  assert.deepEqual(
    sum([{ packets: flows.txPackets, bytes: flows.txBytes }, ...outDrops]),
    counters.tunRead,
    "flow rows' tx + dropped on the way out = tunRead",
  );
  assert.deepEqual(
    { packets: flows.rxPackets, bytes: flows.rxBytes },
    sum([counters.tunWritten, counters.tunWriteFailed]),
    "flow rows' rx = tunWritten + tunWriteFailed",
  );
  return status;
}
