// Goal: requests of wg are read whole or refused whole, and answers are what wg reads. Method: literal requests as
// wg 1.0.20210914 writes them; random requests against the model that wrote them; random text.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ERRNO, SystemCallError } from "../../../src/errors.ts";
import { keyFromBase64, keyToHex } from "../../../src/node/key_text.ts";
import {
  endpointText,
  formatUapiErrno,
  formatUapiState,
  parseUapiRequest,
  type UapiChange,
  type UapiState,
} from "../../../src/node/uapi.ts";
import { type UapiBackend, uapiProtocol } from "../../../src/node/uapi_server.ts";
import { parsePrefix, prefixText } from "../../../src/packet/mod.ts";
import { ENDPOINT } from "../../../src/ports.ts";

const KEY = "98303256c3f7c012be840bdd17490ed3e6e7c71e412432cb3f118bb05727586b";
const KEY_2 = "d50677e06f2d99fb4322dd00b3eeaa33426054109d554c1b9b1a3694b4e87b5c";
const noScope = () => 0;

function change(text: string): UapiChange {
  const request = parseUapiRequest(text, (zone) => zone === "eth0" ? 7 : 0);
  assert.equal(request.op, "set", JSON.stringify(request));
  return request.op === "set" ? request.change : assert.fail();
}

function errno(text: string): number {
  const request = parseUapiRequest(text, noScope);
  return request.op === "bad" ? request.errno : 0;
}

test("parseUapiRequest() reads all that `wg setconf` can send", () => {
  const read = change(
    `set=1\nprivate_key=${KEY}\nlisten_port=51820\nfwmark=51966\nreplace_peers=true\n` +
      `public_key=${KEY_2}\npreshared_key=${KEY}\nendpoint=192.0.2.1:1\n` +
      `persistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.0.0.2/32\n` +
      `allowed_ip=fd00::/64\npublic_key=${KEY}\nremove=true\n\n`,
  );
  assert.equal(read.listenPort, 51820);
  assert.equal(read.fwmark, 51966);
  assert.equal(keyToHex(read.device.privateKey!), KEY);
  assert.equal(read.device.replacePeers, true);
  const [first, second] = read.device.peers!;
  assert.equal(keyToHex(first!.publicKey), KEY_2);
  assert.equal(keyToHex(first!.presharedKey!), KEY);
  assert.equal(endpointText(first!.endpoint!), "192.0.2.1:1");
  assert.equal(first!.persistentKeepaliveS, 25);
  assert.equal(first!.replaceAllowedIps, true);
  assert.deepEqual(first!.allowedIps!.map(prefixText), ["10.0.0.2/32", "fd00::/64"]);
  assert.deepEqual(Object.keys(second!).sort(), ["publicKey", "remove"]);
});

test("parseUapiRequest() leaves out what the request leaves out", () => {
  assert.deepEqual(change("set=1"), { device: {} });
  assert.deepEqual(change("set=1\n\n"), { device: {} });
  assert.deepEqual(Object.keys(change(`set=1\npublic_key=${KEY}\n`).device.peers![0]!), [
    "publicKey",
  ]);
  assert.deepEqual(parseUapiRequest("get=1\n\n", noScope), { op: "get" });
});

test("parseUapiRequest() reads update_only, protocol_version and an all-zero key", () => {
  const read = change(
    `set=1\nprivate_key=${
      "0".repeat(64)
    }\npublic_key=${KEY}\nupdate_only=true\nprotocol_version=1\n`,
  );
  assert.deepEqual(read.device.privateKey, new Uint8Array(32));
  assert.equal(read.device.peers![0]!.updateOnly, true);
});

test("parseUapiRequest() lets the later of + and - for one prefix count, host bits aside", () => {
  const peer = (lines: string) => change(`set=1\npublic_key=${KEY}\n${lines}`).device.peers![0]!;
  const removed = peer("allowed_ip=10.0.0.0/8\nallowed_ip=-10.1.2.3/8\n");
  assert.equal(removed.allowedIps, undefined);
  assert.deepEqual(removed.removeAllowedIps!.map(prefixText), ["10.0.0.0/8"]);
  const added = peer("allowed_ip=-10.0.0.0/8\nallowed_ip=+10.0.0.0/8\n");
  assert.deepEqual(added.allowedIps!.map(prefixText), ["10.0.0.0/8"]);
  assert.equal(added.removeAllowedIps, undefined);
});

test("parseUapiRequest() forgets the prefixes that stand before replace_allowed_ips", () => {
  const peer = change(
    `set=1\npublic_key=${KEY}\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=::/0\n`,
  ).device.peers![0]!;
  assert.deepEqual(peer.allowedIps!.map(prefixText), ["::/0"]);
});

test("parseUapiRequest() reads zones by number and by name", () => {
  const endpoint = (text: string) =>
    change(`set=1\npublic_key=${KEY}\nendpoint=${text}\n`).device.peers![0]!.endpoint!;
  assert.equal(endpoint("[fe80::1%3]:5")[ENDPOINT.SCOPE], 3);
  assert.equal(endpoint("[fe80::1%eth0]:5")[ENDPOINT.SCOPE], 7);
  assert.equal(endpointText(endpoint("[fe80::1%eth0]:5")), "[fe80::1%7]:5");
  assert.equal(endpointText(endpoint("[2001:db8::1]:65535")), "[2001:db8::1]:65535");
  assert.equal(endpoint("[::ffff:192.0.2.1]:5")[ENDPOINT.FAMILY], 4);
});

test("parseUapiRequest() refuses what is not as the protocol has it", () => {
  const { EINVAL, EPROTO } = ERRNO;
  const peer = `set=1\npublic_key=${KEY}\n`;
  const wrong: Record<string, number> = {
    "": EPROTO,
    "\n": EPROTO,
    "set=2\n": EPROTO,
    "GET / HTTP/1.1\r\n": EPROTO,
    " get=1": EPROTO,
    "get=1\nx": EINVAL,
    "set=1\nnonsense": EPROTO,
    "set=1\nnonsense=1": EINVAL,
    "set=1\n=": EINVAL,
    [`set=1\nprivate_key=${KEY.slice(1)}`]: EINVAL,
    [`set=1\nprivate_key=${KEY}0`]: EINVAL,
    [`set=1\nprivate_key=${"g".repeat(64)}`]: EINVAL,
    "set=1\nprivate_key=": EINVAL,
    "set=1\nlisten_port=65536": EINVAL,
    "set=1\nlisten_port=-1": EINVAL,
    "set=1\nlisten_port=1\r": EINVAL,
    "set=1\nfwmark=4294967296": EINVAL,
    "set=1\nfwmark=0x1": EINVAL,
    "set=1\nreplace_peers=false": EINVAL,
    "set=1\npublic_key=x": EINVAL,
    "set=1\nallowed_ip=10.0.0.0/8": EINVAL,
    [`${peer}listen_port=1`]: EINVAL,
    [`${peer}private_key=${KEY}`]: EINVAL,
    [`${peer}remove=1`]: EINVAL,
    [`${peer}update_only=no`]: EINVAL,
    [`${peer}preshared_key=00`]: EINVAL,
    [`${peer}endpoint=example.org:1`]: EINVAL,
    [`${peer}endpoint=192.0.2.1`]: EINVAL,
    [`${peer}endpoint=192.0.2.1:0`]: EINVAL,
    [`${peer}endpoint=[fe80::1%nosuch]:1`]: EINVAL,
    [`${peer}endpoint=::1:1`]: EINVAL,
    [`${peer}persistent_keepalive_interval=65536`]: EINVAL,
    [`${peer}persistent_keepalive_interval=off`]: EINVAL,
    [`${peer}replace_allowed_ips=1`]: EINVAL,
    [`${peer}allowed_ip=10.0.0.0`]: EINVAL,
    [`${peer}allowed_ip=10.0.0.0/33`]: EINVAL,
    [`${peer}allowed_ip=--10.0.0.0/8`]: EINVAL,
    [`${peer}protocol_version=2`]: EINVAL,
    [`${peer}rx_bytes=1`]: EINVAL,
  };
  for (const [text, wanted] of Object.entries(wrong)) assert.equal(errno(text), wanted, text);
});

test("parseUapiRequest() takes both sides of each limit", () => {
  const peer = `set=1\npublic_key=${KEY}\n`;
  const right = [
    ...["set=1\nlisten_port=0", "set=1\nlisten_port=65535", "set=1\nfwmark=4294967295"],
    ...["set=1\nfwmark=", `${peer}persistent_keepalive_interval=65535`],
    ...[
      `${peer}allowed_ip=0.0.0.0/0`,
      `${peer}allowed_ip=::/128`,
      `${peer}endpoint=192.0.2.1:65535`,
    ],
  ];
  for (const text of right) assert.equal(errno(text), 0, text);
});

test("formatUapiErrno() writes what wg makes words of", () => {
  assert.equal(formatUapiErrno("set", 0), "errno=0\n\n");
  assert.equal(formatUapiErrno("set", ERRNO.EINVAL), "errno=-22\n\n");
  assert.equal(formatUapiErrno("get", ERRNO.EIO), "errno=5\n\n");
});

const STATE: UapiState = {
  listenPort: 51820,
  fwmark: 1,
  device: {
    privateKey: keyFromBase64("mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=")!,
    publicKey: new Uint8Array(32),
    peers: [{
      publicKey: keyFromBase64("1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=")!,
      presharedKey: new Uint8Array(32),
      endpoint: null,
      lastHandshakeWallMs: 1_700_000_000_123.5,
      txBytes: 2 ** 53 - 1,
      txDatagrams: 0,
      rxDatagrams: 0,
      roams: 0,
      rxBytes: 0,
      persistentKeepaliveS: 25,
      allowedIps: [parsePrefix("10.0.0.0/8")!, parsePrefix("::/0")!],
    }],
  },
};

test("formatUapiState() writes every member", () => {
  const zero = "0".repeat(64);
  assert.equal(
    formatUapiState(STATE),
    `private_key=${KEY}\nlisten_port=51820\nfwmark=1\npublic_key=${KEY_2}\npreshared_key=${zero}\n` +
      "protocol_version=1\nlast_handshake_time_sec=1700000000\n" +
      "last_handshake_time_nsec=123500000\ntx_bytes=9007199254740991\nrx_bytes=0\n" +
      "persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\nerrno=0\n\n",
  );
});

test("formatUapiState() leaves out a zero key, port and mark", () => {
  const device = { ...STATE.device, privateKey: new Uint8Array(32), peers: [] };
  assert.equal(formatUapiState({ device, listenPort: 0, fwmark: 0 }), "errno=0\n\n");
});

// ---- The protocol over a backend ------------------------------------------------------------------------------------

function backendOf(set: () => Promise<number>): UapiBackend {
  return { get: () => Promise.resolve(STATE), set };
}

test("uapiProtocol() answers with the backend's state and errno", async () => {
  const protocol = uapiProtocol(backendOf(() => Promise.resolve(ERRNO.EADDRINUSE)));
  assert.deepEqual(await protocol.answer("get=1"), { text: formatUapiState(STATE), close: false });
  assert.deepEqual(await protocol.answer("set=1"), { text: "errno=-98\n\n", close: false });
  assert.equal(protocol.refusal(ERRNO.EMSGSIZE), "errno=-90\n\n");
});

test("uapiProtocol() makes an errno of what the backend throws", async () => {
  const fails = (error: Error) =>
    uapiProtocol(backendOf(() => Promise.reject(error))).answer("set=1");
  const call = new SystemCallError("bind UDP port 1", ERRNO.EACCES);
  assert.equal((await fails(call)).text, "errno=-13\n\n");
  assert.equal((await fails(new Error("x"))).text, "errno=-5\n\n");
});

test("uapiProtocol() never applies a request of which any line is wrong", async () => {
  let calls = 0;
  const protocol = uapiProtocol(backendOf(() => {
    calls++;
    return Promise.resolve(0);
  }));
  const reply = await protocol.answer(`set=1\nlisten_port=1\npublic_key=${KEY}\nallowed_ip=x`);
  assert.deepEqual(reply, { text: "errno=-22\n\n", close: false });
  assert.equal(calls, 0);
  assert.equal((await protocol.answer("hello")).close, true);
  assert.equal(calls, 0);
});

// ---- Laws -----------------------------------------------------------------------------------------------------------

const hexKey = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(keyToHex);
const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6().filter((text) => parsePrefix(text) !== null);

test("parseUapiRequest() reads from a random request what was written into it", () => {
  const peer = fc.record({
    key: hexKey,
    psk: fc.option(hexKey),
    address: fc.option(fc.oneof(ipv4, ipv6.map((text) => `[${text}]`))),
    port: fc.integer({ min: 1, max: 65_535 }),
    keepalive: fc.option(fc.nat(65_535)),
    replace: fc.boolean(),
    prefixes: fc.array(fc.oneof(ipv4.map((a) => `${a}/32`), ipv6.map((a) => `${a}/128`)), {
      maxLength: 4,
    }),
  });
  const request = fc.record({
    port: fc.option(fc.nat(65_535)),
    mark: fc.option(fc.integer({ min: 0, max: 0xffff_ffff })),
    peers: fc.array(peer, { maxLength: 4 }),
  });
  fc.assert(
    fc.property(request, ({ port, mark, peers }) => {
      const lines = ["set=1"];
      if (port !== null) lines.push(`listen_port=${port}`);
      if (mark !== null) lines.push(`fwmark=${mark}`);
      for (const each of peers) {
        lines.push(`public_key=${each.key}`);
        if (each.psk !== null) lines.push(`preshared_key=${each.psk}`);
        if (each.address !== null) lines.push(`endpoint=${each.address}:${each.port}`);
        if (each.keepalive !== null) lines.push(`persistent_keepalive_interval=${each.keepalive}`);
        if (each.replace) lines.push("replace_allowed_ips=true");
        for (const prefix of each.prefixes) lines.push(`allowed_ip=${prefix}`);
      }
      const read = change(`${lines.join("\n")}\n\n`);
      assert.equal(read.listenPort, port ?? undefined);
      assert.equal(read.fwmark, mark ?? undefined);
      assert.equal(read.device.peers?.length ?? 0, peers.length);
      for (const [index, each] of peers.entries()) {
        const found = read.device.peers![index]!;
        assert.equal(keyToHex(found.publicKey), each.key);
        assert.equal(found.presharedKey && keyToHex(found.presharedKey), each.psk ?? undefined);
        assert.equal(found.persistentKeepaliveS, each.keepalive ?? undefined);
        assert.equal(found.replaceAllowedIps, each.replace ? true : undefined);
        assert.equal(
          found.endpoint?.[ENDPOINT.PORT],
          each.address === null ? undefined : each.port,
        );
        const wanted = new Set(each.prefixes.map((text) => prefixText(parsePrefix(text)!)));
        assert.deepEqual(new Set((found.allowedIps ?? []).map(prefixText)), wanted);
      }
    }),
    { seed: 3, numRuns: 300 },
  );
});

test("parseUapiRequest() never throws, and refuses by errno", () => {
  const words = fc.constantFrom(
    ...["set=1", "get=1", "public_key=", KEY, "allowed_ip=", "10.0.0.0/8", "endpoint=", "\n", "\n"],
    ...["=", "true", "remove=", "-", "[::1]:5", "fwmark=", "listen_port=", "7", "\0", "\r"],
  );
  const text = fc.oneof(
    fc.array(words, { maxLength: 40, size: "max" }).map((parts) => parts.join("")),
    fc.array(words, { maxLength: 12 }).map((parts) =>
      `set=1\npublic_key=${KEY}\n${parts.join("")}`
    ),
    fc.string({ unit: "binary", maxLength: 200, size: "max" }),
  );
  let taken = 0;
  fc.assert(
    fc.property(text, (random) => {
      const request = parseUapiRequest(random, noScope);
      if (request.op !== "bad") taken++;
      else assert.ok(request.errno > 0);
    }),
    { seed: 4, numRuns: 3000 },
  );
  assert.ok(taken > 50, `only ${taken} were taken`);
});
