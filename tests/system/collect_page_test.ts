/**
 * Goal: the page is the same from a checkout on Deno, on Bun and from the single binary, each without any network but
 * loopback, the binary without any file but itself.
 *
 * Run alone: `deno test -A tests/system/collect_page_test.ts` (root; needs bun, wg, ip, ping).
 * Method: a collector in a namespace that leads nowhere, in a directory with nothing else in it; all files that the document
 * leads to are got in the same namespace, as they come on the wire. What a key opens is asked of each, too.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { type Child, mustSync } from "./support/command.ts";
import { type Lab, type Namespace, withLab } from "./support/namespaces.ts";
import { cannotRun, helperCommand, OWN_RUNTIME, ROOT } from "./support/runtimes.ts";
import { waitUntil } from "./support/wait.ts";

/** The page's budget, compressed. */
const PAYLOAD_BYTES_MAX = 150_000;
const PROGRAMS = ["deno", "bun", "binary"] as const;
/** On PATH only where it was installed; a test that runs on it knows where it is. */
const denoPath = OWN_RUNTIME === "deno" ? process.execPath : "deno";
type Program = typeof PROGRAMS[number];

interface FoundFile {
  readonly sha256: string;
  readonly foreign: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly packedHeaders: Readonly<Record<string, string>>;
  readonly packedBytes: number;
}

type FoundFiles = Readonly<Record<string, FoundFile>>;

/** Builds the single binary as `deno task build` does. */
function buildBinary(path: string): void {
  const { tasks } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  const [, options] = /bun@\S+ (build .*) --outfile/.exec(tasks.build.command)!;
  mustSync(["bun", ...options!.split(" "), "--outfile", path], { cwd: ROOT });
  chmodSync(path, 0o755);
}

/** Command of a program; the binary's has the checkout hidden from it. */
function commandOf(program: Program, binary: string, args: readonly string[]): string[] {
  const main = join(ROOT, "mod.ts");
  switch (program) {
    case "deno":
      return [denoPath, "run", "-P", "--quiet", "--config", join(ROOT, "deno.json"), main, ...args];
    case "bun":
      return ["bun", "run", "--no-install", main, ...args];
    case "binary": {
      const script = `mount -t tmpfs none ${ROOT} && exec ${binary} "$@"`;
      return ["unshare", "--mount", "sh", "-c", script, "sh", ...args];
    }
  }
}

interface Started {
  readonly child: Child;
  readonly namespace: Namespace;
  readonly url: string;
  readonly run: (args: readonly string[]) => Promise<string>;
}

async function start(lab: Lab, program: Program, binary: string): Promise<Started> {
  const cwd = join(lab.directory, program);
  mkdirSync(cwd);
  const namespace = lab.namespace(program);
  const command = (args: readonly string[]) =>
    commandOf(program, binary, ["collect", ...args, "--data", join(cwd, "data")]);
  const child = namespace.spawn(command(["--listen", "127.0.0.1:8080"]), { cwd });
  const url = await waitUntil(
    `the collector's address on ${program}`,
    () => /Collector is at (http:\S+),/.exec(child.stderr)?.[1] ?? false,
  );
  assert.deepEqual(readdirSync(cwd), ["data"]);
  return { child, namespace, url, run: (args) => namespace.must(command(args), { cwd }) };
}

function checkFiles(program: Program, files: FoundFiles): void {
  const types: Record<string, string> = {
    js: "text/javascript; charset=utf-8",
    css: "text/css; charset=utf-8",
    svg: "image/svg+xml",
    json: "application/json",
  };
  for (const [path, { foreign, headers, packedHeaders, packedBytes }] of Object.entries(files)) {
    const name = `${program} ${path}`;
    const type = path === "/" ? "text/html; charset=utf-8" : types[path.split(".").at(-1)!];
    for (const each of [headers, packedHeaders]) {
      assert.equal(each["content-type"], type, name);
      assert.equal(each["cache-control"], "no-cache", name);
      assert.match(each["content-security-policy"]!, /^default-src 'none'; script-src 'self'; /);
      assert.doesNotMatch(each["content-security-policy"]!, /unsafe|https?:|\*/);
      assert.equal(each["x-content-type-options"], "nosniff", name);
      assert.match(each.etag!, /^"[\w-]+"$/, name);
      assert.equal(each["set-cookie"], undefined, name);
    }
    assert.equal(headers["content-encoding"], undefined, name);
    assert.equal(packedHeaders["content-encoding"], "br", name);
    assert.equal(packedHeaders["content-length"], `${packedBytes}`, name);
    assert.notEqual(packedHeaders.etag, headers.etag, name);
    assert.deepEqual(foreign, [], name);
  }
  const payload = Object.values(files).reduce((sum, { packedBytes }) => sum + packedBytes, 0);
  assert.ok(payload < PAYLOAD_BYTES_MAX, `${program}: ${payload} bytes`);
  assert.ok(Object.keys(files).length > 20, `${program}: is that all?`);
}

/** What a key opens, as a browser and as another client ask. @returns The key. */
async function checkAccess({ namespace, url, run }: Started): Promise<string> {
  const curl = (...args: string[]) =>
    namespace.must(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", ...args]);
  assert.equal(await curl(`${url}/api/v1/nodes`), "200");
  assert.equal(await curl("-H", "Host: rebound.example:8080", `${url}/api/v1/nodes`), "403");
  const key = (await run(["key", "add", "page"])).trim();
  assert.equal(await curl(`${url}/api/v1/nodes`), "401");
  const wrong = ["--data-urlencode", `key=${key}x`, `${url}/login`];
  assert.equal(await curl(...wrong), "403");
  const login = await namespace.must([
    "curl",
    "-sSi",
    "--data-urlencode",
    `key=${key}`,
    `${url}/login`,
  ]);
  const [, cookie] =
    /^set-cookie: (tunlog-session-8080=[\w-]{43}); .*HttpOnly; SameSite=Strict\r$/im
      .exec(login)!;
  assert.equal(await curl("-H", `Cookie: ${cookie}`, `${url}/api/v1/nodes`), "200");
  const follow = ["curl", "-sSN", "-H", `Cookie: ${cookie}`, `${url}/api/v1/live`];
  const following = namespace.spawn(follow);
  await following.waitForOutput(/^:/m, 20_000);
  await run(["key", "remove", "page"]);
  await run(["key", "add", "other"]);
  assert.equal(await curl("-H", `Cookie: ${cookie}`, `${url}/api/v1/nodes`), "401");
  // The stream ends at the next thing that it would have said, which is that it lives.
  await waitUntil("the end of the stream", () => !following.running, { timeoutMs: 30_000 });
  return key;
}

test("page: byte for byte the same from Deno, Bun and the binary, offline and from memory", {
  skip: cannotRun("bun", "curl", "unshare"),
}, async () => {
  await withLab(async (lab) => {
    const binary = join(lab.directory, "tunlog");
    buildBinary(binary);
    const found = new Map<Program, FoundFiles>();
    for (const program of PROGRAMS) {
      const started = await start(lab, program, binary);
      const text = await started.namespace.must(helperCommand("page_files_main.ts", started.url));
      const files: FoundFiles = JSON.parse(text);
      checkFiles(program, files);
      found.set(program, files);
      const key = await checkAccess(started);
      const { code, stderr } = await started.child.stop("SIGTERM", 30_000);
      assert.equal(code, 0, stderr);
      assert.ok(!stderr.includes(key));
      assert.doesNotMatch(stderr, /failed/i);
    }
    const [first, ...others] = PROGRAMS.map((program) => sumsOf(found.get(program)!));
    for (const each of others) assert.deepEqual(each, first);
  });
});

/** Hashes and tags, which must be alike everywhere; lengths of compressed files may differ by the runtime's compressor. */
function sumsOf(files: FoundFiles): Record<string, [string, string]> {
  return Object.fromEntries(
    Object.entries(files).map(([path, { sha256, headers }]) => [path, [sha256, headers.etag!]]),
  );
}
