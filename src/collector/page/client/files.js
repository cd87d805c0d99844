// @ts-check
/// <reference lib="dom" />
/** What leaves the page by a person's wish: files, and texts on the clipboard. */
import { h, replace } from "./dom.js";
import { csvText, ndjsonText } from "./text_files.js";

/** @param {string} name @param {string} type @param {string} text */
function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Buttons that ask for rows and save them.
 * @param {string} name Of the file, without its ending.
 * @param {() => Promise<{ columns: string[], rows: Record<string, unknown>[] }>} rowsOf
 */
export function downloadButtons(name, rowsOf) {
  const button = (
    /** @type {string} */ label,
    /** @type {string} */ type,
    /** @type {(found: { columns: string[], rows: Record<string, unknown>[] }) => string} */ write,
  ) =>
    h("button", {
      ...{ type: "button", class: "quiet", title: `Download as ${label}` },
      click: async (/** @type {MouseEvent} */ event) => {
        const own = /** @type {HTMLButtonElement} */ (event.currentTarget);
        own.disabled = true;
        try {
          download(`${name}.${label.toLowerCase()}`, type, write(await rowsOf()));
        } finally {
          own.disabled = false;
        }
      },
    }, label);
  return [
    button("CSV", "text/csv", ({ columns, rows }) => csvText(columns, rows)),
    button("NDJSON", "application/x-ndjson", ({ rows }) => ndjsonText(rows)),
  ];
}

/** The API call behind what is shown, to be copied. @param {string[]} urls Below the origin. */
export function apiCall(urls) {
  const lines = urls.map((url) => {
    const code = h("code", {}, `GET ${url}`);
    const copied = h("span", { class: "copied", role: "status" });
    const click = async () => {
      await copyText(location.origin + url, code);
      replace(copied, "copied");
      setTimeout(() => replace(copied), 2_000);
    };
    return h(
      "div",
      { class: "api-line" },
      code,
      h("button", { type: "button", class: "quiet", click }, "Copy"),
      copied,
    );
  });
  return h("div", { class: "api-call", role: "group", "aria-label": "API calls" }, lines);
}

/** The clipboard is there on safe origins only. @param {string} text @param {HTMLElement} code */
async function copyText(text, code) {
  if (navigator.clipboard !== undefined) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // Refused by the browser's settings: then the old way, which is the user's own act.
    }
  }
  getSelection()?.selectAllChildren(code);
  document.execCommand("copy");
}
