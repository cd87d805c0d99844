// Goal: wg-quick files are read as wg and wg-quick read them, and what is wrong is said with its line and without
// secrets. Method: literal files; then random valid files compared with the model that wrote them, and random text.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigError } from "../../../src/errors.ts";
import {
  CONFIG_ERRORS_MAX,
  FLOWS_MAX_MAX,
  MTU_BYTES_MAX,
  MTU_BYTES_MIN,
  SPOOL_BYTES_DEFAULT,
  SPOOL_BYTES_MAX,
  SPOOL_BYTES_MIN,
} from "../../../src/limits.ts";
import { EXIT_MODES } from "../../../src/netlog/mod.ts";
import {
  interfaceNameOf,
  isInterfaceName,
  type NodeConfig,
  parseNodeConfig,
} from "../../../src/node/config.ts";
import { keyFromBase64, keyToBase64 } from "../../../src/node/key_text.ts";
import { addressText, prefixText } from "../../../src/packet/mod.ts";
import { ENDPOINT } from "../../../src/ports.ts";

const PRIVATE = "mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=";
const PUBLIC = "1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=";
const PUBLIC_2 = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const PSK = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";
const PATH = "/etc/wireguard/wg0.conf";

const INTERFACE = `[Interface]\nPrivateKey = ${PRIVATE}\n`;

function parse(text: string): NodeConfig {
  return parseNodeConfig(text, PATH);
}

/** Lines of the ConfigError that the text must raise. */
function errorsOf(text: string, path = PATH): string[] {
  try {
    parseNodeConfig(text, path);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message.split("\n");
  }
  assert.fail("no error");
}

/** The only error, without the path. */
function errorOf(text: string): string {
  const errors = errorsOf(text);
  assert.equal(errors.length, 1, errors.join("\n"));
  assert.ok(errors[0]!.startsWith(PATH));
  return errors[0]!.slice(PATH.length);
}

test("parseNodeConfig() reads every key of a wg-quick file", () => {
  const config = parse(`[Interface]
# friendly_name = hub
Address = 10.0.0.1/24, fd00::1/64
Address = 10.9.0.1
ListenPort = 51820
PrivateKey = ${PRIVATE}
MTU = 1380
DNS = 1.1.1.1, example.org
Table = 0x2a
FwMark = 0xca6c
PreUp = true
PostDown = echo %i
PostUp = iptables -A FORWARD -i %i -j ACCEPT; echo "a, b"
PreDown = false
SaveConfig = false

[Peer]
# friendly_name Alice's phone
PublicKey = ${PUBLIC}
PresharedKey = ${PSK}
AllowedIPs = 10.0.0.2/32, fd00::2/128
AllowedIPs = 192.168.0.0/16
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${PUBLIC_2}
Endpoint = [2001:db8::7]:1
AllowedIPs =
`);
  assert.equal(config.interfaceName, "wg0");
  assert.equal(config.friendlyName, "hub");
  assert.deepEqual(config.addresses.map(prefixText), ["10.0.0.1/24", "fd00::1/64", "10.9.0.1/32"]);
  assert.equal(config.listenPort, 51820);
  assert.equal(keyToBase64(config.privateKey), PRIVATE);
  assert.equal(config.mtu, 1380);
  assert.deepEqual(config.dns, ["1.1.1.1", "example.org"]);
  assert.equal(config.table, 42);
  assert.equal(config.fwmark, 0xca6c);
  assert.deepEqual(config.hooks, [
    { moment: "preUp", command: "true", line: 11 },
    { moment: "postDown", command: "echo %i", line: 12 },
    { moment: "postUp", command: 'iptables -A FORWARD -i %i -j ACCEPT; echo "a, b"', line: 13 },
    { moment: "preDown", command: "false", line: 14 },
  ]);
  const [first, second] = config.peers;
  assert.equal(config.peers.length, 2);
  assert.equal(first!.friendlyName, "Alice's phone");
  assert.equal(first!.line, 17);
  assert.equal(keyToBase64(first!.publicKey), PUBLIC);
  assert.equal(keyToBase64(first!.presharedKey!), PSK);
  assert.deepEqual(first!.allowedIps.map(prefixText), [
    "10.0.0.2/32",
    "fd00::2/128",
    "192.168.0.0/16",
  ]);
  assert.deepEqual(first!.endpoint, { host: "vpn.example.org", port: 51820, words: null });
  assert.equal(first!.persistentKeepaliveS, 25);
  assert.equal(second!.friendlyName, null);
  assert.equal(second!.presharedKey, null);
  assert.deepEqual(second!.allowedIps, []);
  const words = second!.endpoint!.words!;
  assert.equal(words[ENDPOINT.FAMILY], 6);
  assert.equal(addressText(words, ENDPOINT.ADDRESS, 6), "2001:db8::7");
  assert.equal(words[ENDPOINT.PORT], 1);
  assert.deepEqual(config.warnings, []);
});

test("parseNodeConfig() fills in what a short file leaves out", () => {
  const config = parse(INTERFACE);
  assert.equal(config.listenPort, 0);
  assert.equal(config.fwmark, 0);
  assert.equal(config.mtu, null);
  assert.equal(config.table, "auto");
  assert.deepEqual(config.peers, []);
  assert.deepEqual(config.flowLog, {
    periodMs: 5000,
    flowsMax: 65536,
    output: { kind: "stdout" },
    exitMode: "zero",
    overlayRanges: null,
    subnetRoutes: [],
    collector: null,
    stateDirectory: "/var/lib/tunlog/wg0",
  });
  assert.deepEqual(config.timing, {});
});

test("parseNodeConfig() takes BOM, CRLF, odd case, odd spaces, comments and no last newline", () => {
  const config = parse(
    `\uFEFF# top\r\n [ inTERface ] # here\r\n\tprivatekey=${PRIVATE}# x\r\nLISTEN PORT = 51 820\r\n` +
      `[PEER]\r\nPublicKey\t=\t${PUBLIC}\r\nallowedips=10.0.0.0 / 8`,
  );
  assert.equal(config.listenPort, 51820);
  assert.equal(prefixText(config.peers[0]!.allowedIps[0]!), "10.0.0.0/8");
});

test("parseNodeConfig() takes addresses apart by spaces, as wg-quick does", () => {
  const config = parse(`${INTERFACE}Address = 10.0.0.1/24 fd00::1,10.0.0.2/24\n`);
  assert.equal(config.addresses.length, 3);
});

test("parseNodeConfig() takes empty values of wg-quick's own keys for absent ones", () => {
  const config = parse(`${INTERFACE}Address =\nDNS =\nMTU =\nTable =\nPostUp =\n`);
  assert.deepEqual(config.addresses, []);
  assert.equal(config.mtu, null);
  assert.equal(config.table, "auto");
  assert.deepEqual(config.hooks, []);
});

test("parseNodeConfig() joins sections of one name, but not peers", () => {
  const config = parse(`${INTERFACE}[Peer]\nPublicKey=${PUBLIC}\n[Interface]\nMTU=1400\n`);
  assert.equal(config.mtu, 1400);
  assert.equal(config.peers.length, 1);
});

test("parseNodeConfig() reads tunlog's own sections", () => {
  const config = parse(
    `${INTERFACE}[FlowLog]\nPeriod = 60\nFlowsMax = ${FLOWS_MAX_MAX}\nOutput = /var/log/a b.json\n` +
      `[Timers]\nRekeyAfter = 2.5\nRejectAfter = 20\nRekeyAttempt=3\n` +
      `RekeyTimeout = 0.5\nKeepaliveTimeout = 1\n`,
  );
  assert.deepEqual(config.flowLog, {
    periodMs: 60_000,
    flowsMax: FLOWS_MAX_MAX,
    output: { kind: "file", path: "/var/log/a b.json" },
    exitMode: "zero",
    overlayRanges: null,
    subnetRoutes: [],
    collector: null,
    stateDirectory: "/var/lib/tunlog/wg0",
  });
  assert.deepEqual(config.timing, {
    rekeyAfterTimeMs: 2500,
    rejectAfterTimeMs: 20_000,
    rekeyAttemptTimeMs: 3000,
    rekeyTimeoutMs: 500,
    keepaliveTimeoutMs: 1000,
  });
  assert.deepEqual(parse(`${INTERFACE}[FlowLog]\nOutput=none`).flowLog.output, { kind: "none" });
});

test("parseNodeConfig() points the flow log at a [Collector] of its own, unless it names another", () => {
  const none = parse(INTERFACE);
  assert.deepEqual([none.collector, none.flowLog.collector], [null, null]);
  const day = 86_400_000;
  const empty = parse(`${INTERFACE}[Collector]\n`);
  assert.deepEqual(empty.collector, {
    listen: { host: "127.0.0.1", port: 8080 },
    directory: "/var/lib/tunlog/collector",
    ...{ rawMs: 7 * day, minutesMs: 30 * day, hoursMs: 400 * day, bytesMax: 16 * 2 ** 30 },
  });
  assert.equal(empty.flowLog.collector?.url, "http://127.0.0.1:8080");
  assert.deepEqual(empty.flowLog.output, { kind: "none" });
  assert.deepEqual(parseNodeConfig(INTERFACE, "/etc/wireguard/wg0.conf", true), {
    ...empty,
    path: "/etc/wireguard/wg0.conf",
  });
  const full = parse(
    `${INTERFACE}[Collector]\nListen=[::]:80\nData=/srv/flow log/\nRawDays=1\nMinuteDays=2\n` +
      `HourDays=36500\nSizeMax=64M\n[FlowLog]\nCollection=a.b\n`,
  );
  assert.deepEqual(full.collector, {
    ...{ listen: { host: "::", port: 80 }, directory: "/srv/flow log" },
    ...{ rawMs: day, minutesMs: 2 * day, hoursMs: 36_500 * day, bytesMax: 2 ** 26 },
  });
  assert.equal(full.flowLog.collector?.url, "http://[::1]:80");
  assert.equal(full.flowLog.collector?.collection, "a.b");
  const other = parse(`${COLLECTOR.replace("[FlowLog]", "[Collector]\n[FlowLog]")}`);
  assert.equal(other.flowLog.collector?.url, "http://10.0.0.1:8080");
  assert.notEqual(other.collector, null);
});

const FLOW_LOG = `${INTERFACE}[FlowLog]\n`;
const COLLECTOR = `${FLOW_LOG}Collector = http://10.0.0.1:8080\n`;
/** A log id; all its digits differ from those of other texts here. */
const LOG_ID = "C0FFEE1234567890".repeat(4);

test("parseNodeConfig() reads every key of [FlowLog]", () => {
  const { flowLog, warnings } = parse(`${FLOW_LOG}
Period = 10
FlowsMax = 64
Output = stdout
ExitMode = KEYED
OverlayRanges = 10.77.0.0/16 !10.77.1.0/24
OverlayRanges = fd77::/48
SubnetRoutes = 192.168.7.0/24, 2001:db8::/32
Collector = https://logs.example.org/base/
Collection = my-logs_1.a
PrivateId = ${LOG_ID}
CopyId = ${"ab".repeat(32)}
StateDirectory = /var/lib/a b
SpoolSize = 1G
`);
  assert.deepEqual({ ...flowLog, subnetRoutes: flowLog.subnetRoutes.map(prefixText) }, {
    periodMs: 10_000,
    flowsMax: 64,
    output: { kind: "stdout" },
    exitMode: "keyed",
    overlayRanges: ["10.77.0.0/16", "!10.77.1.0/24", "fd77::/48"],
    subnetRoutes: ["192.168.7.0/24", "2001:db8::/32"],
    collector: {
      url: "https://logs.example.org/base",
      collection: "my-logs_1.a",
      privateId: LOG_ID.toLowerCase(),
      copyId: "ab".repeat(32),
      spoolBytesMax: 2 ** 30,
    },
    stateDirectory: "/var/lib/a b",
  });
  assert.deepEqual(warnings, []);
});

test("parseNodeConfig() sends the flow log to the collector alone, unless told otherwise", () => {
  const { output, collector } = parse(COLLECTOR).flowLog;
  assert.deepEqual(output, { kind: "none" });
  assert.deepEqual(collector, {
    url: "http://10.0.0.1:8080",
    collection: "tunlog",
    privateId: null,
    copyId: null,
    spoolBytesMax: SPOOL_BYTES_DEFAULT,
  });
  assert.deepEqual(parse(`${COLLECTOR}Output = stdout`).flowLog.output, { kind: "stdout" });
  assert.deepEqual(parse(`${FLOW_LOG}Period = 5`).flowLog.output, { kind: "stdout" });
});

test("parseNodeConfig() takes StateDirectory = none for memory, and the interface's name for the default", () => {
  assert.equal(parse(`${FLOW_LOG}StateDirectory = none`).flowLog.stateDirectory, null);
  const other = parseNodeConfig(INTERFACE, "/etc/wireguard/office.conf");
  assert.equal(other.flowLog.stateDirectory, "/var/lib/tunlog/office");
});

test("parseNodeConfig() wants a Collector beside the keys that are about one, and says where", () => {
  const lines = ["Collection = a", `PrivateId = ${LOG_ID}`, `CopyId = ${LOG_ID}`, "SpoolSize = 8M"];
  for (const line of lines) {
    const name = line.split(" ")[0];
    assert.equal(errorOf(`${FLOW_LOG}\n${line}`), `:5: ${name} needs Collector beside it`);
    // A Collector that is wrong is error enough.
    const errors = errorsOf(`${FLOW_LOG}Collector = x\n${line}`);
    assert.equal(errors.length, 1);
    assert.match(errors[0]!, /:4: Collector "x" must be an http or https URL/);
  }
  assert.equal(parse(`${COLLECTOR}${lines.join("\n")}`).flowLog.collector?.collection, "a");
});

test("parseNodeConfig() warns of ExitMode = full, with its line, and of no other", () => {
  for (const mode of EXIT_MODES) {
    const { flowLog, warnings } = parse(`${FLOW_LOG}ExitMode = ${mode}`);
    assert.equal(flowLog.exitMode, mode);
    assert.deepEqual(
      warnings,
      mode === "full"
        ? [
          `${PATH}:4: ExitMode = full writes down every address on the internet that is reached through the tunnel`,
        ]
        : [],
    );
  }
});

test("parseNodeConfig() refuses a subnet route that is given twice, also when it is written in two ways", () => {
  assert.equal(
    errorOf(`${FLOW_LOG}SubnetRoutes = 10.0.0.0/8\nSubnetRoutes = 11.0.0.0/8, 10.1.2.3/8`),
    ":5: SubnetRoutes entry 10.0.0.0/8 was already given in line 4",
  );
});

test("parseNodeConfig() shows no digit of a log id, whatever is wrong with it", () => {
  const wrong = [
    `PrivateId = ${LOG_ID.slice(1)}`,
    `PrivateId = ${LOG_ID}0`,
    `PrivateId = ${LOG_ID.slice(1)}g`,
    `CopyId = "${LOG_ID}"`,
    `PrivatId = ${LOG_ID}`,
    `PrivateId ${LOG_ID}`,
    `Collection = ${LOG_ID}/x`,
    `Collector = ${LOG_ID}`,
    `StateDirectory = ${LOG_ID}`,
    `Output = ${LOG_ID}`,
    `PrivateId = ${LOG_ID}\nPrivateId = ${LOG_ID}`,
  ];
  for (const line of wrong) {
    const message = errorsOf(`${COLLECTOR}${line}\n`).join("\n");
    for (let at = 0; at + 12 <= LOG_ID.length; at++) {
      assert.ok(!message.includes(LOG_ID.slice(at, at + 12)), message);
    }
  }
});

test("parseNodeConfig() takes names from the comments that other tools write", () => {
  const names: Record<string, string | null> = {
    "# friendly_name = a b": "a b",
    "#friendly_name=a": "a",
    "  # Friendly_Name   a": "a",
    "# Name = laptop": "laptop",
    "# Name = weak\n# friendly_name = strong": "strong",
    "# friendly_name = first\n# friendly_name = second": "first",
    "# friendly_name = \x1b[31mred": "[31mred",
    [`# friendly_name = ${"x".repeat(65)}`]: "x".repeat(64),
    "# Name of this peer": null,
    "# friendly_name =": null,
    "# friendly_names = x": null,
  };
  for (const [comment, name] of Object.entries(names)) {
    const config = parse(`${INTERFACE}[Peer]\n${comment}\nPublicKey = ${PUBLIC}\n`);
    assert.equal(config.peers[0]!.friendlyName, name, comment);
  }
});

test("parseNodeConfig() warns of host bits and of an IPv6 endpoint without brackets, and goes on", () => {
  const config = parse(
    `${INTERFACE}[Peer]\nPublicKey=${PUBLIC}\nAllowedIPs = 10.1.2.3/8\nEndpoint = 2001:db8::1:51820\n`,
  );
  assert.deepEqual(config.warnings, [
    `${PATH}:5: AllowedIPs entry "10.1.2.3/8" has bits set behind its prefix: 10.0.0.0/8 is used`,
    `${PATH}:6: Endpoint "2001:db8::1:51820" is read as [2001:db8::1]:51820; write the brackets`,
  ]);
  assert.equal(prefixText(config.peers[0]!.allowedIps[0]!), "10.0.0.0/8");
});

test("parseNodeConfig() takes + before an AllowedIPs entry, and refuses -", () => {
  const peer = `${INTERFACE}[Peer]\nPublicKey=${PUBLIC}\nAllowedIPs = `;
  assert.equal(prefixText(parse(`${peer}+10.0.0.0/8`).peers[0]!.allowedIps[0]!), "10.0.0.0/8");
  assert.match(
    errorOf(`${peer}-10.0.0.0/8`),
    /^:5: AllowedIPs entry "-10.0.0.0\/8" cannot be removed/,
  );
});

test("parseNodeConfig() lets one peer list a prefix twice, and keeps it once", () => {
  const config = parse(
    `${INTERFACE}[Peer]\nPublicKey=${PUBLIC}\nAllowedIPs = 10.0.0.0/8, 10.0.0.0/8\n`,
  );
  assert.equal(config.peers[0]!.allowedIps.length, 1);
});

test("parseNodeConfig() reads endpoints with zones and IPv4-mapped addresses", () => {
  const endpoint = (text: string) =>
    parse(`${INTERFACE}[Peer]\nPublicKey=${PUBLIC}\nEndpoint = ${text}\n`).peers[0]!.endpoint!;
  assert.deepEqual(endpoint("[fe80::1%eth0]:5"), { host: "fe80::1%eth0", port: 5, words: null });
  assert.equal(endpoint("[fe80::1%3]:5").words![ENDPOINT.SCOPE], 3);
  const mapped = endpoint("[::ffff:1.2.3.4]:5").words!;
  assert.equal(mapped[ENDPOINT.FAMILY], 4);
  assert.deepEqual(mapped, endpoint("1.2.3.4:5").words);
});

const PEER_LINE = `${INTERFACE}[Peer]\nPublicKey = ${PUBLIC}\n`;

/** Text of one line, where it stands, and what must be said of it. */
const WRONG: readonly (readonly [before: string, line: string, said: RegExp])[] = [
  [INTERFACE, "ListenPort = 65536", /^ListenPort "65536" must be a port 0\.\.65535$/],
  [INTERFACE, "ListenPort = -1", /^ListenPort "-1" must be/],
  [INTERFACE, "ListenPort =", /^ListenPort "" must be/],
  [INTERFACE, "ListenPort = 0x10", /must be a port/],
  [INTERFACE, "ListenPort = 010", /must be a port/],
  [INTERFACE, `MTU = ${MTU_BYTES_MIN - 1}`, /^MTU "575" must be a whole number 576\.\.65440$/],
  [INTERFACE, `MTU = ${MTU_BYTES_MAX + 1}`, /^MTU/],
  [INTERFACE, "Table = maybe", /^Table "maybe" must be auto, off, main/],
  [INTERFACE, "Table = 0", /^Table "0" must be/],
  [INTERFACE, "FwMark = 4294967296", /^FwMark "4294967296" must be/],
  [INTERFACE, "FwMark = 0x1ffffffff", /^FwMark/],
  [INTERFACE, "Address = 10.0.0.256", /^Address entry "10\.0\.0\.256" must be an IPv4 or IPv6/],
  [INTERFACE, "Address = 10.0.0.1/33", /^Address entry/],
  [INTERFACE, "Address = 10.00.0.1", /^Address entry/],
  [INTERFACE, "Address = fe80::1%eth0/64", /^Address entry/],
  [INTERFACE, "SaveConfig = true", /^SaveConfig "true" cannot be kept: tunlog never rewrites/],
  [INTERFACE, "SaveConfig = yes", /^SaveConfig "yes" must be false$/],
  [INTERFACE, "MTUU = 5", /^Key "MTUU" is not known in \[Interface\]: MTU is probably meant$/],
  [INTERFACE, "Jc = 4", /^Key "Jc" is not known in \[Interface\]: wanted is one of PrivateKey, /],
  [INTERFACE, "AllowedIPs = ::/0", /: it belongs in \[Peer\]$/],
  [INTERFACE, "Listen", /^Line is not of the form Key = Value$/],
  [INTERFACE, "[Interface", /^Section header "\[Interface" must be \[Name\]/],
  [INTERFACE, "[Interface] x", /^Section header/],
  [INTERFACE, "[Pear]", /^Section \[Pear\] is not known: \[Peer\] is probably meant$/],
  [INTERFACE, "[Nothing]", /wanted is one of \[Interface\], \[Peer\]/],
  [INTERFACE, "[Peer]", /^\[Peer\] lacks PublicKey$/],
  [PEER_LINE, "AllowedIPs = 10.0.0.0/8,,10.1.0.0/16", /^AllowedIPs entry "" must be/],
  [PEER_LINE, "AllowedIPs = 10.0.0.0/8 10.1.0.0/16", /^AllowedIPs entry "10\.0\.0\.0\/8 10/],
  [PEER_LINE, "AllowedIPs = ::/129", /^AllowedIPs entry "::\/129" must be/],
  [PEER_LINE, "Endpoint = example.org", /^Endpoint "example\.org" must be host:port/],
  [PEER_LINE, "Endpoint = example.org:0", /^Endpoint/],
  [PEER_LINE, "Endpoint = example.org:65536", /^Endpoint/],
  [PEER_LINE, "Endpoint = 1.2.3:5", /^Endpoint/],
  [PEER_LINE, "Endpoint = [1.2.3.4]:5", /^Endpoint/],
  [PEER_LINE, "Endpoint = [::1]", /^Endpoint/],
  [PEER_LINE, "Endpoint = -x.org:5", /^Endpoint/],
  [PEER_LINE, "PersistentKeepalive = 65536", /^PersistentKeepalive "65536" must be seconds 0/],
  [PEER_LINE, `PublicKey = ${PUBLIC_2}`, /^PublicKey was already given in line 4$/],
  [PEER_LINE, "PublicKe = x", /PublicKey is probably meant$/],
  [`${INTERFACE}[FlowLog]\n`, "Period = 0", /^Period "0" must be seconds 1\.\.60, whole$/],
  [`${INTERFACE}[FlowLog]\n`, "Period = 61", /^Period/],
  [`${INTERFACE}[FlowLog]\n`, "Period = 1.5", /^Period/],
  [`${INTERFACE}[FlowLog]\n`, "FlowsMax = 63", /^FlowsMax "63" must be a whole number 64\.\./],
  [`${INTERFACE}[FlowLog]\n`, `FlowsMax = ${FLOWS_MAX_MAX + 1}`, /^FlowsMax/],
  [`${INTERFACE}[FlowLog]\n`, "Output = stdot", /^Output "stdot" must be stdout, none, or a path/],
  [FLOW_LOG, "Output =", /^Output "" must be/],
  [FLOW_LOG, "Output = /var/log/", /^Output "\/var\/log\/" must be/],
  [FLOW_LOG, "ExitMode = some", /^ExitMode "some" must be zero, node, prefix, keyed, full$/],
  [
    FLOW_LOG,
    "OverlayRanges = 10.0.0.0/33",
    /^OverlayRanges entry "10\.0\.0\.0\/33" must be a prefix/,
  ],
  [FLOW_LOG, "OverlayRanges = !!10.0.0.0/8", /^OverlayRanges entry "!!10\.0\.0\.0\/8" must be/],
  [FLOW_LOG, "OverlayRanges = 10.0.0.0/8 !", /^OverlayRanges entry "!" must be/],
  [FLOW_LOG, "SubnetRoutes = lan", /^SubnetRoutes entry "lan" must be an IPv4 or IPv6 address/],
  [
    FLOW_LOG,
    "SubnetRoutes = -10.0.0.0/8",
    /^SubnetRoutes entry "-10\.0\.0\.0\/8" cannot be removed/,
  ],
  [
    FLOW_LOG,
    "Collector = 10.0.0.1:8080",
    /^Collector "10\.0\.0\.1:8080" must be an http or https URL/,
  ],
  [FLOW_LOG, "Collector = ftp://a", /^Collector "ftp:\/\/a" must be/],
  [FLOW_LOG, "Collector = http://", /^Collector "http:\/\/" must be/],
  [FLOW_LOG, "Collector = http://u@a", /^Collector/],
  [FLOW_LOG, "Collector = http://:p@a", /^Collector/],
  [FLOW_LOG, "Collector = http://a?", /^Collector/],
  [FLOW_LOG, "Collector = http://a/?q=1", /^Collector/],
  [FLOW_LOG, "Collector = http://a:65536", /^Collector/],
  [COLLECTOR, "Collector = http://b", /^Collector was already given in line 4$/],
  [COLLECTOR, "Collection =", /^Collection "" must be 1\.\.253 characters/],
  [COLLECTOR, "Collection = a/b", /^Collection "a\/b" must be/],
  [COLLECTOR, `Collection = ${"a.".repeat(127)}`, /^Collection/],
  [
    COLLECTOR,
    `PrivateId = ${"0".repeat(64)}`,
    /^PrivateId must be 64 hexadecimal digits, not all zero$/,
  ],
  [COLLECTOR, `CopyId = ${"a".repeat(63)}`, /^CopyId must be 64 hexadecimal digits/],
  [
    FLOW_LOG,
    "StateDirectory = state",
    /^StateDirectory "state" must be an absolute path, or none$/,
  ],
  [FLOW_LOG, "StateDirectory =", /^StateDirectory "" must be/],
  [
    COLLECTOR,
    "SpoolSize = 3M",
    /^SpoolSize "3M" must be bytes with an optional K, M or G, 4M\.\.64G$/,
  ],
  [COLLECTOR, `SpoolSize = ${SPOOL_BYTES_MIN - 1}`, /^SpoolSize "4194303" must be/],
  [COLLECTOR, `SpoolSize = ${SPOOL_BYTES_MAX + 1}`, /^SpoolSize/],
  [COLLECTOR, "SpoolSize = 65G", /^SpoolSize/],
  [COLLECTOR, "SpoolSize = 8m", /^SpoolSize/],
  [COLLECTOR, "SpoolSize = 08M", /^SpoolSize/],
  [
    FLOW_LOG,
    "Colector = http://a",
    /^Key "Colector" is not known in \[FlowLog\]: Collector is probably meant$/,
  ],
  [
    `${INTERFACE}[DataPlane]\n`,
    "Workers = 0",
    /^Workers "0" must be auto or a whole number 1..16$/,
  ],
  [
    `${INTERFACE}[DataPlane]\n`,
    "Workers = 17",
    /^Workers "17" must be auto or a whole number 1..16$/,
  ],
  [
    `${INTERFACE}[DataPlane]\n`,
    "Offloads = on",
    /^Offloads "on" must be auto, none, tun, udp$/,
  ],
  [
    `${INTERFACE}[Collector]\n`,
    "Url = x",
    /^Key "Url" is not known in \[Collector\]: wanted is one of Listen, Data/,
  ],
  [`${INTERFACE}[Timers]\n`, "RekeyAfter = 0.04", /^RekeyAfter "0\.04" must be seconds 0\.05/],
  [`${INTERFACE}[Timers]\n`, "RekeyAfter = 1e3", /^RekeyAfter/],
  [`${INTERFACE}[Timers]\n`, "RekeyAfter = -1", /^RekeyAfter/],
  [`${INTERFACE}`, "[Timers]\nRekeyAfter = 166", /^RekeyAfter must be at most RejectAfter - /],
  [`${INTERFACE}`, "[Timers]\nRekeyAttempt = 4", /^RekeyTimeout must be at most RekeyAttempt$/],
  ["", "ListenPort = 1", /^Line stands before the first \[Section\]$/],
];

test("parseNodeConfig() says of each mistake the line, the key, the value and the wanted form", () => {
  for (const [before, line, said] of WRONG) {
    const lineNumber = before.split("\n").length;
    const errors = errorsOf(before === "" ? `${line}\n${INTERFACE}` : `${before}${line}\n`);
    assert.equal(errors.length, 1, errors.join("\n"));
    const prefix = `${PATH}:${lineNumber}: `;
    assert.ok(errors[0]!.startsWith(prefix), `${errors[0]} for line ${lineNumber}`);
    assert.match(errors[0]!.slice(prefix.length), said);
  }
});

test("parseNodeConfig() takes both sides of each limit", () => {
  const fine = [
    [INTERFACE, "ListenPort = 65535"],
    [INTERFACE, `MTU = ${MTU_BYTES_MIN}`],
    [INTERFACE, `MTU = ${MTU_BYTES_MAX}`],
    [INTERFACE, "Table = 4294967295"],
    [INTERFACE, "Table = OFF"],
    [INTERFACE, "Table = main"],
    [INTERFACE, "FwMark = 0xffffffff"],
    [INTERFACE, "FwMark = off"],
    [PEER_LINE, "PersistentKeepalive = 65535"],
    [PEER_LINE, "PersistentKeepalive = off"],
    [PEER_LINE, "Endpoint = example.org:65535"],
    [PEER_LINE, "AllowedIPs = 0.0.0.0/0, ::/0"],
    [`${INTERFACE}[FlowLog]\n`, "Period = 1"],
    [FLOW_LOG, "Period = 60"],
    [FLOW_LOG, "FlowsMax = 64"],
    [FLOW_LOG, "Output = ./flows.json"],
    [FLOW_LOG, "ExitMode = node"],
    [FLOW_LOG, "OverlayRanges = 0.0.0.0/0, !::1"],
    [FLOW_LOG, "StateDirectory = /"],
    [FLOW_LOG, "Collector = HTTP://[fd00::1]:65535/"],
    [COLLECTOR, "Collection = a"],
    [COLLECTOR, `Collection = ${"a.".repeat(126)}a`],
    [COLLECTOR, `PrivateId = ${"0".repeat(63)}1`],
    [COLLECTOR, `SpoolSize = ${SPOOL_BYTES_MIN}`],
    [COLLECTOR, "SpoolSize = 4M"],
    [COLLECTOR, "SpoolSize = 4096K"],
    [COLLECTOR, "SpoolSize = 64G"],
    [`${INTERFACE}[Timers]\n`, "KeepaliveTimeout = 0.05"],
    [`${INTERFACE}[Timers]\n`, "RekeyAfter = 165"],
    [`${INTERFACE}[Timers]\n`, "RekeyAttempt = 5"],
  ];
  for (const [before, line] of fine) assert.deepEqual(parse(before! + line).warnings, [], line);
});

test("parseNodeConfig() wants an [Interface] with a PrivateKey", () => {
  assert.equal(errorOf(""), ": There is no [Interface] section");
  assert.match(errorOf("\n[Interface]\n"), /^:2: \[Interface\] lacks PrivateKey/);
  assert.match(errorOf(`[Interface]\nPrivateKey = ${"A".repeat(43)}=`), /^:2: PrivateKey must be/);
});

test("parseNodeConfig() refuses two peers with one key or one prefix, and names both lines", () => {
  const errors = errorsOf(
    `${INTERFACE}[Peer]\nPublicKey = ${PUBLIC}\nAllowedIPs = 10.0.0.0/8\n` +
      `[Peer]\nAllowedIPs = 10.0.0.0/8\nPublicKey = ${PUBLIC}\n`,
  );
  assert.deepEqual(errors, [
    `${PATH}:7: AllowedIPs entry 10.0.0.0/8 belongs to the peer in line 5`,
    `${PATH}:8: PublicKey is that of the peer in line 4`,
  ]);
});

test("parseNodeConfig() refuses an address that is given twice", () => {
  const errors = errorsOf(`${INTERFACE}Address = 10.0.0.1/24\nAddress = 10.0.0.1/24`);
  assert.deepEqual(errors, [`${PATH}:4: Address "10.0.0.1/24" was already given in line 3`]);
});

test("parseNodeConfig() reports all errors in the order of lines, up to a limit", () => {
  const lines = Array.from({ length: CONFIG_ERRORS_MAX + 3 }, (_, index) => `Bad${index} = 1`);
  const errors = errorsOf(`${INTERFACE}${lines.join("\n")}`);
  assert.equal(errors.length, CONFIG_ERRORS_MAX + 1);
  assert.ok(errors[0]!.startsWith(`${PATH}:3: Key "Bad0"`));
  assert.ok(errors[1]!.startsWith(`${PATH}:4: Key "Bad1"`));
  assert.equal(errors.at(-1), `${PATH}: and 3 more errors`);
});

test("parseNodeConfig() passes over the keys of an unknown section", () => {
  assert.equal(errorsOf(`${INTERFACE}[Nothing]\nA = 1\nB = 2\n`).length, 1);
});

test("parseNodeConfig() never repeats a secret, wherever it stands", () => {
  const wrong = [
    `PrivateKey ${PRIVATE}`,
    `PrivateKey: ${PRIVATE}`,
    `PrivateKeys = ${PRIVATE}`,
    `Private = ${PRIVATE}`,
    `PrivateKey = x${PRIVATE}`,
    `PrivateKey = ${PRIVATE.slice(0, -1)}`,
    `MTU = ${PRIVATE}`,
    `Address = ${PRIVATE}`,
    `Address = 10.0.0.1, ${PRIVATE}`,
    `Table = ${PRIVATE} x`,
    `[${PRIVATE}]`,
    `[${PRIVATE}`,
    PRIVATE,
    `${PRIVATE.slice(0, 20)}=${PRIVATE.slice(20)}`,
  ];
  for (const line of wrong) {
    const message = errorsOf(`[Interface]\n${line}\n`).join("\n");
    for (let start = 0; start + 24 < PRIVATE.length; start++) {
      assert.ok(!message.includes(PRIVATE.slice(start, start + 24)), `${line}\n${message}`);
    }
  }
  // A key without + and / looks like a key's name.
  assert.deepEqual(errorsOf(`[Interface]\nPrivateKey=${PRIVATE}\n${PUBLIC_2}\n`), [
    `${PATH}:3: Line is not of the form Key = Value`,
  ]);
  const psk = errorsOf(`${PEER_LINE}PresharedKey = ${PSK.slice(1)}\n`).join("\n");
  assert.match(psk, /:5: PresharedKey must be a key/);
});

test("parseNodeConfig() keeps control characters off the terminal", () => {
  assert.match(errorOf(`${INTERFACE}MTU = \x1b[31m1`), /^:3: MTU "\?\[31m1" must be/);
});

test("interfaceNameOf() takes names as wg-quick and the kernel do", () => {
  assert.equal(interfaceNameOf("wg0.conf"), "wg0");
  assert.equal(interfaceNameOf("/a.b/a_=+.-9.conf"), "a_=+.-9");
  assert.equal(interfaceNameOf("a23456789012345.conf"), "a23456789012345");
  for (
    const path of ["a234567890123456.conf", "wg0", "/x/.conf", "w g.conf", "..conf", "wg0.conf/"]
  ) {
    assert.throws(() => interfaceNameOf(path), ConfigError, path);
  }
  assert.ok(!isInterfaceName("."));
  assert.ok(!isInterfaceName(".."));
  assert.ok(!isInterfaceName("a/b"));
});

test("parseNodeConfig() reports a bad file name along with what is wrong inside", () => {
  const errors = errorsOf("[Interface]\n", "/x/a b.conf");
  assert.equal(errors.length, 2);
  assert.match(errors[0]!, /^\/x\/a b\.conf: The file's name must be an interface name/);
});

// ---- Laws -----------------------------------------------------------------------------------------------------------

const keyText = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((key) =>
  key.some((b) => b > 0)
)
  .map(keyToBase64);
const ipv4 = fc.ipV4();
const prefix = fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([address, bits]) =>
  `${address}/${bits}`
);
const space = fc.constantFrom("", " ", "\t", "  ");

/** Writes `name = value` in one of the ways that mean the same. */
const spelling = fc.record({
  upper: fc.boolean(),
  before: space,
  after: space,
  comment: fc.constantFrom("", " # note", "#"),
  end: fc.constantFrom("\n", "\r\n", "\n\n", "\n# alone\n"),
});

const model = fc.record({
  privateKey: keyText,
  listenPort: fc.option(fc.integer({ min: 0, max: 65_535 })),
  mtu: fc.option(fc.integer({ min: MTU_BYTES_MIN, max: MTU_BYTES_MAX })),
  fwmark: fc.option(fc.integer({ min: 0, max: 0xffff_ffff })),
  table: fc.option(fc.constantFrom("auto", "off", "51820")),
  addresses: fc.uniqueArray(ipv4, { maxLength: 3 }),
  peers: fc.uniqueArray(
    fc.record({
      publicKey: keyText,
      presharedKey: fc.option(keyText),
      allowedIps: fc.array(prefix, { maxLength: 3 }),
      keepalive: fc.option(fc.integer({ min: 0, max: 65_535 })),
      host: fc.option(fc.constantFrom("a.example", "192.0.2.1", "[2001:db8::1]")),
      port: fc.integer({ min: 1, max: 65_535 }),
      name: fc.option(fc.stringMatching(/^[a-z][a-z ]{0,8}[a-z]$/)),
    }),
    { maxLength: 4, selector: (peer) => peer.publicKey },
  ),
  spellings: fc.array(spelling, { minLength: 1, size: "max", maxLength: 20 }),
});

test("parseNodeConfig() reads from a random valid file what was written into it", () => {
  let withPeers = 0;
  fc.assert(
    fc.property(model, (wanted) => {
      let lineCount = 0;
      const line = (name: string, value: string | number | null): string => {
        if (value === null) return "";
        const s = wanted.spellings[lineCount++ % wanted.spellings.length]!;
        const key = s.upper ? name.toUpperCase() : name;
        return `${s.before}${key}${s.after}=${s.before}${value}${s.after}${s.comment}${s.end}`;
      };
      const taken = new Set<string>();
      const peers = wanted.peers.map((peer) => ({
        ...peer,
        // A prefix may belong to one peer only; which bits it masks is not known before it is parsed.
        allowedIps: peer.allowedIps.filter((text) => !taken.has(text) && taken.add(text)),
      }));
      const text = "[Interface]\n" + line("PrivateKey", wanted.privateKey) +
        line("ListenPort", wanted.listenPort) + line("MTU", wanted.mtu) +
        line("FwMark", wanted.fwmark) + line("Table", wanted.table) +
        line("Address", wanted.addresses.join(", ")) +
        peers.map((peer) =>
          "[Peer]\n" + (peer.name === null ? "" : `# friendly_name = ${peer.name}\n`) +
          line("PublicKey", peer.publicKey) + line("PresharedKey", peer.presharedKey) +
          line("AllowedIPs", peer.allowedIps.join(",")) +
          line("Endpoint", peer.host === null ? null : `${peer.host}:${peer.port}`) +
          line("PersistentKeepalive", peer.keepalive)
        ).join("");
      let config: NodeConfig;
      try {
        config = parse(text);
      } catch (error) {
        // Two prefixes of two peers may be one when masked; nothing else may be wrong.
        assert.ok(error instanceof ConfigError);
        for (const message of error.message.split("\n")) {
          assert.match(message, /belongs to the peer/);
        }
        return;
      }
      if (peers.length > 0) withPeers++;
      assert.deepEqual(config.privateKey, keyFromBase64(wanted.privateKey));
      assert.equal(config.listenPort, wanted.listenPort ?? 0);
      assert.equal(config.mtu, wanted.mtu);
      assert.equal(config.fwmark, wanted.fwmark ?? 0);
      assert.equal(String(config.table), wanted.table ?? "auto");
      assert.deepEqual(config.addresses.map(prefixText), wanted.addresses.map((a) => `${a}/32`));
      assert.equal(config.peers.length, peers.length);
      for (const [index, peer] of peers.entries()) {
        const found = config.peers[index]!;
        assert.equal(keyToBase64(found.publicKey), peer.publicKey);
        assert.equal(found.presharedKey && keyToBase64(found.presharedKey), peer.presharedKey);
        assert.equal(found.persistentKeepaliveS, peer.keepalive ?? 0);
        assert.equal(found.friendlyName, peer.name);
        const bits = peer.allowedIps.map((each) => Number(each.split("/")[1]));
        const foundBits = found.allowedIps.map((each) => each.prefixBits);
        for (const each of foundBits) assert.ok(bits.includes(each));
        assert.equal(found.endpoint?.port, peer.host === null ? undefined : peer.port);
        assert.equal(found.endpoint?.host, peer.host?.replace(/[[\]]/g, ""));
      }
    }),
    { seed: 1, numRuns: 300 },
  );
  assert.ok(withPeers > 100, `only ${withPeers} files with peers were read`);
});

test("parseNodeConfig() throws nothing but ConfigError, and no secret with it, whatever the text", () => {
  const words = fc.constantFrom(
    ...["[Interface]", "[Peer]", "[FlowLog]", "[Timers]", "PrivateKey", "PublicKey", "AllowedIPs"],
    ...[
      "Endpoint",
      "MTU",
      "Address",
      "Period",
      "=",
      "=",
      "\n",
      "\n",
      "\n",
      " ",
      ",",
      "#",
      "1",
      "0x",
    ],
    ...[PUBLIC, "10.0.0.0/8", "::/0", "off", "friendly_name", "\r", "\0", "\uFEFF"],
  );
  let parsed = 0;
  const text = fc.oneof(
    fc.array(words, { maxLength: 60, size: "max" }).map((parts) => parts.join("")),
    fc.string({ maxLength: 400, size: "max", unit: "binary" }),
    fc.tuple(fc.nat(300), fc.string({ maxLength: 3 })).map(([at, insert]) => {
      const valid = `${PEER_LINE}AllowedIPs = 10.0.0.0/8\nEndpoint = a.example:1\n`;
      return valid.slice(0, at % valid.length) + insert + valid.slice(at % valid.length);
    }),
  );
  fc.assert(
    fc.property(text, (random) => {
      try {
        parse(random);
        parsed++;
      } catch (error) {
        assert.ok(error instanceof ConfigError, String(error));
        assert.ok(!error.message.includes(PRIVATE.slice(0, 30)), error.message);
      }
    }),
    { seed: 2, numRuns: 2000 },
  );
  assert.ok(parsed > 20, `only ${parsed} texts were taken`);
});

test("parseNodeConfig() reads how many workers are wanted, the node's choice unless it is said", () => {
  assert.equal(parse(INTERFACE).workers, "auto");
  for (const [text, workers] of [["auto", "auto"], ["1", 1], ["16", 16]] as const) {
    assert.equal(parse(`${INTERFACE}[DataPlane]\nWorkers = ${text}\n`).workers, workers);
  }
});

test("parseNodeConfig() reads which offloads may be used, all unless it is said", () => {
  assert.equal(parse(INTERFACE).offloads, "auto");
  for (const level of ["auto", "none", "tun", "udp"]) {
    assert.equal(parse(`${INTERFACE}[DataPlane]\nOffloads = ${level}\n`).offloads, level);
  }
});
