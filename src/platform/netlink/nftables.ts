/**
 * The packet filter of a default route through the tunnel, as one nftables transaction (nfnetlink).
 *
 * In: NetworkFirewall. Out: a batch of messages that the kernel applies all or none.
 * What the chains do, and why, is wg-quick's (add_default); for `wg0`, `10.0.0.1` and mark 0xca6c:
 *
 *   preraw       prerouting, -300: iifname != "wg0" ip daddr 10.0.0.1 fib saddr type != local drop
 *   premangle    prerouting, -150: meta l4proto udp meta mark set ct mark
 *   postmangle  postrouting, -150: meta l4proto udp meta mark 0xca6c ct mark set meta mark
 *
 * preraw keeps hosts of other networks from reaching the tunnel's address past the tunnel. The two others
 * give answers to our datagrams the mark of the question, so that the reverse path filter, which with
 * net/ipv4/conf/all/src_valid_mark looks at the mark, does not take them for strays.
 * Sources: linux/netfilter/nf_tables.h, nfnetlink.h; the bytes of nft 1.0.6 in tests/unit/platform/netlink.
 */

import { INTERFACE_NAME_BYTES } from "../../limits.ts";
import type { NetworkFirewall } from "../../ports.ts";
import { ATTRIBUTE_NESTED, familyNumber, MessageWriter, NETLINK_FLAG } from "./message.ts";
import { parseAddress } from "./text.ts";

/** Begin and end of a batch (NFNL_MSG_BATCH_*); the subsystem number stands in their body. */
const BATCH = { BEGIN: 16, END: 17 } as const;
const SUBSYSTEM_NFTABLES = 10;
/** Message types within the subsystem (NFT_MSG_*). */
const MESSAGE = { NEW_TABLE: 0, DELETE_TABLE: 2, NEW_CHAIN: 3, NEW_RULE: 6 } as const;

/** Attributes: NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_HOOK_*, NFTA_RULE_*. */
const TABLE = { NAME: 1, FLAGS: 2 } as const;
const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, TYPE: 7 } as const;
const HOOK = { NUMBER: 1, PRIORITY: 2 } as const;
const RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
const LIST_ELEMENT = 1;
const EXPRESSION = { NAME: 1, DATA: 2 } as const;
const META = { TO: 1, KEY: 2, FROM: 3 } as const;
const COMPARE = { REGISTER: 1, OPERATION: 2, DATA: 3 } as const;
const PAYLOAD = { TO: 1, BASE: 2, OFFSET: 3, LENGTH: 4 } as const;
const FIB = { TO: 1, RESULT: 2, FLAGS: 3 } as const;
const CONNECTION = { TO: 1, KEY: 2, FROM: 4 } as const;
const IMMEDIATE = { TO: 1, DATA: 2 } as const;
const DATA = { VALUE: 1, VERDICT: 2 } as const;
const VERDICT_CODE = 1;

/** Netfilter hooks (NF_INET_*). */
const HOOK_NUMBER = { PREROUTING: 0, POSTROUTING: 4 } as const;
const PRIORITY_RAW = -300;
const PRIORITY_MANGLE = -150;

/** Registers: the verdict's and the first for values. */
const REGISTER = { VERDICT: 0, VALUE: 1 } as const;
const META_KEY = { MARK: 3, INPUT_INTERFACE_NAME: 6, L4_PROTO: 16 } as const;
const CONNECTION_KEY_MARK = 3;
const OPERATION = { EQUAL: 0, NOT_EQUAL: 1 } as const;
const PAYLOAD_BASE_NETWORK = 1;
const FIB_RESULT_ADDRESS_TYPE = 3;
const FIB_FLAG_SOURCE = 1;
/** Address type of our own addresses (RTN_LOCAL). */
const ADDRESS_TYPE_LOCAL = 2;
const VERDICT_DROP = 0;
const PROTO_UDP = 17;
/** Where the destination address stands in its header. */
const DESTINATION_OFFSET = { 4: 16, 6: 24 } as const;

/** One batch and the numbers of the messages in it that the kernel will acknowledge. */
export interface FirewallBatch {
  readonly bytes: Uint8Array;
  readonly firstSequence: number;
  readonly acknowledgements: number;
}

/** Makes the table, in place of one that has its name. */
export function addFirewallBatch(sequence: number, firewall: NetworkFirewall): FirewallBatch {
  const batch = new BatchWriter(sequence, firewall.family, firewall.tableName);
  // A table can only be deleted where there is one, so it is made first: no look-up, no race.
  batch.newTable();
  batch.deleteTable();
  batch.newTable();
  batch.newChain("preraw", HOOK_NUMBER.PREROUTING, PRIORITY_RAW);
  batch.newChain("premangle", HOOK_NUMBER.PREROUTING, PRIORITY_MANGLE);
  batch.newChain("postmangle", HOOK_NUMBER.POSTROUTING, PRIORITY_MANGLE);
  for (const address of firewall.ownAddresses) {
    batch.newRule("preraw", (rule) => dropStrays(rule, firewall, parseAddress(address)));
  }
  batch.newRule("postmangle", (rule) => saveMark(rule, firewall.mark));
  batch.newRule("premangle", restoreMark);
  return batch.finish();
}

/** Deletes the table; one that does not exist is made and deleted again, so that there is no error. */
export function deleteFirewallBatch(
  sequence: number,
  family: 4 | 6,
  tableName: string,
): FirewallBatch {
  const batch = new BatchWriter(sequence, family, tableName);
  batch.newTable();
  batch.deleteTable();
  return batch.finish();
}

/** iifname != "wg0" ip daddr 10.0.0.1 fib saddr type != local drop */
function dropStrays(rule: RuleWriter, firewall: NetworkFirewall, address: Uint8Array): void {
  // The name is compared with its padding, else "wg0" would match "wg01" as well.
  const name = new Uint8Array(INTERFACE_NAME_BYTES);
  name.set(new TextEncoder().encode(firewall.interfaceName).subarray(0, INTERFACE_NAME_BYTES - 1));
  rule.loadMeta(META_KEY.INPUT_INTERFACE_NAME);
  rule.compare(OPERATION.NOT_EQUAL, name);
  rule.loadPayload(DESTINATION_OFFSET[firewall.family], address.length);
  rule.compare(OPERATION.EQUAL, address);
  rule.loadSourceType();
  rule.compare(OPERATION.NOT_EQUAL, hostU32(ADDRESS_TYPE_LOCAL));
  rule.drop();
}

/** meta l4proto udp meta mark <mark> ct mark set meta mark */
function saveMark(rule: RuleWriter, mark: number): void {
  rule.loadMeta(META_KEY.L4_PROTO);
  rule.compare(OPERATION.EQUAL, Uint8Array.of(PROTO_UDP));
  rule.loadMeta(META_KEY.MARK);
  rule.compare(OPERATION.EQUAL, hostU32(mark));
  rule.loadMeta(META_KEY.MARK);
  rule.setConnectionMark();
}

/** meta l4proto udp meta mark set ct mark */
function restoreMark(rule: RuleWriter): void {
  rule.loadMeta(META_KEY.L4_PROTO);
  rule.compare(OPERATION.EQUAL, Uint8Array.of(PROTO_UDP));
  rule.loadConnectionMark();
  rule.setMark();
}

/** Writes the messages of one batch on one table. */
class BatchWriter {
  readonly #writer = new MessageWriter();
  readonly #firstSequence: number;
  #sequence: number;

  constructor(sequence: number, readonly family: 4 | 6, readonly tableName: string) {
    this.#firstSequence = sequence;
    this.#sequence = sequence;
    this.#frame(BATCH.BEGIN);
  }

  newTable(): void {
    this.#message(MESSAGE.NEW_TABLE, NETLINK_FLAG.CREATE)
      .attributeText(TABLE.NAME, this.tableName)
      .attributeU32Network(TABLE.FLAGS, 0);
  }

  deleteTable(): void {
    this.#message(MESSAGE.DELETE_TABLE, 0).attributeText(TABLE.NAME, this.tableName);
  }

  newChain(name: string, hookNumber: number, priority: number): void {
    const writer = this.#message(MESSAGE.NEW_CHAIN, NETLINK_FLAG.CREATE);
    writer
      .attributeText(CHAIN.TABLE, this.tableName)
      .attributeText(CHAIN.NAME, name)
      .attributeText(CHAIN.TYPE, "filter")
      .nested(CHAIN.HOOK | ATTRIBUTE_NESTED, () => {
        writer.attributeU32Network(HOOK.NUMBER, hookNumber);
        writer.attributeU32Network(HOOK.PRIORITY, priority);
      });
  }

  newRule(chain: string, write: (rule: RuleWriter) => void): void {
    const writer = this.#message(MESSAGE.NEW_RULE, NETLINK_FLAG.CREATE | NETLINK_FLAG.APPEND);
    writer
      .attributeText(RULE.TABLE, this.tableName)
      .attributeText(RULE.CHAIN, chain)
      .nested(RULE.EXPRESSIONS | ATTRIBUTE_NESTED, () => write(new RuleWriter(writer)));
  }

  finish(): FirewallBatch {
    const acknowledgements = this.#sequence - this.#firstSequence - 1;
    this.#frame(BATCH.END);
    return { bytes: this.#writer.finish(), firstSequence: this.#firstSequence, acknowledgements };
  }

  /** Body of begin and end: nfgenmsg whose resource, in network order, is the subsystem. */
  #frame(type: number): void {
    this.#writer.begin(type, NETLINK_FLAG.REQUEST, this.#sequence++)
      .u8(0, 0, 0, SUBSYSTEM_NFTABLES);
  }

  #message(type: number, flags: number): MessageWriter {
    return this.#writer
      .begin(
        SUBSYSTEM_NFTABLES << 8 | type,
        NETLINK_FLAG.REQUEST | NETLINK_FLAG.ACK | flags,
        this.#sequence++,
      )
      .u8(familyNumber(this.family), 0, 0, 0);
  }
}

/** Writes the expressions of one rule: each loads register 1, compares it, or stores it. */
class RuleWriter {
  constructor(readonly writer: MessageWriter) {}

  loadMeta(key: number): void {
    this.#expression("meta", (writer) => {
      writer.attributeU32Network(META.KEY, key);
      writer.attributeU32Network(META.TO, REGISTER.VALUE);
    });
  }

  setMark(): void {
    this.#expression("meta", (writer) => {
      writer.attributeU32Network(META.KEY, META_KEY.MARK);
      writer.attributeU32Network(META.FROM, REGISTER.VALUE);
    });
  }

  loadConnectionMark(): void {
    this.#expression("ct", (writer) => {
      writer.attributeU32Network(CONNECTION.KEY, CONNECTION_KEY_MARK);
      writer.attributeU32Network(CONNECTION.TO, REGISTER.VALUE);
    });
  }

  setConnectionMark(): void {
    this.#expression("ct", (writer) => {
      writer.attributeU32Network(CONNECTION.KEY, CONNECTION_KEY_MARK);
      writer.attributeU32Network(CONNECTION.FROM, REGISTER.VALUE);
    });
  }

  /** Loads bytes of the IP header. */
  loadPayload(offset: number, length: number): void {
    this.#expression("payload", (writer) => {
      writer.attributeU32Network(PAYLOAD.TO, REGISTER.VALUE);
      writer.attributeU32Network(PAYLOAD.BASE, PAYLOAD_BASE_NETWORK);
      writer.attributeU32Network(PAYLOAD.OFFSET, offset);
      writer.attributeU32Network(PAYLOAD.LENGTH, length);
    });
  }

  /** Loads what kind of address the source is to this host. */
  loadSourceType(): void {
    this.#expression("fib", (writer) => {
      writer.attributeU32Network(FIB.FLAGS, FIB_FLAG_SOURCE);
      writer.attributeU32Network(FIB.RESULT, FIB_RESULT_ADDRESS_TYPE);
      writer.attributeU32Network(FIB.TO, REGISTER.VALUE);
    });
  }

  compare(operation: number, value: Uint8Array): void {
    this.#expression("cmp", (writer) => {
      writer.attributeU32Network(COMPARE.REGISTER, REGISTER.VALUE);
      writer.attributeU32Network(COMPARE.OPERATION, operation);
      writer.nested(COMPARE.DATA | ATTRIBUTE_NESTED, () => writer.attribute(DATA.VALUE, value));
    });
  }

  drop(): void {
    this.#expression("immediate", (writer) => {
      writer.attributeU32Network(IMMEDIATE.TO, REGISTER.VERDICT);
      writer.nested(IMMEDIATE.DATA | ATTRIBUTE_NESTED, () => {
        writer.nested(DATA.VERDICT | ATTRIBUTE_NESTED, () => {
          writer.attributeU32Network(VERDICT_CODE, VERDICT_DROP);
        });
      });
    });
  }

  #expression(name: string, write: (writer: MessageWriter) => void): void {
    const { writer } = this;
    writer.nested(LIST_ELEMENT | ATTRIBUTE_NESTED, () => {
      writer.attributeText(EXPRESSION.NAME, name);
      writer.nested(EXPRESSION.DATA | ATTRIBUTE_NESTED, () => write(writer));
    });
  }
}

/** Marks and address types lie in registers as the kernel has them in memory. */
function hostU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
