/**
 * All files that the collector's page is made of, found as a browser finds them: from the document on, along its links,
 * imports, styles and requests.
 *
 * In: how a path is got. Out: the files by path; paths that their texts name. What is only asked for ahead of its time
 * (`modulepreload`) is not followed: it must be needed by something else, too.
 */

/** One file as it came. */
export interface PageFile {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

/** What of a text leads to other files, by its type. */
const REFERENCES: Readonly<Record<string, readonly RegExp[]>> = {
  "text/html": [/<(?!link rel="modulepreload")[^>]*\b(?:src|href)="([^"]*)"/g],
  "text/css": [/@import\s+(?:url\()?["']?([^"')\s]+)/g, /\burl\(\s*["']?([^"')]+)/g],
  "text/javascript": [
    /^(?:import|export)\s(?:[^"';]*?\sfrom\s)?\s*["']([^"']+)["']/gm,
    /(?<!\.)\bimport\(\s*["']([^"']+)["']/g,
    // What a module asks of the page's own folder.
    /["'`](\/page\/[^"'`]*)["'`]/g,
  ],
};

/** Comments away: types that they import are for the checker, not for the browser. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

/** What a file leads to, as it is written there. */
export function referencesOf(type: string, text: string): string[] {
  const kind = type.split(";")[0];
  const code = kind === "text/javascript" ? withoutComments(text) : text;
  return (REFERENCES[kind] ?? []).flatMap((pattern) =>
    [...code.matchAll(pattern)].map((match) => match[1])
  );
}

/** Modules that a document asks for ahead. */
export function preloadsOf(document: string): string[] {
  return [...document.matchAll(/<link rel="modulepreload" href="([^"]*)">/g)].map(([, path]) =>
    path
  );
}

/**
 * Gets all files, each once.
 * @param get Gets a path of the collector.
 * @throws {Error} If a reference leaves the collector, or leads to nothing.
 */
export async function pageGraph(
  get: (path: string) => Promise<PageFile>,
): Promise<Map<string, PageFile>> {
  const files = new Map<string, PageFile>();
  const wanted = ["/"];
  for (let path = wanted.pop(); path !== undefined; path = wanted.pop()) {
    if (files.has(path)) continue;
    const file = await get(path);
    if (file.status !== 200) throw new Error(`Page refers to ${path}: status is ${file.status}`);
    files.set(path, file);
    const type = file.headers.get("content-type") ?? "";
    for (const reference of referencesOf(type, new TextDecoder().decode(file.bytes))) {
      const base = new URL(path, "http://collector.invalid");
      const { origin, pathname } = new URL(reference, base);
      if (origin !== base.origin) throw new Error(`File ${path} refers to ${reference}`);
      wanted.push(pathname);
    }
  }
  return files;
}

/** Names of protocols that are no address: what SVG's elements are made in. */
const NAMESPACES = ["http://www.w3.org/2000/svg"];

/** Other origins that a text names in its code: comments may say where a package is from. */
export function foreignOrigins(text: string): string[] {
  return [...withoutComments(text).matchAll(/\b(?:https?|wss?|ftp):\/\/[^\s"'`)]*/g)]
    .map(([url]) => url).filter((url) => !NAMESPACES.includes(url));
}
