/**
 * Goal: requests say byte for byte what iproute2 6.1 says for the same thing, and answers of Linux 6.18 are read right.
 * Method: bytes seen by strace in a namespace, sequence and port numbers replaced; interface t0 has index 2.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  addAddressRequest,
  addressesRequest,
  deleteAddressRequest,
  parseAddressMessage,
} from "../../../src/platform/netlink/address.ts";
import {
  linkChangeRequest,
  linkRequest,
  linksRequest,
  parseLink,
} from "../../../src/platform/netlink/link.ts";
import {
  MessageWriter,
  type NetlinkMessage,
  parseMessages,
} from "../../../src/platform/netlink/message.ts";
import {
  addRouteRequest,
  deleteRouteRequest,
  matchesFilter,
  parseRoute,
  parseRouteAnswer,
  routeGetRequest,
  routesRequest,
} from "../../../src/platform/netlink/route.ts";
import {
  addRuleRequest,
  deleteRuleRequest,
  parseRule,
  rulesRequest,
} from "../../../src/platform/netlink/rule.ts";
import { hex, hexText } from "../../support/hex.ts";

/** Sequence 1 and port 0, as they stand in every header. */
const SEQUENCE = "01 00 00 00  00 00 00 00";

function assertBytes(actual: Uint8Array, expected: string): void {
  assert.equal(hexText(actual), hexText(hex(expected)));
}

function messageOf(text: string): NetlinkMessage {
  const messages = parseMessages(hex(text));
  assert.equal(messages.length, 1);
  return messages[0]!;
}

// ---- Links ------------------------------------------------------------------------------------------------------

test("linkChangeRequest() says what `ip link set mtu 1380 up dev t0` says", () => {
  assertBytes(
    linkChangeRequest(1, 2, { mtuBytes: 1380, up: true }),
    `
    28 00 00 00 | 10 00 | 05 00 | ${SEQUENCE}  # RTM_NEWLINK, request and acknowledge
    00 00 00 00 | 02 00 00 00                  # any family; index 2
    01 00 00 00 | 01 00 00 00                  # flags: up; of those changed: up
    08 00 04 00 | 64 05 00 00                  # IFLA_MTU 1380
    `,
  );
});

test("linkChangeRequest() says what `ip link set dev t0 addrgenmode none` says", () => {
  assertBytes(
    linkChangeRequest(1, 2, { addressGeneration: "none" }),
    `
    30 00 00 00 | 10 00 | 05 00 | ${SEQUENCE}
    00 00 00 00 | 02 00 00 00 | 00 00 00 00 | 00 00 00 00
    10 00 1a 00                                # IFLA_AF_SPEC
      0c 00 0a 00                              # AF_INET6
        05 00 08 00 | 01 00 00 00              # IFLA_INET6_ADDR_GEN_MODE none, padded
    `,
  );
});

test("linkChangeRequest() says what `ip link set dev t0 txqueuelen 1000` and `down` say", () => {
  assertBytes(
    linkChangeRequest(1, 2, { txQueuePackets: 1000 }),
    `
    28 00 00 00 | 10 00 | 05 00 | ${SEQUENCE}
    00 00 00 00 | 02 00 00 00 | 00 00 00 00 | 00 00 00 00
    08 00 0d 00 | e8 03 00 00                  # IFLA_TXQLEN 1000
    `,
  );
  assertBytes(
    linkChangeRequest(1, 2, { up: false }),
    `
    20 00 00 00 | 10 00 | 05 00 | ${SEQUENCE}
    00 00 00 00 | 02 00 00 00 | 00 00 00 00 | 01 00 00 00
    `,
  );
});

test("linkRequest() asks by index or by name with its closing zero, linksRequest() for all", () => {
  assertBytes(
    linkRequest(1, "t0"),
    `
    28 00 00 00 | 12 00 | 01 00 | ${SEQUENCE}  # RTM_GETLINK, request
    00 00 00 00 | 00 00 00 00 | 00 00 00 00 | 00 00 00 00
    07 00 03 00 | 74 30 00 00                  # IFLA_IFNAME "t0", padded
    `,
  );
  assertBytes(
    linkRequest(1, 2),
    `20 00 00 00 | 12 00 | 01 00 | ${SEQUENCE}
    00 00 00 00 | 02 00 00 00 | 00 00 00 00 | 00 00 00 00`,
  );
  assertBytes(
    linksRequest(1),
    `20 00 00 00 | 12 00 | 01 03 | ${SEQUENCE}
    00 00 00 00 | 00 00 00 00 | 00 00 00 00 | 00 00 00 00`,
  );
});

test("parseLink() reads name, kind, MTU, state and 64-bit statistics", () => {
  const link = parseLink(messageOf(`
    94 00 00 00 | 10 00 | 00 00 | ${SEQUENCE}
    00 00 fe ff | 02 00 00 00 | 91 10 00 00 | 00 00 00 00  # no hardware type; up, point to point, no ARP, multicast
    07 00 03 00 | 74 30 00 00                  # IFLA_IFNAME "t0"
    08 00 0d 00 | f4 01 00 00                  # IFLA_TXQLEN 500
    05 00 10 00 | 02 00 00 00                  # IFLA_OPERSTATE
    08 00 04 00 | dc 05 00 00                  # IFLA_MTU 1500
    44 00 17 00                                # IFLA_STATS64, first 8 of its members
      01 00 00 00 00 00 00 00                  # rx packets
      02 00 00 00 01 00 00 00                  # tx packets: 2 + 2^32
      ff ff ff ff ff ff 1f 00                  # rx bytes: 2^53 - 1
      04 00 00 00 00 00 00 00                  # tx bytes
      05 00 00 00 00 00 00 00 | 06 00 00 00 00 00 00 00  # errors
      07 00 00 00 00 00 00 00                  # rx dropped
      08 00 00 00 00 00 00 00                  # tx dropped
    10 00 12 00                                # IFLA_LINKINFO
      08 00 01 00 | 74 75 6e 00                # IFLA_INFO_KIND "tun"
      04 00 02 00                              # IFLA_INFO_DATA
  `));
  assert.deepEqual(link, {
    index: 2,
    name: "t0",
    kind: "tun",
    mtuBytes: 1500,
    up: true,
    statistics: {
      rxPackets: 1,
      rxBytes: Number.MAX_SAFE_INTEGER,
      rxDropped: 7,
      txPackets: 2 ** 32 + 2,
      txBytes: 4,
      txDropped: 8,
    },
  });
});

// ---- Addresses --------------------------------------------------------------------------------------------------

test("addAddressRequest() says what `ip -4 address add 10.7.0.1/24 dev t0` says", () => {
  assertBytes(
    addAddressRequest(1, { interfaceIndex: 2, prefix: "10.7.0.1/24" }),
    `
    28 00 00 00 | 14 00 | 05 06 | ${SEQUENCE}  # RTM_NEWADDR, acknowledge, create, exclusive
    02 18 00 00 | 02 00 00 00                  # IPv4, /24, no flags, scope universe; index 2
    08 00 02 00 | 0a 07 00 01                  # IFA_LOCAL
    08 00 01 00 | 0a 07 00 01                  # IFA_ADDRESS
    `,
  );
});

test("addAddressRequest() says what `ip -6 address add fd00::2/64 dev t0 nodad` says", () => {
  assertBytes(
    addAddressRequest(1, { interfaceIndex: 2, prefix: "fd00::2/64" }),
    `
    40 00 00 00 | 14 00 | 05 06 | ${SEQUENCE}
    0a 40 02 00 | 02 00 00 00                  # IPv6, /64, IFA_F_NODAD
    14 00 02 00 | fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02
    14 00 01 00 | fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02
    `,
  );
});

test("deleteAddressRequest() says what `ip -6 address del fd00::1/64 dev t0` says", () => {
  assertBytes(
    deleteAddressRequest(1, { interfaceIndex: 2, prefix: "fd00::1/64" }),
    `
    40 00 00 00 | 15 00 | 05 00 | ${SEQUENCE}  # RTM_DELADDR
    0a 40 00 00 | 02 00 00 00
    14 00 02 00 | fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
    14 00 01 00 | fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
    `,
  );
});

test("parseAddressMessage() reads IPv4 by its local address and IPv6 by its only one", () => {
  assertBytes(
    addressesRequest(1, 2),
    `18 00 00 00 | 16 00 | 01 03 | ${SEQUENCE} 00 00 00 00 | 02 00 00 00`,
  );
  const four = parseAddressMessage(messageOf(`
    4c 00 00 00 | 14 00 | 22 00 | ${SEQUENCE}  # multi, filtered
    02 18 80 00 | 02 00 00 00                  # IPv4, /24, IFA_F_PERMANENT
    08 00 01 00 | 0a 07 00 09                  # IFA_ADDRESS: a peer's
    08 00 02 00 | 0a 07 00 01                  # IFA_LOCAL
    07 00 03 00 | 74 30 00 00                  # IFA_LABEL "t0"
    08 00 08 00 | 80 00 00 00                  # IFA_FLAGS
    14 00 06 00 | ff ff ff ff ff ff ff ff 7b e5 03 00 7b e5 03 00  # IFA_CACHEINFO
  `));
  assert.deepEqual(four, { interfaceIndex: 2, prefix: "10.7.0.1/24" });
  const six = parseAddressMessage(messageOf(`
    48 00 00 00 | 14 00 | 22 00 | ${SEQUENCE}
    0a 40 82 00 | 02 00 00 00                  # IPv6, /64, permanent, no detection
    14 00 01 00 | fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
    14 00 06 00 | ff ff ff ff ff ff ff ff 89 e5 03 00 89 e5 03 00
    08 00 08 00 | 82 00 00 00
  `));
  assert.deepEqual(six, { interfaceIndex: 2, prefix: "fd00::1/64" });
});

// ---- Routes -----------------------------------------------------------------------------------------------------

test("addRouteRequest() says what `ip -4 route add 10.99.0.0/16 dev t0` says", () => {
  assertBytes(
    addRouteRequest(1, { destination: "10.99.0.0/16", interfaceIndex: 2, table: 254 }),
    `
    2c 00 00 00 | 18 00 | 05 06 | ${SEQUENCE}  # RTM_NEWROUTE, acknowledge, create, exclusive
    02 10 00 00 | fe 03 fd 01 | 00 00 00 00    # IPv4, /16; main, boot, link, unicast
    08 00 01 00 | 0a 63 00 00                  # RTA_DST
    08 00 04 00 | 02 00 00 00                  # RTA_OIF
    `,
  );
});

test("addRouteRequest() says what `ip -4 route add 0.0.0.0/0 dev t0 table 51820` says", () => {
  assertBytes(
    addRouteRequest(1, { destination: "0.0.0.0/0", interfaceIndex: 2, table: 51820 }),
    `
    34 00 00 00 | 18 00 | 05 06 | ${SEQUENCE}
    02 00 00 00 | 00 03 fd 01 | 00 00 00 00    # table unspecified: it does not fit
    08 00 01 00 | 00 00 00 00
    08 00 0f 00 | 6c ca 00 00                  # RTA_TABLE 51820
    08 00 04 00 | 02 00 00 00
    `,
  );
});

test("addRouteRequest() says what `ip -6 route add fd99::/32 dev t0` says", () => {
  assertBytes(
    addRouteRequest(1, { destination: "fd99::/32", interfaceIndex: 2, table: 254 }),
    `
    38 00 00 00 | 18 00 | 05 06 | ${SEQUENCE}
    0a 20 00 00 | fe 03 00 01 | 00 00 00 00    # IPv6 has scope universe
    14 00 01 00 | fd 99 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    08 00 04 00 | 02 00 00 00
    `,
  );
});

test("addRouteRequest() adds a metric; tables up to 255 stand in the header, 256 does not", () => {
  const route = { destination: "10.8.0.0/16", interfaceIndex: 2 };
  const header = (table: number) => addRouteRequest(1, { ...route, table })[20];
  assert.deepEqual([header(1), header(255), header(256)], [1, 255, 0]);
  const lengths = [255, 256].map((table) => addRouteRequest(1, { ...route, table }).length);
  assert.deepEqual(lengths, [44, 52]);
  const withMetric = addRouteRequest(1, { ...route, table: 254, metric: 7 });
  assert.ok(hexText(withMetric).endsWith(hexText(hex("08 00 06 00 | 07 00 00 00"))));
});

test("deleteRouteRequest() says what `ip -4 route del 10.99.0.0/16 dev t0` and `ip -6 … table 300` say", () => {
  assertBytes(
    deleteRouteRequest(1, { destination: "10.99.0.0/16", interfaceIndex: 2, table: 254 }),
    `
    2c 00 00 00 | 19 00 | 05 00 | ${SEQUENCE}  # RTM_DELROUTE
    02 10 00 00 | fe 00 ff 00 | 00 00 00 00    # any protocol, scope nowhere, any type
    08 00 01 00 | 0a 63 00 00
    08 00 04 00 | 02 00 00 00
    `,
  );
  assertBytes(
    deleteRouteRequest(1, { destination: "fd99::/32", interfaceIndex: 2, table: 300 }),
    `
    40 00 00 00 | 19 00 | 05 00 | ${SEQUENCE}
    0a 20 00 00 | 00 00 ff 00 | 00 00 00 00
    14 00 01 00 | fd 99 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    08 00 0f 00 | 2c 01 00 00
    08 00 04 00 | 02 00 00 00
    `,
  );
});

test("routeGetRequest() says what `ip route get 1.2.3.4 mark 51820` says, but for a flag; routesRequest() filters", () => {
  assertBytes(
    routeGetRequest(1, "1.2.3.4", 51820),
    `
    2c 00 00 00 | 1a 00 | 01 00 | ${SEQUENCE}  # RTM_GETROUTE, request
    02 20 00 00 | 00 00 00 00 | 00 00 00 00    # IPv4, /32; ip has RTM_F_LOOKUP_TABLE, 00 10 00 00, here
    08 00 01 00 | 01 02 03 04                  # RTA_DST
    08 00 10 00 | 6c ca 00 00                  # RTA_MARK
    `,
  );
  assertBytes(
    routesRequest(1, { family: 6, table: 254, interfaceIndex: 2 }),
    `
    2c 00 00 00 | 1a 00 | 01 03 | ${SEQUENCE}  # RTM_GETROUTE, request, dump
    0a 00 00 00 | 00 00 00 00 | 00 00 00 00
    08 00 0f 00 | fe 00 00 00
    08 00 04 00 | 02 00 00 00
    `,
  );
});

test("parseRoute() reads a default route without destination in a table above 255", () => {
  const route = parseRoute(messageOf(`
    34 00 00 00 | 18 00 | 22 00 | ${SEQUENCE}
    02 00 00 00 | fc 03 fd 01 | 10 00 00 00    # table "compat", boot, link, unicast; link down
    08 00 0f 00 | 6d ca 00 00                  # RTA_TABLE 51821
    08 00 06 00 | 05 00 00 00                  # RTA_PRIORITY 5
    08 00 04 00 | 02 00 00 00                  # RTA_OIF
  `));
  assert.deepEqual(route, {
    destination: "0.0.0.0/0",
    interfaceIndex: 2,
    table: 51821,
    metric: 5,
    gateway: null,
    mtuBytes: null,
    unicast: true,
  });
  const filters = [{}, { table: 51821 }, { table: 254 }, { interfaceIndex: 2 }, {
    interfaceIndex: 3,
  }].map((filter) => matchesFilter(route!, { family: 4, ...filter }));
  assert.deepEqual(filters, [true, true, false, true, false]);
});

test("parseRoute() tells routes that lead nowhere, and leaves out cached ones", () => {
  const route = (type: string, flags: string) =>
    parseRoute(messageOf(`
      24 00 00 00 | 18 00 | 22 00 | ${SEQUENCE}
      02 10 00 00 | fe 03 00 ${type} | ${flags}
      08 00 01 00 | 0a 42 00 00
    `));
  assert.equal(route("01", "00 00 00 00")?.unicast, true);
  assert.equal(route("07", "00 00 00 00")?.unicast, false);
  assert.equal(route("07", "00 00 00 00")?.destination, "10.66.0.0/16");
  assert.equal(route("01", "00 02 00 00"), null);
});

test("parseRouteAnswer() reads interface, source, gateway and the route's MTU", () => {
  const answer = parseRouteAnswer(messageOf(`
    84 00 00 00 | 18 00 | 00 00 | ${SEQUENCE}
    02 20 00 00 | fe 00 00 01 | 00 02 00 00    # IPv4, /32; main, unicast; cloned
    08 00 0f 00 | fe 00 00 00                  # RTA_TABLE
    08 00 01 00 | 0a 2c 01 01                  # RTA_DST
    08 00 04 00 | 02 00 00 00                  # RTA_OIF
    08 00 07 00 | 0a 07 00 01                  # RTA_PREFSRC
    08 00 05 00 | 0a 07 00 09                  # RTA_GATEWAY
    0c 00 08 00 | 08 00 02 00 00 05 00 00      # RTA_METRICS: RTAX_MTU 1280
    08 00 10 00 | 09 00 00 00                  # RTA_MARK
    08 00 19 00 | 00 00 00 00                  # RTA_UID
    24 00 0c 00 | 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # RTA_CACHEINFO
                  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
  `));
  assert.deepEqual(answer, {
    interfaceIndex: 2,
    source: "10.7.0.1",
    gateway: "10.7.0.9",
    mtuBytes: 1280,
  });
});

// ---- Rules ------------------------------------------------------------------------------------------------------

const MARK_RULE = {
  family: 4,
  priority: 32765,
  table: 51820,
  mark: 51820,
  markMask: 0xffffffff,
  invert: true,
  suppressPrefixBits: null,
} as const;
const SUPPRESS_RULE = {
  ...MARK_RULE,
  priority: 32764,
  table: 254,
  mark: null,
  invert: false,
  suppressPrefixBits: 0,
} as const;

test("addRuleRequest() says what `ip rule add pref 32765 not fwmark 51820 table 51820` says", () => {
  assertBytes(
    addRuleRequest(1, MARK_RULE),
    `
    34 00 00 00 | 20 00 | 05 06 | ${SEQUENCE}  # RTM_NEWRULE, acknowledge, create, exclusive
    02 00 00 00 | 00 00 00 01 | 02 00 00 00    # IPv4; look into a table; FIB_RULE_INVERT
    08 00 06 00 | fd 7f 00 00                  # FRA_PRIORITY
    08 00 0a 00 | 6c ca 00 00                  # FRA_FWMARK
    08 00 0f 00 | 6c ca 00 00                  # FRA_TABLE
    `,
  );
});

test("addRuleRequest() says what `ip rule add pref 32764 table main suppress_prefixlength 0` says", () => {
  assertBytes(
    addRuleRequest(1, SUPPRESS_RULE),
    `
    2c 00 00 00 | 20 00 | 05 06 | ${SEQUENCE}
    02 00 00 00 | fe 00 00 01 | 00 00 00 00    # table main in the header
    08 00 06 00 | fc 7f 00 00
    08 00 0e 00 | 00 00 00 00                  # FRA_SUPPRESS_PREFIXLEN 0
    `,
  );
});

test("addRuleRequest() says what `ip -6 rule add pref 100 fwmark 0x10/0xff table 100` says", () => {
  const rule = { ...MARK_RULE, family: 6, priority: 100, table: 100, mark: 0x10 } as const;
  assertBytes(
    addRuleRequest(1, { ...rule, markMask: 0xff, invert: false }),
    `
    34 00 00 00 | 20 00 | 05 06 | ${SEQUENCE}
    0a 00 00 00 | 64 00 00 01 | 00 00 00 00
    08 00 06 00 | 64 00 00 00
    08 00 0a 00 | 10 00 00 00
    08 00 10 00 | ff 00 00 00                  # FRA_FWMASK
    `,
  );
});

test("deleteRuleRequest() says what `ip rule del` says, and the action", () => {
  assertBytes(
    deleteRuleRequest(1, MARK_RULE),
    `
    34 00 00 00 | 21 00 | 05 00 | ${SEQUENCE}  # RTM_DELRULE
    02 00 00 00 | 00 00 00 01 | 02 00 00 00    # ip leaves the action 0: any
    08 00 06 00 | fd 7f 00 00
    08 00 0a 00 | 6c ca 00 00
    08 00 0f 00 | 6c ca 00 00
    `,
  );
  assertBytes(
    rulesRequest(1, 6),
    `1c 00 00 00 | 22 00 | 01 03 | ${SEQUENCE} 0a 00 00 00 | 00 00 00 00 | 00 00 00 00`,
  );
});

test("parseRule() reads the rules that Linux lists, and calls foreign what it cannot say", () => {
  const rules = parseMessages(hex(`
    34 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}  # 0: from all lookup local
    02 00 00 00 | ff 00 00 01 | 00 00 00 00
    08 00 0f 00 | ff 00 00 00
    08 00 0e 00 | ff ff ff ff
    05 00 15 00 | 02 00 00 00                  # FRA_PROTOCOL kernel
    44 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}  # 60: from 10.0.0.0/8 lookup 6
    02 00 08 00 | 06 00 00 01 | 00 00 00 00
    08 00 0f 00 | 06 00 00 00
    08 00 0e 00 | ff ff ff ff
    05 00 15 00 | 00 00 00 00
    08 00 06 00 | 3c 00 00 00
    08 00 02 00 | 0a 00 00 00                  # FRA_SRC
    2c 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}  # 61: from all tos 0x10 lookup 6
    02 00 00 10 | 06 00 00 01 | 00 00 00 00
    08 00 0f 00 | 06 00 00 00
    08 00 06 00 | 3d 00 00 00
    34 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}  # 62: from all iif t0 lookup 6
    02 00 00 00 | 06 00 00 01 | 00 00 00 00
    08 00 0f 00 | 06 00 00 00
    08 00 06 00 | 3e 00 00 00
    07 00 03 00 | 74 30 00 00                  # FRA_IIFNAME
    24 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}  # 63: from all blackhole
    02 00 00 00 | 00 00 00 06 | 00 00 00 00
    08 00 06 00 | 3f 00 00 00
    3c 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}  # 32764: from all lookup main suppress_prefixlength 0
    02 00 00 00 | fe 00 00 01 | 00 00 00 00
    08 00 0f 00 | fe 00 00 00
    08 00 0e 00 | 00 00 00 00
    05 00 15 00 | 00 00 00 00
    08 00 06 00 | fc 7f 00 00
  `)).map(parseRule);
  const standard = { ...SUPPRESS_RULE, suppressPrefixBits: null, foreign: false };
  assert.deepEqual(rules, [
    { ...standard, priority: 0, table: 255 },
    { ...standard, priority: 60, table: 6, foreign: true },
    { ...standard, priority: 61, table: 6, foreign: true },
    { ...standard, priority: 62, table: 6, foreign: true },
    { ...standard, priority: 63, table: 0, foreign: true },
    { ...SUPPRESS_RULE, foreign: false },
  ]);
});

test("parseRule() reads back what addRuleRequest() wrote, and a mark of 0 under a mask", () => {
  for (const rule of [MARK_RULE, SUPPRESS_RULE, { ...MARK_RULE, family: 6, markMask: 0xff }]) {
    const [message] = parseMessages(addRuleRequest(1, rule as typeof MARK_RULE));
    assert.deepEqual(parseRule(message!), { ...rule, foreign: false });
  }
  const masked = parseRule(messageOf(`
    2c 00 00 00 | 20 00 | 02 00 | ${SEQUENCE}
    02 00 00 00 | 05 00 00 01 | 00 00 00 00
    08 00 10 00 | ff 00 00 00                  # FRA_FWMASK alone: fwmark 0/0xff
    08 00 06 00 | 32 00 00 00
  `));
  assert.deepEqual([masked?.mark, masked?.markMask], [0, 0xff]);
});

// ---- Others -----------------------------------------------------------------------------------------------------

test("parsers call none what is of another type or cut short", () => {
  const other = messageOf(`14 00 00 00 | 03 00 | 02 00 | ${SEQUENCE} 00 00 00 00`);
  const parsers = [parseLink, parseAddressMessage, parseRoute, parseRouteAnswer, parseRule];
  for (const parse of parsers) assert.equal(parse(other), null);
  for (
    const [type, parse] of [[16, parseLink], [20, parseAddressMessage], [24, parseRoute]] as const
  ) {
    const short = new MessageWriter().begin(type, 0, 1).u32(0).finish();
    assert.equal(parse(parseMessages(short)[0]!), null);
  }
});
