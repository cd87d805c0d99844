/**
 * Rules that choose routing tables, in rtnetlink: RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE.
 *
 * In: NetworkRule. Out: whole messages; and from RTM_NEWRULE answers, NetworkRuleInfo.
 * Sources: linux/fib_rules.h; the bytes of iproute2 6.1 in tests/unit/platform/netlink.
 */

import type { NetworkRule, NetworkRuleInfo } from "../../ports.ts";
import {
  ADDRESS_FAMILY,
  attributeU32,
  familyNumber,
  MessageWriter,
  NETLINK_FLAG,
  type NetlinkMessage,
  parseAttributes,
} from "./message.ts";

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
/** Bytes of fib_rule_hdr. */
const RULE_BODY_BYTES = 12;
/** Looks into a table (FR_ACT_TO_TBL). */
const ACTION_TO_TABLE = 1;
const FLAG_INVERT = 0x2;
/** Tables above it stand in an attribute alone. */
const HEADER_TABLE_MAX = 255;
const MASK_ALL = 0xffffffff;
/** FRA_SUPPRESS_PREFIXLEN that suppresses nothing. */
const SUPPRESS_NOTHING = 0xffffffff;

/** Attributes (FRA_*). */
const RULE = {
  PRIORITY: 6,
  MARK: 10,
  SUPPRESS_PREFIX_LENGTH: 14,
  TABLE: 15,
  MARK_MASK: 16,
  PADDING: 18,
  PROTOCOL: 21,
} as const;
/** Attributes that NetworkRule can say, or that say nothing about what a rule does. */
const KNOWN_ATTRIBUTES: ReadonlySet<number> = new Set(Object.values(RULE));

/** Adds one rule; EEXIST when one that the kernel takes for the same is there. */
export function addRuleRequest(sequence: number, rule: NetworkRule): Uint8Array {
  const flags = NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK | NETLINK_FLAG.CREATE |
    NETLINK_FLAG.EXCLUSIVE;
  return ruleRequest(RTM_NEWRULE, flags, sequence, rule);
}

/** Deletes one rule; ENOENT when it is not there. */
export function deleteRuleRequest(sequence: number, rule: NetworkRule): Uint8Array {
  return ruleRequest(RTM_DELRULE, NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK, sequence, rule);
}

/** Asks for the rules of one family. */
export function rulesRequest(sequence: number, family: 4 | 6): Uint8Array {
  return new MessageWriter()
    .begin(RTM_GETRULE, NETLINK_FLAG.REQUEST | NETLINK_FLAG.DUMP, sequence)
    .u8(familyNumber(family), 0, 0, 0, 0, 0, 0, 0).u32(0)
    .finish();
}

/** Reads one answer; null when it is no rule of IPv4 or IPv6. */
export function parseRule(message: NetlinkMessage): NetworkRuleInfo | null {
  const { body } = message;
  if (message.type !== RTM_NEWRULE || body.byteLength < RULE_BODY_BYTES) return null;
  const family = body.getUint8(0);
  if (family !== ADDRESS_FAMILY.INET && family !== ADDRESS_FAMILY.INET6) return null;
  const attributes = parseAttributes(body, RULE_BODY_BYTES);
  const suppress = attributeU32(attributes, RULE.SUPPRESS_PREFIX_LENGTH, SUPPRESS_NOTHING);
  const flags = body.getUint32(8, true);
  // Lengths of destination and source prefix, TOS: conditions that stand in the header.
  const headerConditions = body.getUint8(1) | body.getUint8(2) | body.getUint8(3);
  return {
    family: family === ADDRESS_FAMILY.INET ? 4 : 6,
    priority: attributeU32(attributes, RULE.PRIORITY, 0),
    table: attributeU32(attributes, RULE.TABLE, body.getUint8(4)),
    // The kernel omits a mark of 0, but not its mask: `fwmark 0` is a condition too.
    mark: attributeU32(attributes, RULE.MARK, attributes.has(RULE.MARK_MASK) ? 0 : null),
    markMask: attributeU32(attributes, RULE.MARK_MASK, MASK_ALL),
    invert: (flags & FLAG_INVERT) !== 0,
    suppressPrefixBits: suppress === SUPPRESS_NOTHING ? null : suppress,
    foreign: headerConditions !== 0 || body.getUint8(7) !== ACTION_TO_TABLE ||
      [...attributes.keys()].some((type) => !KNOWN_ATTRIBUTES.has(type)),
  };
}

function ruleRequest(
  type: number,
  flags: number,
  sequence: number,
  rule: NetworkRule,
): Uint8Array {
  const tableFits = rule.table <= HEADER_TABLE_MAX;
  const writer = new MessageWriter()
    .begin(type, flags, sequence)
    .u8(familyNumber(rule.family), 0, 0, 0)
    .u8(tableFits ? rule.table : 0, 0, 0, ACTION_TO_TABLE)
    .u32(rule.invert ? FLAG_INVERT : 0)
    .attributeU32(RULE.PRIORITY, rule.priority);
  if (rule.mark !== null) {
    writer.attributeU32(RULE.MARK, rule.mark);
    if (rule.markMask !== MASK_ALL) writer.attributeU32(RULE.MARK_MASK, rule.markMask);
  }
  if (rule.suppressPrefixBits !== null) {
    writer.attributeU32(RULE.SUPPRESS_PREFIX_LENGTH, rule.suppressPrefixBits);
  }
  if (!tableFits) writer.attributeU32(RULE.TABLE, rule.table);
  return writer.finish();
}
