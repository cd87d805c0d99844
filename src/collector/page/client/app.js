// @ts-check
/// <reference lib="dom" />
/**
 * The frame of the page: address, navigation, range of time, live stream, login.
 *
 * In: the address. Out: the view that it names, shown anew whenever the address changes, the log grows or a person wishes.
 */
import { isLoggedIn, logout, onAskError } from "./api.js";
import { append, h, replace } from "./dom.js";
import { Live } from "./live.js";
import { forbiddenNote, loginForm } from "./login.js";
import { TimePicker } from "./time_picker.js";
import { rangeOf } from "./times.js";
import { readState, sharedValues, VIEW_PATHS, writeState } from "./url_state.js";
import { CompletenessView } from "./view_completeness.js";
import { ExploreView } from "./view_explore.js";
import { FlowView } from "./view_flow.js";
import { OverviewView } from "./view_overview.js";
import { PathsView } from "./view_paths.js";

/** @typedef {import("./url_state.js").ViewName} ViewName */
/** @typedef {import("./url_state.js").Values} Values */

/** What came is shown this soon, but not more often; and what is over leaves this often though nothing comes. */
const TICK_MS = 250;
const REFRESH_MS = 1_000;
const SLIDE_MS = 15_000;
/** How often a collector that cannot be reached is asked whether it is back. */
const PROBE_MS = 3_000;
const NAMES = /** @type {const} */ ({
  overview: "Overview",
  explore: "Explore",
  completeness: "Completeness",
  paths: "Paths",
});
const VIEWS = {
  overview: OverviewView,
  explore: ExploreView,
  flow: FlowView,
  completeness: CompletenessView,
  paths: PathsView,
};

export class App {
  /** @type {import("./url_state.js").PageState} */
  #state = readState(location);
  /** @type {OverviewView | ExploreView | FlowView | CompletenessView | PathsView | null} */
  #view = null;
  /** @type {ViewName | null} */
  #viewName = null;
  #isDue = false;
  #shownMs = 0;
  #probedMs = 0;

  constructor() {
    this.live = new Live({
      onWindow: (window) => this.#onWindow(window),
      onState: (state, error) => this.#onLive(state, error),
    });
    this.picker = new TimePicker((range) => this.go({ ...range, cursor: "" }));
    this.nav = h("nav", { "aria-label": "Views" });
    this.liveDot = h("span", { class: "live live-off", role: "status" });
    this.unitsButton = h("button", {
      type: "button",
      class: "quiet",
      title: "Prefixes of bytes: decimal (kB = 1000) or binary (KiB = 1024)",
      click: () => this.go({ units: this.units === "si" ? "iec" : "si" }),
    });
    this.out = h("button", {
      type: "button",
      class: "quiet",
      hidden: true,
      click: () => void this.#logout(),
    }, "Log out");
    this.banner = h("div", { class: "banner", role: "alert", hidden: true });
    this.main = h("main", { id: "main", tabindex: -1 });
    append(
      document.body,
      h("a", { class: "skip", href: "#main" }, "Skip to the content"),
      h(
        "header",
        { class: "top" },
        h("a", { class: "brand", href: "/" }, "tunlog"),
        this.nav,
        h("div", { class: "tools" }, this.liveDot, this.picker.element, this.unitsButton, this.out),
      ),
      this.banner,
      this.main,
    );
  }

  start() {
    document.addEventListener("click", (event) => this.#onClick(event));
    addEventListener("popstate", () => {
      this.#state = readState(location);
      this.show();
    });
    // A browser has six connections for a collector, whatever tabs there are: who is not looked at gives its own back.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.live.stop();
      else this.show();
    });
    addEventListener("pagehide", () => this.live.stop());
    addEventListener("pageshow", (event) => {
      if (/** @type {any} */ (event).persisted) this.show();
    });
    setInterval(() => this.#tick(), TICK_MS);
    onAskError((error) => this.#onRefused(error));
    this.show();
    void this.#showLogout();
  }

  /** Values of the address. */
  get values() {
    return this.#state.values;
  }

  /** @returns {import("./numbers.js").UnitSystem} */
  get units() {
    return this.values.units === "iec" ? "iec" : "si";
  }

  /**
   * Changes the address, and shows what it then says.
   * @param {Values} values Others stay as they are.
   * @param {{ isQuiet?: boolean, run?: () => void }} [options] `isQuiet`: nothing is asked anew; `run`: instead.
   */
  go(values, { isQuiet = false, run } = {}) {
    const { view } = this.#state;
    const url = writeState(view, { ...this.values, ...values });
    if (url === location.pathname + location.search && !isQuiet) return this.show();
    history[isQuiet ? "replaceState" : "pushState"](null, "", url);
    this.#state = readState(location);
    if (run !== undefined) run();
    else if (!isQuiet) this.show();
  }

  /** Address of a view; range and units go along. @param {ViewName} view @param {Values} values */
  href(view, values) {
    return writeState(view, { ...sharedValues(this.#state.view, this.values), ...values });
  }

  show() {
    const { view, values } = this.#state;
    if (document.hidden) return;
    this.#isDue = false;
    this.#shownMs = performance.now();
    if (this.#viewName !== view) {
      this.#view?.close();
      this.#viewName = view;
      this.#view = new VIEWS[view](this);
      replace(this.main, this.#view.element);
      scrollTo(0, 0);
    }
    document.title = `${this.#view?.title} · tunlog`;
    this.picker.show(values);
    this.#drawNav();
    replace(this.unitsButton, this.units === "si" ? "kB" : "KiB");
    if (values.to === "now" && rangeOf({ from: values.from, to: values.to }, Date.now()) !== null) {
      this.live.start();
    } else this.live.stop();
    this.#view?.refresh();
  }

  #drawNav() {
    const { view } = this.#state;
    const names = /** @type {(keyof typeof NAMES)[]} */ (Object.keys(NAMES));
    const focused = [...this.nav.children].indexOf(/** @type {Element} */ (document.activeElement));
    replace(
      this.nav,
      ...names.map((name) =>
        h(
          "a",
          { href: this.href(name, {}), "aria-current": name === view ? "page" : null },
          NAMES[name],
        )
      ),
    );
    if (focused >= 0) /** @type {HTMLElement} */ (this.nav.children[focused]).focus();
  }

  /** Links within the page change the address without loading it again. @param {MouseEvent} event */
  #onClick(event) {
    const link = /** @type {Element | null} */ (event.target)?.closest?.("a[href]");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey &&
      !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || link.hasAttribute("download")) return;
    const url = new URL(link.getAttribute("href") ?? "", location.href);
    if (
      url.origin !== location.origin || url.hash !== "" ||
      !Object.values(VIEW_PATHS).includes(url.pathname)
    ) return;
    event.preventDefault();
    history.pushState(null, "", url.pathname + url.search);
    this.#state = readState(location);
    this.show();
    if (!this.nav.contains(document.activeElement)) this.main.focus({ preventScroll: true });
  }

  /** @param {any} window */
  #onWindow(window) {
    this.#isDue = true;
    if (this.#view instanceof OverviewView) this.#view.onWindow(window);
  }

  #tick() {
    const shownAgoMs = performance.now() - this.#shownMs;
    const isSlid = shownAgoMs >= SLIDE_MS && this.live.state === "live";
    const isDue = this.#isDue && shownAgoMs >= REFRESH_MS;
    const isProbed = performance.now() - this.#probedMs < PROBE_MS;
    if (!this.banner.hidden && this.live.state === "off" && !isProbed) void this.#probe();
    if ((isDue || isSlid) && this.#view?.isLive && !document.hidden) this.#refresh();
  }

  /** Shows the same again. */
  #refresh() {
    this.#isDue = false;
    this.#shownMs = performance.now();
    this.picker.show(this.values);
    this.#view?.refresh();
  }

  /** @param {import("./live.js").LiveState} state @param {any} error */
  #onLive(state, error) {
    const words = { off: "paused", connecting: "connecting", live: "live" };
    this.liveDot.className = `live live-${state}`;
    this.liveDot.title = state === "off" ? "The range does not end now" : "";
    replace(this.liveDot, words[state]);
    const isBack = state === "live" && !this.banner.hidden;
    if (state === "live") this.banner.hidden = true;
    if (isBack) this.show();
    if (error !== undefined) this.#onRefused(error);
  }

  /** Where no stream says that the collector is back it is asked. */
  async #probe() {
    this.#probedMs = performance.now();
    const isBack = await isLoggedIn().then(() => true, () => false);
    if (!isBack || this.banner.hidden || this.live.state !== "off") return;
    this.banner.hidden = true;
    this.show();
  }

  /** @param {any} error */
  #onRefused({ kind }) {
    if (kind === "unreachable") {
      replace(
        this.banner,
        "The collector cannot be reached. What is shown may be old; it is tried again.",
      );
      if (this.banner.hidden) this.#probedMs = performance.now();
      this.banner.hidden = false;
    } else if (kind === "login") this.askForKey();
    else if (kind === "forbidden") this.#instead(forbiddenNote());
  }

  /** Asks for a key in place of the view. */
  askForKey() {
    if (this.main.querySelector(".login") !== null) return;
    this.#instead(loginForm(() => {
      this.show();
      void this.#showLogout();
    }));
  }

  /** @param {HTMLElement} element */
  #instead(element) {
    this.#view?.close();
    this.#view = null;
    this.#viewName = null;
    this.out.hidden = true;
    replace(this.main, element);
  }

  async #showLogout() {
    this.out.hidden = !(await isLoggedIn().catch(() => false));
  }

  async #logout() {
    await logout().catch(() => {});
    this.live.stop();
    this.askForKey();
  }
}
