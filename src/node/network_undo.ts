/**
 * Record of what a node changed in the kernel's network configuration, so that it can be taken back: at the end,
 * when a step fails, and by the next start after a SIGKILL.
 *
 * In: entries as steps are taken. Out: plain JSON; and from JSON of a state file, a checked record.
 * A record is valid in the network namespace and boot that it was made in; keep it under /run.
 */

import type { NetworkRule } from "../ports.ts";
import type { FirewallStep, NetworkStep, RuleStep } from "./network_plan.ts";

/** One change that was made, with what undoing it needs. */
export type UndoEntry =
  /** Undone by itself when the interface goes. */
  | { readonly scope: "interface"; readonly step: InterfaceStep; readonly before: LinkBefore }
  | { readonly scope: "rule"; readonly step: RuleStep; readonly priority: number }
  | { readonly scope: "firewall"; readonly step: FirewallStep }
  | { readonly scope: "sysctl"; readonly step: SysctlStep; readonly before: string };

/** Steps on the interface itself. */
export type InterfaceStep = Exclude<NetworkStep, FirewallStep | RuleStep | SysctlStep>;
/** Steps on a kernel parameter. */
export type SysctlStep = Extract<NetworkStep, { kind: "sysctl" }>;

/** State of the link before a step on it. */
export interface LinkBefore {
  readonly mtuBytes: number;
  readonly up: boolean;
}

/** What was changed, oldest first. */
export interface NetworkUndo {
  readonly version: 1;
  readonly interfaceName: string;
  /** Tells our interface from a later one of the same name: Linux counts indices up. */
  readonly interfaceIndex: number;
  readonly entries: readonly UndoEntry[];
}

/** Returns the record without what vanishes with the interface: what a state file must keep. */
export function lastingUndo(undo: NetworkUndo): NetworkUndo {
  return { ...undo, entries: undo.entries.filter((entry) => entry.scope !== "interface") };
}

/** Returns the rule that a step stands for, at a priority. */
export function ruleOf(step: RuleStep, priority: number): NetworkRule {
  return {
    family: step.family,
    priority,
    table: step.table,
    mark: step.notMark,
    markMask: 0xffffffff,
    invert: step.notMark !== null,
    suppressPrefixBits: step.suppressPrefixBits,
  };
}

/**
 * Reads a record back from parsed JSON. Entries on the interface are dropped: they do not outlive a process.
 * @throws {SyntaxError} If it is none, e.g. because the disk was full when it was written.
 */
export function parseNetworkUndo(value: unknown): NetworkUndo {
  const record = asRecord(value, "record");
  if (record.version !== 1) throw wrong("version", record.version);
  if (!Array.isArray(record.entries)) throw wrong("entries", record.entries);
  return {
    version: 1,
    interfaceName: asText(record, "interfaceName"),
    interfaceIndex: asCount(record, "interfaceIndex"),
    entries: record.entries.map((entry) => asRecord(entry, "entry"))
      .filter((entry) => entry.scope !== "interface")
      .map(parseEntry),
  };
}

type Json = Record<string, unknown>;

function parseEntry(entry: Json): UndoEntry {
  const step = asRecord(entry.step, "step");
  switch (entry.scope) {
    case "rule":
      return { scope: "rule", step: parseRule(step), priority: asCount(entry, "priority") };
    case "firewall":
      return { scope: "firewall", step: parseFirewall(step) };
    case "sysctl":
      return {
        scope: "sysctl",
        step: { kind: "sysctl", name: asText(step, "name"), value: asText(step, "value") },
        before: asText(entry, "before"),
      };
    default:
      throw wrong("scope", entry.scope);
  }
}

function parseRule(step: Json): RuleStep {
  return {
    kind: "rule",
    family: asFamily(step),
    table: asCount(step, "table"),
    notMark: step.notMark === null ? null : asCount(step, "notMark"),
    suppressPrefixBits: step.suppressPrefixBits === null
      ? null
      : asCount(step, "suppressPrefixBits"),
  };
}

function parseFirewall(step: Json): FirewallStep {
  const { ownAddresses } = step;
  if (
    !Array.isArray(ownAddresses) || !ownAddresses.every((address) => typeof address === "string")
  ) {
    throw wrong("ownAddresses", ownAddresses);
  }
  return {
    kind: "firewall",
    family: asFamily(step),
    tableName: asText(step, "tableName"),
    ownAddresses,
    mark: asCount(step, "mark"),
  };
}

function asRecord(value: unknown, name: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name, value);
  return value as Json;
}

function asText(record: Json, name: string): string {
  const value = record[name];
  if (typeof value !== "string") throw wrong(name, value);
  return value;
}

function asCount(record: Json, name: string): number {
  const value = record[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) throw wrong(name, value);
  return value;
}

function asFamily(record: Json): 4 | 6 {
  const { family } = record;
  if (family !== 4 && family !== 6) throw wrong("family", family);
  return family;
}

function wrong(name: string, value: unknown): SyntaxError {
  return new SyntaxError(
    `Cannot read the network undo record: "${name}" is ${JSON.stringify(value)}`,
  );
}
