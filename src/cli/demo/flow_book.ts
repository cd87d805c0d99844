/**
 * What the demo shows, as numbers: flows by class, both ends' reports of one flow side by side.
 *
 * In: messages of any nodes, in any order. Out: flows of one message, and all flows so far with their rates. A flow is what
 * lies between two hosts for one service: the connections of a client differ only in its ports and share a flow.
 * Not here: how it looks (flow_table.ts).
 */
import {
  type Connection,
  type ListName,
  LISTS,
  type Message,
  protoName,
} from "../../netlog/mod.ts";
import { parseAddressPort } from "../../packet/mod.ts";

/** Packets and bytes, from the flow's first host as seen. */
export interface FlowCounts {
  txPackets: number;
  txBytes: number;
  rxPackets: number;
  rxBytes: number;
}

/** One flow of one message. */
export interface Flow extends FlowCounts {
  readonly className: ListName;
  /** `TCP`; "" = not known, as in physical rows. */
  readonly proto: string;
  /** Name of a node, or an address; the client, where ports tell. */
  readonly from: string;
  /** The same with the service's port behind it. */
  readonly to: string;
  /** Where the datagrams went; "" = no physical row. */
  readonly endpoint: string;
  /** Rows of the message that are part of it. */
  connections: number;
}

/** One flow since the start, as one node reports it. */
export interface ReportedFlow extends Flow {
  /** Per second, over the node's newest window; 0 when the flow is not in it. */
  txRate: number;
  rxRate: number;
  /** Bytes of both directions by window, oldest first; at most HISTORY_WINDOWS_MAX, the newest window last. */
  readonly history: number[];
}

/** One flow, told by the client's node where that one tells. */
export interface ShownFlow extends ReportedFlow {
  /** Names of the nodes that report it. */
  readonly reporters: readonly string[];
}

/** Windows whose sums are kept. */
export const HISTORY_WINDOWS_MAX = 24;

/** Puts port 53 before 5201. */
const NUMERIC = new Intl.Collator("en", { numeric: true });

/** Ports from here on are clients' (Linux's default begins there). */
const CLIENT_PORT_MIN = 32_768;

interface Reporter {
  endNs: bigint;
  readonly flows: Map<string, ReportedFlow>;
}

/** See file header. */
export class FlowBook {
  readonly #names = new Map<string, string>();
  readonly #reporters = new Map<string, Reporter>();

  /** Adds a message. @returns Its flows, and the reporting node's name. */
  add(message: Message): { readonly reporter: string; readonly flows: readonly Flow[] } {
    this.#learn(message);
    const reporter = message.srcNode?.name ?? message.nodeId;
    const flows = new Map<string, Flow>();
    for (const list of LISTS) {
      for (const row of message[list]) addFlow(flows, this.#flowOf(list, row, reporter));
    }
    this.#count(reporter, message, flows);
    return { reporter, flows: [...flows.values()] };
  }

  /** All flows so far, by class, then by the host and port that they go to. */
  flows(): readonly ShownFlow[] {
    const byKey = new Map<string, ShownFlow>();
    const names = [...this.#reporters.keys()].sort();
    for (const name of names) {
      for (const [key, flow] of this.#reporters.get(name)!.flows) {
        const known = byKey.get(key);
        const reporters = [...known?.reporters ?? [], name];
        const told = known === undefined || name === flow.from ? flow : known;
        byKey.set(key, { ...told, reporters });
      }
    }
    return [...byKey.values()].sort((a, b) =>
      LISTS.indexOf(a.className) - LISTS.indexOf(b.className) || NUMERIC.compare(a.to, b.to) ||
      compare(a.proto, b.proto)
    );
  }

  #learn({ srcNode, dstNodes }: Message): void {
    for (const node of srcNode === null ? dstNodes : [srcNode, ...dstNodes]) {
      if (node.name === undefined) continue;
      for (const address of node.addresses ?? []) this.#names.set(address, node.name);
    }
  }

  #flowOf(className: ListName, row: Connection, reporter: string): Flow {
    const counts = {
      txPackets: Number(row.txPackets),
      txBytes: Number(row.txBytes),
      rxPackets: Number(row.rxPackets),
      rxBytes: Number(row.rxBytes),
    };
    const src = this.#hostOf(row.src);
    if (className === "physical") {
      const ends = { from: reporter, to: src.name, endpoint: row.dst };
      const flow: Flow = { className, proto: "", ...ends, connections: 1, ...counts };
      return compare(flow.from, flow.to) <= 0 ? flow : turned(flow);
    }
    const dst = this.#hostOf(row.dst);
    const isForward = src.servicePort !== dst.servicePort
      ? dst.servicePort > 0 && (src.servicePort === 0 || dst.servicePort < src.servicePort)
      : this.#rank(src.name) < this.#rank(dst.name) || this.#rank(src.name) ===
              this.#rank(dst.name) && compare(src.name, dst.name) <= 0;
    const flow: Flow = {
      className,
      proto: protoName(row.proto).replace(/^ICMPv4$/, "ICMP"),
      from: src.name,
      to: dst.name,
      endpoint: "",
      connections: 1,
      ...counts,
    };
    const straight = isForward ? flow : turned(flow);
    const port = isForward ? dst.servicePort : src.servicePort;
    return port === 0 ? straight : { ...straight, to: `${straight.to}:${port}` };
  }

  /** Nodes come before what is only an address. */
  #rank(name: string): number {
    return [...this.#names.values()].includes(name) ? 0 : 1;
  }

  #hostOf(end: string): { readonly name: string; readonly servicePort: number } {
    const parsed = parseAddressPort(end);
    if (parsed === null) return { name: end === "" ? "others" : end, servicePort: 0 };
    const address = end.slice(0, end.lastIndexOf(":")).replace(/^\[|\]$/g, "");
    const servicePort = parsed.port < CLIENT_PORT_MIN ? parsed.port : 0;
    return { name: this.#names.get(address) ?? address, servicePort };
  }

  #count(name: string, message: Message, flows: ReadonlyMap<string, Flow>): void {
    const reporter = this.#reporters.get(name) ?? { endNs: 0n, flows: new Map() };
    this.#reporters.set(name, reporter);
    // A window may come in several messages; an older one, uploaded late, adds to sums only.
    if (message.endNs > reporter.endNs) {
      reporter.endNs = message.endNs;
      for (const flow of reporter.flows.values()) openWindow(flow);
    }
    const isNewest = message.endNs === reporter.endNs;
    const seconds = Math.max(0.001, Number(message.endNs - message.startNs) / 1e9);
    for (const [key, flow] of flows) {
      const known = reporter.flows.get(key);
      const sum = known ?? { ...flow, ...NOTHING, txRate: 0, rxRate: 0, history: [0] };
      addCounts(sum, flow);
      if (isNewest) {
        sum.connections += flow.connections;
        sum.txRate += flow.txBytes / seconds;
        sum.rxRate += flow.rxBytes / seconds;
        sum.history[sum.history.length - 1] += flow.txBytes + flow.rxBytes;
      }
      reporter.flows.set(key, sum);
    }
  }
}

const NOTHING = { connections: 0, txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

function openWindow(flow: ReportedFlow): void {
  flow.connections = 0;
  flow.txRate = 0;
  flow.rxRate = 0;
  flow.history.push(0);
  if (flow.history.length > HISTORY_WINDOWS_MAX) flow.history.shift();
}

function addFlow(flows: Map<string, Flow>, flow: Flow): void {
  const key = [flow.className, flow.proto, flow.from, flow.to].join(" ");
  const known = flows.get(key);
  if (known === undefined) {
    flows.set(key, flow);
    return;
  }
  known.connections += flow.connections;
  addCounts(known, flow);
}

function addCounts(sum: FlowCounts, counts: FlowCounts): void {
  sum.txPackets += counts.txPackets;
  sum.txBytes += counts.txBytes;
  sum.rxPackets += counts.rxPackets;
  sum.rxBytes += counts.rxBytes;
}

/** The same flow from its other end. */
function turned(flow: Flow): Flow {
  const { from, to, txPackets, txBytes, rxPackets, rxBytes } = flow;
  return {
    ...flow,
    from: to,
    to: from,
    txPackets: rxPackets,
    txBytes: rxBytes,
    rxPackets: txPackets,
    rxBytes: txBytes,
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
