/**
 * Network namespaces of one test: made with unique names, wired by veth pairs, gone afterwards whatever happens.
 *
 * In: labels and addresses. Out: namespaces in which commands run. All effects are `ip` child processes; the test's
 * own process never changes its namespace. Needs root.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  Child,
  type CommandOptions,
  type CommandResult,
  must,
  mustSync,
  run,
  runSync,
} from "./command.ts";
import { tunnelFiles } from "./tunnel_files.ts";

let labCount = 0;
const openLabs = new Set<Lab>();

/** One network namespace. */
export class Namespace {
  constructor(readonly lab: Lab, readonly name: string) {}

  /** Puts the namespace in front of a command. `ip netns exec` replaces itself: the child's pid is the command's. */
  argv(argv: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...argv];
  }

  runSync(argv: readonly string[], options?: CommandOptions): CommandResult {
    return runSync(this.argv(argv), options);
  }

  mustSync(argv: readonly string[], options?: CommandOptions): string {
    return mustSync(this.argv(argv), options);
  }

  run(argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return run(this.argv(argv), options);
  }

  must(argv: readonly string[], options?: CommandOptions): Promise<string> {
    return must(this.argv(argv), options);
  }

  /** Starts a child that lives until the test ends it or the lab closes. */
  spawn(argv: readonly string[], options?: CommandOptions): Child {
    return this.lab.adopt(new Child(this.argv(argv), options));
  }

  /** Runs lines of `ip -batch`, e.g. `link set lo up`. */
  ip(...lines: string[]): void {
    mustSync(["ip", "-netns", this.name, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  }

  /** Parsed output of `ip -j …`; an empty list when `ip` prints nothing. */
  // deno-lint-ignore no-explicit-any -- iproute2's JSON has no published schema; tests name the members they use.
  ipJson(...args: string[]): any[] {
    const text = mustSync(["ip", "-netns", this.name, "-j", ...args]);
    return text.trim() === "" ? [] : JSON.parse(text);
  }

  /** Sets kernel parameters of the namespace, e.g. `net.ipv4.ip_forward=1`. */
  sysctl(...assignments: string[]): void {
    this.mustSync(["sysctl", "-q", "-w", ...assignments]);
  }

  /** Whether a network interface of that name exists here. */
  hasInterface(name: string): boolean {
    return runSync(["ip", "-netns", this.name, "link", "show", "dev", name]).code === 0;
  }
}

/** Looks a pair of veths gets to come up: milliseconds in practice, each look takes two. */
const CARRIER_LOOKS_MAX = 2_000;

/** Waits until the interface says that it can carry packets. */
function waitForCarrier(namespace: Namespace, name: string): void {
  for (let look = 0; look < CARRIER_LOOKS_MAX; look++) {
    const [link] = namespace.ipJson("link", "show", "dev", name);
    if (link.operstate === "UP") return;
  }
  throw new Error(`${name} in ${namespace.name} does not come up`);
}

/** End of a veth pair. */
export interface LinkEnd {
  readonly namespace: Namespace;
  /** With prefix, e.g. `192.0.2.1/24`. */
  readonly addresses: readonly string[];
}

/** All that one test made. */
export class Lab {
  /** Distinguishes this lab's names from those of all others on the machine. */
  readonly id = `${process.pid.toString(36)}-${(labCount++).toString(36)}`;
  /** For configuration files, captures and downloads. Removed with the lab. */
  readonly directory = mkdtempSync(join(tmpdir(), "tunlog-system-"));
  #namespaces: Namespace[] = [];
  #children: Child[] = [];
  #interfaceNames: string[] = [];
  #linkCounts = new Map<string, number>();

  /** Makes a namespace with loopback up and IPv6 addresses usable at once. A label may come more than once. */
  namespace(label: string): Namespace {
    const namespace = new Namespace(this, `tl-${this.id}-${this.#namespaces.length}${label}`);
    mustSync(["ip", "netns", "add", namespace.name]);
    this.#namespaces.push(namespace);
    namespace.ip("link set lo up");
    // Duplicate address detection would delay every IPv6 address by a second.
    namespace.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0");
    return namespace;
  }

  /** Joins two namespaces by a veth pair that is up. @returns The interfaces' names, `a`'s first. */
  link(a: LinkEnd, b: LinkEnd): [string, string] {
    const nameA = this.#linkName(a.namespace);
    const nameB = this.#linkName(b.namespace);
    mustSync([
      ...["ip", "link", "add", nameA, "netns", a.namespace.name, "type", "veth"],
      ...["peer", "name", nameB, "netns", b.namespace.name],
    ]);
    // IPv6 routers need link-local addresses. The kernel's own would come some time later and look like something that
    // a node has left behind.
    for (const [end, name, linkLocal] of [[a, nameA, "fe80::a"], [b, nameB, "fe80::b"]] as const) {
      end.namespace.ip(
        `link set ${name} addrgenmode none up`,
        ...[...end.addresses, `${linkLocal}/64`].map((address) =>
          `address add ${address} dev ${name}${address.includes(":") ? " nodad" : ""}`
        ),
      );
    }
    waitForCarrier(a.namespace, nameA);
    waitForCarrier(b.namespace, nameB);
    return [nameA, nameB];
  }

  #linkName(namespace: Namespace): string {
    const index = this.#linkCounts.get(namespace.name) ?? 0;
    this.#linkCounts.set(namespace.name, index + 1);
    return `link${index}`;
  }

  /** Returns a tunnel name that no other test uses: sockets of all namespaces lie in one directory. */
  interfaceName(): string {
    const name = `t${this.id}x${this.#interfaceNames.length}`;
    this.#interfaceNames.push(name);
    return name;
  }

  /** Makes the lab responsible for a child. */
  adopt(child: Child): Child {
    this.#children.push(child);
    return child;
  }

  /** What all children printed: for failure messages. */
  report(): string {
    return this.#children.map((child) => child.report()).join("\n");
  }

  /** Ends all children, removes all namespaces and files. Blocking, so that a signal handler can use it. */
  close(): void {
    openLabs.delete(this);
    for (const child of this.#children) child.signal("SIGKILL");
    for (const { name } of this.#namespaces) deleteNamespace(name);
    for (const name of this.#interfaceNames) {
      for (const path of tunnelFiles(name)) rmSync(path, { force: true });
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  static open(): Lab {
    const lab = new Lab();
    openLabs.add(lab);
    return lab;
  }
}

/** Deletes a namespace that tests made, and ends what runs in it: nothing but children of those tests. */
function deleteNamespace(name: string): void {
  for (const pid of runSync(["ip", "netns", "pids", name]).stdout.split("\n")) {
    if (pid.trim() !== "") runSync(["kill", "-KILL", pid.trim()]);
  }
  runSync(["ip", "netns", "delete", name]);
}

/** A test run that was killed could not clear up: the next one does. Labs name the process that made them. */
function sweepDeadLabs(): void {
  for (const { name } of JSON.parse(mustSync(["ip", "-j", "netns", "list"]) || "[]")) {
    const owner = /^tl-([0-9a-z]+)-/.exec(name);
    if (owner !== null && !existsSync(`/proc/${parseInt(owner[1]!, 36)}`)) deleteNamespace(name);
  }
}

let isPrepared = false;

/** Once a process: SIGINT and SIGTERM of the test runner must not leave namespaces behind. */
function prepare(): void {
  if (isPrepared) return;
  isPrepared = true;
  sweepDeadLabs();
  for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    process.on(name, () => {
      for (const lab of openLabs) lab.close();
      process.exit(code);
    });
  }
}

/**
 * Runs `body` with a lab of its own and clears everything up afterwards. If `body` fails, the output of all its
 * children is printed: the failure itself rarely says why.
 */
export async function withLab(body: (lab: Lab) => Promise<void>): Promise<void> {
  prepare();
  const lab = Lab.open();
  try {
    await body(lab);
  } catch (error) {
    console.error(lab.report());
    throw error;
  } finally {
    lab.close();
  }
}
