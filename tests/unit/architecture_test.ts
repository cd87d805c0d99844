/** The architecture as tests: layout, import rule, purity and size of files. See docs/design and README "Layout". */
import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Folders of src that each folder may import from; "" stands for the leaves. `type` = types only. */
const MAY_IMPORT: Record<string, Record<string, "value" | "type">> = {
  "": {},
  packet: { "": "value" },
  flow: { "": "value", packet: "value" },
  netlog: { "": "value", packet: "value", flow: "value" },
  wireguard: { "": "value", packet: "value" },
  logtail: { "": "value" },
  platform: { "": "value" },
  node: {
    "": "value",
    packet: "value",
    flow: "value",
    netlog: "value",
    wireguard: "value",
    logtail: "value",
    platform: "type",
  },
  collector: {
    "": "value",
    packet: "value",
    flow: "value",
    netlog: "value",
    logtail: "value",
    platform: "type",
  },
  cli: {
    "": "value",
    packet: "value",
    flow: "value",
    netlog: "value",
    wireguard: "value",
    logtail: "value",
    platform: "value",
    node: "value",
    collector: "value",
  },
};

/** Leaves: they import nothing but one another. */
const LEAVES = [
  "limits.ts",
  "errors.ts",
  "counters.ts",
  "nearest.ts",
  "ports.ts",
  "time_text.ts",
];
const PURE = ["packet", "flow", "netlog", "wireguard", "logtail"];
const PURE_PACKAGES = ["ipaddr.js"];
const FILE_LINES_MAX = 520;

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

interface SourceFile {
  /** Path below the repository's root. */
  readonly path: string;
  /** Folder of src, "" for the leaves. */
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** Comments away, so that a rule named in prose is not taken for a breach; strings stay (specifiers are strings). */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const statement = /^(?:import|export)\s+(type\s+)?(?:[\w*{},\s$]+?\s+from\s+)?["']([^"']+)["']/gm;
  for (const match of text.matchAll(statement)) {
    found.push({ specifier: match[2]!, typeOnly: match[1] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\(\s*["']([^"']+)["']\s*\)/g)) {
    found.push({ specifier: match[1]!, typeOnly: false });
  }
  return found;
}

const FILES: readonly SourceFile[] = filesBelow("src").filter((path) => path.endsWith(".ts")).map(
  (path) => {
    const parts = relative("src", path).split("/");
    const text = readFileSync(join(ROOT, path), "utf8");
    const code = withoutComments(text);
    return { path, folder: parts.length > 1 ? parts[0]! : "", text, imports: importsOf(code) };
  },
);

/** Path below the root that a relative specifier names. */
function target(file: SourceFile, specifier: string): string {
  return normalize(join(dirname(file.path), specifier));
}

function folderOf(path: string): string {
  const parts = relative("src", path).split("/");
  return parts.length > 1 ? parts[0]! : "";
}

test("repository: top level is exactly what DESIGN names", () => {
  const allowed = new Set([
    ...["mod.ts", "src", "tests", "deno.json", "deno.lock", "README.md"],
    ...[".ci", "docs", "LICENSE", "CHANGELOG.md", ".gitignore"],
    // Made by tools or by git, never committed (see .gitignore).
    ...[".git", "node_modules", "dist"],
  ]);
  const found = readdirSync(ROOT);
  assert.deepEqual(found.filter((name) => !allowed.has(name)), []);
  for (
    const needed of ["mod.ts", "deno.json", "deno.lock", "README.md", "LICENSE", "CHANGELOG.md"]
  ) {
    assert.ok(existsSync(join(ROOT, needed)), `${needed} is missing`);
  }
});

test("imports: every folder keeps to what it may see, and enters others through mod.ts", () => {
  const breaches: string[] = [];
  let seen = 0;
  for (const file of FILES) {
    const allowed = MAY_IMPORT[file.folder];
    assert.ok(allowed, `src/${file.folder} has no import rule`);
    for (const { specifier, typeOnly } of file.imports) {
      if (!specifier.startsWith(".")) continue;
      seen++;
      const path = target(file, specifier);
      const folder = folderOf(path);
      if (folder === file.folder) continue;
      const rule = allowed[folder];
      const isDoor = folder === ""
        ? LEAVES.includes(relative("src", path))
        : path.endsWith("/mod.ts");
      if (!path.startsWith("src/")) breaches.push(`${file.path} leaves src: ${specifier}`);
      else if (rule === undefined) {
        breaches.push(`${file.path} may not import ${folder || "leaves"}`);
      } else if (rule === "type" && !typeOnly) {
        breaches.push(`${file.path} may import only types of ${folder}: ${specifier}`);
      } else if (!isDoor) breaches.push(`${file.path} enters ${folder} by ${path}, not by mod.ts`);
    }
  }
  assert.deepEqual(breaches, []);
  assert.ok(seen > 50, `only ${seen} imports found: does the pattern still match?`);
});

test("imports: no circle of files", () => {
  const byPath = new Map(FILES.map((file) => [file.path, file]));
  const state = new Map<string, "open" | "done">();
  const trail: string[] = [];
  const visit = (path: string): void => {
    if (state.get(path) === "done" || !byPath.has(path)) return;
    assert.notEqual(state.get(path), "open", `circle: ${[...trail, path].join(" -> ")}`);
    state.set(path, "open");
    trail.push(path);
    const file = byPath.get(path)!;
    for (const { specifier, typeOnly } of file.imports) {
      if (!typeOnly && specifier.startsWith(".")) visit(target(file, specifier));
    }
    trail.pop();
    state.set(path, "done");
  };
  for (const file of FILES) visit(file.path);
});

test("purity: pure folders import no effects, read no clock and draw no randomness", () => {
  const effect =
    /\b(Date\.now|performance\.now|new Date\(\)|Math\.random|getRandomValues|setTimeout|setInterval|Deno\.|Bun\.|process\.)/;
  for (const file of FILES.filter((f) => PURE.includes(f.folder))) {
    for (const { specifier } of file.imports) {
      const fine = specifier.startsWith(".") || PURE_PACKAGES.includes(specifier);
      assert.ok(fine, `${file.path} imports ${specifier}`);
    }
    const found = effect.exec(withoutComments(file.text));
    assert.equal(found, null, `${file.path} uses ${found?.[0]}`);
  }
});

test("runtime seam: Deno and Bun are named only in platform and cli", () => {
  for (const file of FILES.filter((f) => f.folder !== "platform" && f.folder !== "cli")) {
    const found = /\bDeno\.|\bBun\.|["']bun:/.exec(withoutComments(file.text));
    assert.equal(found, null, `${file.path} uses ${found?.[0]}`);
  }
});

test("dependencies: every bare import is in deno.json with an exact version", () => {
  const imports = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")).imports as Record<
    string,
    string
  >;
  for (const [name, specifier] of Object.entries(imports)) {
    assert.match(specifier, /^npm:(@?[^@]+)@\d+\.\d+\.\d+(\/.*)?$/, `${name} is not pinned`);
  }
  for (const file of FILES) {
    for (const { specifier } of file.imports) {
      if (/^(\.|node:|bun:)/.test(specifier)) continue;
      const known = Object.keys(imports).some((n) =>
        specifier === n || specifier.startsWith(`${n}/`)
      );
      assert.ok(known, `${file.path} imports ${specifier}, which deno.json does not name`);
    }
  }
});

test("files: each begins by saying what it is and stays one thing", () => {
  for (const file of FILES) {
    assert.ok(file.text.startsWith("/**"), `${file.path} has no header comment`);
    const lines = file.text.split("\n").length;
    assert.ok(lines <= FILE_LINES_MAX, `${file.path} has ${lines} lines`);
    const unfinished = /\b(TODO|FIXME|XXX)\b/.exec(file.text);
    assert.equal(unfinished, null, `${file.path} says ${unfinished?.[0]}`);
  }
});

test("folders: each has a door, and cli one file a command", () => {
  for (const folder of readdirSync(join(ROOT, "src"))) {
    if (!statSync(join(ROOT, "src", folder)).isDirectory() || folder === "cli") continue;
    assert.ok(existsSync(join(ROOT, "src", folder, "mod.ts")), `src/${folder}/mod.ts is missing`);
  }
});
