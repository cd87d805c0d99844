/**
 * A child in a namespace that configures the network as a node does (network_main.ts), and what the namespace looks
 * like to `ip` and `nft`, in a form in which two makers of the same configuration compare equal.
 */
import type { NetworkLink, NetworkRouteAnswer } from "../../../src/ports.ts";
import type { NetworkSettings } from "../../../src/node/network_plan.ts";
import type { Child } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { helperCommand } from "./runtimes.ts";
import { networkState } from "./state.ts";

/** NetworkSettings with prefixes as text. */
export type SettingsText = Omit<NetworkSettings, "addresses" | "allowedIps"> & {
  readonly addresses: readonly string[];
  readonly allowedIps: readonly string[];
};

/** One line to the child. */
export type NetworkRequest =
  | {
    readonly op: "apply";
    readonly settings: SettingsText;
    readonly endpoints: readonly string[];
    readonly statePath: string;
  }
  | { readonly op: "change"; readonly allowedIps: readonly string[] }
  | { readonly op: "undo" }
  | { readonly op: "recover"; readonly statePath: string }
  | { readonly op: "link"; readonly name: string }
  | { readonly op: "routeGet"; readonly destination: string; readonly mark: number };

/** One line from the child. */
export interface NetworkAnswer {
  readonly warnings: readonly string[];
  readonly mark?: number;
  readonly value?: NetworkLink | NetworkRouteAnswer | null;
  /** Name and message of what was thrown. */
  readonly error?: string;
}

/** The child: asks in turn, one answer for each request. */
export class NetworkChild {
  #answers = 0;

  private constructor(readonly child: Child) {}

  /** @param tunName TUN to be made and held; null = none. @param prefix Command put in front, e.g. setpriv. */
  static async start(
    namespace: Namespace,
    tunName: string | null,
    prefix: readonly string[] = [],
  ): Promise<NetworkChild> {
    const argv = [...prefix, ...helperCommand("network_main.ts", tunName ?? "-")];
    const child = namespace.spawn(argv);
    await child.waitForOutput(/^ready$/m);
    return new NetworkChild(child);
  }

  async ask(request: NetworkRequest): Promise<NetworkAnswer> {
    this.child.writeLine(JSON.stringify(request));
    this.#answers++;
    const lines = new RegExp(`^ready\\n(?:.*\\n){${this.#answers - 1}}(.*)\\n`);
    const [, line] = await this.child.waitForOutput(lines);
    return JSON.parse(line!) as NetworkAnswer;
  }
}

/** What `ip`, `nft` and `sysctl` say of a namespace with a tunnel in it. */
export function tunnelState(namespace: Namespace, name: string): Record<string, unknown> {
  const [link] = namespace.ipJson("link", "show", "dev", name);
  const [addresses] = namespace.ipJson("address", "show", "dev", name);
  const routes = (family: "-4" | "-6") =>
    // The order of two routes of one prefix length is the order of making, which nothing depends on.
    namespace.ipJson(family, "route", "show", "table", "all").map((route) => JSON.stringify(route))
      .sort();
  return {
    mtu: link.mtu,
    flags: [...link.flags].sort(),
    addresses: addresses.addr_info.map((address: Record<string, unknown>) =>
      `${address.local}/${address.prefixlen} ${address.scope}`
    ).sort(),
    routes4: routes("-4"),
    routes6: routes("-6"),
    rules4: namespace.ipJson("-4", "rule"),
    rules6: namespace.ipJson("-6", "rule"),
    nftables: tables(namespace.mustSync(["nft", "list", "ruleset"])),
    sourceMark: namespace.mustSync(["sysctl", "-n", "net.ipv4.conf.all.src_valid_mark"]),
  };
}

/**
 * State of the namespace but for what no configuration takes back: the queue discipline that an interface gets when it
 * is first brought up, and sockets, which other programs open as they like.
 */
export function configuredState(namespace: Namespace): string {
  return networkState(namespace).replace(/ qdisc \S+/g, "").replace(/^# ss [^#]*/m, "");
}

/** Tables of a ruleset, each as text; the order of tables, and of the rules for own addresses, does not matter. */
function tables(ruleset: string): string[] {
  return ruleset.split(/^(?=table )/m).sort().map((table) =>
    table.replace(/(^\t\tiifname .*\n)+/gm, (rules) => rules.split(/(?<=\n)/).sort().join(""))
  );
}
