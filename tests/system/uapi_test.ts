/**
 * Debian's `wg`, unmodified, and raw clients against our UAPI and control sockets, with a device that is only a model.
 *
 * Run alone: `deno test -A tests/system/uapi_test.ts` (root, because wg looks in /var/run/wireguard).
 * Method: every request that wg can make is compared with what the model holds; raw clients do what wg never does.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ERRNO, SystemCallError } from "../../src/errors.ts";
import { LOCAL_CONNECTIONS_MAX } from "../../src/limits.ts";
import { allStatuses, askNode, knownNodes } from "../../src/node/control_client.ts";
import { createControlServer } from "../../src/node/control_server.ts";
import { keyToBase64 } from "../../src/node/key_text.ts";
import { LocalServer } from "../../src/node/local_server.ts";
import { createUapiServer, UAPI_DIRECTORY, uapiProtocol } from "../../src/node/uapi_server.ts";
import { must, run } from "./support/command.ts";
import { DeviceModel } from "./support/device_model.ts";
import { cannotRun, helperCommand } from "./support/runtimes.ts";
import { waitUntil } from "./support/wait.ts";

const skip = cannotRun();
const PRIVATE = "mDAyVsP3wBK+hAvdF0kO0+bnxx5BJDLLPxGLsFcnWGs=";
const PUBLIC = "1QZ34G8tmftDIt0As+6qM0JgVBCdVUwbmxo2lLToe1w=";
const PEER = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
const PSK = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";

/** Runs the body with a served model under a name that no other process has, and a folder for files. */
async function withDevice(
  body: (device: DeviceModel, name: string, folder: string) => Promise<void>,
): Promise<void> {
  const name = `tlu${randomBytes(4).toString("hex")}`;
  const folder = mkdtempSync(join(tmpdir(), "tunlog-uapi-"));
  const device = new DeviceModel();
  const server = createUapiServer(name, device);
  try {
    await server.start();
    await body(device, name, folder);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
  assert.ok(!existsSync(`${UAPI_DIRECTORY}/${name}.sock`));
}

/** Runs the body with sockets in a folder of the test's own. */
async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tunlog-sock-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A client that keeps all it receives. */
class RawClient {
  text = "";
  ended = false;
  closed = false;
  readonly socket: Socket;

  constructor(path: string) {
    this.socket = createConnection({ path, allowHalfOpen: true });
    this.socket.on("data", (chunk) => this.text += chunk.toString());
    this.socket.on("end", () => this.ended = true);
    this.socket.on("close", () => this.closed = true);
    this.socket.on("error", () => {});
  }

  async waitFor(text: string): Promise<void> {
    await waitUntil(`${JSON.stringify(text)}, has ${JSON.stringify(this.text)}`, () => {
      return this.text.includes(text);
    });
  }

  async waitForEnd(): Promise<void> {
    await waitUntil("end of the connection", () => this.ended || this.closed);
    this.socket.destroy();
  }
}

// ---- wg -------------------------------------------------------------------------------------------------------------

test("wg setconf, show, dump and showconf agree with what the server holds", { skip }, async () => {
  await withDevice(async (device, name, folder) => {
    const file = join(folder, "a.conf");
    const text = `[Interface]
ListenPort = 51820
FwMark = 0xca6c
PrivateKey = ${PRIVATE}

[Peer]
PublicKey = ${PEER}
PresharedKey = ${PSK}
AllowedIPs = 10.0.0.0/8, fd00::/64
Endpoint = [2001:db8::1]:5
PersistentKeepalive = 25
`;
    writeFileSync(file, text);
    await must(["wg", "setconf", name, file]);
    assert.equal(device.listenPort, 51820);
    assert.equal(keyToBase64(device.privateKey), PRIVATE);
    assert.equal(device.peers.size, 1);
    assert.equal((await must(["wg", "showconf", name])).trim(), text.trim());
    assert.deepEqual((await must(["wg", "show", name, "dump"])).trim().split("\n"), [
      [PRIVATE, PUBLIC, "51820", "0xca6c"].join("\t"),
      [
        ...[PEER, PSK, "[2001:db8::1]:5", "10.0.0.0/8,fd00::/64", "1700000000", "92", "148", "25"],
      ].join("\t"),
    ]);
    const shown = await must(["wg", "show", name]);
    for (const part of ["preshared key: (hidden)", "transfer: 92 B received, 148 B sent"]) {
      assert.ok(shown.includes(part), shown);
    }
    assert.ok((await must(["wg", "show", "interfaces"])).split(/\s+/).includes(name));
  });
});

test("wg set changes single values, adds and removes peers", { skip }, async () => {
  await withDevice(async (device, name, folder) => {
    const psk = join(folder, "psk");
    writeFileSync(psk, PSK);
    await must(["wg", "set", name, "listen-port", "7", "fwmark", "off"]);
    assert.equal(device.listenPort, 7);
    const endpoint = ["endpoint", "192.0.2.1:9", "persistent-keepalive", "3"];
    await must(["wg", "set", name, "peer", PEER, "preshared-key", psk, ...endpoint]);
    await must(["wg", "set", name, "peer", PEER, "allowed-ips", "10.0.0.1/32,::/0"]);
    assert.equal(
      (await must(["wg", "show", name, "dump"])).trim().split("\n")[1],
      [
        ...[PEER, PSK, "192.0.2.1:9", "10.0.0.1/32,::/0", "1700000000", "92", "148", "3"],
      ].join("\t"),
    );
    await must(["wg", "set", name, "peer", PEER, "allowed-ips", ""]);
    assert.equal([...device.peers.values()][0]!.allowedIps.length, 0);
    await must(["wg", "set", name, "peer", PEER, "remove"]);
    assert.equal(device.peers.size, 0);
    await must(["wg", "set", name, "private-key", "/dev/null"]);
    assert.match(await must(["wg", "show", name, "private-key"]), /\(none\)/);
  });
});

test(
  "wg syncconf removes the peers that the file lacks and keeps the others",
  { skip },
  async () => {
    await withDevice(async (device, name, folder) => {
      const file = join(folder, "b.conf");
      await must(["wg", "set", name, "peer", PEER, "allowed-ips", "10.0.0.0/8"]);
      await must(["wg", "set", name, "peer", PUBLIC]);
      writeFileSync(file, `[Interface]\nPrivateKey=${PRIVATE}\n[Peer]\nPublicKey=${PEER}\n`);
      await must(["wg", "syncconf", name, file]);
      assert.deepEqual([...device.peers.values()].map((peer) => keyToBase64(peer.publicKey)), [
        PEER,
      ]);
      const last = device.changes.at(-1)!;
      assert.notEqual(last.device.replacePeers, true);
    });
  },
);

test("wg words our errno", { skip }, async () => {
  await withDevice(async (device, name) => {
    device.refusal = ERRNO.EADDRINUSE;
    const result = await run(["wg", "set", name, "listen-port", "7"]);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /Address already in use/);
  });
});

test("wg setconf and show stand 10,000 peers", { skip }, async () => {
  await withDevice(async (device, name, folder) => {
    const file = join(folder, "c.conf");
    const peers = Array.from({ length: 10_000 }, (_, index) => {
      const address = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`;
      return `[Peer]\nPublicKey=${randomBytes(32).toString("base64")}\nAllowedIPs=${address}\n`;
    });
    writeFileSync(file, `[Interface]\nPrivateKey=${PRIVATE}\n${peers.join("")}`);
    await must(["wg", "setconf", name, file]);
    assert.equal(device.peers.size, 10_000);
    assert.equal((await must(["wg", "show", name, "dump"])).trim().split("\n").length, 10_001);
  });
});

// ---- Raw clients ----------------------------------------------------------------------------------------------------

test(
  "uapi answers pipelined requests in order, on one connection, cut anywhere",
  { skip },
  async () => {
    await withDevice(async (device, name) => {
      const client = new RawClient(`${UAPI_DIRECTORY}/${name}.sock`);
      const requests = "set=1\nlisten_port=1\n\nget=1\n\nset=1\nlisten_port=x\n\nget=1\n\n";
      for (const character of requests) {
        client.socket.write(character);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.waitFor("errno=-22\n\nlisten_port=1\nerrno=0\n\n");
      assert.equal(
        client.text,
        "errno=0\n\nlisten_port=1\nerrno=0\n\nerrno=-22\n\nlisten_port=1\nerrno=0\n\n",
      );
      assert.equal(device.changes.length, 1);
      assert.equal(client.ended, false, "the connection stays open for the next request");
      client.socket.destroy();
    });
  },
);

test("uapi answers a client that has shut down its side", { skip }, async () => {
  await withDevice(async (_, name) => {
    const client = new RawClient(`${UAPI_DIRECTORY}/${name}.sock`);
    client.socket.end("get=1\n\n");
    await client.waitForEnd();
    assert.equal(client.text, "errno=0\n\n");
  });
});

test("uapi applies nothing of a request that is broken off", { skip }, async () => {
  await withDevice(async (device, name) => {
    const client = new RawClient(`${UAPI_DIRECTORY}/${name}.sock`);
    client.socket.end("set=1\nlisten_port=1\n");
    await client.waitForEnd();
    assert.equal(client.text, "errno=-71\n\n");
    assert.deepEqual(device.changes, []);
  });
});

test("uapi sends garbage away with an errno, and serves the next client", { skip }, async () => {
  await withDevice(async (device, name) => {
    for (const garbage of ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\n", "\0\0\0\n", "set=2\n"]) {
      const client = new RawClient(`${UAPI_DIRECTORY}/${name}.sock`);
      client.socket.write(garbage);
      await client.waitForEnd();
      assert.equal(client.text, "errno=-71\n\n", JSON.stringify(garbage));
    }
    assert.deepEqual(device.changes, []);
    await must(["wg", "show", name]);
  });
});

test("LocalServer bounds bytes, time and connections", { skip }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.sock");
    const protocol = { ...uapiProtocol(new DeviceModel()), requestBytesMax: 100 };
    const server = new LocalServer(path, protocol, { requestMs: 300, idleMs: 60_000 });
    await server.start();
    try {
      const long = new RawClient(path);
      long.socket.write(`set=1\n${"x".repeat(200)}`);
      await long.waitForEnd();
      assert.equal(long.text, "errno=-90\n\n");

      const slow = new RawClient(path);
      slow.socket.write("set=1\n");
      await slow.waitForEnd();
      assert.equal(slow.text, "errno=-110\n\n");

      const idle = new RawClient(path);
      idle.socket.write("get=1\n\n");
      await idle.waitFor("errno=0");

      const others = Array.from(
        { length: LOCAL_CONNECTIONS_MAX - 1 },
        () => new RawClient(path),
      );
      for (const other of others) other.socket.write("get=1\n\n");
      for (const other of others) await other.waitFor("errno=0");
      const tooMany = new RawClient(path);
      await tooMany.waitForEnd();
      assert.equal(tooMany.text, "errno=-11\n\n");
      assert.equal(idle.closed, false, "an idle client outlives the time for a request");
      for (const other of others) other.socket.destroy();
      await waitUntil("room for another client", async () => {
        const next = new RawClient(path);
        next.socket.write("get=1\n\n");
        await waitUntil("an answer or an end", () => next.text !== "" || next.ended || next.closed);
        next.socket.destroy();
        return next.text === "errno=0\n\n";
      });
      idle.socket.destroy();
    } finally {
      await server.stop();
    }
  });
});

test("LocalServer closes a connection that stays idle", { skip }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.sock");
    const times = { requestMs: 60_000, idleMs: 200 };
    const server = new LocalServer(path, uapiProtocol(new DeviceModel()), times);
    await server.start();
    try {
      const client = new RawClient(path);
      await client.waitForEnd();
      assert.equal(client.text, "");
    } finally {
      await server.stop();
    }
  });
});

test("LocalServer cuts off a client that does not take its answer", { skip }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.sock");
    const protocol = {
      ...uapiProtocol(new DeviceModel()),
      answer: () => Promise.resolve({ text: "x".repeat(10_000_000), close: false }),
    };
    const server = new LocalServer(path, protocol, { requestMs: 300, idleMs: 60_000 });
    await server.start();
    try {
      const client = new RawClient(path);
      client.socket.pause();
      client.socket.write("get=1\n\n".repeat(5));
      // stop() waits for all connections: if the stuck one were kept, this would not end.
      await new Promise((resolve) => setTimeout(resolve, 100));
      await server.stop();
      client.socket.destroy();
    } finally {
      await server.stop();
    }
  });
});

// ---- Socket files ---------------------------------------------------------------------------------------------------

test("LocalServer makes a socket that only its owner can use", { skip }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "made", "x.sock");
    const umask = process.umask(0);
    const server = new LocalServer(path, uapiProtocol(new DeviceModel()));
    try {
      await server.start();
      assert.equal(lstatSync(path).mode & 0o777, 0o600);
      assert.equal(statSync(join(folder, "made")).mode & 0o777, 0o755);
      assert.equal(process.umask(), 0, "the umask is as before");
    } finally {
      process.umask(umask);
      await server.stop();
    }
    assert.ok(!existsSync(path));
    await server.stop();
  });
});

test("LocalServer replaces the socket of a dead process, and no other", { skip }, async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.sock");
    // A process that ends by SIGKILL leaves its socket.
    const script = join(folder, "serve.mjs");
    writeFileSync(
      script,
      `import { createServer } from "node:net"; import process from "node:process";
       createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"));`,
    );
    await run(["deno", "run", "-A", script]);
    assert.ok(lstatSync(path).isSocket(), "the dead process left its socket");

    const first = new LocalServer(path, uapiProtocol(new DeviceModel()));
    const second = new LocalServer(path, uapiProtocol(new DeviceModel()));
    await first.start();
    try {
      await assert.rejects(
        second.start(),
        (error) =>
          error instanceof SystemCallError && error.errno === ERRNO.EADDRINUSE &&
          error.message ===
            `Cannot listen on "${path}": errno is 98 (EADDRINUSE): ` +
              "the interface is already served by another process",
      );
      await second.stop();
      assert.ok(existsSync(path), "the loser leaves the winner's socket alone");
    } finally {
      await first.stop();
    }
  });
});

test("LocalServer leaves a file alone that is no socket", { skip }, async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "x.sock");
    writeFileSync(file, "precious");
    const link = join(folder, "y.sock");
    symlinkSync(file, link);
    for (const path of [file, link]) {
      const server = new LocalServer(path, uapiProtocol(new DeviceModel()));
      await assert.rejects(server.start(), /a file that is no socket is in the way/);
      assert.equal(statSync(path).size, 8);
    }
  });
});

// ---- Control --------------------------------------------------------------------------------------------------------

test("askNode() gets replies, and clear errors where no node answers", { skip }, async () => {
  await withFolder(async (folder) => {
    let isDown = false;
    const server = createControlServer("wg-a", {
      status: () => Promise.reject(new Error("not now")),
      reload: () => Promise.resolve(["DNS is not applied"]),
      down: () => {
        isDown = true;
        // As a node does: it stops its sockets after this reply.
        setTimeout(() => void server.stop(), 20);
        return Promise.resolve();
      },
    }, folder);
    await server.start();
    const options = { directory: folder, timeoutMs: 5_000 };
    assert.deepEqual(await askNode("wg-a", "status", options), { op: "failed", error: "not now" });
    assert.deepEqual(await askNode("wg-a", "reload", options), {
      op: "reload",
      warnings: ["DNS is not applied"],
    });
    assert.deepEqual(knownNodes(folder), ["wg-a"]);
    assert.deepEqual(await askNode("wg-a", "down", options), { op: "down" });
    assert.ok(isDown);
    assert.deepEqual(knownNodes(folder), []);
    await assert.rejects(
      askNode("wg-a", "status", options),
      /errno is 2 \(ENOENT\): no tunlog node/,
    );
    assert.deepEqual(await allStatuses(options), []);
    assert.deepEqual(knownNodes(join(folder, "none")), []);
  });
});

test(
  "askNode() gives up on a node that never answers, and on one that ends",
  { skip },
  async () => {
    await withFolder(async (folder) => {
      const sockets: Socket[] = [];
      const silent = createServer((socket) => void sockets.push(socket));
      await new Promise<void>((resolve) => silent.listen(join(folder, "wg-s.sock"), resolve));
      const options = { directory: folder, timeoutMs: 200 };
      await assert.rejects(askNode("wg-s", "status", options), /errno is 110 \(ETIMEDOUT\)/);
      silent.on("connection", (socket) => socket.destroy());
      await assert.rejects(
        askNode("wg-s", "status", { directory: folder }),
        /: it is ending, or has/,
      );
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
    });
  },
);

test("askNode() says that another user's node needs another user", {
  skip: skip || (existsSync("/usr/bin/setpriv") ? false : "setpriv is not installed"),
}, async () => {
  await withFolder(async (folder) => {
    chmodSync(folder, 0o755);
    const server = createControlServer("wg-p", {
      status: () => Promise.reject(new Error("reached")),
      reload: () => Promise.resolve([]),
      down: () => Promise.resolve(),
    }, folder);
    await server.start();
    try {
      const argv = helperCommand("ask_node_main.ts", "wg-p", folder);
      const asNobody = ["setpriv", "--reuid=65534", "--clear-groups", "--", ...argv];
      const env = { HOME: folder, DENO_DIR: process.env.DENO_DIR ?? "/root/.cache/deno" };
      const result = await run(asNobody, { env });
      assert.match(result.stdout, /errno is 13 \(EACCES\): run as root/, result.stderr);
    } finally {
      await server.stop();
    }
  });
});
