/**
 * The rules of the collector's page as tests: what its modules import, what may never stand in them, which are pure. They run
 * in browsers, and so no other test of the architecture looks at them.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const CLIENT = fileURLToPath(new URL("../../src/collector/page/client/", import.meta.url));
const CHECKED = "// @ts-check\n";
const DOM = '/// <reference lib="dom" />\n';
/** Views are mostly markup, a line for an element. */
const FILE_LINES_MAX = 570;

interface Module {
  readonly name: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  /** Names of modules whose values it imports. */
  readonly imports: readonly string[];
  /** All that it imports, types included, as written. */
  readonly specifiers: readonly string[];
  /** Whether it knows of documents and elements. */
  readonly hasDom: boolean;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function moduleOf(name: string): Module {
  const text = readFileSync(join(CLIENT, name), "utf8");
  const code = withoutComments(text);
  const values = [
    ...code.matchAll(/^(?:import|export)\s(?:[^"';]*?\sfrom\s)?\s*["']([^"']+)["']/gm),
    ...code.matchAll(/(?<![.\w])import\(\s*["'`]([^"'`]*)/g),
  ].map(([, specifier]) => specifier);
  const types = [...text.matchAll(/import\("([^"]+)"\)/g)].map(([, specifier]) => specifier);
  return {
    ...{ name, text, code },
    imports: values.map((specifier) => normalize(specifier)),
    specifiers: [...values, ...types],
    hasDom: text.includes(DOM),
  };
}

const FILES = readdirSync(CLIENT);
const MODULES = FILES.filter((name) => name.endsWith(".js")).map(moduleOf);

test("page: nothing lies in its folder but modules, one document, one style and one picture", () => {
  const others = FILES.filter((name) => !name.endsWith(".js"));
  assert.deepEqual(others.sort(), ["icon.svg", "index.html", "style.css"]);
  assert.ok(MODULES.length > 20);
});

test("page: modules import one another and nothing else; uPlot and d3-sankey come as scripts before them", () => {
  let seen = 0;
  for (const { name, specifiers } of MODULES) {
    for (const specifier of specifiers) {
      seen++;
      assert.match(specifier, /^\.\/\w+\.js$/, `${name} imports ${specifier}`);
      assert.ok(
        FILES.includes(specifier.slice(2)),
        `${name} imports ${specifier}, which is not there`,
      );
    }
  }
  assert.ok(seen > 60, `only ${seen} imports found: does the pattern still match?`);
});

test("page: no circle of modules", () => {
  const state = new Map<string, "open" | "done">();
  const visit = (name: string, trail: readonly string[]): void => {
    if (state.get(name) === "done") return;
    assert.notEqual(state.get(name), "open", `circle: ${[...trail, name].join(" -> ")}`);
    state.set(name, "open");
    for (const each of MODULES.find((module) => module.name === name)!.imports) {
      visit(each, [...trail, name]);
    }
    state.set(name, "done");
  };
  for (const { name } of MODULES) visit(name, []);
});

/** What may stand in no module, by why, each with a text that it must find. */
const FORBIDDEN: readonly [string, RegExp, readonly string[]][] = [
  [
    "makes markup of text",
    /\b(?:innerHTML|outerHTML|insertAdjacentHTML|srcdoc|createContextualFragment|parseFromString|setHTML\w*|document\s*\.\s*write\w*)\b/,
    ["x.innerHTML = y", "x.insertAdjacentHTML('a', b)", "document.write(x)", "document.writeln(x)"],
  ],
  [
    "makes code of text",
    /\beval\b|\bFunction\s*\(|\bset(?:Timeout|Interval)\(\s*["'`]|javascript:/i,
    ["eval(x)", "(0, eval)(x)", "new Function(x)", 'setTimeout("x")', '"javascript:x"'],
  ],
  [
    "writes a style attribute",
    /\bcssText\b|["']style["']|[{,]\s*style\s*:|<style\b/,
    ['x.setAttribute("style", y)', 'h("p", { style: "x" })', "x.style.cssText = y"],
  ],
  [
    "writes a handler as text, or to a property that takes one",
    /["']on[a-z]+["']|[{,]\s*on(?!ce\b)[a-z]+\s*:|\.\s*on[a-z]+\s*=[^=]/,
    ['x.setAttribute("onclick", y)', 'h("p", { onclick: y })', "x.onload = y"],
  ],
  [
    "makes an element that runs or frames something",
    /\b[hs]\(\s*["'](?:script|iframe|object|embed|style|link|base|meta|form\w*action)["']|createElement\(\s*["']/,
    ['h("script", {})', 's("style")', 'document.createElement("a")'],
  ],
  [
    "keeps something in the browser, or reads what is kept",
    /\b(?:localStorage|sessionStorage|indexedDB|caches|serviceWorker)\b|\bdocument\s*\.\s*cookie\b/,
    ["localStorage.key = x", "document.cookie"],
  ],
  [
    "sends something past api.js",
    /\b(?:XMLHttpRequest|WebSocket|EventSource|WebTransport|RTCPeerConnection|sendBeacon|importScripts)\b|\bnew\s+(?:Worker|SharedWorker|Image|Audio)\b/,
    ["new WebSocket(x)", "navigator.sendBeacon(x)", "new Image()"],
  ],
  ["names another origin", /["'`](?:https?|wss?):(?!\/\/www\.w3\.org\/2000\/svg["'])|["'`]\/\/\w/, [
    '"https://a.example"',
    "`//a.example/b`",
  ]],
  ["is not finished", /\b(?:TODO|FIXME|XXX|debugger)\b|\bconsole\s*\./, [
    "debugger;",
    "console.log(x)",
  ]],
];

test("page: no module makes markup, code, styles or handlers of text, keeps or sends anything", () => {
  for (const [what, pattern, examples] of FORBIDDEN) {
    for (const example of examples) assert.match(example, pattern, what);
    for (const { name, code } of MODULES) {
      const found = pattern.exec(code);
      assert.equal(found?.[0], undefined, `${name} ${what}`);
    }
  }
});

test("page: only api.js and the filter's help ask the collector, below its own address", () => {
  const found = MODULES.flatMap(({ name, code }) =>
    [...code.matchAll(/\bfetch\(\s*([^,)]*)/g)].map(([, url]) => `${name} ${url}`)
  );
  assert.deepEqual(found.sort(), ["api.js url", 'filter_box.js "/page/filter_help.json"']);
});

test("page: modules without documents and elements are pure, and import only such", () => {
  const effect =
    /\b(?:document|window|navigator|location|history|localStorage|fetch|setTimeout|setInterval|Math\.random|performance|Date\.now)\b|\bnew Date\(\)/;
  const pure = MODULES.filter(({ hasDom }) => !hasDom);
  assert.ok(pure.length >= 10, `only ${pure.length} are pure`);
  for (const { name, code, imports } of pure) {
    const found = effect.exec(code);
    assert.equal(found?.[0], undefined, `${name} is not pure`);
    for (const each of imports) {
      assert.ok(pure.some((module) => module.name === each), `${name} imports ${each}`);
    }
  }
});

test("page: each module is type-checked, says what it is and stays one thing", () => {
  for (const { name, text } of MODULES) {
    assert.ok(text.startsWith(CHECKED), `${name} is not checked`);
    assert.doesNotMatch(text, /@ts-(?:ignore|nocheck|expect-error)/, name);
    const rest = text.slice(CHECKED.length).replace(
      /^(?:\/\/\/ <reference lib="[\w.]+" \/>\n)*/,
      "",
    );
    assert.ok(rest.startsWith("/**"), `${name} has no header comment`);
    const lines = text.split("\n").length;
    assert.ok(lines <= FILE_LINES_MAX, `${name} has ${lines} lines`);
  }
});

test("page: document, style and picture hold no script, handler or address of their own", () => {
  const read = (name: string) => readFileSync(join(CLIENT, name), "utf8");
  const document = read("index.html");
  for (const [tag] of document.matchAll(/<script\b[^>]*>[^<]*/g)) {
    assert.match(tag, /^<script (?:defer|type="module") src="\/page\/[\w-]+\.js">$/, tag);
  }
  for (const name of ["index.html", "icon.svg"]) {
    assert.doesNotMatch(
      read(name),
      /\sstyle\s*=|\son\w+\s*=|<style|javascript:|<base|http-equiv/i,
      name,
    );
  }
  assert.doesNotMatch(read("icon.svg"), /<script|<foreignObject|href/i);
  const found = /@import|url\(|expression\(|https?:|(?<![\w-])behavior:/i.exec(
    withoutComments(read("style.css")),
  );
  assert.equal(found?.[0], undefined, "style.css");
});
