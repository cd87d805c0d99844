/**
 * Goal: our nftables transaction says byte for byte what nft says for wg-quick's commands, in place of what was there.
 * Method: the messages of nft 1.0.6 for wg-quick's input (interface d0, 10.7.0.1/24, mark 51820), seen by strace.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { NETLINK_FLAG, parseMessages, viewBytes } from "../../../src/platform/netlink/message.ts";
import { addFirewallBatch, deleteFirewallBatch } from "../../../src/platform/netlink/nftables.ts";
import { hex, hexText } from "../../support/hex.ts";

const FIREWALL = {
  family: 4,
  tableName: "wg-quick-d0",
  interfaceName: "d0",
  ownAddresses: ["10.7.0.1"],
  mark: 51820,
} as const;

/** Type, flags and body of each message between the batch's begin and end, as nft sent them. */
const NFT_MESSAGES = [
  {
    name: "new table",
    type: 0xa00,
    flags: 0x1,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      08 00 02 00 | 00 00 00 00
    `,
  },
  {
    name: "chain preraw",
    type: 0xa03,
    flags: 0x401,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0b 00 03 00 | 70 72 65 72 61 77 00 00  # "preraw"
      0b 00 07 00 | 66 69 6c 74 65 72 00 00  # "filter"
      14 00 04 80
        08 00 01 00 | 00 00 00 00
        08 00 02 00 | ff ff fe d4  # priority -300
    `,
  },
  {
    name: "chain premangle",
    type: 0xa03,
    flags: 0x401,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0e 00 03 00 | 70 72 65 6d 61 6e 67 6c 65 00 00 00  # "premangle"
      0b 00 07 00 | 66 69 6c 74 65 72 00 00  # "filter"
      14 00 04 80
        08 00 01 00 | 00 00 00 00
        08 00 02 00 | ff ff ff 6a  # priority -150
    `,
  },
  {
    name: "chain postmangle",
    type: 0xa03,
    flags: 0x401,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0f 00 03 00 | 70 6f 73 74 6d 61 6e 67 6c 65 00 00  # "postmangle"
      0b 00 07 00 | 66 69 6c 74 65 72 00 00  # "filter"
      14 00 04 80
        08 00 01 00 | 00 00 00 04
        08 00 02 00 | ff ff ff 6a  # priority -150
    `,
  },
  {
    name: "rule of preraw",
    type: 0xa06,
    flags: 0xc01,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0b 00 02 00 | 70 72 65 72 61 77 00 00  # "preraw"
      44 01 04 80
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80
            08 00 02 00 | 00 00 00 06  # key: input interface name
            08 00 01 00 | 00 00 00 01
        38 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          2c 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 01
            18 00 03 80
              14 00 01 00 | 64 30 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # "d0"
        34 00 01 80
          0c 00 01 00 | 70 61 79 6c 6f 61 64 00  # "payload"
          24 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 01
            08 00 03 00 | 00 00 00 10  # offset 16: destination
            08 00 04 00 | 00 00 00 04  # 4 bytes
        2c 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          20 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 00
            0c 00 03 80
              08 00 01 00 | 0a 07 00 01  # 10.7.0.1
        28 00 01 80
          08 00 01 00 | 66 69 62 00  # "fib"
          1c 00 02 80
            08 00 03 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 03
            08 00 01 00 | 00 00 00 01
        2c 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          20 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 01
            0c 00 03 80
              08 00 01 00 | 02 00 00 00  # RTN_LOCAL, host order
        30 00 01 80
          0e 00 01 00 | 69 6d 6d 65 64 69 61 74 65 00 00 00  # "immediate"
          1c 00 02 80
            08 00 01 00 | 00 00 00 00
            10 00 02 80
              0c 00 02 80
                08 00 01 00 | 00 00 00 00
    `,
  },
  {
    name: "rule of postmangle",
    type: 0xa06,
    flags: 0xc01,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0f 00 02 00 | 70 6f 73 74 6d 61 6e 67 6c 65 00 00  # "postmangle"
      e8 00 04 80
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80
            08 00 02 00 | 00 00 00 10  # key: layer 4 proto
            08 00 01 00 | 00 00 00 01
        2c 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          20 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 00
            0c 00 03 80
              05 00 01 00 | 11 00 00 00  # UDP
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80
            08 00 02 00 | 00 00 00 03
            08 00 01 00 | 00 00 00 01
        2c 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          20 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 00
            0c 00 03 80
              08 00 01 00 | 6c ca 00 00  # mark 51820, host order
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80
            08 00 02 00 | 00 00 00 03
            08 00 01 00 | 00 00 00 01
        20 00 01 80
          07 00 01 00 | 63 74 00 00  # "ct"
          14 00 02 80
            08 00 02 00 | 00 00 00 03
            08 00 04 00 | 00 00 00 01
    `,
  },
  {
    name: "rule of premangle",
    type: 0xa06,
    flags: 0xc01,
    body: `
      02 00 00 00  # IPv4, version 0, resource 0
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0e 00 02 00 | 70 72 65 6d 61 6e 67 6c 65 00 00 00  # "premangle"
      98 00 04 80
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80
            08 00 02 00 | 00 00 00 10  # key: layer 4 proto
            08 00 01 00 | 00 00 00 01
        2c 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          20 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 00
            0c 00 03 80
              05 00 01 00 | 11 00 00 00  # UDP
        20 00 01 80
          07 00 01 00 | 63 74 00 00  # "ct"
          14 00 02 80
            08 00 02 00 | 00 00 00 03
            08 00 01 00 | 00 00 00 01
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80
            08 00 02 00 | 00 00 00 03
            08 00 03 00 | 00 00 00 01
    `,
  },
];

/** Begin and end of a batch: the body names the subsystem, nftables being 10, in network order. */
const BATCH_BODY = hexText(hex("00 00 00 0a"));

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: string;
}

function messagesOf(bytes: Uint8Array): Seen[] {
  return parseMessages(bytes).map((message) => ({
    type: message.type,
    flags: message.flags,
    sequence: message.sequence,
    body: hexText(viewBytes(message.body)),
  }));
}

/** nft's message as ours should be: acknowledged, and numbered. */
function expected(message: typeof NFT_MESSAGES[number], sequence: number): Seen {
  // nft waits for errors only; we for an answer to each message. We say CREATE for tables too.
  const flags = message.flags | NETLINK_FLAG.ACK | NETLINK_FLAG.CREATE;
  return { type: message.type, flags, sequence, body: hexText(hex(message.body)) };
}

test("addFirewallBatch() makes nft's table, chains and rules in place of an older table", () => {
  const batch = addFirewallBatch(100, FIREWALL);
  const messages = messagesOf(batch.bytes);
  const newTable = NFT_MESSAGES[0]!;
  const deleteTable = `02 00 00 00 ${hexText(hex("10 00 01 00 | 77672d71 7569636b 2d643000"))}`;
  assert.deepEqual(messages, [
    { type: 16, flags: 1, sequence: 100, body: BATCH_BODY },
    expected(newTable, 101),
    { type: 0xa02, flags: 1 | NETLINK_FLAG.ACK, sequence: 102, body: deleteTable },
    ...NFT_MESSAGES.map((message, index) => expected(message, 103 + index)),
    { type: 17, flags: 1, sequence: 110, body: BATCH_BODY },
  ]);
  assert.equal(batch.acknowledgements, 9);
});

test("addFirewallBatch() compares 16 bytes at offset 24 for IPv6", () => {
  const firewall = { ...FIREWALL, family: 6, ownAddresses: ["fd00::1"] } as const;
  const [, , , , , , , preraw] = messagesOf(addFirewallBatch(1, firewall).bytes);
  assert.equal(
    preraw!.body,
    hexText(hex(`
      0a 00 00 00  # IPv6
      10 00 01 00 | 77 67 2d 71 75 69 63 6b 2d 64 30 00  # "wg-quick-d0"
      0b 00 02 00 | 70 72 65 72 61 77 00 00  # "preraw"
      50 01 04 80
        24 00 01 80
          09 00 01 00 | 6d 65 74 61 00 00 00 00  # "meta"
          14 00 02 80 | 08 00 02 00 00 00 00 06 | 08 00 01 00 00 00 00 01
        38 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          2c 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 01
            18 00 03 80
              14 00 01 00 | 64 30 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # "d0"
        34 00 01 80
          0c 00 01 00 | 70 61 79 6c 6f 61 64 00  # "payload"
          24 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 01
            08 00 03 00 | 00 00 00 18  # offset 24: destination
            08 00 04 00 | 00 00 00 10  # 16 bytes
        38 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          2c 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 00
            18 00 03 80
              14 00 01 00 | fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01  # fd00::1
        28 00 01 80
          08 00 01 00 | 66 69 62 00  # "fib"
          1c 00 02 80 | 08 00 03 00 00 00 00 01 | 08 00 02 00 00 00 00 03 | 08 00 01 00 00 00 00 01
        2c 00 01 80
          08 00 01 00 | 63 6d 70 00  # "cmp"
          20 00 02 80
            08 00 01 00 | 00 00 00 01
            08 00 02 00 | 00 00 00 01
            0c 00 03 80 | 08 00 01 00 02 00 00 00  # RTN_LOCAL
        30 00 01 80
          0e 00 01 00 | 69 6d 6d 65 64 69 61 74 65 00 00 00  # "immediate"
          1c 00 02 80
            08 00 01 00 | 00 00 00 00
            10 00 02 80 | 0c 00 02 80 | 08 00 01 00 00 00 00 00  # drop
    `)),
  );
});

test("addFirewallBatch() guards each own address by a rule, and none without addresses", () => {
  const ruleCount = (ownAddresses: string[]) =>
    messagesOf(addFirewallBatch(1, { ...FIREWALL, ownAddresses }).bytes)
      .filter((message) => message.type === 0xa06).length;
  assert.equal(ruleCount([]), 2);
  assert.equal(ruleCount(["10.0.0.1", "10.0.0.2", "10.0.0.3"]), 5);
});

test("addFirewallBatch() keeps a closing zero behind the longest interface name, and cuts a longer one", () => {
  for (const interfaceName of ["abcdefghijklmno", "abcdefghijklmnop"]) {
    const batch = addFirewallBatch(1, { ...FIREWALL, interfaceName });
    const name = new TextEncoder().encode("abcdefghijklmno\0");
    assert.ok(hexText(batch.bytes).includes(hexText(name)), interfaceName);
  }
});

test("deleteFirewallBatch() makes the table before it deletes it, so that a missing one is no error", () => {
  const batch = deleteFirewallBatch(7, 6, "wg-quick-d0");
  const messages = messagesOf(batch.bytes);
  assert.deepEqual(messages.map((message) => message.type), [16, 0xa00, 0xa02, 17]);
  assert.deepEqual(messages.map((message) => message.sequence), [7, 8, 9, 10]);
  assert.deepEqual(messages.map((message) => message.body.slice(0, 2)), ["00", "0a", "0a", "00"]);
  assert.equal(batch.acknowledgements, 2);
});
