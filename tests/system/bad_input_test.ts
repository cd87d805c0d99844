/**
 * What a user does wrong, or a machine lacks: one clear sentence, the right exit code, and nothing half made.
 *
 * Run alone: `deno test -A tests/system/bad_input_test.ts` (root; needs wireguard-go, wg, ip, nft, unshare, setpriv).
 * Method: the obstacle is set up, `up` is run to its end, and the namespace must look as before.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CommandResult, runSync } from "./support/command.ts";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import { INNER, makeWire, OUTER, PORT, startPair } from "./support/pairs.ts";
import { cannotRun, programCommand, ROOT, type Runtime } from "./support/runtimes.ts";
import { networkState } from "./support/state.ts";
import { nodeStatus } from "./support/status.ts";
import { notOurs, REFERENCE, SUBJECT } from "./support/subjects.ts";
import { ping, waitForPing } from "./support/traffic.ts";
import { tunnelFiles } from "./support/tunnel_files.ts";
import {
  makeKeyPair,
  renderConfig,
  startTunnel,
  type TunnelConfig,
  writeConfig,
} from "./support/tunnels.ts";

const skip = cannotRun("wireguard-go", "nft", "unshare", "setpriv") || notOurs();
const RUNTIME = SUBJECT as Runtime;

function goodConfig(): TunnelConfig {
  return {
    keys: makeKeyPair(),
    listenPort: PORT,
    addresses: [`${INNER.left[4]}/24`, `${INNER.left[6]}/64`],
    peers: [{
      publicKey: makeKeyPair().publicKey,
      allowedIps: ["0.0.0.0/0", "::/0"],
      endpoint: `${OUTER.right[4]}:${PORT}`,
    }],
  };
}

/** What one attempt to start looks like. */
interface Attempt {
  readonly name?: string;
  readonly config?: string;
  /** Command in front of ours, e.g. one that takes rights away. */
  readonly prefix?: readonly string[];
  /** Instead of `up CONF` on the project's permission set. */
  readonly command?: (path: string) => string[];
}

/** Lines on standard error that are the program's, not Deno's notice about permission sets. */
function sentences(result: CommandResult): string[] {
  return result.stderr.split("\n")
    .filter((line) => line.trim() !== "" && !line.includes("Permissions in the config file"));
}

/** Runs `up` to its end and checks that the namespace looks as before. */
async function attempt(
  lab: Lab,
  namespace: Namespace,
  options: Attempt = {},
): Promise<CommandResult> {
  const name = options.name ?? lab.interfaceName();
  const path = writeConfig(namespace, name, options.config ?? renderConfig(goodConfig()));
  const before = networkState(namespace);
  const filesBefore = tunnelFiles(name);
  const argv = options.command?.(path) ?? programCommand(RUNTIME, ["up", path]);
  const child = namespace.spawn([...options.prefix ?? [], ...argv], {
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  });
  const result = await child.waitForEnd(20_000);
  assert.equal(networkState(namespace), before, "something was left behind");
  assert.deepEqual(tunnelFiles(name), filesBefore);
  return result;
}

/** One sentence, no stack trace, the right exit code. */
function proveSentence(result: CommandResult, code: number, pattern: RegExp): void {
  const lines = sentences(result);
  assert.equal(lines.length, 1, `more than one sentence:\n${result.stderr}`);
  assert.match(lines[0]!, pattern);
  assert.equal(result.code, code);
}

/** Runs a shell line in a mount namespace of its own, then the command that follows. */
function withMounts(script: string): string[] {
  return ["unshare", "-m", "sh", "-c", `${script} && exec "$@"`, "sh"];
}

test("no TUN device is said in one sentence", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const missing = await attempt(lab, left, {
      prefix: withMounts("mount -t tmpfs none /dev/net"),
    });
    proveSentence(missing, 1, /Cannot open TUN device.*ENOENT.*modprobe tun/);
    const strange = await attempt(lab, left, {
      prefix: withMounts("mount --bind /dev/null /dev/net/tun"),
    });
    proveSentence(strange, 1, /Cannot open TUN device/);
  });
});

test("no permission to make a TUN device is said in one sentence", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const result = await attempt(lab, left, {
      prefix: ["setpriv", "--inh-caps=-all", "--bounding-set=-all"],
    });
    proveSentence(result, 1, /Cannot open TUN device.*EPERM.*(root|CAP_NET_ADMIN)/);
  });
});

test("UDP port in use is said in one sentence", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    await startTunnel(REFERENCE, left, { ...goodConfig(), addresses: [], peers: [] });
    const result = await attempt(lab, left);
    proveSentence(result, 1, new RegExp(`${PORT}.*EADDRINUSE`));
  });
});

test("interface name in use is said in one sentence", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const wire = lab.interfaceName();
    left.ip(`link add ${wire} type veth peer name other`);
    const notTun = await attempt(lab, left, { name: wire });
    proveSentence(notTun, 1, new RegExp(`"${wire}"`));

    const name = lab.interfaceName();
    const other = await startTunnel(
      REFERENCE,
      left,
      { ...goodConfig(), listenPort: PORT + 1, addresses: [], peers: [] },
      { name },
    );
    const taken = await attempt(lab, left, { name });
    proveSentence(taken, 1, new RegExp(name));
    assert.ok(other.process.running);
    assert.notEqual(other.dumpLines()[0]![1], "(none)", "the other one is still served");

    const own = await startTunnel(SUBJECT, left, { ...goodConfig(), listenPort: PORT + 2 });
    const twice = await attempt(lab, left, { name: own.name });
    proveSentence(twice, 1, new RegExp(own.name));
    assert.equal((await nodeStatus(own)).processId, own.process.pid);
  });
});

test("address that cannot be set leaves nothing half made", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    left.sysctl("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
    const result = await attempt(lab, left);
    proveSentence(result, 1, new RegExp(INNER.left[6]));
  });
});

test("node without libcrypto works by the fallback and says so", { skip }, async () => {
  await withLab(async (lab) => {
    const libraries = runSync(["sh", "-c", "ldconfig -p | grep -o '/.*libcrypto.so.*'"]);
    const mounts = libraries.stdout.trim().split("\n")
      .map((library) => `mount --bind /dev/null ${library}`).join(" && ");
    const { left } = await startPair(lab, {
      left: SUBJECT,
      right: REFERENCE,
      initiator: "left",
      prefix: { left: withMounts(mounts) },
    });
    await waitForPing(left.namespace, INNER.right[4]);
    assert.equal((await ping(left.namespace, INNER.right[4], { count: 10 })).received, 10);
    assert.match((await nodeStatus(left)).cryptoName, /noble/);
  });
});

test("missing Deno permission is named, with the way to grant it", {
  skip: skip || (RUNTIME === "bun" ? "Bun has no permissions" : false),
}, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const deno = programCommand("deno", [])[0]!;
    const result = await attempt(lab, left, {
      command: (path) => [deno, "run", "--no-prompt", "--allow-read", "mod.ts", "up", path],
    });
    assert.equal(result.code, 1);
    assert.match(result.stderr, /--allow-ffi/);
    assert.doesNotMatch(result.stderr, /^\s+at /m, "no stack trace");
  });
});

test("configuration errors name file, line and key, all at once, with exit code 2", {
  skip,
}, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const name = lab.interfaceName();
    const config = [
      "[Interface]",
      `PrivateKey = ${makeKeyPair().privateKey}`,
      "ListenPort = 70000",
      "Adress = 10.0.0.1/24",
      "[Peer]",
      "PublicKey = short",
      "AllowedIPs = 10.0.0.0/33",
    ].join("\n");
    const result = await attempt(lab, left, { name, config });
    assert.equal(result.code, 2);
    const lines = sentences(result);
    const expected: readonly [number, RegExp][] = [
      [3, /ListenPort.*"70000"/],
      [4, /Adress.*Address/],
      [6, /PublicKey/],
      [7, /AllowedIPs.*10\.0\.0\.0\/33/],
    ];
    assert.equal(lines.length, expected.length, result.stderr);
    expected.forEach(([line, pattern], index) => {
      assert.ok(lines[index]!.includes(`${name}.conf:${line}: `), lines[index]);
      assert.match(lines[index]!, pattern);
    });
  });
});

test("missing configuration file exits with 1, missing argument with 2", { skip }, () => {
  const absent = runSync(programCommand(RUNTIME, ["up", "/nowhere/absent.conf"]), { cwd: ROOT });
  proveSentence(absent, 1, /\/nowhere\/absent\.conf/);
  const none = runSync(programCommand(RUNTIME, ["up"]), { cwd: ROOT });
  assert.equal(none.code, 2);
});

test("hooks are refused unless they are allowed", { skip }, async () => {
  await withLab(async (lab) => {
    const { left } = makeWire(lab);
    const marker = `${lab.directory}/hook-ran`;
    const config = renderConfig({
      ...goodConfig(),
      interfaceLines: [`PostUp = touch ${marker}`],
    });
    const result = await attempt(lab, left, { config });
    assert.notEqual(result.code, 0);
    assert.match(result.stderr, /PostUp/);
    assert.match(result.stderr, /--allow-hooks/);
    assert.notEqual(runSync(["test", "-e", marker]).code, 0, "the hook did not run");
  });
});
