/**
 * Takes the steps of a network plan, and takes them back.
 *
 * In: NetworkPort and plans (network_plan.ts). Out: a record of what was done (network_undo.ts), warnings.
 * Guarantees: when a step fails, those before it are undone; only what was made here is ever removed; what outlives
 * the process is in the record, and saved, before it is made.
 */

import { ERRNO, messageOf, SystemCallError } from "../errors.ts";
import { DEFAULT_ROUTE_TABLE_FIRST, DEFAULT_ROUTE_TABLES_MAX } from "../limits.ts";
import { type NetworkPort, type NetworkRuleInfo, ROUTE_TABLE } from "../ports.ts";
import {
  diffRoutes,
  type FirewallStep,
  needsFreeTable,
  type NetworkFacts,
  type NetworkPlan,
  type NetworkSettings,
  type NetworkStep,
  type RouteStep,
  type RuleStep,
  stepKey,
} from "./network_plan.ts";
import {
  type InterfaceStep,
  lastingUndo,
  type NetworkUndo,
  ruleOf,
  type SysctlStep,
  type UndoEntry,
} from "./network_undo.ts";

/** Keeps a record where a later process finds it; called before each step that outlives this one. */
export type SaveUndo = (undo: NetworkUndo) => void;

/** What came of undoing. */
export interface UndoneNetwork {
  /** What could not be undone; without entries when all is well. */
  readonly remaining: NetworkUndo;
  /** A sentence about each. */
  readonly problems: readonly string[];
}

/** What came of a plan. */
export interface AppliedNetwork {
  readonly undo: NetworkUndo;
  /** Sentences about what could not be done and need not be. */
  readonly warnings: readonly string[];
}

/** The kernel has no nftables, or not all that the packet filter needs; the tunnel works without, less guarded. */
const FIREWALL_MISSING_ERRNOS: readonly number[] = [
  ERRNO.ENOENT,
  ERRNO.EPROTONOSUPPORT,
  ERRNO.EOPNOTSUPP,
  ERRNO.EAFNOSUPPORT,
];
/** The interface has no IPv6: then there is no link-local address to be kept away. */
const NO_IPV6_ERRNOS: readonly number[] = [ERRNO.EAFNOSUPPORT, ERRNO.EOPNOTSUPP];
/** What is to be removed is not there any more. */
const GONE_ERRNOS: readonly number[] = [
  ERRNO.ENOENT,
  ERRNO.ESRCH,
  ERRNO.ENODEV,
  ERRNO.EADDRNOTAVAIL,
];

/**
 * Reads what planNetwork must know. Call it before the interface has routes.
 * @param endpoints Addresses of the peers, without ports.
 * @throws {SystemCallError} If the kernel refuses.
 * @throws {RangeError} If no table is free.
 */
export function readNetworkFacts(
  network: NetworkPort,
  settings: NetworkSettings,
  endpoints: readonly string[],
): NetworkFacts {
  return {
    pathMtuBytes: settings.mtuBytes === null ? pathMtu(network, endpoints) : null,
    freeTable: needsFreeTable(settings) ? findFreeTable(network) : 0,
  };
}

/**
 * Takes all steps of a plan on the interface, which exists and has the plan's name.
 * @throws {SystemCallError} If a step fails; those before it are undone then.
 */
export function applyNetworkPlan(
  network: NetworkPort,
  plan: NetworkPlan,
  save: SaveUndo = () => {},
): AppliedNetwork {
  const { interfaceName } = plan;
  const link = network.linkByName(interfaceName);
  if (link === null) throw new SystemCallError(`find interface "${interfaceName}"`, ERRNO.ENODEV);
  const undo = { version: 1, interfaceName, interfaceIndex: link.index, entries: [] } as const;
  return takeSteps(network, undo, plan.steps, save);
}

/**
 * Takes back all that a record holds, newest first, and goes on when something cannot be.
 * What is gone, or not as we made it, is left alone. Safe to call twice.
 */
export function undoNetworkPlan(network: NetworkPort, undo: NetworkUndo): UndoneNetwork {
  const problems: string[] = [];
  const remaining: UndoEntry[] = [];
  const ours = network.linkByName(undo.interfaceName)?.index === undo.interfaceIndex;
  for (const entry of [...undo.entries].reverse()) {
    if (entry.scope === "interface" && !ours) continue;
    try {
      undoEntry(network, undo.interfaceIndex, entry);
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (GONE_ERRNOS.includes(error.errno)) continue;
      problems.push(error.message);
      remaining.unshift(entry);
    }
  }
  return { remaining: { ...undo, entries: remaining }, problems };
}

/**
 * Brings routes, rules and packet filters from one plan to the next, for a reload that changed AllowedIPs.
 * What is new is added before what is old is removed, so that no packet goes astray in between.
 * @param undo Record of the current state.
 * @throws {SystemCallError} If a step fails; then all is as it was before.
 */
export function changeRoutes(
  network: NetworkPort,
  undo: NetworkUndo,
  next: NetworkPlan,
  save: SaveUndo = () => {},
): AppliedNetwork {
  const change = diffRoutes(undo.entries.map((entry) => entry.step), next.steps);
  const removeKeys = new Set(change.remove.map(stepKey));
  // By identity: an entry that is added anew may be the same step at another priority.
  const old = new Set(undo.entries.filter((entry) => removeKeys.has(stepKey(entry.step))));
  const applied = takeSteps(network, undo, change.add, save);
  const undone = undoNetworkPlan(network, {
    ...undo,
    entries: [...old].filter((entry) => !isReplaced(entry, change.add)),
  });
  const kept = applied.undo.entries.filter((entry) => !old.has(entry));
  const now = { ...undo, entries: [...undone.remaining.entries, ...kept] };
  const problems = [...undone.problems];
  try {
    save(lastingUndo(now));
  } catch (error) {
    // The record on disk holds too much, which undoing it finds out.
    problems.push(messageOf(error));
  }
  return { undo: now, warnings: [...applied.warnings, ...problems] };
}

/** Tells whether a packet filter was replaced by one that has the same table. */
function isReplaced(entry: UndoEntry, added: readonly NetworkStep[]): boolean {
  return entry.scope === "firewall" &&
    added.some((step) =>
      step.kind === "firewall" && step.family === entry.step.family &&
      step.tableName === entry.step.tableName
    );
}

// ---- Facts ------------------------------------------------------------------------------------------------------

/** Largest MTU on the ways to `endpoints`, else that of the IPv4 default route (wg-quick set_mtu_up). */
function pathMtu(network: NetworkPort, endpoints: readonly string[]): number | null {
  let mtuBytes = 0;
  for (const endpoint of endpoints) {
    const answer = network.routeGet(endpoint);
    if (answer !== null) mtuBytes = Math.max(mtuBytes, routeMtu(network, answer));
  }
  if (mtuBytes === 0) {
    const fallback = network.routes({ family: 4, table: ROUTE_TABLE.MAIN })
      .find((route) => route.unicast && route.destination === "0.0.0.0/0");
    if (fallback !== undefined) mtuBytes = routeMtu(network, fallback);
  }
  return mtuBytes === 0 ? null : mtuBytes;
}

function routeMtu(
  network: NetworkPort,
  route: { readonly interfaceIndex: number; readonly mtuBytes: number | null },
): number {
  return route.mtuBytes ?? network.linkByIndex(route.interfaceIndex)?.mtuBytes ?? 0;
}

function findFreeTable(network: NetworkPort): number {
  for (let offset = 0; offset < DEFAULT_ROUTE_TABLES_MAX; offset++) {
    const table = DEFAULT_ROUTE_TABLE_FIRST + offset;
    const used = ([4, 6] as const).some((family) => network.routes({ family, table }).length > 0);
    if (!used) return table;
  }
  throw new RangeError(
    `Cannot find a routing table without routes from ${DEFAULT_ROUTE_TABLE_FIRST} on: ` +
      `set "FwMark" or "Table"`,
  );
}

// ---- Steps forward ----------------------------------------------------------------------------------------------

/** Takes steps one by one, in addition to those in `start`. */
function takeSteps(
  network: NetworkPort,
  start: NetworkUndo,
  steps: readonly NetworkStep[],
  save: SaveUndo,
): AppliedNetwork {
  const taken: UndoEntry[] = [];
  const warnings: string[] = [];
  const record = (): NetworkUndo => ({ ...start, entries: [...start.entries, ...taken] });
  /** Writes an entry down, then makes the change; so that a SIGKILL in between leaves it in the record. */
  const makeLasting = (entry: UndoEntry, make: () => void): void => {
    taken.push(entry);
    try {
      save(lastingUndo(record()));
      make();
    } catch (error) {
      // Not ours then: undoing it could remove what made it fail.
      taken.pop();
      throw error;
    }
  };
  try {
    for (const step of steps) {
      switch (step.kind) {
        case "rule":
          takeRule(network, step, makeLasting);
          break;
        case "sysctl":
          takeSysctl(network, step, makeLasting);
          break;
        case "firewall":
          takeFirewall(network, start.interfaceName, step, makeLasting, warnings);
          break;
        default: {
          const entry = takeInterfaceStep(network, start.interfaceIndex, step);
          if (entry !== null) taken.push(entry);
        }
      }
    }
  } catch (error) {
    throw takenBack(network, start, taken, save, error);
  }
  return { undo: record(), warnings };
}

/** Undoes the steps taken before one failed. @returns The failure, with what could not be undone. */
function takenBack(
  network: NetworkPort,
  start: NetworkUndo,
  taken: readonly UndoEntry[],
  save: SaveUndo,
  failure: unknown,
): unknown {
  const undone = undoNetworkPlan(network, { ...start, entries: taken });
  const problems = [...undone.problems];
  try {
    save(lastingUndo({ ...start, entries: [...start.entries, ...undone.remaining.entries] }));
  } catch (error) {
    // What cannot be saved now could perhaps not be saved before, and that is the failure itself.
    if (messageOf(error) !== messageOf(failure)) problems.push(messageOf(error));
  }
  if (problems.length === 0) return failure;
  return new Error([`${messageOf(failure)}; left behind`, ...problems].join("; "), {
    cause: failure,
  });
}

type MakeLasting = (entry: UndoEntry, make: () => void) => void;

/** @returns null when there is nothing to undo. */
function takeInterfaceStep(
  network: NetworkPort,
  interfaceIndex: number,
  step: InterfaceStep,
): UndoEntry | null {
  const before = { mtuBytes: 0, up: false };
  switch (step.kind) {
    case "noLinkLocal":
      try {
        network.setLink(interfaceIndex, { addressGeneration: "none" });
      } catch (error) {
        if (!isErrno(error, NO_IPV6_ERRNOS)) throw error;
      }
      return null;
    case "mtu":
      before.mtuBytes = network.linkByIndex(interfaceIndex)?.mtuBytes ?? step.mtuBytes;
      network.setLink(interfaceIndex, { mtuBytes: step.mtuBytes });
      break;
    case "up":
      before.up = network.linkByIndex(interfaceIndex)?.up ?? false;
      network.setLink(interfaceIndex, { up: true });
      break;
    case "address":
      network.addAddress({ interfaceIndex, prefix: step.prefix });
      break;
    case "route":
      if (!takeRoute(network, interfaceIndex, step)) return null;
      break;
  }
  return { scope: "interface", step, before };
}

/** @returns false when the interface has the route already, made by somebody else. */
function takeRoute(network: NetworkPort, interfaceIndex: number, step: RouteStep): boolean {
  const { destination, table } = step;
  try {
    network.addRoute({ destination, table, interfaceIndex });
    return true;
  } catch (error) {
    if (!isErrno(error, [ERRNO.EEXIST])) throw error;
    const family = destination.includes(":") ? 6 : 4;
    const same = network.routes({ family, table, interfaceIndex })
      .some((route) => route.destination === destination);
    if (!same) throw error;
    return false;
  }
}

function takeRule(network: NetworkPort, step: RuleStep, makeLasting: MakeLasting): void {
  const priority = nextRulePriority(network.rules(step.family));
  makeLasting(
    { scope: "rule", step, priority },
    () => network.addRule(ruleOf(step, priority)),
  );
}

/**
 * Priority that the kernel gives a rule without one: one before the second rule, which follows `lookup local`
 * (fib_default_rule_pref, net/core/fib_rules.c). Chosen here, so that it is known before the rule is made.
 */
function nextRulePriority(rules: readonly NetworkRuleInfo[]): number {
  const second = rules[1];
  return second === undefined || second.priority === 0 ? 0 : second.priority - 1;
}

function takeSysctl(network: NetworkPort, step: SysctlStep, makeLasting: MakeLasting): void {
  const before = network.sysctl(step.name);
  if (before === step.value) return;
  makeLasting(
    { scope: "sysctl", step, before },
    () => network.setSysctl(step.name, step.value),
  );
}

function takeFirewall(
  network: NetworkPort,
  interfaceName: string,
  step: FirewallStep,
  makeLasting: MakeLasting,
  warnings: string[],
): void {
  const { family, tableName, ownAddresses, mark } = step;
  try {
    makeLasting(
      { scope: "firewall", step },
      () => network.addFirewall({ family, tableName, interfaceName, ownAddresses, mark }),
    );
  } catch (error) {
    if (!isErrno(error, FIREWALL_MISSING_ERRNOS)) throw error;
    warnings.push(
      `${messageOf(error)}; the tunnel's addresses can be reached past the tunnel`,
    );
  }
}

// ---- Steps back -------------------------------------------------------------------------------------------------

function undoEntry(network: NetworkPort, interfaceIndex: number, entry: UndoEntry): void {
  switch (entry.scope) {
    case "rule":
      undoRule(network, entry.step, entry.priority);
      break;
    case "firewall":
      network.deleteFirewall(entry.step.family, entry.step.tableName);
      break;
    case "sysctl":
      undoSysctl(network, entry.step, entry.before);
      break;
    case "interface":
      undoInterfaceStep(network, interfaceIndex, entry);
  }
}

/** Deletes the rule iff it is in every respect the one we made: the kernel would delete a similar one. */
function undoRule(network: NetworkPort, step: RuleStep, priority: number): void {
  const ours = ruleOf(step, priority);
  const found = network.rules(step.family).some((rule) =>
    !rule.foreign && rule.priority === priority && rule.table === ours.table &&
    rule.mark === ours.mark && rule.invert === ours.invert &&
    rule.suppressPrefixBits === ours.suppressPrefixBits &&
    (rule.mark === null || rule.markMask === ours.markMask)
  );
  if (found) network.deleteRule(ours);
}

/**
 * Sets the parameter back, unless somebody changed it since, or another tunnel lives by it: wg-quick sets it and
 * never looks back, and shows itself by rules that ask for a mark.
 */
function undoSysctl(network: NetworkPort, step: SysctlStep, before: string): void {
  if (network.sysctl(step.name) !== step.value) return;
  if (network.rules(4).some((rule) => rule.mark !== null && rule.invert)) return;
  network.setSysctl(step.name, before);
}

function undoInterfaceStep(
  network: NetworkPort,
  interfaceIndex: number,
  entry: Extract<UndoEntry, { scope: "interface" }>,
): void {
  const { step, before } = entry;
  switch (step.kind) {
    case "mtu":
      network.setLink(interfaceIndex, { mtuBytes: before.mtuBytes });
      break;
    case "up":
      if (!before.up) network.setLink(interfaceIndex, { up: false });
      break;
    case "address":
      network.deleteAddress({ interfaceIndex, prefix: step.prefix });
      break;
    case "route":
      network.deleteRoute({
        destination: step.destination,
        table: step.table,
        interfaceIndex,
      });
      break;
    case "noLinkLocal":
      // Nothing to do: it keeps an address from being made, and goes with the interface.
  }
}

function isErrno(error: unknown, errnos: readonly number[]): boolean {
  return error instanceof SystemCallError && errnos.includes(error.errno);
}
