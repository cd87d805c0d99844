/**
 * What a namespace looks like from outside: addresses, routes, rules, firewall, bound sockets. Two equal texts mean
 * that a node left nothing behind.
 */
import type { Namespace } from "./namespaces.ts";
import { hasCommand } from "./runtimes.ts";

/** Returns the state of the namespace as text, one part after another. */
export function networkState(namespace: Namespace): string {
  const commands = [
    ["ip", "-d", "address", "show"],
    ["ip", "-4", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["ip", "-4", "rule", "show"],
    ["ip", "-6", "rule", "show"],
    ["ss", "-Haun"],
    ["sysctl", "net.ipv4.conf.all.src_valid_mark"],
    ...hasCommand("nft") ? [["nft", "list", "ruleset"]] : [],
  ];
  return commands.map((command) => `# ${command.join(" ")}\n${namespace.mustSync(command)}`)
    .join("");
}
