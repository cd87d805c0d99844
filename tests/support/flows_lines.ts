/**
 * A small flow log of three nodes, the same on every run, as lines that `tunlog flows --file` reads.
 *
 * alpha talks to beta (virtual, with the loss of a few packets), to a LAN behind beta (subnet), and to the Internet through
 * gamma (exit). beta declares a gap of two windows; an entry of gamma is missing. gamma's name is hostile.
 */
import { encodeObjectEntry, gapText, type LostRange } from "../../src/logtail/mod.ts";
import { type Connection, type NodeInfo, writeMessage } from "../../src/netlog/mod.ts";

/** Start of the first window. */
export const FLOWS_START_NS = 1_790_000_000_000_000_000n;
/** Windows of each node. */
export const FLOWS_WINDOWS = 24;
/** What gamma calls itself: a formula, a terminal's escape, and quotes. */
export const HOSTILE_NAME = '=cmd|"x"\u001b[31m,gamma';

const WINDOW_NS = 5_000_000_000n;

const NODES: Readonly<Record<"alpha" | "beta" | "gamma", NodeInfo>> = {
  alpha: { nodeId: "n1", name: "alpha", addresses: ["100.64.0.1", "fd7a:115c:a1e0::1"] },
  beta: { nodeId: "n2", name: "beta", addresses: ["100.64.0.2", "fd7a:115c:a1e0::2"] },
  gamma: { nodeId: "n3", name: HOSTILE_NAME, addresses: ["100.64.0.3", "fd7a:115c:a1e0::3"] },
};

type NodeName = keyof typeof NODES;
type Lists = Readonly<Record<"virtual" | "subnet" | "exit" | "physical", Connection[]>>;

function row(
  proto: number,
  src: string,
  dst: string,
  [txPackets, txBytes, rxPackets, rxBytes]: readonly [number, number, number, number],
): Connection {
  return { proto, src, dst, txPackets, txBytes, rxPackets, rxBytes, folded: false };
}

function listsOf(node: NodeName, window: number): Lists {
  const more = window * 100;
  switch (node) {
    case "alpha":
      return {
        virtual: [
          row(6, "100.64.0.1:40000", "100.64.0.2:443", [100, 90_000 + more, 80, 4_000]),
          row(17, "[fd7a:115c:a1e0::1]:5000", "[fd7a:115c:a1e0::2]:53", [2, 120, 2, 300]),
        ],
        subnet: [
          row(6, "100.64.0.1:40001", "192.168.7.20:5432", [10, 2_000, 12, 1_500_000 + more * 10]),
        ],
        exit: [row(0, "", "", [30, 3_000, 40, 44_000])],
        physical: [row(0, "100.64.0.2:0", "198.51.100.2:51820", [150, 120_000, 130, 1_600_000])],
      };
    case "beta":
      return {
        virtual: [
          row(6, "100.64.0.2:443", "100.64.0.1:40000", [80, 4_000, 98, 88_200 + more]),
          row(17, "[fd7a:115c:a1e0::2]:53", "[fd7a:115c:a1e0::1]:5000", [2, 300, 2, 120]),
        ],
        subnet: [],
        exit: [],
        physical: [],
      };
    case "gamma":
      return {
        virtual: [row(1, "100.64.0.3:0", "100.64.0.1:0", [1, 84, 1, 84])],
        subnet: [],
        exit: [],
        physical: [],
      };
  }
}

/** The lines, in order of their windows. */
export function flowsLines(windows = FLOWS_WINDOWS): string[] {
  const lines: string[] = [];
  for (let window = 0; window < windows; window++) {
    for (const [index, name] of (["alpha", "beta", "gamma"] as const).entries()) {
      const line = lineOf(name, index, window);
      if (line !== null) lines.push(line);
    }
  }
  return lines;
}

function lineOf(name: NodeName, index: number, window: number): string | null {
  const startNs = FLOWS_START_NS + BigInt(window) * WINDOW_NS;
  const endNs = startNs + WINDOW_NS - 1n;
  const procId = index + 1;
  const procSeq = window + 1;
  if (name === "gamma" && window === 7) return null;
  if (name === "beta" && (window === 10 || window === 11)) {
    return window === 10 ? null : gapLine(procId, procSeq, startNs - WINDOW_NS, endNs);
  }
  const others = Object.values(NODES).filter((node) => node !== NODES[name]);
  const message = writeMessage({
    ...{ nodeId: NODES[name].nodeId, startNs, endNs, extension: {} },
    ...{ srcNode: NODES[name], dstNodes: name === "alpha" ? others : [] },
    ...listsOf(name, window),
  });
  return lineWith(message, { procId, procSeq, clientTimeNs: endNs }, index);
}

function gapLine(procId: number, procSeq: number, startNs: bigint, endNs: bigint): string {
  const range: LostRange = {
    ...{ cause: "tooLarge", procId, firstSeq: procSeq - 1, lastSeq: procSeq - 1, entries: 1 },
    ...{ startNs, endNs, offered: false },
    sums: {
      virtual: { txPackets: 164n, txBytes: 8_600n, rxPackets: 200n, rxBytes: 178_740n },
      subnet: { txPackets: 0n, txBytes: 0n, rxPackets: 0n, rxBytes: 0n },
      exit: { txPackets: 0n, txBytes: 0n, rxPackets: 0n, rxBytes: 0n },
      unknown: { txPackets: 0n, txBytes: 0n, rxPackets: 0n, rxBytes: 0n },
      physical: { txPackets: 0n, txBytes: 0n, rxPackets: 0n, rxBytes: 0n },
    },
  };
  return lineWith(gapText([range]), { procId, procSeq, clientTimeNs: endNs }, 1);
}

/** As a collector hands entries out: with the public id of their stream. */
function lineWith(
  object: string,
  metadata: { procId: number; procSeq: number; clientTimeNs: bigint },
  index: number,
): string {
  const entry = encodeObjectEntry(new TextEncoder().encode(object), metadata);
  const id = String(index + 1).padStart(64, "0");
  return new TextDecoder().decode(entry).trim().replace('"logtail":{', `"logtail":{"id":"${id}",`);
}
