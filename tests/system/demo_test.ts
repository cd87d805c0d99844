// Goal: `tunlog demo` shows flows of every class with the names of their ends, and leaves nothing behind however it ends.
// Method: the real command on Deno, on Bun and as one binary; what is left is looked for by the demo's process id, in
// namespaces, links, rules, processes and the folders that nodes keep files in.
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { Child, mustSync, runSync } from "./support/command.ts";
import { cannotRun, hasCommand, programCommand, ROOT } from "./support/runtimes.ts";
import { waitUntil } from "./support/wait.ts";

/** Far more than it takes, for a machine that does other things as well. */
const SHOW_MS_MAX = 90_000;
const END_MS_MAX = 30_000;
const ENVIRONMENT = { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };

const DIRECTORY = mkdtempSync(join(tmpdir(), "tunlog-demo-test-"));
after(() => rmSync(DIRECTORY, { recursive: true }));
const skip = cannotRun();
const skipBun = skip || (hasCommand("bun") ? false : "not installed: bun");

/** The single binary, in a folder that everybody may read. */
function buildBinary(): string {
  const path = join(DIRECTORY, "tunlog");
  const { build } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")).tasks;
  const entries = build.command.match(/src\/cli\/\w+\.ts/g);
  mustSync(["bun", "build", "--compile", "--no-install", ...entries, "--outfile", path], {
    cwd: ROOT,
  });
  chmodSync(DIRECTORY, 0o755);
  return path;
}

function demo(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
  return new Child(argv, { cwd: ROOT, env: { ...ENVIRONMENT, ...env } });
}

const denoDemo = (...args: string[]) => programCommand("deno", ["demo", ...args], ["--allow-run"]);

/** Names that carry the number of a demo, and what of the host the demo must not touch. */
function traces(processId: number): string[] {
  const folders = ["/var/run", "/var/run/netns", "/var/run/tunlog", "/var/run/wireguard"];
  return folders.flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder).filter((name) => name.split(/[-.]/).includes(String(processId)))
      : []
  );
}

function hostNetwork(): string {
  return [["-o", "link"], ["rule"], ["route"]].map((args) =>
    mustSync(["ip", ...args]).replace(/ state \w+/g, "")
  ).join("");
}

/** All processes inside the demo's namespaces. */
function processesOf(demoId: number): string[] {
  return traces(demoId).filter((name) => /^tunlog-demo-\d+-/.test(name)).flatMap((name) =>
    runSync(["ip", "netns", "pids", name]).stdout.split("\n").filter((pid) => pid !== "")
  );
}

async function assertGone(demoId: number, children: readonly string[]): Promise<void> {
  assert.deepEqual(traces(demoId), []);
  await waitUntil(
    "all children are gone",
    () => children.every((pid) => !existsSync(`/proc/${pid}`)),
  );
}

const SHOWN = [
  /alpha +virtual +TCP +alpha → beta:80 /,
  /beta +virtual +TCP +alpha → beta:5201 /,
  /alpha +virtual +ICMP +alpha → beta /,
  /alpha +subnet +TCP +alpha → 10\.20\.0\.10:5201 /,
  /beta +subnet +UDP +alpha → 10\.20\.0\.10:53 /,
  /alpha +exit +TCP +alpha → 198\.51\.100\.10:80 /,
  /gamma +exit +UDP +alpha → 198\.51\.100\.10:53 /,
  /alpha +physical +alpha → beta \(192\.0\.2\.6:51820\) /,
  /gamma +physical +alpha → gamma \(192\.0\.2\.2:51820\) /,
];

/** The printed address leads to the log of all three nodes, adopted. */
async function assertCollectorAnswers(child: Child): Promise<void> {
  const [, url] = /page +(http:\S+) /.exec(child.stderr)!;
  assert.match(await (await fetch(`${url}/`)).text(), /<title>tunlog/);
  const { collections } = await (await fetch(`${url}/collections`)).json();
  const streams = Object.values<{ orphan?: boolean }>(collections.tunlog.instances);
  assert.deepEqual(streams.map(({ orphan }) => orphan), [undefined, undefined, undefined]);
  const { logs } = await (await fetch(`${url}/c/tunlog?max-count=3`)).json();
  assert.equal(logs.length, 3);
}

async function showsAndLeavesNothing(argv: readonly string[], signal: "SIGINT" | "SIGTERM") {
  const before = hostNetwork();
  const child = demo(argv);
  try {
    for (const pattern of SHOWN) await child.waitForOutput(pattern, SHOW_MS_MAX);
    assert.equal(child.stdout.includes("\x1b"), false);
    const children = processesOf(child.pid);
    // Three nodes, three servers, one client, one relay, three pings.
    assert.equal(children.length, 11);
    await assertCollectorAnswers(child);
    assert.equal(traces(child.pid).filter((name) => name.startsWith("tunlog-demo-")).length, 6);
    const { code, stdout, stderr } = await child.stop(signal, END_MS_MAX);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /The demo is over: its nodes, interfaces and namespaces are gone\n$/);
    // Below the lines stands the table, of which this is the last row.
    assert.match(stdout, /\n {8}alpha → gamma \(192\.0\.2\.10:51820\) .* alpha gamma *\n$/);
    await assertGone(child.pid, children);
  } finally {
    child.signal("SIGINT");
    await child.waitForEnd(END_MS_MAX);
  }
  assert.equal(hostNetwork(), before);
}

test("demo on Deno shows all classes; Ctrl-C leaves nothing", { skip }, async () => {
  await showsAndLeavesNothing(denoDemo(), "SIGINT");
});

test("demo on Bun shows all classes; SIGTERM leaves nothing", { skip: skipBun }, async () => {
  await showsAndLeavesNothing(programCommand("bun", ["demo"]), "SIGTERM");
});

test("demo as one binary shows all classes; Ctrl-C leaves nothing", { skip: skipBun }, async () => {
  await showsAndLeavesNothing([buildBinary(), "demo"], "SIGINT");
});

test("demo that is killed is swept by the next one, one that runs is not", { skip }, async () => {
  const killed = demo(denoDemo());
  const other = demo(denoDemo());
  try {
    for (const each of [killed, other]) await each.waitForOutput(/ physical /, SHOW_MS_MAX);
    const children = processesOf(killed.pid);
    killed.signal("SIGKILL");
    await killed.ended;
    assert.equal(traces(killed.pid).filter((name) => name.startsWith("tunlog-demo-")).length, 6);
    const next = demo(denoDemo("--seconds", "1"));
    const { code, stderr } = await next.waitForEnd(SHOW_MS_MAX);
    assert.equal(code, 0, stderr);
    assert.match(stderr, new RegExp(`Removed what a killed demo left \\(process ${killed.pid}\\)`));
    await assertGone(killed.pid, children);
    await assertGone(next.pid, []);
    assert.equal(other.running, true);
    assert.equal(processesOf(other.pid).length, 11);
  } finally {
    assert.equal((await other.stop("SIGINT", END_MS_MAX)).code, 0);
  }
  await assertGone(other.pid, []);
});

test("demo that is ended while it starts leaves nothing", { skip }, async () => {
  // At once, with some namespaces made, and with nodes on their way.
  for (const traceCount of [0, 2, 7]) {
    const child = demo(denoDemo());
    await child.waitForOutput(/Starting/, SHOW_MS_MAX);
    await waitUntil("so much is made", () => traces(child.pid).length >= traceCount, {
      intervalMs: 5,
    });
    const { code, stdout } = await child.stop("SIGINT", END_MS_MAX);
    assert.deepEqual([code, stdout], [0, ""]);
    await assertGone(child.pid, []);
  }
});

/** A folder whose `ip` fails when its arguments match, and else is the real one. */
function brokenIp(pattern: string): string {
  const folder = mkdtempSync(join(DIRECTORY, "ip-"));
  const real = mustSync(["sh", "-c", "command -v ip"]).trim();
  const script = `#!/bin/sh\ncase "$*" in ${pattern}) echo refused >&2; exit 3;; esac\n` +
    `exec ${real} "$@"\n`;
  writeFileSync(join(folder, "ip"), script, { mode: 0o755 });
  return folder;
}

test("demo whose start fails half-way says why and leaves nothing", { skip }, async () => {
  const cases = [
    ["*netns*add*-lan", /^tunlog: Cannot run "ip netns add .*-lan": refused$/m],
    ["-netns*gamma*-batch*", /^tunlog: Cannot run "ip -netns .*-gamma -batch -": refused$/m],
    ["*exec*gamma*up*", /^tunlog: Node gamma ended \(exit code 3\): refused$/m],
    ["*exec*-lan*traffic*", /^tunlog: Server in lan ended \(exit code 3\): refused$/m],
    ["*exec*relay*", /^tunlog: Relay in alpha ended \(exit code 3\): refused$/m],
  ] as const;
  for (const [pattern, words] of cases) {
    const child = demo(denoDemo(), { PATH: `${brokenIp(pattern)}:${process.env.PATH}` });
    const { code, stderr } = await child.waitForEnd(SHOW_MS_MAX);
    assert.equal(code, 1, stderr);
    assert.match(stderr, words);
    await assertGone(child.pid, []);
  }
});

test("demo whose port is taken says so and leaves nothing", { skip }, async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const child = demo(denoDemo("--port", String(port)));
  const { code, stderr } = await child.waitForEnd(SHOW_MS_MAX);
  server.close();
  assert.equal(code, 1);
  assert.match(stderr, /^tunlog: Cannot listen on 127\.0\.0\.1:\d+: errno is 98 \(EADDRINUSE\)$/m);
  await assertGone(child.pid, []);
});

test("demo whose node dies ends by itself and says so", { skip }, async () => {
  const child = demo(denoDemo());
  await child.waitForOutput(/ physical /, SHOW_MS_MAX);
  const name = traces(child.pid).find((each) => /^tunlog-demo-\d+-gamma$/.test(each))!;
  const [pid] = runSync(["ip", "netns", "pids", name]).stdout.split("\n");
  process.kill(Number(pid), "SIGKILL");
  const { code, stderr } = await child.waitForEnd(END_MS_MAX);
  assert.equal(code, 1);
  assert.match(stderr, /^tunlog: Node gamma ended \(SIGKILL\)/m);
  await assertGone(child.pid, []);
});

test("demo whose reader goes away ends as if it was asked to", { skip }, async () => {
  const command = `${denoDemo().join(" ")} | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const { stdout } = await new Child(["bash", "-c", command], { cwd: ROOT, env: ENVIRONMENT })
    .waitForEnd(SHOW_MS_MAX);
  assert.match(stdout, /^\d\d:\d\d:\d\d .*\n0\n$/);
});

test("demo without ip says so, and offers --pcap", { skip }, () => {
  const { code, stdout, stderr } = runSync(denoDemo(), {
    cwd: ROOT,
    env: { ...ENVIRONMENT, PATH: DIRECTORY },
  });
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /needs the command "ip"/);
  assert.match(stderr, /"tunlog demo --pcap"/);
});

test("demo on Deno without --allow-run says what is missing", { skip }, () => {
  const { code, stderr } = runSync(programCommand("deno", ["demo"]), { cwd: ROOT });
  assert.equal(code, 1);
  assert.match(stderr, /^tunlog: Cannot .*: permission "run" is missing: add --allow-run$/m);
});

test("demo without root says so; demo --pcap needs none", {
  skip: skipBun || (hasCommand("setpriv") ? false : "not installed: setpriv"),
}, () => {
  const binary = existsSync(join(DIRECTORY, "tunlog")) ? join(DIRECTORY, "tunlog") : buildBinary();
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
  const refused = runSync([...nobody, binary, "demo"], { cwd: "/", env: ENVIRONMENT });
  assert.deepEqual([refused.code, refused.stdout], [1, ""]);
  assert.match(refused.stderr, /must be run as root\n.*"tunlog demo --pcap"/);
  const shown = runSync([...nobody, binary, "demo", "--pcap"], { cwd: "/", env: ENVIRONMENT });
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(
    shown.stdout,
    /\nvirtual [^]*\nsubnet [^]*\nexit [^]*alpha → 198\.51\.100\.10:5201 /,
  );
});
